"""torch data sets, known by what they can do, never imported -> `Draft`."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from quickstudy.catalog.draft import Asked, Draft, Label, word
from quickstudy.catalog.kind import commonest, nouns
from quickstudy.catalog.types import LeftOut
from quickstudy.catalog.values import class_word, kind_of_value, raw_of
from quickstudy.errors import ChoiceError, ExampleError, SourceError

_SAMPLED = 16  # examples of a torch data set that its stamp looks at


def scan_torch(data: Any, asked: Asked) -> Draft:
    """Return the examples of a map-style torch data set of (example, label).

    Labels come from ``targets`` where there are any, else from every item once. Its items are
    fetched one at a time, under a lock: few data sets are made for threads.
    """
    lock = threading.Lock()

    def item(row: int) -> tuple[Any, Any]:
        try:
            with lock:
                example, label = data[row]
        except Exception as error:  # the user's own code may raise anything
            raise ExampleError(f"its data set raised {type(error).__name__}: {error}") from error
        return example, label

    values = _targets(data)
    left_out: list[LeftOut] = []
    labels = _fetched(item, len(data), left_out) if values is None else values
    names = _class_names(data)
    plain = [label.tolist() if hasattr(label, "tolist") else label for label in labels]
    words = [_several(label, names) for label in plain]
    failed = {one.name for one in left_out}
    rows = [row for row in range(len(words)) if f"row {row}" not in failed]
    widths = {len(one) for one in words if isinstance(one, tuple)}
    lists = any(isinstance(one, (list, tuple)) for one in plain)
    kind, stamp = _sampled(item, rows, words, asked.kind)
    return Draft(
        source="the data set",
        read=lambda row: raw_of(item(rows[row])[0], kind),
        stamp=stamp,
        kind=kind,
        names=[f"row {row}" for row in rows],
        labels=[words[row] for row in rows],
        classes=() if lists else tuple(names or ()),
        left_out=left_out,
        task=_task(lists, bool(widths), bool(names)),
        label_names=_column_names(widths, names),
        named=len(names or ()) in widths,
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


def _several(label: Any, names: list[str] | None) -> Label:
    """Return a label as text; a vector of numbers as one word for each of them."""
    if isinstance(label, (list, tuple)) and label and all(map(_is_number, label)):
        return tuple(word(one) for one in label)
    return class_word(label, names or ())


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float))


def _task(lists: bool, vectors: bool, named: bool) -> str | None:
    """Return what the labels of a torch data set ask for, None where their values tell."""
    if vectors:
        return None
    return "multilabel" if lists else "classification" if named else None


def _column_names(widths: set[int], names: list[str] | None) -> tuple[str, ...]:
    """Return a name for each number of a vector: the classes, where there are as many.

    Raises `SourceError` where the vectors differ in length.
    """
    if len(widths) > 1:
        raise SourceError(
            f"The labels are vectors of {min(widths)} to {max(widths)} numbers.",
            "Give vectors of one length, or lists of the names of labels.",
        )
    return tuple(
        name for n in widths for name in (names if names and len(names) == n else _numbered(n))
    )


def _numbered(n: int) -> list[str]:
    return [f"y{i}" for i in range(n)]


def _sampled(
    item: Callable[[int], tuple[Any, Any]],
    rows: list[int],
    words: Sequence[Label],
    forced: str | None,
) -> tuple[str, bytes]:
    """The kind of a few examples, and a digest of them and of all labels.

    Hashing every example would decode them all. Raises `ChoiceError` if they are not of the kind
    `forced`.
    """
    values: list[Any] = []
    for row in rows[:: max(1, len(rows) // _SAMPLED)][:_SAMPLED]:
        try:
            values.append(item(row)[0])
        except ExampleError as error:
            values.append(error)
    kinds = [kind_of_value(one) for one in values if not isinstance(one, ExampleError)]
    kind = forced or commonest(kinds)
    if any(kinds) and kind not in kinds:
        raise ChoiceError(
            f"The data set holds {nouns(commonest(kinds))}, not {nouns(kind)}.",
            "Leave the kind out: it is found by itself.",
        )
    sums = hashlib.blake2b(
        "\0".join(map(str, words)).encode("utf-8", "surrogatepass"), digest_size=16
    )
    for value in values:
        sums.update(_bytes_of(value, kind))
    return kind, sums.digest()


def _bytes_of(value: Any, kind: str) -> bytes:
    """What an example adds to the stamp; of one that cannot be had, the reason."""
    try:
        if isinstance(value, ExampleError):
            raise value
        raw = raw_of(value, kind)
    except ExampleError as error:
        return error.message.encode("utf-8", "surrogatepass")
    if isinstance(raw, bytes):
        return raw
    if isinstance(raw, tuple):
        return b"%d\0" % raw[1] + bytes(raw[0].tobytes())
    return str(raw).encode() if isinstance(raw, Path) else np.asarray(raw).tobytes()
