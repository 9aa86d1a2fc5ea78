"""CSV, TSV and Parquet tables and data frames with a path and a label column -> `Draft`."""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quickstudy.catalog.draft import Asked, Columns, Draft, Label, listed, part_of, suggest, word
from quickstudy.catalog.kind import commonest, kind_of, misfit
from quickstudy.catalog.types import FREE, LeftOut
from quickstudy.errors import ChoiceError, MissingExtra, SourceError

_DELIMITERS = (",", ";", "\t", "|")
PATH_WORDS = (
    *("path", "file", "filename", "file_name", "image", "image_path", "imagepath", "img"),
    *("img_path", "filepath", "file_path", "image_file", "image_name", "picture", "photo"),
    *("audio", "audio_path", "audio_file", "sound", "recording", "wav", "wav_path", "clip"),
)
LABEL_WORDS = (
    *("label", "class", "category", "target", "y", "labels", "class_name", "classname"),
    *("label_name", "species", "breed", "tag"),
)
SPLIT_WORDS, GROUP_WORDS = ("split",), ("group",)
_OPTIONS = {"path": "--path-column", "label": "--label-column"}


@dataclass(frozen=True)
class Table:
    """A table not yet read: the names of its columns, and how to get some of them."""

    columns: tuple[str, ...]
    take: Callable[[Sequence[str]], list[Sequence[Any]]]
    """Column names -> their values, one sequence per name, all of one length."""
    odd: list[str] = field(default_factory=list)
    """What `take` met that its reader should say."""


def is_frame(source: Any) -> bool:
    """Whether it is a data frame, of pandas or polars."""
    return hasattr(source, "columns") and (hasattr(source, "iloc") or hasattr(source, "get_column"))


def table_of_frame(frame: Any) -> Table:
    """Return a data frame as a table."""
    names = {str(name): name for name in frame.columns}

    def take(wanted: Sequence[str]) -> list[Sequence[Any]]:
        return [list(frame[names[name]]) for name in wanted]

    return Table(tuple(map(str, frame.columns)), take)


def open_table(path: Path, source: str) -> Table:
    """Return the table in a file after reading its head; raises `SourceError`, `MissingExtra`."""
    try:
        return _parquet(path) if path.suffix.lower() == ".parquet" else _csv(path, source)
    except (OSError, ValueError, csv.Error) as error:
        raise unreadable(source, error) from error


def chosen(table: Table, source: str, columns: Columns, *, labelled: bool = True) -> Columns:
    """Return the columns to use: those named, else those with the usual names.

    Where the table need not be `labelled` there is no label column. Raises `SourceError` if a
    named one is not there or the path or label cannot be guessed.
    """
    labels = labels_in(columns.label, table.columns)
    for name in (columns.path, *labels, columns.split, columns.group):
        if name is not None and name not in table.columns:
            raise SourceError(
                f"{source} has no column {name!r}.",
                suggest(name, table.columns, f"Its columns: {listed(table.columns, 30)}."),
            )
    path = columns.path or guess(table.columns, PATH_WORDS)
    label = columns.label or guess(table.columns, LABEL_WORDS) if labelled else None
    needed = (("path", path), ("label", label))[: 1 + labelled]
    lost = [what for what, name in needed if name is None]
    if lost:
        raise SourceError(
            f"{source} has no column that is plainly the {' or the '.join(lost)}; "
            f"its columns: {listed(table.columns, 30)}.",
            f"Name it: {' '.join(f'{_OPTIONS[what]} NAME' for what in lost)}.",
        )
    split = columns.split or guess(table.columns, ("split",))
    group = columns.group or guess(table.columns, ("group",))
    return Columns(path, label, split, group)


def draft_of(table: Table, base: Path, source: str, asked: Asked, *, inside: bool = False) -> Draft:
    """Return the rows of `table` whose file is there and whose label is not empty.

    Paths are relative to `base`; with `inside`, rows whose path leads out of it are left out
    (tables from archives). Rows are of the kind that most of the file names announce; those of
    another are left out.
    """
    use = chosen(table, source, asked.columns, labelled=asked.labelled)
    named = labels_in(use.label, table.columns)
    wanted = [name for name in (use.path, *named, use.split, use.group) if name is not None]
    try:
        values = dict(zip(wanted, table.take(wanted), strict=True))
    except (OSError, ValueError, csv.Error) as error:
        raise unreadable(source, error) from error
    rows = _Rows(base, inside)
    files = [file_name(value, source, use.path) for value in values[use.path or ""]]
    words = labels_of([values[name] for name in named], len(files))
    kind = asked.kind or commonest(map(kind_of, files))
    names: list[str] = []
    found = Draft(source, lambda row: base / names[row], b"", names, paths=names, kind=kind)
    found.task, found.label_names = None, named
    parts = given_parts(values[use.split], source, use.split) if use.split else None
    groups = [word(value) for value in values[use.group]] if use.group else None
    for row, (name, text) in enumerate(zip(files, words, strict=True)):
        reason = misfit(kind_of(name), kind) or rows.fault(name)
        if reason:
            found.left_out.append(LeftOut(name or f"row {row}", reason))
            continue
        names.append(name)
        found.labels.append(text)
        if parts is not None:
            found.given.append(parts[row])
        if groups is not None:
            found.groups.append(groups[row])
    if not names and rows.missing:
        raise _all_missing(rows, source, use.path, found)
    found.stamp = rows.sums.digest()
    return found


def column_names(label: Any) -> str | tuple[str, ...] | None:
    """Return what a label option names as text: a frame's columns may be called by numbers.

    Raises `ChoiceError` for an empty list.
    """
    if label is None or isinstance(label, str):
        return label
    names = tuple(map(str, label)) if isinstance(label, Iterable) else str(label)
    if not names:
        raise ChoiceError("No column is to be learnt.", "Name one: --target COLUMN.")
    return names


def labels_in(label: str | tuple[str, ...] | None, columns: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that a label option names: one, or several with commas between.

    Raises `ChoiceError` for one that is named twice.
    """
    if label is None:
        return ()
    if isinstance(label, str):
        whole = label in columns
        label = (label,) if whole else tuple(name.strip() for name in label.split(","))
    if twice := [name for name in label if label.count(name) > 1]:
        raise ChoiceError(f"The column {twice[0]!r} is to be learnt twice.", "Name it once.")
    return label


def labels_of(columns: Sequence[Sequence[Any]], count: int) -> list[Label]:
    """Return the label of each of `count` rows: a word, or one word for each of the columns."""
    if not columns:
        return [""] * count
    if len(columns) == 1:
        return [word(value) for value in columns[0]]
    return [tuple(word(value) for value in row) for row in zip(*columns, strict=True)]


def file_name(value: object, source: str, column: str | None) -> str:
    """Return a path cell as text; raises `SourceError` where it holds a file's bytes."""
    if isinstance(value, (str, os.PathLike)):
        return os.fspath(value)
    if isinstance(value, (bytes, dict)):
        raise SourceError(
            f"Column {column!r} of {source} holds the examples themselves, not their paths.",
            "Open it with datasets.load_dataset and give the data set to qs.learn, "
            "or save the examples as files.",
        )
    return word(value)


def given_parts(values: Iterable[object], source: str, column: str) -> list[int]:
    """Return a part for every cell of a split column, `FREE` where it is empty.

    Raises `SourceError` that lists the words which are no part.
    """
    words = [word(value) for value in values]
    parts = {text: part_of(text) if text else FREE for text in dict.fromkeys(words)}
    unknown = [repr(text) for text, part in parts.items() if part is None]
    if unknown:
        raise SourceError(
            f"Column {column!r} of {source} holds words that are no part: {listed(unknown)}.",
            "Write train, val or test, or name another column: --split-column NAME.",
        )
    return [part for text in words if (part := parts[text]) is not None]


class _Rows:
    """Looks each file up, and sums names, sizes and times for the stamp."""

    def __init__(self, base: Path, inside: bool) -> None:
        self.base = base
        self.within = base.resolve() if inside else None
        self.missing = 0
        self.sums = hashlib.blake2b(digest_size=16)

    def fault(self, name: str) -> str:
        """Why the row cannot be used, or the empty string."""
        if not name:
            return "no path"
        if name.startswith(("http://", "https://")):
            return "a web address, not a file on this computer"
        path = self.base / name
        try:
            if self.within and not path.resolve().is_relative_to(self.within):
                return "lies outside the archive"
            status = path.stat()
            if not path.is_file():
                return "not a file"
        except (FileNotFoundError, NotADirectoryError):
            self.missing += 1
            return "no such file"
        except (OSError, ValueError) as error:  # a name too long, a NUL in it, no permission
            return f"cannot be read: {error}"
        self.sums.update(name.encode("utf-8", "surrogatepass"))
        self.sums.update(b"\0%d\0%d\0" % (status.st_size, status.st_mtime_ns))
        return ""


def guess(columns: Sequence[str], words: Sequence[str]) -> str | None:
    """The column with the most usual of the names."""
    known = {name.strip().lower().replace(" ", "_").replace("-", "_"): name for name in columns}
    return next((known[one] for one in words if one in known), None)


def _csv(path: Path, source: str) -> Table:
    header: list[str] = []
    delimiter = _DELIMITERS[0]
    with path.open(encoding="utf-8-sig", newline="") as file:
        for one in _DELIMITERS:
            file.seek(0)
            found = next(csv.reader(file, delimiter=one, skipinitialspace=True), [])
            if len(found) > len(header):
                header, delimiter = found, one
    header = [name.strip() for name in header]
    if not any(header):
        raise SourceError(f"{source} is empty.", "Its first line names the columns: path,label.")
    if header.count("") > 1:  # one is the number that a frame gives its rows
        header = [name or f"column {place}" for place, name in enumerate(header, 1)]
    odd: list[str] = []

    def take(wanted: Sequence[str]) -> list[Sequence[Any]]:
        places = [header.index(name) for name in wanted]
        values: list[list[str]] = [[] for _ in wanted]
        uneven = 0
        with path.open(encoding="utf-8-sig", newline="") as rows:
            reader = csv.reader(rows, delimiter=delimiter, skipinitialspace=True)
            next(reader, None)
            for row in filter(None, reader):
                uneven += len(row) != len(header)
                for column, place in zip(values, places, strict=True):
                    column.append(row[place] if place < len(row) else "")
        if uneven:
            odd[:] = [f"{uneven:,} rows have more or fewer cells than the first line has names."]
        return list(values)

    return Table(tuple(header), take, odd)


def _parquet(path: Path) -> Table:
    try:
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise MissingExtra("Reading Parquet", "tables") from error

    def take(wanted: Sequence[str]) -> list[Sequence[Any]]:
        table = parquet.read_table(path, columns=list(dict.fromkeys(wanted)))
        return [table.column(name).to_pylist() for name in wanted]

    return Table(tuple(parquet.read_schema(path).names), take)


def unreadable(source: str, error: Exception) -> SourceError:
    """Return the error for a table that cannot be read."""
    hint = "Check that it is a whole CSV, TSV or Parquet file."
    if isinstance(error, UnicodeDecodeError):
        hint = "Save it as UTF-8 (in a spreadsheet: CSV UTF-8)."
    return SourceError(f"{source} cannot be read: {' '.join(str(error).split())}.", hint)


def _all_missing(rows: _Rows, source: str, column: str | None, found: Draft) -> SourceError:
    gone = next(one for one in found.left_out if one.reason == "no such file")
    return SourceError(
        f"None of the files in column {column!r} of {source} exists.",
        f"Paths are relative to {rows.base.absolute()}: looked for {rows.base / gone.name}.",
    )
