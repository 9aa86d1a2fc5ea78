"""Pictures of nothing, made of pictures: what a network must tell from what it knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Piece = NDArray[np.uint8]
_PATCHES = 4  # a side
_BLURRED = 16  # pixels become one


def unlike(pieces: Sequence[Piece], rng: np.random.Generator) -> dict[str, list[Piece]]:
    """Return sorts of pictures ``1 S S 3`` that show nothing, each made of the `pieces`."""
    made = {
        "patches shuffled": _shuffled,
        "phases scrambled": _scrambled,
        "strongly blurred": _blurred,
        "pixels shuffled": _noise,
    }
    return {name: [how(one[0], rng)[None] for one in pieces] for name, how in made.items()}


def _shuffled(x: Piece, rng: np.random.Generator) -> Piece:
    side = len(x) // _PATCHES
    whole = x[: side * _PATCHES, : side * _PATCHES]
    parts = whole.reshape(_PATCHES, side, _PATCHES, side, 3).swapaxes(1, 2)
    mixed = parts.reshape(-1, side, side, 3)[rng.permutation(_PATCHES**2)]
    found = x.copy()
    found[: side * _PATCHES, : side * _PATCHES] = (
        mixed.reshape(_PATCHES, _PATCHES, side, side, 3).swapaxes(1, 2).reshape(whole.shape)
    )
    return found


def _scrambled(x: Piece, rng: np.random.Generator) -> Piece:
    """Keep how strong each spatial frequency is, and not where it lies."""
    waves = np.fft.fft2(x.astype(np.float32), axes=(0, 1))
    turned = np.angle(np.fft.fft2(rng.normal(size=x.shape[:2])))[..., None]
    found = np.fft.ifft2(waves * np.exp(1j * turned), axes=(0, 1)).real
    return np.asarray(found.clip(0, 255).round(), np.uint8)


def _blurred(x: Piece, rng: np.random.Generator) -> Piece:
    side = max(2, len(x) // _BLURRED)
    small = Image.fromarray(x).resize((side, side), Image.Resampling.BOX)
    return np.asarray(small.resize(x.shape[1::-1], Image.Resampling.BICUBIC))


def _noise(x: Piece, rng: np.random.Generator) -> Piece:
    """Keep the colours, and not where they are."""
    found: Any = rng.permutation(x.reshape(-1, 3)).reshape(x.shape)
    return np.asarray(found, np.uint8)
