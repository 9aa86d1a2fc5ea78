"""torchvision's GoogLeNet with another width, depth or stem (Szegedy et al., 2014)."""

from __future__ import annotations

from string import ascii_lowercase

import torch
from torch import Tensor, nn
from torchvision.models.googlenet import BasicConv2d, GoogLeNet, Inception, InceptionAux

from quickstudy.network.compact import scaled

#: Stage -> its inception blocks: 1 x 1; 3 x 3 reduced, 3 x 3; 5 x 5 reduced, 5 x 5; pooled.
BLOCKS = {
    3: ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
    4: (
        (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128),
    ),
    5: ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
}
DEPTH = tuple(len(blocks) for blocks in BLOCKS.values())
MOST_BLOCKS = len(ascii_lowercase)  # in a stage: they are named by a letter


class Auxiliary(InceptionAux):  # type: ignore[misc]
    """The classifier half-way: ``N ins H W -> N classes``."""

    def __init__(self, ins: int, classes: int, width: float) -> None:
        nn.Module.__init__(self)
        outs, hidden = scaled(128, width), scaled(1024, width)
        self.conv = BasicConv2d(ins, outs, kernel_size=1)
        self.fc1 = nn.Linear(4 * 4 * outs, hidden)
        self.fc2 = nn.Linear(hidden, classes)
        self.dropout = nn.Dropout(0.7)


class Inceptions(GoogLeNet):  # type: ignore[misc]
    """GoogLeNet with `depth` inception blocks a stage and `width` times its channels.

    A stage of fewer blocks has the first ones, one of more repeats the last. With the usual width,
    depth and stem its parameters have the names, shapes and first values of torchvision's.
    `small` is the stem for pictures of some 32 pixels: nothing is shrunk before the first block.
    The auxiliary classifiers stand after the first and the last but one block of the middle
    stage; a middle stage of fewer than three blocks has only the first.
    """

    def __init__(
        self, classes: int, *, width: float, depth: tuple[int, ...], small: bool, channels: int
    ) -> None:
        nn.Module.__init__(self)  # torchvision's own would build the usual one first
        self.aux_logits, self.transform_input = True, False
        self.paths: dict[int, list[str]] = {}
        self._put_stem(channels, width, small)
        ins, after = scaled(192, width), {}
        for (stage, usual), blocks in zip(BLOCKS.items(), depth or DEPTH, strict=True):
            self.paths[stage] = [f"inception{stage}{letter}" for letter in ascii_lowercase[:blocks]]
            for number, path in enumerate(self.paths[stage]):
                outs = [scaled(c, width) for c in usual[min(number, len(usual) - 1)]]
                self.add_module(path, Inception(ins, *outs))
                ins = after[path] = outs[0] + outs[2] + outs[4] + outs[5]
            if stage != max(BLOCKS):
                self.add_module(
                    f"maxpool{stage}", nn.MaxPool2d(3 if stage == 3 else 2, 2, ceil_mode=True)
                )
        middle = self.paths[4]
        self.aux1 = Auxiliary(after[middle[0]], classes, width)
        self.aux2 = Auxiliary(after[middle[-2]], classes, width) if len(middle) > 2 else None
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(ins, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.01, a=-2, b=2)

    def _put_stem(self, channels: int, width: float, small: bool) -> None:
        narrow, wide = scaled(64, width), scaled(192, width)
        side, stride = (3, 1) if small else (7, 2)
        self.conv1 = BasicConv2d(
            channels, narrow, kernel_size=side, stride=stride, padding=side // 2
        )
        self.maxpool1 = self._shrink(small)
        self.conv2 = BasicConv2d(narrow, narrow, kernel_size=1)
        self.conv3 = BasicConv2d(narrow, wide, kernel_size=3, padding=1)
        self.maxpool2 = self._shrink(small)

    @staticmethod
    def _shrink(small: bool) -> nn.Module:
        return nn.Identity() if small else nn.MaxPool2d(3, 2, ceil_mode=True)

    def _forward(self, x: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Return the scores and, in training, those of `aux2` and `aux1`."""
        x = self.conv3(self.conv2(self.maxpool1(self.conv1(x))))
        x = self.maxpool2(x)
        auxiliary: dict[str, Tensor] = {}
        last_but_one = self.paths[4][-2] if len(self.paths[4]) > 1 else ""
        for stage, paths in self.paths.items():
            for path in paths:
                x = self.get_submodule(path)(x)
                if self.training and path == self.paths[4][0] and self.aux1 is not None:
                    auxiliary["aux1"] = self.aux1(x)
                if self.training and path == last_but_one and self.aux2 is not None:
                    auxiliary["aux2"] = self.aux2(x)
            if stage != max(self.paths):
                x = self.get_submodule(f"maxpool{stage}")(x)
        x = self.fc(self.dropout(torch.flatten(self.avgpool(x), 1)))
        return x, auxiliary.get("aux2"), auxiliary.get("aux1")
