"""Lists of (example, label) and arrays ``X, y`` -> `Draft`."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from quickstudy.catalog.draft import Draft, word
from quickstudy.catalog.types import LeftOut, Raw
from quickstudy.errors import SourceError

_CHANNELS = (1, 3, 4)


def scan_pairs(pairs: Sequence[Any]) -> Draft:
    """Return the examples of a list of (path, label); a picture or an array may stand for a path.

    Paths are relative to the current folder; missing files and empty labels are left out.
    Raises `SourceError` if an item is no pair.
    """
    kept: list[Raw] = []
    sums = hashlib.blake2b(digest_size=16)
    found = Draft(source="the list", read=lambda row: kept[row], stamp=b"")
    for row, pair in enumerate(pairs):
        example, label = _pair(row, pair)
        name = os.fspath(example) if isinstance(example, (str, Path)) else f"row {row}"
        raw = Path(example) if isinstance(example, str) else example
        text = word(label)
        reason = "no label" if not text else _sum_of(raw, sums)
        if reason:
            found.left_out.append(LeftOut(name, reason))
            continue
        kept.append(raw)
        found.names.append(name)
        found.labels.append(text)
    found.stamp = sums.digest()
    return found


def _pair(row: int, pair: Any) -> tuple[str | Raw, object]:
    fine = isinstance(pair, (tuple, list)) and len(pair) == 2
    if not fine or not isinstance(pair[0], (str, Path, Image, np.ndarray)):
        raise SourceError(
            f"Item {row} of the list is not a pair of a path (or picture, or array) and a label.",
            'Write it as [("a.jpg", "cat"), ("b.jpg", "dog"), ...].',
        )
    return pair[0], pair[1]


def _sum_of(example: Raw, sums: hashlib.blake2b) -> str:
    """Add an example to the stamp; return why it cannot be used, or the empty string."""
    if isinstance(example, Path):
        try:
            status = example.stat()
            fine = example.is_file()
        except FileNotFoundError:
            return "no such file"
        except (OSError, ValueError) as error:
            return f"cannot be read: {error}"
        sums.update(os.fsencode(example))
        sums.update(b"\0%d\0%d\0" % (status.st_size, status.st_mtime_ns))
        return "" if fine else "not a file"
    array = np.asarray(example)
    sums.update(f"{array.shape}{array.dtype}".encode() + np.ascontiguousarray(array).tobytes())
    return ""


def scan_arrays(x: Any, y: Any) -> Draft:
    """Return the examples of pictures ``N H W`` or ``N H W C`` and labels ``N``.

    Raises `SourceError` if the shapes do not fit.
    """
    pictures, labels = np.asarray(x), np.asarray(y)
    _check_shapes(pictures, labels)
    words = [word(label) for label in labels.reshape(-1).tolist()]
    rows = [row for row, text in enumerate(words) if text]
    return Draft(
        source="the arrays",
        read=lambda row: pictures[rows[row]],
        stamp=_array_digest(pictures),
        names=[f"row {row}" for row in rows],
        labels=[words[row] for row in rows],
        left_out=[LeftOut(f"row {row}", "no label") for row, text in enumerate(words) if not text],
    )


def _check_shapes(pictures: NDArray[Any], labels: NDArray[Any]) -> None:
    shape = pictures.shape
    if pictures.ndim == 4 and shape[3] not in _CHANNELS and shape[1] in _CHANNELS:
        raise SourceError(
            f"The pictures have shape {shape}: channels first.",
            "Put the channels last: X.transpose(0, 2, 3, 1).",
        )
    if pictures.ndim not in (3, 4) or (pictures.ndim == 4 and shape[3] not in _CHANNELS):
        raise SourceError(
            f"The pictures have shape {shape}.",
            "Give X as N H W or N H W C (count, height, width, 1, 3 or 4 channels).",
        )
    if pictures.dtype.kind not in "uifb":
        raise SourceError(
            f"The pictures are of type {pictures.dtype}.", "Give X as uint8, or floats 0..1."
        )
    if labels.ndim == 2 and labels.shape[1] > 1:
        raise SourceError(
            f"The labels have shape {labels.shape}.", "One-hot labels: give y.argmax(axis=1)."
        )
    if labels.size != shape[0]:
        raise SourceError(
            f"There are {shape[0]} pictures but {labels.size} labels.",
            "Give one label for each picture.",
        )


def _array_digest(array: NDArray[Any]) -> bytes:
    """A digest of shape, type and every byte, a chunk at a time (arrays may lie on disk)."""
    sums = hashlib.blake2b(f"{array.shape}{array.dtype}".encode(), digest_size=16)
    for start in range(0, len(array), 1024):
        sums.update(np.ascontiguousarray(array[start : start + 1024]).tobytes())
    return sums.digest()
