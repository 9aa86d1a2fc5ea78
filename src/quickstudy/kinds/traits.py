"""What an example is like apart from what it shows, told without decoding it once more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quickstudy.errors import ExampleError

#: Trait -> what its low and its high end are called.
ENDS = {
    "size": ("smallest", "largest"),
    "brightness": ("darkest", "brightest"),
    "length": ("shortest", "longest"),
    "level": ("quietest", "loudest"),
}
_QUIET = 1e-5  # of full scale: -100 dB, below what 16 bits hold


def traits(kind: str, values: NDArray[Any], thumb: NDArray[np.uint8] | None) -> dict[str, float]:
    """Return the traits of one decoded example that its cache tells; of a row nothing.

    `values` are as its kind keeps them; `thumb` is ``16 16 3``.
    """
    if kind == "sound":
        wave = np.asarray(values, np.float32)
        level = float(np.sqrt(np.mean(np.square(wave)))) if len(wave) else 0.0
        return {"length": float(len(wave)), "level": 20 * float(np.log10(max(level, _QUIET)))}
    if kind == "image" and thumb is not None:
        light = thumb.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
        return {"brightness": float(light.mean())}
    return {}


def size_of(raw: Any) -> float:
    """Return the root of how many pixels a picture has, by its header; NaN where it has none."""
    from quickstudy.kinds.image.decode import header

    if not isinstance(raw, Path | bytes | np.ndarray):
        return float("nan")
    try:
        head = header(raw)
    except ExampleError:  # its file has gone since
        return float("nan")
    return float(np.sqrt(float(head.width) * head.height))
