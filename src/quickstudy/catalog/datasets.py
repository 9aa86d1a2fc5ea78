"""Hugging Face and torch data sets, known by what they can do, never imported -> `Draft`."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from quickstudy.catalog.draft import Columns, Draft, listed, part_of, word
from quickstudy.catalog.tables import Table, chosen, given_parts
from quickstudy.catalog.types import LeftOut, Raw
from quickstudy.errors import ExampleError, SourceError
from quickstudy.kinds.image.decode import identify

_CHANNELS = (1, 3, 4)
_SAMPLED = 16  # examples of a torch data set that its stamp looks at


def scan_hub(data: Any, columns: Columns) -> Draft:
    """Return the examples of a Hugging Face ``Dataset``: a picture and a label column."""
    return _hub_part(data, columns, "the data set", "row {}")


def scan_hub_parts(data: Mapping[str, Any], columns: Columns) -> Draft:
    """Return the examples of a ``DatasetDict``; train, validation and test are given parts.

    Other parts are left out with a note. Raises `SourceError` if none is left.
    """
    parts = {name: part for name in data if (part := part_of(str(name))) is not None}
    if not parts:
        raise SourceError(
            f"No part of the data set is a train, validation or test part: {listed(data)}.",
            "Give one of them: qs.learn(data[NAME]).",
        )
    drafts = {
        name: _hub_part(data[name], columns, f"part {name!r}", f"{name}[{{}}]") for name in parts
    }
    readers = [(draft.read, row) for draft in drafts.values() for row in range(len(draft.names))]

    def read(row: int) -> Raw:
        read_part, inner = readers[row]
        return read_part(inner)

    whole = Draft(source="the data set", read=read, stamp=b"")
    for name, draft in drafts.items():
        whole.names += draft.names
        whole.labels += draft.labels
        whole.given += [parts[name]] * len(draft.names)
        whole.groups += draft.groups
        whole.classes = tuple(dict.fromkeys(whole.classes + draft.classes))
        whole.left_out += draft.left_out
        whole.stamp += draft.stamp
    others = [repr(name) for name in data if name not in parts]
    if others:
        whole.notes.append(f"Not used, for it is no train, validation or test: {listed(others)}.")
    return whole


def _hub_part(data: Any, columns: Columns, source: str, naming: str) -> Draft:
    if not hasattr(data, "__len__"):
        raise SourceError(
            f"{source[0].upper()}{source[1:]} is a stream, which cannot be split or shuffled.",
            "Load it whole: load_dataset(..., streaming=False).",
        )
    use = _hub_columns(data, columns, source)
    path, label = use.path or "", use.label or ""
    feature = data.features[label]
    words = _label_words(list(data.with_format(None)[label]), feature)
    rows = [row for row, text in enumerate(words) if text]
    reader = _hub_reader(data, path)
    found = Draft(
        source=source,
        read=lambda row: reader(rows[row]),
        stamp=str(data._fingerprint).encode(),
        names=[naming.format(row) for row in rows],
        labels=[words[row] for row in rows],
        classes=tuple(getattr(feature, "names", None) or ()),
    )
    found.left_out = [
        LeftOut(naming.format(row), "no label") for row, text in enumerate(words) if not text
    ]
    if use.group:
        groups = list(data[use.group])
        found.groups = [word(groups[row]) for row in rows]
    if use.split:
        parts = given_parts(data[use.split], source, use.split)
        found.given = [parts[row] for row in rows]
    return found


def _hub_columns(data: Any, columns: Columns, source: str) -> Columns:
    """The columns to use: those of the types Image and ClassLabel first, then the usual names."""

    def of_type(kind: str) -> str | None:
        named = [name for name, one in data.features.items() if type(one).__name__ == kind]
        return named[0] if len(named) == 1 else None

    typed = Columns(
        columns.path or of_type("Image"),
        columns.label or of_type("ClassLabel"),
        columns.split,
        columns.group,
    )
    return chosen(Table(tuple(data.column_names), lambda _: []), source, typed)


def _label_words(labels: Sequence[Any], feature: Any) -> list[str]:
    names = getattr(feature, "names", None)
    if names is None:
        return [word(label) for label in labels]
    # The hub writes -1 where the label is withheld.
    return [names[one] if one is not None and 0 <= one < len(names) else "" for one in labels]


def _hub_reader(data: Any, column: str) -> Callable[[int], Raw]:
    """A reader of one column; files are handed over as bytes, so that we decode, not they."""
    feature = data.features[column]
    only = data.with_format(None).select_columns([column])
    if type(feature).__name__ == "Image":
        only = only.cast_column(column, type(feature)(decode=False))

    def read(row: int) -> Raw:
        return _raw(only[row][column])

    return read


def _raw(value: Any) -> Raw:
    """A picture as a data set holds it -> `Raw`; raises `ExampleError`."""
    if isinstance(value, Mapping) and value.get("bytes") is not None:
        return identify(value["bytes"])
    if isinstance(value, Mapping) and value.get("path"):
        return Path(value["path"])
    if isinstance(value, bytes):
        return identify(value)
    if isinstance(value, (str, Path)):
        return Path(value)
    if isinstance(value, Image):
        return value
    if isinstance(value, (list, np.ndarray)) or hasattr(value, "detach"):
        return _channels_last(value)
    raise ExampleError(f"not a picture: a {type(value).__name__}")


def _channels_last(value: Any) -> NDArray[Any]:
    """Turn a tensor ``C H W`` or an array into ``H W C``; arrays ``H W C`` stay."""
    tensor = hasattr(value, "detach")
    array: NDArray[Any] = value.detach().cpu().numpy() if tensor else np.asarray(value)
    first = array.ndim == 3 and array.shape[0] in _CHANNELS
    if first and (tensor or array.shape[2] not in _CHANNELS):
        array = array.transpose(1, 2, 0)
    if tensor and array.dtype.kind == "f":
        if not (np.isfinite(array).all() and array.min() >= -1e-3 and array.max() <= 1.001):
            raise ExampleError(
                "a tensor with values outside 0..1", "Take Normalize out of its transform."
            )
        array = np.rint(np.clip(array, 0, 1) * 255).astype(np.uint8)
    return array


def scan_torch(data: Any) -> Draft:
    """Return the examples of a map-style torch data set of (picture, label).

    Labels come from ``targets`` where there are any, else from every item once. Its items are
    fetched one at a time, under a lock: few data sets are made for threads.
    """
    lock = threading.Lock()

    def item(row: int) -> tuple[Any, Any]:
        try:
            with lock:
                picture, label = data[row]
        except Exception as error:  # the user's own code may raise anything
            raise ExampleError(f"its data set raised {type(error).__name__}: {error}") from error
        return picture, label

    values = _targets(data)
    left_out: list[LeftOut] = []
    labels = _fetched(item, len(data), left_out) if values is None else values
    names = _class_names(data)
    words = [_class_word(label, names) for label in labels]
    failed = {one.name for one in left_out}
    rows = [row for row, text in enumerate(words) if text]
    left_out += [
        LeftOut(f"row {row}", "no label")
        for row, text in enumerate(words)
        if not text and f"row {row}" not in failed
    ]
    return Draft(
        source="the data set",
        read=lambda row: _raw(item(rows[row])[0]),
        stamp=_torch_digest(item, rows, words),
        names=[f"row {row}" for row in rows],
        labels=[words[row] for row in rows],
        classes=tuple(names or ()),
        left_out=left_out,
    )


def _targets(data: Any) -> list[Any] | None:
    """One label per item without decoding any, also through a ``Subset``; None if not told."""
    if hasattr(data, "indices") and hasattr(data, "dataset"):
        inner = _targets(data.dataset)
        return None if inner is None else [inner[int(index)] for index in data.indices]
    for name in ("targets", "labels", "_labels"):
        values = getattr(data, name, None)
        if values is not None and hasattr(values, "__len__") and len(values) == len(data):
            return list(values.tolist()) if hasattr(values, "tolist") else list(values)
    return None


def _class_names(data: Any) -> list[str] | None:
    names = getattr(getattr(data, "dataset", data), "classes", None)
    return [str(name) for name in names] if isinstance(names, (list, tuple)) else None


def _fetched(
    item: Callable[[int], tuple[Any, Any]], count: int, left_out: list[LeftOut]
) -> list[Any]:
    """Every label, by fetching every item; None where that fails."""
    labels: list[Any] = []
    for row in range(count):
        try:
            labels.append(item(row)[1])
        except ExampleError as error:
            left_out.append(LeftOut(f"row {row}", error.message))
            labels.append(None)
    return labels


def _class_word(label: Any, names: list[str] | None) -> str:
    value = label.item() if hasattr(label, "item") else label
    if names and isinstance(value, int) and not isinstance(value, bool):
        return names[value] if 0 <= value < len(names) else ""
    return word(value)


def _torch_digest(
    item: Callable[[int], tuple[Any, Any]], rows: list[int], words: list[str]
) -> bytes:
    """A digest of all labels and a few examples: hashing them all would decode them all."""
    sums = hashlib.blake2b("\0".join(words).encode("utf-8", "surrogatepass"), digest_size=16)
    for row in rows[:: max(1, len(rows) // _SAMPLED)][:_SAMPLED]:
        try:
            raw = _raw(item(row)[0])
        except ExampleError as error:
            sums.update(error.message.encode("utf-8", "surrogatepass"))
            continue
        sums.update(str(raw).encode() if isinstance(raw, Path) else np.asarray(raw).tobytes())
    return sums.digest()
