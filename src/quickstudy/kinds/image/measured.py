"""What a picture is like, apart from what it shows: size, light, sharpness, border, camera."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from quickstudy.kinds.image.decode import camera, fit, header, open_picture, suffix_mismatch
from quickstudy.kinds.image.preparation import THUMB

Floats = NDArray[np.float32]

SEEN = 256
"""Pixels of the short side at which light and sharpness are judged: what networks get to see."""
_LONGEST = 16 * SEEN  # pixels of the long side: a strip of 200 million would take gigabytes
_REBLUR = 9  # pixels: the filter of Crete's measure
_RIM = 0.02  # of the short side: what counts as the border


@dataclass(frozen=True, eq=False)
class PictureMeasures:
    """What one picture is like; sizes in pixels, light from 0 (black) to 255."""

    width: int
    height: int
    dark: float
    """1st percentile of the light."""
    bright: float
    """99th percentile of the light."""
    sharpness: float
    """Variance of the Laplacian of the light (Pech-Pacheco et al. 2000)."""
    blur: float
    """0 (sharp) to 1: how little a blur would change it (Crete et al. 2007)."""
    judged: int
    """Pixels of the short side at which `sharpness` and `blur` were found."""
    border: tuple[float, float, float, float]
    """Mean red, green and blue of the rim, and how much it varies."""
    bytes: float
    """Of the file; NaN of a picture from memory."""
    camera: str
    """Maker and model from the EXIF data, '' where there is none."""
    format: str
    thumb: NDArray[np.uint8]
    """``16 16 3``: what near-duplicates are found by."""
    remark: str
    """``is PNG``, where the file's name says something else."""

    kind: ClassVar[str] = "image"

    @property
    def traits(self) -> dict[str, Any]:
        """Return what should tell nothing about the class: numbers, words, or colours."""
        return {
            "file size": self.bytes,
            "number of pixels": float(self.width * self.height),
            "aspect ratio": self.width / self.height,
            "camera (EXIF)": self.camera,
            "file format": self.format,
            "border colour": self.border,
        }


def measured(
    raw: Any, max_pixels: int, decoded: NDArray[np.uint8] | None = None
) -> PictureMeasures:
    """Measure one picture; some 5 ms, under 3 where it is there decoded (``H W 3``) already.

    Raises `ExampleError`.
    """
    head = header(raw, max_pixels=max_pixels)
    if decoded is None:
        picture = open_picture(raw, size=SEEN // 2, max_pixels=max_pixels)
    else:
        picture = Image.fromarray(decoded)
    scale = min(SEEN / min(picture.size), _LONGEST / max(picture.size))
    seen = picture
    if scale < 1:
        size = tuple(max(1, round(side * scale)) for side in picture.size)
        seen = picture.resize((size[0], size[1]), Image.Resampling.BILINEAR, reducing_gap=3.0)
    light = np.asarray(seen.convert("L"), dtype=np.float32)
    dark, bright = np.percentile(light, [1, 99])
    really = suffix_mismatch(raw) if isinstance(raw, Path) else None
    return PictureMeasures(
        width=head.width,
        height=head.height,
        dark=float(dark),
        bright=float(bright),
        sharpness=laplacian_variance(light),
        blur=blur(light),
        judged=min(light.shape),
        border=_border(np.asarray(seen, dtype=np.float32)),
        bytes=_bytes(raw),
        camera=camera(raw),
        format=head.format,
        thumb=np.ascontiguousarray(fit(picture, THUMB, "squash")),
        remark=f"is {really}" if really else "",
    )


def laplacian_variance(light: Floats) -> float:
    """Return the variance of the 4-neighbour Laplacian of ``H W``; 0 where a side is under 3.

    >>> laplacian_variance(np.tile(np.arange(8, dtype=np.float32), (8, 1)))
    0.0
    """
    if min(light.shape) < 3:
        return 0.0
    inner = light[1:-1, 1:-1]
    around = light[:-2, 1:-1] + light[2:, 1:-1] + light[1:-1, :-2] + light[1:-1, 2:]
    return float((around - 4 * inner).var())


def blur(light: Floats) -> float:
    """Return how blurred ``H W`` is, 0 to 1 (Crete, Dolmiere, Ladret and Nicolas 2007).

    A sharp picture loses much of the differences between neighbours when it is blurred again, a
    blurred one little. 0 where a side is too short to tell.
    """
    if min(light.shape) <= 2 * _REBLUR:
        return 0.0
    found = []
    for image in (light, light.T):
        sums = np.cumsum(image, axis=0, dtype=np.float64)
        again = (sums[_REBLUR:] - sums[:-_REBLUR]) / _REBLUR
        middle = image[_REBLUR // 2 + 1 : _REBLUR // 2 + 1 + len(again)]
        before, after = (np.abs(np.diff(each, axis=0)) for each in (middle, again))
        total = float(before.sum())
        lost = float(np.maximum(0, before - after).sum())
        found.append((total - lost) / total if total > 0 else 0.0)
    return max(found)


def _border(pixels: Floats) -> tuple[float, float, float, float]:
    rim = max(1, round(_RIM * min(pixels.shape[:2])))
    sides = (pixels[:rim], pixels[-rim:], pixels[:, :rim], pixels[:, -rim:])
    border = np.concatenate([side.reshape(-1, 3) for side in sides])
    red, green, blue = (float(mean) for mean in border.mean(axis=0))
    return red, green, blue, float(border.std(axis=0).mean())


def _bytes(raw: Any) -> float:
    if isinstance(raw, Path):
        return float(raw.stat().st_size)
    return float(len(raw)) if isinstance(raw, bytes) else float("nan")
