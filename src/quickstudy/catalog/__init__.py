"""Whatever holds labelled examples -> `Catalog`: folder, table, archive, arrays, data set."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quickstudy.catalog.archives import is_archive, scan_archive
from quickstudy.catalog.datasets import scan_hub, scan_hub_parts, scan_torch
from quickstudy.catalog.draft import FEWEST, Columns, Draft, finish, suggest
from quickstudy.catalog.folders import scan_folder
from quickstudy.catalog.memory import scan_arrays, scan_pairs
from quickstudy.catalog.merging import merge, part
from quickstudy.catalog.tables import SUFFIXES as TABLE_SUFFIXES
from quickstudy.catalog.tables import scan_frame, scan_table
from quickstudy.catalog.types import FREE, PARTS, TEST, TRAIN, VAL, Catalog, LeftOut, Raw
from quickstudy.errors import ChoiceError, SourceError

__all__ = [
    "FEWEST",
    "FREE",
    "PARTS",
    "TEST",
    "TRAIN",
    "VAL",
    "Catalog",
    "LeftOut",
    "Raw",
    "merge",
    "part",
    "scan",
]

_SOURCES = (
    "Give a folder with a folder per class, a CSV, TSV or Parquet table, a .zip or .tar, "
    "a list of (path, label), arrays (X, y), a data frame, or a Hugging Face or torch data set."
)


def scan(
    source: Any,
    *,
    path_column: str | None = None,
    label_column: str | None = None,
    split_column: str | None = None,
    group_column: str | None = None,
    cache: Path,
    learnable: bool = True,
) -> Catalog:
    """Return the catalog of whatever holds labelled pictures; nothing is decoded.

    The columns are those of a table, a frame or a data set: guessed where not named. Archives are
    extracted into ``cache/archives``. With `learnable` false (a source that is only tested on) a
    single class and small classes are no faults. Raises `SourceError`; `ChoiceError` for a column
    of a source that has none; `MissingExtra` for Parquet without pyarrow.
    """
    columns = Columns(path_column, label_column, split_column, group_column)
    if isinstance(source, (str, os.PathLike)):
        return finish(_scan_path(source, columns, cache), learnable=learnable)
    return finish(_scan_object(source, columns), learnable=learnable)


def _scan_path(source: str | os.PathLike[str], columns: Columns, cache: Path) -> Draft:
    text = os.fspath(source)
    path = Path(text).expanduser()
    try:
        is_folder, is_there = path.is_dir(), path.exists()
    except OSError as error:  # no permission on the way there, or a name too long
        reason = error.strerror or str(error)
        raise SourceError(f"{text} cannot be read: {reason}.", "Check the name.") from error
    if is_folder:
        _no_columns(columns, text)
        return scan_folder(path, text)
    if not is_there:
        raise _not_there(path, text)
    if not os.access(path, os.R_OK):
        raise SourceError(f"{text} cannot be read: no permission.", "Change its permissions.")
    if is_archive(path):
        return scan_archive(path, text, columns, cache)
    if path.suffix.lower() in TABLE_SUFFIXES:
        return scan_table(path, text, columns)
    raise SourceError(f"{text} is neither a folder nor a table nor an archive.", _SOURCES)


def _scan_object(source: Any, columns: Columns) -> Draft:
    """Choose the reader by what the object can do, so that no library need be imported."""
    if isinstance(source, Mapping) and all(hasattr(part, "features") for part in source.values()):
        return scan_hub_parts(source, columns)
    if hasattr(source, "columns") and hasattr(source, "iloc"):
        return scan_frame(source, columns)
    if hasattr(source, "features") and hasattr(source, "column_names"):
        return scan_hub(source, columns)
    _no_columns(columns, f"a {type(source).__name__}")
    if isinstance(source, tuple) and len(source) == 2 and hasattr(source[0], "ndim"):
        return scan_arrays(*source)
    if isinstance(source, (list, tuple)):
        return scan_pairs(source)
    is_lone_array = hasattr(source, "ndim") or isinstance(source, Mapping)
    if not is_lone_array and hasattr(source, "__len__") and hasattr(source, "__getitem__"):
        return scan_torch(source)
    raise SourceError(f"A {type(source).__name__} is no source of labelled examples.", _SOURCES)


def _no_columns(columns: Columns, source: str) -> None:
    if columns.named():
        raise ChoiceError(
            f"{source} has no columns to choose from.",
            "Columns are those of a table, a frame or a data set; leave the options out.",
        )


def _not_there(path: Path, text: str) -> SourceError:
    """Say so, with the nearest name beside it."""
    try:
        beside = [one.name for one in path.parent.iterdir()]
    except OSError:
        beside = []
    hint = suggest(path.name, beside, f"Looked in {path.parent.absolute()}.")
    return SourceError(f"{text} does not exist.", hint)
