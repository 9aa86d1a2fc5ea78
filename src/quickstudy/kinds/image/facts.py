"""What planning needs to know of pictures: size, colours, whether left and right may be swapped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from quickstudy.kinds.image.decode import fit, header, open_picture

_SIDE = 16


@dataclass(frozen=True)
class PictureFacts:
    """What a sample of pictures says; sizes in pixels."""

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

    kind: ClassVar[str] = "image"

    def as_dict(self) -> dict[str, Any]:
        """Return what the report tells."""
        return {"width": self.width, "height": self.height}


@dataclass(frozen=True, eq=False)
class Look:
    """What one picture says."""

    width: int
    height: int
    grey: bool
    thumb: NDArray[np.uint8]
    moments: NDArray[np.float64]
    """``2 3``: mean and mean square of each colour."""


def look(raw: Any, max_pixels: int) -> Look:
    """Look at one picture; raises `ExampleError`."""
    head = header(raw)
    picture = open_picture(raw, size=_SIDE * 8, max_pixels=max_pixels)
    pixels = fit(picture, _SIDE * 4, "squash") / 255
    moments = np.stack([pixels.mean((0, 1)), (pixels**2).mean((0, 1))])
    return Look(head.width, head.height, head.grey, fit(picture, _SIDE, "squash"), moments)


def summed_up(
    looks: Sequence[Look], labels: NDArray[np.int64], classes: int, rng: np.random.Generator
) -> PictureFacts:
    """Return the facts of a sample; `labels` has one for each look."""
    sizes = np.array([(one.width, one.height) for one in looks] or [(1, 1)])
    thumbs = np.array([one.thumb for one in looks], dtype=np.float32)
    mean, std = _colours(looks)
    return PictureFacts(
        width=int(np.median(sizes[:, 0])),
        height=int(np.median(sizes[:, 1])),
        short_side=int(np.median(sizes.min(axis=1))),
        grey=bool(looks) and all(one.grey for one in looks),
        mirror=mirror_allowed(thumbs, labels, classes, rng),
        mean=mean,
        std=std,
    )


def _colours(
    looks: Sequence[Look],
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Return mean and standard deviation of red, green, blue."""
    if not looks:
        return (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
    mean, square = np.mean([one.moments for one in looks], axis=0)
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
