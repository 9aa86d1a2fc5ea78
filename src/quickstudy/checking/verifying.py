"""Says of two small pictures, or of what stands for two recordings, whether they are one.

Pictures: brightness, contrast and the displacement and stretch of a light crop are fitted and
taken out (Lucas and Kanade 1981, in a few steps, each on the picture as moved so far); what is left
must be tiny, in grey levels and beside the contrast. What was cut off at white is not compared.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

SIDE = 16
"""Pixels on a side of a thumbnail."""
RELATIVE = 0.09
"""Most mean difference left, beside the picture's own standard deviation. Of copies of photographs
(cropped by 5 %, at JPEG quality 30, 20 % brighter) under 1 % leave more, of pairs of different ones
none of the 20,000 nearest leaves less where it is moved as by a crop."""
ABSOLUTE = 4.0
"""Most mean difference left, in grey levels."""
LOCAL = 0.22
"""Most mean difference left in any 4 x 4 patch, beside the standard deviation: a small thing that
is there in only one of the two pictures."""
SHIFT = 1.3
"""Most displacement, in thumbnail pixels (a sixteenth of the picture)."""
FAR = 0.45
"""Mean difference, beside the standard deviation, that no later step of the fit makes small."""

_STEPS = 3
_STEP = 0.7  # thumbnail pixels a step at most: the picture is no straight line beyond
_WHITE, _NEARLY = 250.0, 225.0  # grey levels: what reaches the first may have been cut off there
_AT = np.arange(SIDE, dtype=np.float32)
_PLACE: Floats = ((_AT + 0.5) * 2 / SIDE - 1).astype(np.float32)
_INSIDE = 0.2  # thumbnail pixels that a crop may seem to reach beyond the picture
_BORDER = (SIDE / (SIDE - 2)) ** 2


@dataclass(frozen=True, eq=False)
class Fitted:
    """What is left of the difference of ``P`` pairs after the fit, and what the fit was."""

    left: Floats
    """``P 16 16 3`` grey levels; 0 at the border: a crop brings nothing known to it."""
    move: Floats
    """``P 4`` thumbnail pixels: shift across and down, and what the stretch of each moves an edge.
    """
    spread: Floats
    """Standard deviation of the livelier picture of each pair, grey levels."""


def alike(ones: NDArray[np.uint8], twos: NDArray[np.uint8]) -> Bools:
    """Say for each pair of thumbnails (shape ``P 16 16 3`` twice) whether it is one picture."""
    first = fitted(ones, twos, steps=0)
    ok: Bools = np.abs(first.left).mean(axis=(1, 2, 3)) <= FAR * first.spread
    at = np.flatnonzero(ok)
    if not len(at):
        return ok
    found = fitted(ones[at], twos[at])
    patches = np.abs(found.left).reshape(-1, 4, SIDE // 4, 4, SIDE // 4 * 3).mean(axis=(2, 4))
    mean = patches.mean(axis=(1, 2))
    small = (mean <= np.minimum(RELATIVE * found.spread, ABSOLUTE)) & _crops(found.move)
    ok[at] = small & (patches.max(axis=(1, 2)) <= LOCAL * found.spread)
    return ok


def fitted(ones: NDArray[np.uint8], twos: NDArray[np.uint8], steps: int = _STEPS) -> Fitted:
    """Fit the darker of each pair to the brighter (``P 16 16 3`` twice); some 40 us a pair."""
    n = len(ones)
    light = [x.reshape(n, -1).mean(axis=1, dtype=np.float32) for x in (ones, twos)]
    swap = (light[0] > light[1])[:, None, None, None]
    dark, bright = (
        np.where(swap, a, b).astype(np.float32) for a, b in ((twos, ones), (ones, twos))
    )
    white = bright >= _WHITE
    dark, bright = _smooth(dark), _smooth(bright)
    inside = np.zeros((SIDE, SIDE, 3), np.float32)
    inside[1:-1, 1:-1] = 1
    weight = inside * ~white
    move = np.zeros((n, 4), np.float32)
    for _ in range(steps):
        seen = _moved(dark, move)
        down: Floats = np.asarray(np.gradient(seen, axis=1))
        across: Floats = np.asarray(np.gradient(seen, axis=2))
        terms: list[Floats] = [across, down, across * _PLACE[:, None], down * _PLACE[:, None, None]]
        fit = _solved([seen, np.ones_like(seen), *terms], bright, weight)
        step = fit[:, 2:] / np.maximum(np.abs(fit[:, :1]), 0.2)
        move = np.clip(move + np.clip(step, -_STEP, _STEP), -2 * SHIFT, 2 * SHIFT)
    seen = _moved(dark, move)
    gain, offset = _solved([seen, np.ones_like(seen)], bright, weight).T[:, :, None, None, None]
    expected = gain * seen + offset
    left = (bright - expected) * inside * _BORDER
    left[white & (expected > _NEARLY)] = 0
    spread = np.maximum(dark.reshape(n, -1).std(axis=1), bright.reshape(n, -1).std(axis=1))
    return Fitted(left, move, spread)


def _crops(move: Floats) -> Bools:
    """Whether moves ``P 4`` are what a light crop does: none, or one picture lies in the other."""
    shift, stretch = move[:, :2], move[:, 2:]
    wide, narrow = stretch.max(axis=1), stretch.min(axis=1)
    found: Bools = np.all(np.abs(shift) + np.abs(stretch) <= SHIFT, axis=1)
    found &= np.all(np.abs(shift) <= np.abs(stretch) + _INSIDE, axis=1)
    found &= (wide <= _INSIDE) | (narrow >= -_INSIDE)
    return found


def _solved(terms: list[Floats], wanted: Floats, weight: Floats) -> Floats:
    """Return the least-squares weights ``P T`` of `terms` (``P 16 16 3`` each) for `wanted`."""
    n, count = len(wanted), len(terms)
    basis = (np.stack(terms, axis=1) * weight[:, None]).reshape(n, count, -1)
    normal = basis @ basis.transpose(0, 2, 1) + np.eye(count, dtype=np.float32)
    target = (wanted * weight).reshape(n, -1, 1)
    found: Floats = np.linalg.solve(normal, basis @ target)[:, :, 0]
    return found


def _moved(pictures: Floats, move: Floats) -> Floats:
    """Shift and stretch ``P 16 16 3`` by `move` ``P 4``: across, down, and each's stretch."""
    if not move.any():
        return pictures
    n = len(pictures)
    rows = _between(move[:, 1], move[:, 3]) @ pictures.reshape(n, SIDE, -1)
    found: Floats = _between(move[:, 0], move[:, 2])[:, None] @ rows.reshape(n, SIDE, SIDE, 3)
    return found


def _between(shift: Floats, stretch: Floats) -> Floats:
    """Return matrices ``P 16 16`` that read between the pixels (cubic: Keys 1981)."""
    at = np.clip(_AT + shift[:, None] + stretch[:, None] * _PLACE, 0, SIDE - 1)
    t = np.abs(at[:, :, None] - np.arange(-2, SIDE + 2, dtype=np.float32))
    near = 1.5 * t**3 - 2.5 * t**2 + 1
    far = -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
    weights = np.where(t < 1, near, np.where(t < 2, far, 0)).astype(np.float32)
    found = weights[:, :, 2:-2].copy()
    found[:, :, 0] += weights[:, :, 0] + weights[:, :, 1]
    found[:, :, -1] += weights[:, :, -1] + weights[:, :, -2]
    return found


def _smooth(x: Floats) -> Floats:
    """Blur ``P 16 16 3`` by 1 2 1: what is finer does not survive being moved by half a pixel."""
    for axis in (1, 2):
        first, last = np.take(x, [0], axis), np.take(x, [-1], axis)
        wide = np.concatenate([first, x, last], axis)
        a, b, c = (np.take(wide, range(i, i + SIDE), axis) for i in range(3))
        x = (a + 2 * b + c) / 4
    return x
