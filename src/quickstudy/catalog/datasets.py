"""Hugging Face and torch data sets, known by what they can do, never imported -> `Draft`."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from quickstudy.catalog.draft import Asked, Columns, Draft, listed, part_of, word
from quickstudy.catalog.kind import commonest, kind_of, misfit, nouns
from quickstudy.catalog.tables import Table, chosen, given_parts
from quickstudy.catalog.types import LeftOut, Raw
from quickstudy.catalog.values import kind_of_value, raw_of
from quickstudy.errors import ChoiceError, ExampleError, SourceError

_FEATURES = {"Image": "image", "Audio": "sound"}
_SAMPLED = 16  # examples of a torch data set that its stamp looks at


def scan_hub(data: Any, asked: Asked) -> Draft:
    """Return the examples of a Hugging Face ``Dataset``: a column of examples and one of labels."""
    return _hub_part(data, asked, "the data set", "row {}")


def scan_hub_parts(data: Mapping[str, Any], asked: Asked) -> Draft:
    """Return the examples of a ``DatasetDict``; train, validation and test are given parts.

    Other parts are left out with a note. Raises `SourceError` if none is left.
    """
    parts = {name: part for name in data if (part := part_of(str(name))) is not None}
    if not parts:
        raise SourceError(
            f"No part of the data set is a train, validation or test part: {listed(data)}.",
            "Give one of them: qs.learn(data[NAME]).",
        )

    def drafted(asked: Asked) -> dict[str, Draft]:
        return {n: _hub_part(data[n], asked, f"part {n!r}", f"{n}[{{}}]") for n in parts}

    drafts = drafted(asked)
    kind = commonest(draft.kind for draft in drafts.values() for _ in draft.names)
    if {draft.kind for draft in drafts.values()} != {kind}:
        drafts = drafted(replace(asked, kind=kind))
    readers = [(draft.read, row) for draft in drafts.values() for row in range(len(draft.names))]

    def read(row: int) -> Raw:
        read_part, inner = readers[row]
        return read_part(inner)

    whole = Draft(source="the data set", read=read, stamp=b"", kind=kind)
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


def _hub_part(data: Any, asked: Asked, source: str, naming: str) -> Draft:
    if not hasattr(data, "__len__"):
        raise SourceError(
            f"{source[0].upper()}{source[1:]} is a stream, which cannot be split or shuffled.",
            "Load it whole: load_dataset(..., streaming=False).",
        )
    use = _hub_columns(data, asked, source)
    path, label = use.path or "", use.label or ""
    feature = data.features[label]
    words = _label_words(list(data.with_format(None)[label]), feature)
    kinds = _hub_kinds(data, path)
    kind = asked.kind or commonest(kinds)
    reasons = [
        misfit(one, kind) if text else "no label" for one, text in zip(kinds, words, strict=True)
    ]
    rows = [row for row, reason in enumerate(reasons) if not reason]
    reader = _hub_reader(data, path, kind)
    found = Draft(
        source=source,
        read=lambda row: reader(rows[row]),
        stamp=str(data._fingerprint).encode(),
        names=[naming.format(row) for row in rows],
        labels=[words[row] for row in rows],
        classes=tuple(getattr(feature, "names", None) or ()),
        kind=kind,
    )
    found.left_out = [
        LeftOut(naming.format(row), reason) for row, reason in enumerate(reasons) if reason
    ]
    if use.group:
        groups = list(data[use.group])
        found.groups = [word(groups[row]) for row in rows]
    if use.split:
        parts = given_parts(data[use.split], source, use.split)
        found.given = [parts[row] for row in rows]
    return found


def _hub_columns(data: Any, asked: Asked, source: str) -> Columns:
    """The columns to use: those of the types Image, Audio, ClassLabel first, then usual names."""
    columns = asked.columns

    def of_type(kind: str) -> str | None:
        named = [name for name, one in data.features.items() if type(one).__name__ == kind]
        return named[0] if len(named) == 1 else None

    wanted = [name for name, kind in _FEATURES.items() if asked.kind in (None, kind)]
    typed = Columns(
        columns.path or next(filter(None, map(of_type, wanted)), None),
        columns.label or of_type("ClassLabel"),
        columns.split,
        columns.group,
    )
    return chosen(Table(tuple(data.column_names), lambda _: []), source, typed)


def _hub_kinds(data: Any, column: str) -> list[str | None]:
    """The kind of each row: told by the column's type, by the paths in it, or by its first row."""
    feature = data.features[column]
    known = _FEATURES.get(type(feature).__name__)
    plain = data.with_format(None).select_columns([column])
    if known is None and getattr(feature, "dtype", None) in ("string", "large_string"):
        return [kind_of(path or "") for path in plain[column]]
    if known is None and len(data):
        known = kind_of_value(plain[0][column])
    return [known] * len(data)


def _label_words(labels: Sequence[Any], feature: Any) -> list[str]:
    names = getattr(feature, "names", None)
    if names is None:
        return [word(label) for label in labels]
    # The hub writes -1 where the label is withheld.
    return [names[one] if one is not None and 0 <= one < len(names) else "" for one in labels]


def _hub_reader(data: Any, column: str, kind: str) -> Callable[[int], Raw]:
    """A reader of one column; files are handed over as bytes, so that we decode, not they."""
    feature = data.features[column]
    only = data.with_format(None).select_columns([column])
    if type(feature).__name__ in _FEATURES:
        only = only.cast_column(column, type(feature)(decode=False))

    def read(row: int) -> Raw:
        return raw_of(only[row][column], kind)

    return read


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
    words = [_class_word(label, names) for label in labels]
    failed = {one.name for one in left_out}
    rows = [row for row, text in enumerate(words) if text]
    left_out += [
        LeftOut(f"row {row}", "no label")
        for row, text in enumerate(words)
        if not text and f"row {row}" not in failed
    ]
    kind, stamp = _sampled(item, rows, words, asked.kind)
    return Draft(
        source="the data set",
        read=lambda row: raw_of(item(rows[row])[0], kind),
        stamp=stamp,
        kind=kind,
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


def _sampled(
    item: Callable[[int], tuple[Any, Any]], rows: list[int], words: list[str], forced: str | None
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
    sums = hashlib.blake2b("\0".join(words).encode("utf-8", "surrogatepass"), digest_size=16)
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
