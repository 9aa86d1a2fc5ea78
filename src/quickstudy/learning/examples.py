"""Which examples a run learnt from, kept in its folder: what a script needs to repeat it."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from quickstudy.catalog import Catalog
from quickstudy.catalog.types import PARTS
from quickstudy.decoding import Decoded
from quickstudy.folders import disk_errors, write_whole
from quickstudy.kinds.table.columns import Column
from quickstudy.kinds.table.decode import is_missing, number, word
from quickstudy.splitting import Split

NAME, DECODED = "examples.csv", "examples.npz"
#: Bytes of examples from memory that are kept beside a run at most.
MOST_KEPT = 2**26
#: Cells of a table that are kept at most; a million take some 2 s.
MOST_CELLS = 2**20
TOLD = ("name", "path", "label", "part")
LEFT_OUT = "left out"


def keep_examples(
    folder: Path,
    catalog: Catalog,
    decoded: Decoded,
    parts: Split,
    left_out: Collection[int] = (),
) -> None:
    """Write name, path, label and part of every example that can be used.

    The part of the rows `left_out` of `decoded`, which were not learnt from, is ``left out``.

    Examples that are no files have no path; they are kept as they were decoded where they are
    `MOST_KEPT` bytes at most. Of the rows of a table the cells learnt from follow in plain text,
    where they are `MOST_CELLS` at most; of a date the numbers that it becomes. Raises `RunError` on
    a full disk.
    """
    text = io.StringIO(newline="")
    out = csv.writer(text, lineterminator="\n")
    columns = _kept_columns(decoded) if catalog.kind == "table" else ()
    out.writerow((*TOLD, *headings([name for _, column in columns for name in column.features])))
    files = bool(len(decoded)) and isinstance(catalog.read(int(decoded.kept[0])), Path)
    every = files
    sides = [PARTS[side] for side in parts.part.tolist()]
    for place in left_out:
        sides[place] = LEFT_OUT
    for row, side in zip(decoded.kept.tolist(), sides, strict=True):
        raw = catalog.read(row) if files else None  # a data set would decode its own
        path = str(raw.absolute()) if isinstance(raw, Path) else ""
        every = every and bool(path)
        cells: Any = catalog.read(row) if columns else ()
        plain = [text for place, column in columns for text in _plain(column, cells[place])]
        out.writerow((catalog.names[row], path, _told(catalog, row), side, *plain))
    write_whole(folder / NAME, text.getvalue())
    if not every and catalog.kind != "table":
        _keep_decoded(folder, decoded)


def headings(names: Sequence[str]) -> list[str]:
    """Return what columns of a table are called beside those in `TOLD`.

    >>> headings(["size", "label"])
    ['size', 'label (column)']
    """
    found: list[str] = []
    for name in names:
        while name in (*TOLD, *found):
            name += " (column)"
        found.append(name)
    return found


def _kept_columns(decoded: Decoded) -> tuple[tuple[int, Column], ...]:
    """Return the columns learnt from with their places in a row, none where the cells are many."""
    columns: Sequence[Column] = decoded.how.columns
    found = tuple((place, one) for place, one in enumerate(columns) if one.features)
    return found if len(found) * len(decoded) <= MOST_CELLS else ()


def _plain(column: Column, cell: Any) -> list[str]:
    """Return a cell as its column reads it: a number, a word, a date's numbers; '' if missing."""
    if column.type == "date":
        return ["" if math.isnan(value) else f"{value:.12g}" for value in column.encode(cell)]
    if is_missing(cell):
        return [""]
    if column.type == "category":
        return [word(cell)]
    value = number(cell, column.form)
    return ["" if math.isnan(value) else repr(value)]


def _told(catalog: Catalog, row: int) -> str:
    """Return what is true of an example: its class, its labels, or its numbers, as `a;b`."""
    if catalog.values is None:
        return str(catalog.classes[catalog.labels[row]])
    values = catalog.values[row].tolist()
    if catalog.task == "regression":
        return ";".join(f"{value:.17g}" for value in values)
    return ";".join(name for name, there in zip(catalog.classes, values, strict=True) if there)


def _keep_decoded(folder: Path, decoded: Decoded) -> None:
    pieces = [decoded.piece(row) for row in range(len(decoded))]
    if sum(piece.nbytes for piece in pieces) > MOST_KEPT:
        return
    with disk_errors("the run's examples"), (folder / DECODED).open("wb") as file:
        np.savez(file, examples=np.concatenate(pieces), counts=decoded.counts)
