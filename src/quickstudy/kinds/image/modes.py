"""Any picture mode or array of numbers -> 8-bit RGB; nothing here opens a file."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from quickstudy.errors import ExampleError

WHITE = (255, 255, 255)
#: 65535 / 255: the full range of 16 bits onto the full range of 8.
SIXTEEN_TO_EIGHT = 257


def to_rgb(picture: Image.Image) -> Image.Image:
    """Return `picture` in mode RGB; what is transparent becomes white, 16 bits become 8.

    Raises `ExampleError` for a float picture that holds NaN.
    """
    if picture.mode.startswith("I") or picture.mode == "F":
        return Image.fromarray(_bytes_from_numbers(np.asarray(picture))).convert("RGB")
    if picture.has_transparency_data:
        straight = picture.convert("LA") if picture.mode == "La" else picture
        clear = straight.convert("RGBA")
        paper = Image.new("RGB", clear.size, WHITE)
        paper.paste(clear, mask=clear.getchannel("A"))
        return paper
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def from_array(array: NDArray[Any]) -> Image.Image:
    """Return an RGB picture of an array ``H W``, ``H W 1``, ``H W 3`` or ``H W 4``.

    uint8 is taken as it is and uint16 divided by 257; bool is black and white; floats are 0..1
    where no value is above 1 and 0..255 otherwise; other integers are 0..255, or 0..65535 where
    one is above 255. Raises `ExampleError` for another shape, NaN, or values below 0.
    """
    values = array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array
    if values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[2] not in (3, 4)):
        raise ExampleError(
            f"not a picture: an array of shape {array.shape}",
            "A picture is an array H W, H W 1, H W 3 or H W 4 (height, width, channels).",
        )
    if values.size == 0:
        raise ExampleError("zero pixels")
    return to_rgb(Image.fromarray(_bytes_from_numbers(values)))


def _bytes_from_numbers(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Scale numbers of any type to 0..255, shape unchanged, in C order."""
    if values.dtype == np.uint8:
        return np.ascontiguousarray(values)
    if values.dtype == np.bool_:
        return np.ascontiguousarray(values).astype(np.uint8) * np.uint8(255)
    if values.dtype.kind not in "uif":
        raise ExampleError(
            f"not a picture: an array of type {values.dtype}",
            "Give numbers: uint8, uint16, bool or float.",
        )
    numbers = values.astype(np.float64)
    scaled = np.rint(numbers * _scale(values.dtype, numbers))
    return np.ascontiguousarray(np.clip(scaled, 0, 255)).astype(np.uint8)


def _scale(dtype: np.dtype[Any], numbers: NDArray[np.float64]) -> float:
    """What to multiply by so that the values span 0..255; raises where they cannot."""
    top, bottom = float(numbers.max()), float(numbers.min())
    if not (np.isfinite(top) and np.isfinite(bottom)):
        raise ExampleError("the picture holds values that are not numbers (NaN or infinity)")
    if bottom < -1e-3:  # rounding noise of a resize may dip just below 0
        raise ExampleError(
            f"the picture holds values below 0 (down to {bottom:g})",
            "Give pixels as they were before normalising: 0..1 or 0..255.",
        )
    if dtype.kind == "f" and top <= 1.0:
        return 255.0
    if dtype != np.uint16 and top <= 255.0:
        return 1.0
    return 1.0 / SIXTEEN_TO_EIGHT if top <= 65535.0 else 255.0 / top
