"""Vary a batch of pictures as tensors, on whatever device they are.

All random numbers come from one CPU generator, so the same seed gives the same pictures on any
device. One warp does crop, zoom, shift, mirror and rotation together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from quickstudy.kinds.mixup import larger_share

_STRETCH = math.log(1.25)  # width over height, at most, either way
_SHIFT = 0.1  # of half the picture, beyond what cropping already shifts


class Strength(Protocol):
    """The part of a recipe that this needs; see `quickstudy.recipe.types.Augment`."""

    @property
    def mirror(self) -> bool: ...  # noqa: D102
    @property
    def crop(self) -> float: ...  # noqa: D102
    @property
    def rotate(self) -> float: ...  # noqa: D102
    @property
    def colour(self) -> float: ...  # noqa: D102


def prepare(pictures: Tensor, size: int, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Turn ``N H W 3`` uint8 into what the network takes: ``N 3 size size``, normalised."""
    x = pictures.permute(0, 3, 1, 2)
    if x.shape[-1] != size or x.shape[-2] != size:
        x = F.interpolate(x.float(), (size, size), mode="bilinear", antialias=True)
    return normalise(x.float().div(255), mean, std)


def normalise(x: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Subtract the mean and divide by the deviation of each colour: ``N 3 H W``."""
    middle = torch.tensor(mean, device=x.device, dtype=x.dtype).view(1, 3, 1, 1)
    spread = torch.tensor(std, device=x.device, dtype=x.dtype).view(1, 3, 1, 1)
    return (x - middle) / spread


def augment(
    pictures: Tensor,
    size: int,
    mean: Sequence[float],
    std: Sequence[float],
    how: Strength,
    generator: torch.Generator,
) -> Tensor:
    """Turn ``N H W 3`` uint8 into varied, normalised ``N 3 size size``."""
    x = pictures.permute(0, 3, 1, 2).float()
    window = size / math.sqrt(how.crop)  # source pixels that a full-size window should have
    if x.shape[-1] > 1.5 * window:
        side = math.ceil(window)
        x = F.interpolate(x, (side, side), mode="bilinear", antialias=True)
    grid = _grid(_warps(len(x), how, generator).to(x.device), size)
    x = F.grid_sample(x, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    mix, shift = _colours(x, mean, std, how.colour, generator)
    x = torch.baddbmm(shift, mix, x.reshape(len(x), 3, -1)).view(-1, 3, size, size)
    return x.contiguous(memory_format=torch.channels_last)


def _uniform(n: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    return torch.rand(n, generator=generator) * (high - low) + low


def _warps(n: int, how: Strength, generator: torch.Generator) -> Tensor:
    """Return ``N 2 3``: where in the source each picture's window lies."""
    area = _uniform(n, how.crop, 1.0, generator)
    stretch = _uniform(n, -_STRETCH, _STRETCH, generator).exp()
    wide = (area * stretch).sqrt().clamp(max=1.0)
    high = (area / stretch).sqrt().clamp(max=1.0)
    across = _uniform(n, -1, 1, generator) * (1 - wide + _SHIFT)
    down = _uniform(n, -1, 1, generator) * (1 - high + _SHIFT)
    turn = _uniform(n, -how.rotate, how.rotate, generator) * (math.pi / 180)
    flip = torch.ones(n)
    if how.mirror:
        flip = (torch.rand(n, generator=generator) < 0.5).float() * 2 - 1
    cos, sin = turn.cos(), turn.sin()
    rows = [cos * wide * flip, -sin * high, across, sin * wide * flip, cos * high, down]
    return torch.stack(rows, 1).view(n, 2, 3)


def _grid(theta: Tensor, size: int) -> Tensor:
    """Return what `F.affine_grid` does for ``N 2 3``, ``N size size 2``, six times quicker."""
    steps = (torch.arange(size, device=theta.device) * 2 + 1) / size - 1
    across = theta[:, None, None, :, 0] * steps[None, None, :, None]
    down = theta[:, None, None, :, 1] * steps[None, :, None, None] + theta[:, None, None, :, 2]
    return across + down


def _colours(
    x: Tensor,
    mean: Sequence[float],
    std: Sequence[float],
    most: float,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Return ``N 3 3`` and ``N 3 1``: for ``N 3 H W`` of 0 to 255, recolour and normalise at once.

    Brightness, contrast, saturation and tint are all linear in the colours of a pixel, so that one
    small matrix a picture does them in one pass over the batch.
    """
    n = len(x)
    tint, bright, contrast, saturate = (torch.ones(n, c) for c in (3, 1, 1, 1))
    if most:
        bright, contrast = (
            1 + most * (2 * torch.rand(n, 1, generator=generator) - 1) for _ in "bc"
        )
        saturate = 1 + min(1.0, 2 * most) * (2 * torch.rand(n, 1, generator=generator) - 1)
        tint = 1 + most / 2 * (2 * torch.rand(n, 3, generator=generator) - 1)
    middle, spread = torch.tensor(mean).view(1, 3), torch.tensor(std).view(1, 3)
    level = x[:, :, ::4, ::4].mean((1, 2, 3)).cpu()[:, None] / 255  # a sixteenth tells the level
    to_grey = torch.full((3, 3), 1 / 3)
    keep = saturate[:, :, None] * torch.eye(3) + (1 - saturate[:, :, None]) * to_grey
    scale = tint / spread
    mix = scale[:, :, None] * keep * contrast[:, :, None] / 255
    shift = scale * level * (bright - contrast) - middle / spread
    return mix.to(x.device), shift[:, :, None].to(x.device)


def blend(
    x: Tensor, target: Tensor, mixup: float, cutmix: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Mix pictures ``N 3 S S`` and their targets ``N K`` with others of the same batch.

    Mixup (Zhang et al., 2017) or, in a share `cutmix` of batches, CutMix (Yun et al., 2019).
    """
    pick = torch.rand((), generator=generator).item()
    other = torch.randperm(len(x), generator=generator).to(x.device)
    if pick < cutmix:
        side = int(x.shape[-1] * math.sqrt(torch.rand((), generator=generator).item() * 0.5))
        if side == 0:
            return x, target
        room = x.shape[-1] - side + 1
        top, left = torch.randint(0, room, (2,), generator=generator).tolist()
        x = x.clone()
        patch = (slice(None), slice(None), slice(top, top + side), slice(left, left + side))
        x[patch] = x[other][patch]
        keep = 1 - side * side / x.shape[-1] ** 2
        return x, keep * target + (1 - keep) * target[other]
    if mixup:
        keep = larger_share(mixup, generator)
        return torch.lerp(x[other], x, keep), torch.lerp(target[other], target, keep)
    return x, target
