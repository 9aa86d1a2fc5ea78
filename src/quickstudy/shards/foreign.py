"""Shards that others made -> `Index`: WebDataset tars and Parquet of bytes, read through once.

Of tars here the headers alone are read; one that is far away comes through the cache once. Labels
are found where WebDataset's and Hugging Face's users put them: `cls`, `txt` or a field of `json`;
the column that is called so.
"""

from __future__ import annotations

import json
import re
import tarfile
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from quickstudy.errors import SourceError
from quickstudy.folders import disk_errors
from quickstudy.kinds import SUFFIXES
from quickstudy.shards.flat import bytes_column, class_names, parquet
from quickstudy.shards.index import Index, Names, Shard
from quickstudy.shards.places import Places, patiently
from quickstudy.shards.tars import Found, examples_in

_LABELS = (".cls", ".label", ".class", ".txt", ".index")
_FIELDS = ("label", "labels", "values", "class", "class_name", "category", "target", "cls", "y")
_PARTS = {"train": 0, "training": 0, "val": 1, "valid": 1, "validation": 1, "dev": 1, "test": 2}
_LONGEST = 2**20  # bytes of a label's file


@dataclass
class _Rows:
    """What was found, a number a word: words recur."""

    words: dict[str, int] = field(default_factory=dict)
    groups: dict[str, int] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    offset: list[int] = field(default_factory=list)
    size: list[int] = field(default_factory=list)
    label: list[int] = field(default_factory=list)
    given: list[int] = field(default_factory=list)
    group: list[int] = field(default_factory=list)

    def add(self, name: str, place: tuple[int, int], label: str, part: int, group: str) -> None:
        self.names.append(name)
        self.offset.append(place[0])
        self.size.append(place[1])
        self.label.append(self.words.setdefault(label, len(self.words)))
        self.given.append(part)
        self.group.append(self.groups.setdefault(group, len(self.groups)) if group else -1)


def index_tars(
    places: Places, names: Sequence[str], kind: str | None, each: Callable[[float], None]
) -> Index:
    """Return the index of WebDataset tars; of several kinds the commonest is taken.

    The `classes` of the index are the labels as they were written ('' for none). Raises
    `SourceError` for a tar that is damaged or holds no examples.
    """
    shards: list[Shard] = []
    rows, kinds, at_kind = _Rows(), Counter[str](), kind
    for number, name in enumerate(names):
        each(number / len(names))
        before = len(rows.names)
        with _here(places, name) as path:
            try:
                found = list(examples_in(path))
                if at_kind is None:
                    kinds.update(k for one in found for k in _kinds_of(one))
                    at_kind = kinds.most_common(1)[0][0] if kinds else None
                with path.open("rb") as file:
                    for one in found:
                        _add(rows, one, at_kind, part_of(name), file)
            except (tarfile.TarError, EOFError, OSError) as problem:
                raise SourceError(
                    f"The shard {name} is damaged: {' '.join(str(problem).split())}.",
                    "Copy it again from where it came from.",
                ) from problem
            size = path.stat().st_size
        shards.append(Shard(name, len(rows.names) - before, size))
    if not rows.names:
        raise SourceError(
            f"There are no examples in the {len(names):,} tar files of {places.folder}.",
            "Shards are in WebDataset's layout: 000001.jpg, 000001.cls, 000002.jpg, ...",
        )
    return _made(rows, at_kind or "image", shards)


def _kinds_of(one: Found) -> Iterator[str]:
    return (kind for kind, ends in SUFFIXES.items() if _file_of(one, ends) is not None)


def _file_of(one: Found, ends: frozenset[str]) -> str | None:
    """Return the suffix of the example's own file: `.jpg`, else one as `.image.jpg`."""
    named = [s for s in one.files if f".{s.rpartition('.')[2]}" in ends]
    return min(named, key=lambda s: (s.count("."), named.index(s))) if named else None


def _add(rows: _Rows, one: Found, kind: str | None, part: int, file: Any) -> None:
    suffix = _file_of(one, SUFFIXES[kind]) if kind in SUFFIXES else None
    if suffix is None:
        return

    def text(of: str) -> str:
        begin, size = one.files[of]
        file.seek(begin)
        return str(file.read(min(size, _LONGEST)).decode("utf-8", "replace")).strip()

    told: dict[str, Any] = {}
    if ".json" in one.files:
        try:
            told = json.loads(text(".json"))
        except ValueError:
            told = {}
        told = told if isinstance(told, dict) else {"label": told}
    named = next((told[f] for f in _FIELDS if told.get(f) is not None), None)
    if named is None:
        ending = next((e for e in _LABELS if e in one.files), None)
        named = text(ending) if ending else ""
    split = part_of(str(told.get("split") or ""))
    name = str(told.get("name") or one.key + suffix)
    part = split if split >= 0 else part
    rows.add(name, one.files[suffix], _word(named), part, _word(told.get("group")))


def _word(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ";".join(map(_word, value))
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return "" if value is None else str(value).strip()


def part_of(name: str) -> int:
    """Return the part that a word in a name tells, -1 for none.

    >>> part_of("data/imagenet-validation-0001.tar"), part_of("a-000.tar")
    (1, -1)
    """
    words = re.split(r"[^a-z]+", name.lower())
    return next((_PARTS[word] for word in words if word in _PARTS), -1)


def _made(rows: _Rows, kind: str, shards: list[Shard]) -> Index:
    n = len(rows.names)
    given = np.array(rows.given, np.int8)
    if not (given > 0).any():
        given = np.full(n, -1, np.int8)  # a train part alone says nothing
    return Index(
        kind=kind,
        shards=tuple(shards),
        names=Names.of(rows.names),
        offset=np.array(rows.offset, np.int64),
        size=np.array(rows.size, np.int64),
        label=np.array(rows.label, np.int32),
        given=given,
        group=np.array(rows.group, np.int32),
        content=np.zeros(0, np.uint64),
        classes=tuple(rows.words),
        group_names=tuple(rows.groups),
    )


@contextmanager
def _here(places: Places, name: str) -> Iterator[Path]:
    """Lend a file of this computer, or one that comes for as long as it is looked at."""
    path = places.path(name)
    if path is not None:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="quickstudy-") as folder:
        kept = Path(folder, "shard")

        def fetch() -> None:
            with disk_errors(f"the shard {name}"):
                out = kept.open("wb")
            with out:
                for chunk in places.chunks(name):
                    with disk_errors(f"the shard {name}"):
                        out.write(chunk)

        patiently(f"The shard {name} of {places.folder}", fetch)
        yield kept


#: The names of columns -> those of the label, the split and the group ('' for none).
Choose = Callable[[Sequence[str]], tuple[str, str, str]]


def index_parquet(
    places: Places,
    names: Sequence[str],
    kind: str | None,
    choose: Choose,
    each: Callable[[float], None],
) -> Index:
    """Return the index of Parquet files of bytes; their bytes stay unread.

    Raises `SourceError` for a file that is damaged or has no column of bytes.
    """
    shards: list[Shard] = []
    rows = _Rows()
    for number, name in enumerate(names):
        each(number / len(names))
        with _here(places, name) as path:
            try:
                table = parquet().ParquetFile(path)
                count = _add_rows(rows, table, name, choose)
            except (OSError, ValueError) as problem:
                raise SourceError(
                    f"The shard {name} is damaged: {' '.join(str(problem).split())}.",
                    "Copy it again from where it came from.",
                ) from problem
            found = _kind_of(table, rows.names[-1]) if count else None
            kind = kind or found
            shards.append(Shard(name, count, path.stat().st_size))
    made = _made(rows, kind or "image", shards)
    if not len(made):
        raise SourceError(f"{places.folder} has no rows.", "Check that it is what you mean.")
    return made


def _add_rows(rows: _Rows, table: Any, name: str, choose: Choose) -> int:
    schema = table.schema_arrow
    column = bytes_column(schema)
    if column is None:
        raise SourceError(
            f"{name} has no column of bytes; its columns: {', '.join(schema.names)}.",
            "Shards in Parquet have a column of files' bytes, as `image`, and one of labels.",
        )
    label, split, group = choose([one for one in schema.names if one != column])
    classes = class_names(schema, label)
    wanted = [one for one in (label, split, group) if one]
    paths = f"{column}.path" in {f"{column}.{f}" for f in _fields(schema.field(column).type)}
    kept = table.read(columns=[*wanted, *([f"{column}.path"] if paths else [])])
    cells = {one: kept.column(one).to_pylist() for one in wanted}
    found = kept.column(column).to_pylist() if paths else [{}] * kept.num_rows
    for row in range(kept.num_rows):
        told = cells[label][row]
        word = classes[told] if classes and isinstance(told, int) and told >= 0 else _word(told)
        part = part_of(_word(cells[split][row])) if split else part_of(name)
        own = (found[row] or {}).get("path") or ""
        title = f"{name}[{row}]" + (f" {own}" if own else "")
        rows.add(title, (row, 0), word, part, _word(cells[group][row]) if group else "")
    return int(kept.num_rows)


def _fields(kind: Any) -> list[str]:
    return [kind.field(i).name for i in range(getattr(kind, "num_fields", 0))]


def _kind_of(table: Any, name: str) -> str | None:
    """Return the kind that a file's name tells, else the column's."""
    ending = f".{name.rpartition('.')[2].lower()}"
    told = next((kind for kind, ends in SUFFIXES.items() if ending in ends), None)
    column = bytes_column(table.schema_arrow) or ""
    return told or ("sound" if column in ("audio", "sound", "wav") else None)
