"""Lists of (example, label), lists of paths, and arrays ``X, y`` -> `Draft`."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from quickstudy.catalog.draft import Asked, Draft, word
from quickstudy.catalog.kind import commonest, kind_of, misfit, nouns
from quickstudy.catalog.tables import labels_of
from quickstudy.catalog.types import LeftOut, Raw
from quickstudy.errors import ChoiceError, SourceError

_CHANNELS = (1, 3, 4)


def scan_pairs(pairs: Sequence[Any], asked: Asked) -> Draft:
    """Return the examples of a list of (path, label).

    For a path may stand a picture, an array of a picture, or samples with their rate. Paths are
    relative to the current folder; missing files, empty labels and examples of another kind than
    most are left out. Where file names will tell the labels, an item may be a path alone. Raises
    `SourceError` if an item is no pair.
    """
    items = [_pair(row, pair, asked.labelled) for row, pair in enumerate(pairs)]
    kind = asked.kind or commonest(_kind(example) for example, _ in items)
    kept: list[Raw] = []
    paths: list[str] = []
    sums = hashlib.blake2b(digest_size=16)
    found = Draft("the list", lambda row: kept[row], b"", kind=kind)
    several = any(isinstance(label, (list, tuple)) for _, label in items)
    found.task = "multilabel" if several else None
    for row, (example, label) in enumerate(items):
        path = os.fspath(example) if isinstance(example, Path) else ""
        text = word(label)
        reason = misfit(_kind(example), kind) or _sum_of(example, sums)
        if reason:
            found.left_out.append(LeftOut(path or f"row {row}", reason))
            continue
        kept.append(example)
        paths.append(path)
        found.names.append(path or f"row {row}")
        found.labels.append(text)
    found.stamp = sums.digest()
    found.paths = paths if any(paths) else ()
    return found


def _pair(row: int, pair: Any, labelled: bool) -> tuple[Raw, object]:
    if not labelled and isinstance(pair, (str, Path)):
        return Path(pair), ""
    if isinstance(pair, (tuple, list)) and len(pair) == 2:
        example, label = pair
        if isinstance(example, (str, Path)):
            return Path(example), label
        if isinstance(example, (Image, np.ndarray)):
            return example, label
        if _is_sound(example):
            return (example[0], int(example[1])), label
    raise SourceError(
        f"Item {row} of the list is not a pair of a path (or picture, or array, or samples with "
        "their rate) and a label.",
        'Write it as [("a.jpg", "cat"), ("b.jpg", "dog"), ...], '
        'or as [((samples, rate), "hum"), ...].',
    )


def _is_sound(example: Any) -> bool:
    fine = isinstance(example, tuple) and len(example) == 2 and isinstance(example[0], np.ndarray)
    return fine and isinstance(example[1], (int, np.integer)) and not isinstance(example[1], bool)


def _kind(example: Raw) -> str | None:
    if isinstance(example, Path):
        return kind_of(example.name)
    return "sound" if isinstance(example, tuple) else "image"


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
    if isinstance(example, tuple):
        sums.update(b"%d\0" % example[1])
    array = np.asarray(example[0] if isinstance(example, tuple) else example)
    sums.update(f"{array.shape}{array.dtype}".encode() + np.ascontiguousarray(array).tobytes())
    return ""


def scan_arrays(x: Any, y: Any, asked: Asked) -> Draft:
    """Return the examples of pictures ``N H W`` or ``N H W C`` and labels ``N``, or ``N K``.

    Raises `SourceError` if the shapes do not fit, `ChoiceError` if another kind is asked for.
    """
    if asked.kind not in (None, "image"):
        raise ChoiceError(
            f"Arrays (X, y) hold pictures, not {nouns(asked.kind)}.",
            'Give recordings as a list: [((samples, rate), "hum"), ...].',
        )
    pictures, labels = np.asarray(x), np.asarray(y)
    _check_shapes(pictures, labels)
    columns = [labels.reshape(-1)] if labels.ndim < 2 or labels.shape[1] == 1 else list(labels.T)
    return Draft(
        source="the arrays",
        read=lambda row: pictures[row],
        stamp=_array_digest(pictures),
        names=[f"row {row}" for row in range(len(pictures))],
        labels=labels_of([column.tolist() for column in columns], len(pictures)),
        task=None,
        label_names=tuple(f"y{i}" for i in range(len(columns))) if len(columns) > 1 else (),
        named=False,
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
    if labels.ndim == 2 and labels.shape[1] > 1 and _one_hot(labels):
        raise SourceError(
            f"The labels have shape {labels.shape}.", "One-hot labels: give y.argmax(axis=1)."
        )
    if labels.ndim > 2 or len(labels) != shape[0]:
        raise SourceError(
            f"There are {shape[0]} pictures but {len(labels)} labels.",
            "Give one label for each picture.",
        )


def _one_hot(labels: NDArray[Any]) -> bool:
    return bool(np.isin(labels, (0, 1)).all() and (labels.sum(1) == 1).all())


def _array_digest(array: NDArray[Any]) -> bytes:
    """A digest of shape, type and every byte, a chunk at a time (arrays may lie on disk)."""
    sums = hashlib.blake2b(f"{array.shape}{array.dtype}".encode(), digest_size=16)
    for start in range(0, len(array), 1024):
        sums.update(np.ascontiguousarray(array[start : start + 1024]).tobytes())
    return sums.digest()
