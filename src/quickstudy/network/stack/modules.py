"""The layers that torch has not as one module: residual, branches, channel-wise norm, pooling."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Residual(nn.Module):
    """What some layers make, added to what came in: ``x + f(x)`` (He et al., 2015).

    With `in_place` the sum takes the memory of ``f(x)``, as torchvision's ResNet does it; that is
    safe where the last layer of `of` makes a new tensor that its backward does not need.
    """

    def __init__(self, of: nn.Module, shortcut: nn.Module | None, *, in_place: bool) -> None:
        super().__init__()
        self.of = of
        self.shortcut = shortcut
        self.in_place = in_place

    def forward(self, x: Tensor) -> Tensor:
        """Compute."""
        y: Tensor = self.of(x)
        short = x if self.shortcut is None else self.shortcut(x)
        return y.add_(short) if self.in_place else y + short


class Branches(nn.ModuleDict):
    """Layers side by side on the same input, then joined (Szegedy et al., 2014)."""

    def __init__(self, branches: dict[str, nn.Module], join: str) -> None:
        super().__init__(branches)
        self.join = join

    def forward(self, x: Tensor) -> Tensor:
        """Compute: ``N C ...`` -> ``N (sum of C) ...`` for concat, else the shape of one branch."""
        made = [branch(x) for branch in self.values()]
        if self.join == "concat":
            return torch.cat(made, 1)
        out: Tensor = made[0]
        for other in made[1:]:
            out = out + other if self.join == "add" else out * other
        return out

    def extra_repr(self) -> str:
        """Return how the branches are joined."""
        return f"join={self.join}"


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each place: ``N C H W`` (Liu et al., 2022)."""

    def forward(self, x: Tensor) -> Tensor:
        """Compute."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class GlobalPool(nn.Module):
    """The average or the largest number of each channel: ``N C H W -> N C``."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        """Compute."""
        pool = F.adaptive_avg_pool2d if self.kind == "average" else F.adaptive_max_pool2d
        return pool(x, 1).flatten(1)

    def extra_repr(self) -> str:
        """Return what is taken of each channel."""
        return self.kind
