"""Pictures of any size -> the square that a model looks at, just as Pillow resizes them, in torch.

An exported graph is given all pixels, so it has to resize as the model's own preparation does, to
the last level: bilinear and antialiased (a triangle as wide as the pixels that become one), across
and then down, with weights in whole 2^-22ths, rounded after each (Pillow's `Resample.c`). As matrix
products, which every runtime has: few have an antialiased resize, and no two the same.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quickstudy.kinds.image.decode import PAD

_HALF = 11  # bits of a weight's upper and lower half: sums of 20 bits, which float32 holds


class Fitted(nn.Module):
    """Turns pictures ``N H W 3`` uint8 of any size into ``N 3 S S``, whole levels 0 to 255.

    One that is ``S S`` already comes out as it is, at once.
    """

    def __init__(self, size: int, fit: str) -> None:
        super().__init__()
        self.size, self.fit = size, fit
        self.narrow = False
        """Whether to compute with 32 bits alone and no branch, for runtimes that want that."""

    def forward(self, pictures: Tensor) -> Tensor:
        """Return ``N 3 S S`` float32."""
        high, wide = _count(pictures[0, :, 0, 0]), _count(pictures[0, 0, :, 0])
        if self.narrow:
            return self._resized(pictures, high, wide)
        done = (high == self.size) & (wide == self.size)
        given = (pictures, high, wide)
        if not torch.compiler.is_exporting():
            return self._as_it_is(*given) if done else self._resized(*given)
        fitted: Tensor = torch.cond(done, self._as_it_is, self._resized, given)
        return fitted

    def _as_it_is(self, pictures: Tensor, high: Tensor, wide: Tensor) -> Tensor:
        x = pictures.permute(0, 3, 1, 2).float()
        # Nearest, so that the shape is known beforehand; `contiguous`: both branches have to agree.
        return F.interpolate(x, (self.size, self.size), mode="nearest").contiguous()

    def _resized(self, pictures: Tensor, high: Tensor, wide: Tensor) -> Tensor:
        x = pictures.permute(0, 3, 1, 2).float()
        down, there = self._weights(high, wide, pictures.shape[1])
        across, beside = self._weights(wide, high, pictures.shape[2])
        x = _summed(*(x @ half.T for half in _halves(across)))
        x = _summed(*(half @ x for half in _halves(down)))
        if self.fit == "pad":
            x = torch.where(there[:, None] & beside[None], x, float(PAD[0]))
        return x.contiguous()

    def _weights(self, side: Tensor, other: Tensor, n: int) -> tuple[Tensor, Tensor]:
        """Return ``S n``, how many 2^-22ths of each of `n` pixels, and ``S``, whether any.

        `side` is `n` as a tensor, `other` the picture's other side. All in whole numbers up to the
        one division.
        """
        first2, length, places = torch.zeros_like(side), side, torch.full_like(side, self.size)
        if self.fit == "crop":
            length = torch.minimum(side, other)
            first2 = side - length  # twice where the crop begins
        elif self.fit == "pad":
            places = self._places(side, torch.maximum(side, other))
        at = torch.arange(self.size, device=side.device) - (self.size - places) // 2
        pixels = torch.arange(n, device=side.device)
        middles = (2 * at + 1) * length + first2 * places  # of what is wanted, in 2 places-ths
        apart = ((2 * pixels + 1) * places)[None] - middles[:, None]
        wide = (2 * torch.maximum(length, places) - apart.abs()).clamp(min=0)
        there = (at >= 0) & (at < places)
        share = _narrowly(wide) if self.narrow else _shares(wide)
        return torch.where(there[:, None], share, 0.0), there

    def _places(self, side: Tensor, longer: Tensor) -> Tensor:
        """Return how many of the square's rows or columns a side fills."""
        if not self.narrow:
            scale = self.size / longer.double()
            return (side.double() * scale).round().clamp(min=1).to(side.dtype)
        twice, whole = 2 * side * self.size, 2 * longer
        places = (twice + longer) // whole
        tie = (twice + longer) % whole == 0  # goes to the even number
        return torch.where(tie & (places % 2 == 1), places - 1, places).clamp(min=1)


def _count(line: Tensor) -> Tensor:
    """Return how many there are in a line, as a tensor."""
    return torch.ones_like(line, dtype=torch.int64).sum()


def _shares(wide: Tensor) -> Tensor:
    """Return how many 2^-22ths of its row each whole number is, rounded."""
    share = wide.double() / wide.sum(1, keepdim=True).clamp(min=1).double()
    return (share * 2.0 ** (2 * _HALF) + 0.5).floor()


def _narrowly(wide: Tensor) -> Tensor:
    """Return the same without 64 bits: about right in float32, then put right by what remains.

    Both products overflow 32 bits; their difference is small, so it is right nevertheless.
    """
    wide = wide.int()
    total = wide.sum(1, keepdim=True, dtype=torch.int32).clamp(min=1)
    about = (wide.float() / total.float() * 2.0 ** (2 * _HALF)).round().int()
    left = (wide << (2 * _HALF + 1)) - (2 * about - 1) * total
    return (about - (left < 0).int() + (left >= 2 * total).int()).float()


def _halves(weights: Tensor) -> tuple[Tensor, Tensor]:
    upper = (weights / 2**_HALF).round()
    return upper.float(), (weights - upper * 2**_HALF).float()


def _summed(upper: Tensor, lower: Tensor) -> Tensor:
    """Return sums of weighted levels, rounded to whole levels; exact, for float32 holds each part.

    The lower half's sum for up to 64 pixels that become one; above it its error is a 2^-24th.
    """
    upper = upper / 2**_HALF
    whole = upper.floor()
    part = (upper - whole) + lower / 2.0 ** (2 * _HALF) + 0.5
    return (whole + part.floor()).clamp(0, 255)


class Shrunk(nn.Module):
    """Turns ``N 3 D D`` into ``N 3 size size`` as torch's antialiased bilinear does."""

    weights: Tensor

    def __init__(self, before: int, size: int) -> None:
        super().__init__()
        basis = torch.eye(before)[None, None]
        found = F.interpolate(basis, (size, before), mode="bilinear", antialias=True)[0, 0]
        self.register_buffer("weights", found)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``N 3 size size``."""
        return self.weights @ (x @ self.weights.T)
