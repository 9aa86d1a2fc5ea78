"""Vary a batch of recordings as tensors, on whatever device they are.

All random numbers come from one CPU generator, so the same seed gives the same sounds on any
device. Blanking times and bands (SpecAugment, Park et al., 2019) happens in the network, behind its
spectra: see `quickstudy.network.hearing`.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Protocol

import torch
from torch import Tensor

from quickstudy.kinds.mixup import larger_share

_NOISE_DB = (10.0, 40.0)  # under the recording
_BANK = 2**20  # samples of noise, cut from anywhere


class Strength(Protocol):
    """The part of a recipe that this needs; see `quickstudy.recipe.types.SoundAugment`."""

    @property
    def shift(self) -> float: ...  # noqa: D102
    @property
    def speed(self) -> float: ...  # noqa: D102
    @property
    def gain(self) -> float: ...  # noqa: D102
    @property
    def noise(self) -> float: ...  # noqa: D102


def augment(
    x: Tensor, lengths: Tensor, window: int, how: Strength, generator: torch.Generator
) -> Tensor:
    """Turn recordings ``N T``, each beginning at 0, into varied windows ``N window``.

    `lengths` (``N``) says how many samples of each row are sound.
    """
    x = place(x.float(), lengths, window, how.shift, how.speed, generator)
    if how.gain:
        ends = _uniform((len(x), 2), -how.gain, how.gain, generator).to(x.device)
        along = torch.linspace(0, 1, window, device=x.device)
        decibels = ends[:, :1] + (ends[:, 1:] - ends[:, :1]) * along
        x = x * (decibels * (math.log(10) / 20)).exp()
    return add_noise(x, how.noise, generator) if how.noise else x


def _uniform(shape: tuple[int, ...], low: float, high: float, generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator) * (high - low) + low


def place(
    x: Tensor, lengths: Tensor, window: int, shift: float, speed: float, generator: torch.Generator
) -> Tensor:
    """Play each row ``N T`` slower or quicker and put it somewhere into a window ``N window``.

    What is shorter than the window stays whole, with silence about it; of what is longer, a part
    is cut out. Linear interpolation: a little dull in the highest tones, and quick.
    """
    n = len(x)
    rates = _uniform((n, 1), 1 - speed, 1 + speed, generator).to(x.device)
    place_ = (_uniform((n, 1), -shift / 2, shift / 2, generator) + 0.5).to(x.device)
    room = window - lengths[:, None] / rates  # negative: something must be cut off
    source = (torch.arange(window, device=x.device)[None] - (place_ * room).floor()) * rates
    last = lengths[:, None] - 1
    inside = (source >= 0) & (source <= last)
    source = source.clamp_min(0).minimum(last.float())
    left = source.long()
    share = source - left
    right = (left + 1).minimum(last.long())
    heard = torch.lerp(x.gather(1, left), x.gather(1, right), share)
    return heard * inside


@lru_cache(maxsize=4)
def _bank(device: str) -> Tensor:
    """Return white noise to cut from: drawing it anew each step would keep a GPU waiting."""
    return torch.randn(_BANK, generator=torch.Generator().manual_seed(0)).to(device)


def add_noise(x: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Add white to brownish noise to a share of the rows ``N T``, 10 to 40 dB under them."""
    n = len(x)
    colour = _uniform((n, 1), 0, 0.9, generator).to(x.device)
    first = torch.randint(_BANK, (n, 1), generator=generator).to(x.device)
    bank = _bank(str(x.device))
    places = first + torch.arange(x.shape[1], device=x.device)
    noise = bank[places % _BANK] + colour * bank[(places + 1) % _BANK]
    under = _uniform((n, 1), *_NOISE_DB, generator).to(x.device)
    level = x.square().mean(1, keepdim=True).sqrt() * 10 ** (-under / 20)
    chosen = (torch.rand(n, 1, generator=generator) < share).to(x.device)
    return x + noise * level * chosen / (1 + colour.square()).sqrt()


def mix(
    x: Tensor, target: Tensor, alpha: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Mix recordings ``N T`` and their targets ``N K`` with others of the batch (mixup).

    Zhang et al., 2017. Each is first brought to the same level, else the louder one would win
    whatever the shares say (Tokozume et al., 2018).
    """
    if not alpha:
        return x, target
    other = torch.randperm(len(x), generator=generator).to(x.device)
    keep = larger_share(alpha, generator)
    even = x / x.square().mean(1, keepdim=True).sqrt().clamp_min(1e-7)
    return torch.lerp(even[other], even, keep), torch.lerp(target[other], target, keep)
