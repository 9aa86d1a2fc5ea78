"""Catalog -> Facts: how many, how large, how balanced, how quick to decode; from a sample.

Facts are all that `recipe` knows of the data, so that planning needs neither files nor torch.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quickstudy.catalog import TEST, Catalog
from quickstudy.errors import ExampleError
from quickstudy.kinds.image.decode import fit, header, open_picture

#: Pictures looked at. 512 put the median width within a few percent and take about half a second.
SAMPLE = 512
_SIDE = 16


@dataclass(frozen=True)
class Facts:
    """What planning needs to know of the examples. Sizes in pixels, seconds of wall-clock."""

    examples: int
    learnable: int
    """Those that the source does not keep for the test."""
    classes: int
    smallest_class: int
    largest_class: int
    test_given: bool
    width: int
    """Median."""
    height: int
    """Median."""
    short_side: int
    """Median of the shorter side."""
    grey: bool
    """Every picture sampled is grey."""
    mirror: bool | None
    """A mirrored picture still belongs to its class; None where the data cannot tell."""
    mean: tuple[float, float, float]
    """Of red, green, blue over the sample; pixels are 0 to 1."""
    std: tuple[float, float, float]
    """Standard deviation of the same."""
    seconds_to_decode: float
    """Forecast for all examples, all cores."""

    @property
    def imbalance(self) -> float:
        """Largest class over smallest."""
        return self.largest_class / max(1, self.smallest_class)


def survey(catalog: Catalog, *, cores: int, max_pixels: int, seed: int = 0) -> Facts:
    """Look at up to `SAMPLE` pictures of `catalog`, none of those that its source gives to test.

    Raises `ExampleError` only through the reader of in-memory sources; unreadable files are
    passed over here and named by the decoding stage.
    """
    rng = np.random.default_rng(seed)
    picked = rng.permutation(np.flatnonzero(catalog.given != TEST))[:SAMPLE]
    began = time.perf_counter()
    with ThreadPoolExecutor(cores) as pool:
        looks = [
            look for look in pool.map(lambda i: _look(catalog, int(i), max_pixels), picked) if look
        ]
    took = time.perf_counter() - began
    counts = np.bincount(catalog.labels[catalog.given != TEST], minlength=len(catalog.classes))
    sizes = np.array([look[1] for look in looks] or [(1, 1)])
    labels = catalog.labels[[look[0] for look in looks]]
    thumbs = np.array([look[3] for look in looks], dtype=np.float32)
    mean, std = _colours(looks)
    return Facts(
        examples=len(catalog),
        learnable=int((catalog.given != TEST).sum()),
        classes=len(catalog.classes),
        smallest_class=int(counts.min()),
        largest_class=int(counts.max()),
        test_given=bool((catalog.given == TEST).any()),
        width=int(np.median(sizes[:, 0])),
        height=int(np.median(sizes[:, 1])),
        short_side=int(np.median(sizes.min(axis=1))),
        grey=bool(looks) and all(look[2] for look in looks),
        mirror=mirror_allowed(thumbs, labels, len(catalog.classes), rng),
        mean=mean,
        std=std,
        seconds_to_decode=took / max(1, len(picked)) * len(catalog),
    )


#: Example, (width, height), grey, a thumbnail, and mean and mean square of each colour.
_Look = tuple[int, tuple[int, int], bool, NDArray[np.uint8], NDArray[np.float64]]


def _look(catalog: Catalog, i: int, max_pixels: int) -> _Look | None:
    try:
        raw = catalog.read(i)
        head = header(raw)
        picture = open_picture(raw, size=_SIDE * 8, max_pixels=max_pixels)
    except ExampleError:
        return None  # decoding meets every file again and names this one with its reason
    pixels = fit(picture, _SIDE * 4, "squash") / 255
    moments = np.stack([pixels.mean((0, 1)), (pixels**2).mean((0, 1))])
    return i, (head.width, head.height), head.grey, fit(picture, _SIDE, "squash"), moments


def _colours(
    looks: Sequence[_Look],
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Return mean and standard deviation of red, green, blue."""
    if not looks:
        return (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
    mean, square = np.mean([look[4] for look in looks], axis=0)
    std = np.sqrt(np.maximum(square - mean**2, 1e-4))
    red, green, blue = (float(m) for m in mean)
    return (red, green, blue), (float(std[0]), float(std[1]), float(std[2]))


def mirror_allowed(
    thumbs: NDArray[np.float32],
    labels: NDArray[np.int64],
    classes: int,
    rng: np.random.Generator,
) -> bool | None:
    """Ask the data whether left and right may be swapped.

    A ridge classifier on tiny pictures (``N 16 16 3``) learns one half and is asked about the
    other half, as it is and mirrored. Digits and arrows fall to the floor when mirrored; cats do
    not. None when it cannot tell even unmirrored pictures clearly better than chance.
    """
    n = len(labels)
    if n < 40 or classes < 2:
        return None
    order = rng.permutation(n)
    learn, ask = order[: n // 2], order[n // 2 :]
    flat = _standardise(thumbs.reshape(n, -1))
    flipped = _standardise(thumbs[:, :, ::-1].reshape(n, -1))
    gram = flat[learn] @ flat[learn].T
    gram[np.diag_indices_from(gram)] += 0.1 * flat.shape[1]
    target = np.eye(classes, dtype=np.float32)[labels[learn]] - 1 / classes
    weights = flat[learn].T @ np.linalg.solve(gram, target)
    right = ((flat[ask] @ weights).argmax(1) == labels[ask]).mean()
    right_flipped = ((flipped[ask] @ weights).argmax(1) == labels[ask]).mean()
    guess = np.bincount(labels[ask], minlength=classes).max() / len(ask)
    noise = np.sqrt(0.25 / len(ask))
    if right < guess + 4 * noise:
        return None
    return bool(right - right_flipped < 2 * noise)


def _standardise(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    rows = rows - rows.mean(axis=1, keepdims=True)
    even: NDArray[np.float32] = rows / (rows.std(axis=1, keepdims=True) + 1.0)
    return even


def said(catalog: Catalog, most: int = 12) -> Sequence[str]:
    """Return the first lines a user reads: how many examples of which class."""
    counts = sorted(catalog.counts().items(), key=lambda item: (-item[1], item[0]))
    shown = " · ".join(f"{name} {n:,}" for name, n in counts[:most])
    more = f" · and {len(counts) - most} more" if len(counts) > most else ""
    return [f"Found {len(catalog):,} pictures in {len(counts)} classes: {shown}{more}"]
