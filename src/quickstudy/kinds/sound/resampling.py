"""A file's samples -> the network's own rate, block by block, in NumPy alone."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Zero crossings of the resampler's filter either side, and the shape of its Kaiser window: the
#: pass band reaches 0.91 of the lower Nyquist frequency, aliases are 100 dB down.
_CROSSINGS, _BETA, _ROLLOFF = 70, 10.06, 0.955
_MOST_WEIGHTS = 1_000_000  # of the filters of a ratio: 441 : 160 has 70,560
_AT_ONCE = 64  # phases computed together, at least
_COPIED = 2**20  # samples of overlapping pieces laid out for one product: 4 MB

Floats = NDArray[np.float32]


def ratio(rate: int, wanted: int) -> tuple[int, int]:
    """Return the ratio of two rates in whole numbers: exact for all usual rates.

    Of odd ones (16,004 Hz) it may be up to a thousandth off, a third of the least difference in
    pitch that is heard: their exact filters would take gigabytes.

    >>> ratio(44_100, 16_000)
    (441, 160)
    """
    exact = Fraction(rate, wanted)
    most = math.isqrt(int(_MOST_WEIGHTS / max(exact, 1 / exact)))
    found = exact
    if exact.numerator * exact.denominator > _MOST_WEIGHTS:
        found = (
            exact.limit_denominator(most) if exact >= 1 else 1 / (1 / exact).limit_denominator(most)
        )
    return found.numerator, found.denominator


def steps_of(rate: int, wanted: int) -> tuple[int, int]:
    """Return `ratio` times what makes at least 64 phases: thin matrices are slow."""
    down, up = ratio(rate, wanted)
    many = -(-_AT_ONCE // up)
    return down * many, up * many


@lru_cache(maxsize=16)
def filters(down: int, up: int) -> tuple[Floats, int]:
    """Return a windowed sinc for each of `up` output phases, ``K up``, and its lead in samples."""
    cutoff = min(1.0, up / down) * _ROLLOFF
    width = math.ceil(_CROSSINGS / cutoff)
    inputs = np.arange(-width, down + width + 1, dtype=np.float64)
    at = inputs[:, None] - np.arange(up, dtype=np.float64)[None] * down / up
    window = np.i0(_BETA * np.sqrt(np.maximum(0, 1 - (at / width) ** 2))) / np.i0(_BETA)
    window[np.abs(at) > width] = 0.0
    return (np.sinc(at * cutoff) * cutoff * window).astype(np.float32), width


class Resampler:
    """Resamples a stream: `push` samples ``T`` in order, then ask for the `rest`.

    Band-limited interpolation with a Kaiser-windowed sinc (Smith and Gossett, 1984). However the
    stream is cut into blocks, the same samples come out, but for the last bit of a float32.
    """

    def __init__(self, rate: int, wanted: int) -> None:
        self.exact = ratio(rate, wanted)
        self.same = self.exact[0] == self.exact[1]
        self.down, self.up = steps_of(rate, wanted)
        self.heard = self.given = 0
        self.waiting: Floats | None = None

    def push(self, x: Floats) -> Floats:
        """Return what can be told so far of samples ``T``: ``t``."""
        if self.same:
            return x
        weights, width = filters(self.down, self.up)
        self.heard += len(x)
        before = np.zeros(width, np.float32) if self.waiting is None else self.waiting
        x = np.concatenate([before, x])
        steps = max(0, (len(x) - len(weights)) // self.down + 1)
        self.waiting = x[steps * self.down :].copy()
        self.given += steps * self.up
        return _products(x, weights, steps, self.down)

    def rest(self) -> Floats:
        """Return the end of the stream, so that ``ceil(T * wanted / rate)`` came out in all."""
        if self.same or self.waiting is None:
            return np.empty(0, np.float32)
        down, up = self.exact
        lacking = -(-self.heard * up // down) - self.given
        weights, _ = filters(self.down, self.up)
        steps = -(-lacking // self.up)
        zeros = (steps - 1) * self.down + len(weights) - len(self.waiting)
        return self.push(np.zeros(max(0, zeros), np.float32))[:lacking]


def _products(x: Floats, weights: Floats, steps: int, down: int) -> Floats:
    """Return each of the pieces of `x` that begin `down` apart times the filters, one after one."""
    if not steps:
        return x[:0]
    pieces: NDArray[Any] = np.lib.stride_tricks.sliding_window_view(x, len(weights))[::down][:steps]
    made = np.empty((steps, weights.shape[1]), np.float32)
    many = max(1, _COPIED // len(weights))
    for first in range(0, steps, many):
        part = slice(first, first + many)
        np.matmul(np.ascontiguousarray(pieces[part]), weights, out=made[part])
    return made.reshape(-1)
