"""A picture as the report shows it: small, and part of the page."""

from __future__ import annotations

import base64
import io
from typing import Any

from PIL import Image

from quickstudy.kinds.image.decode import open_picture

_SIDE = 160  # pixels


def shown(raw: Any, max_pixels: int) -> str:
    """Return a small JPEG of an example as a data URI; raises `ExampleError`."""
    picture = open_picture(raw, size=_SIDE, max_pixels=max_pixels)
    side = max(picture.size)
    if side < _SIDE // 2:  # tiny pictures are shown in squares, not in a blur
        times = _SIDE // side
        size = (picture.width * times, picture.height * times)
        picture = picture.resize(size, Image.Resampling.NEAREST)
    picture.thumbnail((_SIDE, _SIDE))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()
