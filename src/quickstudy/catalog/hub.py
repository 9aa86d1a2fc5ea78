"""Hugging Face data sets, known by what they can do, never imported -> `Draft`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from quickstudy.catalog.draft import Asked, Columns, Draft, listed, part_of, word
from quickstudy.catalog.kind import commonest, kind_of, misfit
from quickstudy.catalog.tables import Table, chosen, given_parts, labels_in, labels_of
from quickstudy.catalog.types import LeftOut, Raw
from quickstudy.catalog.values import class_word, kind_of_value, raw_of
from quickstudy.errors import SourceError

_FEATURES = {"Image": "image", "Audio": "sound"}


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
        whole.groups += draft.groups or [""] * len(draft.names)
        whole.task, whole.label_names = draft.task, draft.label_names
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
    path, named = use.path or "", labels_in(use.label, data.column_names)
    plain, names, lists = data.with_format(None), _label_names(data, named), False
    columns: list[list[Any]] = []
    for one in named:
        values = list(plain[one])
        lists = lists or any(isinstance(value, (list, tuple)) for value in values)
        columns.append([class_word(value, names) for value in values])
    labels = labels_of(columns, len(data))
    kinds = _hub_kinds(data, path)
    kind = asked.kind or commonest(kinds)
    reasons = [misfit(one, kind) for one in kinds]
    rows = [row for row, reason in enumerate(reasons) if not reason]
    reader = _hub_reader(data, path, kind)
    found = Draft(
        source=source,
        read=lambda row: reader(rows[row]),
        stamp=str(data._fingerprint).encode(),
        names=[naming.format(row) for row in rows],
        labels=[labels[row] for row in rows],
        classes=() if lists else tuple(names),
        kind=kind,
        task="multilabel" if lists else "classification" if names else None,
        label_names=named,
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


def _label_names(data: Any, columns: Sequence[str]) -> Sequence[str]:
    """Return the names of the classes that a column of labels, or of lists of them, declares."""
    feature = data.features[columns[0]] if len(columns) == 1 else None
    inner = getattr(feature, "feature", feature)
    return getattr(inner, "names", None) or ()


def _hub_reader(data: Any, column: str, kind: str) -> Callable[[int], Raw]:
    """A reader of one column; files are handed over as bytes, so that we decode, not they."""
    feature = data.features[column]
    only = data.with_format(None).select_columns([column])
    if type(feature).__name__ in _FEATURES:
        only = only.cast_column(column, type(feature)(decode=False))

    def read(row: int) -> Raw:
        return raw_of(only[row][column], kind)

    return read
