"""Sounds of nothing, made of recordings: what a network must tell from what it knows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Piece = NDArray[np.float16]
_FRAME = 0.05  # seconds


def unlike(pieces: Sequence[Piece], rate: int, rng: np.random.Generator) -> dict[str, list[Piece]]:
    """Return sorts of recordings ``T`` in which nothing is said, each made of the `pieces`."""
    frame = max(1, round(_FRAME * rate))
    return {
        "backwards": [one[::-1].copy() for one in pieces],
        "pieces of 50 ms shuffled": [_shuffled(one, frame, rng) for one in pieces],
        "phases scrambled": [_scrambled(one, rng) for one in pieces],
        "samples shuffled": [rng.permutation(one) for one in pieces],
    }


def _shuffled(x: Piece, frame: int, rng: np.random.Generator) -> Piece:
    parts = np.array_split(x, max(2, len(x) // frame))
    return np.concatenate([parts[i] for i in rng.permutation(len(parts))])


def _scrambled(x: Piece, rng: np.random.Generator) -> Piece:
    """Keep how strong each frequency is over the whole, and not when."""
    waves = np.fft.rfft(x.astype(np.float64))
    turned = np.exp(2j * np.pi * rng.random(len(waves)))
    turned[0] = 1
    found = np.fft.irfft(waves * turned, len(x))
    most = float(np.finfo(np.float16).max)
    return np.asarray(found.clip(-most, most), np.float16)
