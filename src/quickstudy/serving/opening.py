"""Examples as they came -> decoded, within the server's limits.

What a file claims is looked at before it is decoded: a small one can claim a billion pixels, hours
of silence, or a picture in ten thousand passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quickstudy.errors import ExampleError
from quickstudy.serving.limits import Limits
from quickstudy.serving.memory import give_back

#: The values of an example, or why it has none.
Values = NDArray[Any] | str

_LARGE_PICTURE = 12_000_000  # pixels: such wait for one another, so that few are held at once
_LONG_SOUND = 120.0  # seconds: the same
_MOST_SCANS = 100  # of a JPEG; progressive ones have about ten
_MOST_SAMPLES = 192_000  # a second, over all channels
_LARGE_FILE = 4 << 20  # bytes
_ENDLESS = 2.0**40


def is_large(kind: str, raw: bytes, limits: Limits) -> bool:
    """Whether an example takes long to decode; raises `ExampleError` beyond the limits."""
    if kind == "sound":
        return _seconds(raw, limits) > _LONG_SOUND
    from quickstudy.kinds.image.decode import header, identify

    if raw.startswith(b"\xff\xd8") and raw.count(b"\xff\xda") > _MOST_SCANS:
        raise ExampleError(f"is drawn in more than {_MOST_SCANS} passes", "Save it again.")
    # not `header`: to find how a PNG is turned Pillow decodes all of it
    picture = identify(raw, max_pixels=limits.pixels)
    pixels = picture.width * picture.height
    if pixels > limits.pixels:
        header(raw, max_pixels=limits.pixels)  # raises, with the reason
    return pixels > _LARGE_PICTURE or len(raw) > _LARGE_FILE


def _seconds(raw: bytes, limits: Limits) -> float:
    from quickstudy.kinds.sound.decode import header, open_recording

    head = header(raw)
    seconds = head.about if head.about is not None else _ENDLESS
    if seconds > limits.seconds and head.about is None:  # its header does not say: it is counted
        heard = 0
        with open_recording(raw) as recording:
            for block in recording.blocks():
                heard += len(block)
                if heard > limits.seconds * recording.rate:
                    break
        seconds = heard / head.rate
    if seconds > limits.seconds:
        raise ExampleError(f"is longer than {limits.seconds:g} s", "Cut it.")
    if seconds * head.rate * head.channels > limits.seconds * _MOST_SAMPLES:
        raise ExampleError("has too many channels for its length", "Mix them down.")
    return seconds


def decoded(how: Any, raw: bytes, limits: Limits) -> Values:
    """Return an example's values, or why it cannot be read."""
    if how.kind == "image" and how.max_pixels > limits.pixels:
        how = replace(how, max_pixels=limits.pixels)
    try:
        values: NDArray[Any] = how.values(raw)
    except ExampleError as problem:
        return problem.message
    return values


def decoded_large(how: Any, raw: bytes, limits: Limits) -> Values:
    """Return `decoded`, and give the memory that it took back to the system."""
    found = decoded(how, raw, limits)
    give_back()
    return found


def decoded_rows(how: Any, rows: Sequence[Any]) -> list[Values]:
    """Return the values of rows; raises `SourceError` for a column that was not learnt from."""
    from quickstudy.catalog import rows_of

    known = {column.name: bool(column.features) for column in how.columns}
    found = how.decode_many(rows_of(list(rows), known))
    return [piece if isinstance(piece, str) else np.asarray(piece.values) for piece in found]
