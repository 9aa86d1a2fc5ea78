"""Whatever holds labelled examples -> `Catalog`: folder, table, archive, shards, arrays, ..."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from quickstudy.catalog.archives import is_archive, scan_archive
from quickstudy.catalog.datasets import scan_torch
from quickstudy.catalog.draft import Asked, Columns, Draft, suggest
from quickstudy.catalog.finishing import FEWEST, finish
from quickstudy.catalog.folders import scan_folder
from quickstudy.catalog.hub import scan_hub, scan_hub_parts
from quickstudy.catalog.memory import scan_arrays, scan_pairs
from quickstudy.catalog.merging import merge, part
from quickstudy.catalog.naming import Suggested, catalog_suggested, suggested
from quickstudy.catalog.patterns import apply, names_of, no_names
from quickstudy.catalog.rows import draft_of_rows, rows_of, scan_opened, table_of_arrays
from quickstudy.catalog.shards import is_shards, scan_shards
from quickstudy.catalog.tables import column_names, is_frame, open_table, table_of_frame
from quickstudy.catalog.types import FREE, PARTS, TEST, TRAIN, VAL, Catalog, LeftOut, Raw, Shards
from quickstudy.errors import ChoiceError, SourceError
from quickstudy.kinds import NOUNS, TABLES

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
    "Shards",
    "Suggested",
    "catalog_suggested",
    "column_names",
    "merge",
    "part",
    "rows_of",
    "scan",
    "suggested",
]

_SOURCES = (
    "Give a folder with a folder per class, a CSV, TSV or Parquet table, a .zip or .tar, shards, "
    "a list of (path, label), arrays (X, y), a data frame, or a Hugging Face or torch data set."
)


def scan(
    source: Any,
    *,
    path_column: str | None = None,
    label_column: str | int | None = None,
    split_column: str | int | None = None,
    group_column: str | int | None = None,
    label_from: str | None = None,
    target: str | int | Sequence[str | int] | None = None,
    group_from: str | None = None,
    kind: str | None = None,
    task: str | None = None,
    cache: Path,
    learnable: bool = True,
    targeted: bool = True,
    outputs: Sequence[str] = (),
    known: Mapping[str, bool] | None = None,
) -> Catalog:
    """Return the catalog of whatever holds labelled examples; nothing is decoded.

    The columns are those of a table, a frame or a data set: guessed where not named. `label_from`
    is a pattern of file names, such as ``{digit}_{speaker}_{n}`` (see `patterns.pattern`), whose
    field `target` is the label, in place of a folder or a column; `group_from` is one with a field
    ``{group}``. Without a pattern `target` names the column of a table, or several. A table whose
    rows name no files holds the examples itself. The `kind` is the commonest where not given;
    examples of another are left out by name. What is asked, the `task`, is found out from the
    labels where not given. Archives are extracted into ``cache/archives``. With `learnable` false
    (a source that is only tested on, by a model with these `outputs` that learnt from the columns
    `known`) a single class and small classes are no faults; with `targeted` false a table need not
    tell what is true. Raises `SourceError`;
    `ChoiceError` for a column, a pattern or a kind that does not fit; `MissingExtra` for Parquet
    without pyarrow.
    """
    path, split, group = map(_text, (path_column, split_column, group_column))
    target, label = column_names(target), column_names(label_column)
    field, column = (",".join(x) if isinstance(x, tuple) else x for x in (target, label))
    names = names_of(label_from, field, group_from, label_column=column, group_column=group)
    if kind is not None and kind not in NOUNS:
        raise ChoiceError(
            f"There is no kind '{kind}'.", suggest(kind, NOUNS, f"Kinds: {', '.join(NOUNS)}.")
        )
    if target is not None and label_from is None:
        if label is not None:
            raise ChoiceError(
                f"Both '{field}' and '{column}' are to be learnt.",
                "Give either --target or --label-column.",
            )
        label = target
    columns = Columns(path, label, split, group)
    labelled = names is None or names.label is None
    asked = Asked(
        columns, kind, labelled, named=names is not None, targeted=targeted, known=known or {}
    )
    if kind != "table" and is_shards(source):
        return scan_shards(source, asked, names, cache, (learnable, task, outputs))
    named = isinstance(source, (str, os.PathLike))
    draft = _scan_path(source, asked, cache) if named else _scan_object(source, asked)
    if names is not None:
        apply(names, draft)
    return finish(draft, learnable=learnable, task=task, outputs=outputs)


def _scan_path(source: str | os.PathLike[str], asked: Asked, cache: Path) -> Draft:
    text = os.fspath(source)
    path = Path(text).expanduser()
    try:
        is_folder, is_there = path.is_dir(), path.exists()
    except OSError as error:  # no permission on the way there, or a name too long
        reason = error.strerror or str(error)
        raise SourceError(f"{text} cannot be read: {reason}.", "Check the name.") from error
    if is_folder:
        _no_columns(asked.columns, text)
        return scan_folder(path, text, asked)
    if not is_there:
        raise _not_there(path, text)
    if not os.access(path, os.R_OK):
        raise SourceError(f"{text} cannot be read: no permission.", "Change its permissions.")
    if is_archive(path):
        return scan_archive(path, text, asked, cache)
    if path.suffix.lower() in TABLES:
        return scan_opened(open_table(path, text), path.parent, text, asked)
    raise SourceError(f"{text} is neither a folder nor a table nor an archive.", _SOURCES)


def _scan_object(source: Any, asked: Asked) -> Draft:
    """Choose the reader by what the object can do, so that no library need be imported."""
    is_arrays = isinstance(source, tuple) and len(source) == 2 and hasattr(source[0], "ndim")
    is_list = isinstance(source, (list, tuple)) and not is_arrays
    if asked.named and not is_frame(source) and not is_list:
        raise no_names(f"a {type(source).__name__}")  # before a data set decodes for its labels
    if isinstance(source, Mapping) and all(hasattr(part, "features") for part in source.values()):
        return scan_hub_parts(source, asked)
    if is_frame(source):
        return scan_opened(table_of_frame(source), Path(), "the data frame", asked)
    if hasattr(source, "features") and hasattr(source, "column_names"):
        return scan_hub(source, asked)
    if is_arrays and (asked.kind == "table" or (asked.kind is None and source[0].ndim == 2)):
        table, targets, named = table_of_arrays(source[0], source[1])
        asked = replace(asked, columns=replace(asked.columns, label=targets), guessing=False)
        return replace(draft_of_rows(table, "the arrays", asked), named=named)
    _no_columns(asked.columns, f"a {type(source).__name__}")
    if is_arrays:
        return scan_arrays(source[0], source[1], asked)
    if is_list:
        return scan_pairs(source, asked)
    is_lone_array = hasattr(source, "ndim") or isinstance(source, Mapping)
    if not is_lone_array and hasattr(source, "__len__") and hasattr(source, "__getitem__"):
        return scan_torch(source, asked)
    raise SourceError(f"A {type(source).__name__} is no source of labelled examples.", _SOURCES)


def _text(name: str | int | None) -> str | None:
    return None if name is None else str(name)


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
