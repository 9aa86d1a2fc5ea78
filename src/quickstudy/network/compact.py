"""The network for learning from scratch: small, residual, quick on two cores.

A residual network (He et al., 2015), of one block a stage unless told otherwise, with averaging in
the short cuts (He et al., 2018) and channel gates (Hu et al., 2017).
"""

from __future__ import annotations

from torch import Tensor, nn

CHANNELS = (32, 64, 128, 256)
DEPTH = (1, 1, 1, 1)


def scaled(channels: int, width: float) -> int:
    """Return `channels` times `width` as a multiple of 8, at least 8.

    >>> scaled(64, 0.5), scaled(64, 0.3), scaled(64, 0.01)
    (32, 16, 8)
    """
    return max(8, round(channels * width / 8) * 8)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels)


class Gate(nn.Module):
    """Scale each channel by a function of all channels' averages: ``N C H W -> N C H W``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(8, channels // 8)
        self.squeeze = nn.Linear(channels, hidden)
        self.excite = nn.Linear(hidden, channels)
        self.active = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Compute."""
        gate = self.excite(self.active(self.squeeze(x.mean((2, 3))))).sigmoid()
        out: Tensor = x * gate[:, :, None, None]
        return out


class Block(nn.Module):
    """Two 3 x 3 convolutions and a gate, added to what came in."""

    def __init__(self, ins: int, outs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(ins, outs, 3, stride, 1, bias=False)
        self.norm1 = _norm(outs)
        self.active1 = nn.SiLU(inplace=True)
        self.conv2 = nn.Conv2d(outs, outs, 3, 1, 1, bias=False)
        self.norm2 = _norm(outs)
        self.gate = Gate(outs)
        self.active2 = nn.SiLU(inplace=True)
        self.short: nn.Module = nn.Identity()
        if stride > 1 or ins != outs:
            pool = nn.AvgPool2d(stride, ceil_mode=True) if stride > 1 else nn.Identity()
            self.short = nn.Sequential(pool, nn.Conv2d(ins, outs, 1, bias=False), _norm(outs))
        nn.init.zeros_(self.norm2.weight)  # a block begins as its short cut

    def forward(self, x: Tensor) -> Tensor:
        """Compute."""
        y = self.active1(self.norm1(self.conv1(x)))
        out: Tensor = self.active2(self.gate(self.norm2(self.conv2(y))) + self.short(x))
        return out


def _stem(channels: int, stride: int, ins: int) -> list[nn.Module]:
    """Shrink the input before the blocks: not at all, by 2, or by 4 in two steps."""
    steps = {1: (1,), 2: (2,), 4: (2, 2)}[stride]
    layers: list[nn.Module] = []
    for number, stride in enumerate(steps, start=1):
        outs = channels if number == len(steps) else max(8, channels // 2)
        conv = nn.Conv2d(ins, outs, 3, stride, 1, bias=False)
        layers += [conv, _norm(outs), nn.SiLU(inplace=True)]
        ins = outs
    return layers


class Compact(nn.Module):
    """``N ins H W -> N classes``; the stem shrinks the input by `stride` (1, 2 or 4).

    `depth` is the blocks of each stage; the first of a stage halves the sides, but for stage one.
    """

    def __init__(
        self,
        classes: int,
        *,
        width: float = 1.0,
        stride: int = 2,
        ins: int = 3,
        depth: tuple[int, ...] = DEPTH,
    ) -> None:
        super().__init__()
        channels = [scaled(c, width) for c in CHANNELS]
        self.stem = nn.Sequential(*_stem(channels[0], stride, ins))
        ins, blocks = channels[0], []
        for stage, (outs, times) in enumerate(zip(channels, depth, strict=True)):
            for number in range(times):
                blocks.append(Block(ins, outs, 2 if stage and not number else 1))
                ins = outs
        self.blocks = nn.Sequential(*blocks)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(ins, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Compute."""
        out: Tensor = self.head(self.pool(self.blocks(self.stem(x))).flatten(1))
        return out
