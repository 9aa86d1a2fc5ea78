"""A map drawn over what it is about, as a PNG."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

#: From nothing to most: dark blue over violet and orange to pale yellow, as spectrograms here are.
_COLOURS = (
    *((0, 0, 20), (60, 15, 110), (150, 45, 125)),
    *((235, 105, 70), (253, 190, 110), (252, 253, 200)),
)
_CLEAR = 0.72  # how much of the map's colour covers the picture where it counts most
_PALE = 0.45  # how bright the picture stays where nothing counts
_SIDE = 360  # pixels of a drawing's longer side, at least


def over(picture: NDArray[np.uint8], where: NDArray[Any]) -> NDArray[np.uint8]:
    """Return a picture ``H W 3`` darkened where a map ``H W`` is low, and coloured where high."""
    share = where / max(float(where.max(initial=0)), 1e-12)
    steps = np.linspace(0, 1, len(_COLOURS))
    heat = np.stack([np.interp(share, steps, [c[i] for c in _COLOURS]) for i in range(3)], -1)
    cover = _CLEAR * share[..., None]
    ground = picture * (_PALE + (1 - _PALE) * np.sqrt(share)[..., None])
    return ((1 - cover) * ground + cover * heat).round().clip(0, 255).astype(np.uint8)


def resized(where: NDArray[Any], high: int, wide: int) -> NDArray[np.float64]:
    """Return a map ``H W`` at another size."""
    picture = Image.fromarray(where.astype(np.float32))
    return np.asarray(picture.resize((wide, high), Image.Resampling.BILINEAR), np.float64)


def shown_at(pixels: NDArray[np.uint8], *, wide: int = 0, high: int = 0) -> Image.Image:
    """Return pixels ``H W 3`` as a picture that can be looked at: of a given or a decent size."""
    picture = Image.fromarray(pixels)
    if wide and high:
        return picture.resize((wide, high), Image.Resampling.BILINEAR)
    times = max(1.0, _SIDE / max(picture.size))
    size = round(picture.width * times), round(picture.height * times)
    how = Image.Resampling.NEAREST if times >= 4 else Image.Resampling.BICUBIC
    return picture if times == 1 else picture.resize(size, how)


def beside(left: Image.Image, right: Image.Image) -> Image.Image:
    """Return two pictures as one, side by side; oblong ones one above the other."""
    gap = 8
    above = left.width > 1.5 * left.height
    size = (
        (left.width, left.height + gap + right.height)
        if above
        else (left.width + gap + right.width, left.height)
    )
    both = Image.new("RGB", size, (255, 255, 255))
    both.paste(left, (0, 0))
    both.paste(right, (0, left.height + gap) if above else (left.width + gap, 0))
    return both


def png(picture: Image.Image) -> bytes:
    """Return a PNG."""
    out = io.BytesIO()
    picture.save(out, "PNG", optimize=True)
    return out.getvalue()


def uri(picture: Image.Image) -> str:
    """Return a PNG as a data URI."""
    return f"data:image/png;base64,{base64.b64encode(png(picture)).decode()}"
