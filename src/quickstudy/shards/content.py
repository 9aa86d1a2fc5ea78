"""One example before decoding -> the bytes of a file, untouched if it was one, and its suffix."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from quickstudy.errors import ExampleError
from quickstudy.kinds import NOUNS
from quickstudy.shards.tars import suffix_of

_MAGIC = (
    (b"\xff\xd8\xff", ".jpg"),
    (b"\x89PNG", ".png"),
    (b"GIF8", ".gif"),
    (b"BM", ".bmp"),
    (b"II*\0", ".tif"),
    (b"MM\0*", ".tif"),
    (b"fLaC", ".flac"),
    (b"OggS", ".ogg"),
    (b"ID3", ".mp3"),
    (b"\xff\xfb", ".mp3"),
)
_USUAL = {"image": ".jpg", "sound": ".wav"}


def content_of(raw: Any, kind: str) -> tuple[str, bytes]:
    """Return suffix and bytes of an example.

    What is in memory alone becomes a PNG, or a WAV of floats: nothing is lost. Raises
    `ExampleError` for what is neither, `OSError` for a file that cannot be read.
    """
    if isinstance(raw, Path):
        return suffix_of(raw.name) or _USUAL[kind], raw.read_bytes()
    if isinstance(raw, bytes):
        return _sniffed(raw, kind), raw
    held = getattr(getattr(raw, "fp", None), "getvalue", None)
    if held is not None:  # a picture that was opened from bytes
        content = bytes(held())
        return _sniffed(content, kind), content
    if kind == "sound" and isinstance(raw, tuple):
        return ".wav", _wave(*raw)
    if kind == "image":
        return ".png", _png(raw)
    raise ExampleError(f"a {type(raw).__name__} is no {NOUNS[kind][0]}")


def _sniffed(content: bytes, kind: str) -> str:
    if content[:4] == b"RIFF":
        return ".webp" if content[8:12] == b"WEBP" else ".wav"
    return next((end for head, end in _MAGIC if content.startswith(head)), _USUAL[kind])


def _png(raw: Any) -> bytes:
    from quickstudy.kinds.image.decode import open_picture

    out = io.BytesIO()
    open_picture(raw).save(out, "PNG")
    return out.getvalue()


def _wave(samples: Any, rate: int) -> bytes:
    import soundfile

    out = io.BytesIO()
    values = np.asarray(samples)
    width = "FLOAT" if values.dtype.kind == "f" else "PCM_32" if values.itemsize > 2 else "PCM_16"
    soundfile.write(out, values, rate, format="WAV", subtype=width)
    return out.getvalue()
