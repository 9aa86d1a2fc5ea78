"""Tables whose rows are the examples themselves -> `Draft`: CSV, Parquet, data frames, arrays."""

from __future__ import annotations

import csv
import hashlib
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quickstudy.catalog.draft import Asked, Draft, listed, suggest, word
from quickstudy.catalog.kind import kind_of
from quickstudy.catalog.tables import (
    LABEL_WORDS,
    PATH_WORDS,
    Table,
    draft_of,
    given_parts,
    guess,
    is_frame,
    labels_in,
    labels_of,
    open_table,
    table_of_frame,
    unreadable,
)
from quickstudy.errors import ChoiceError, SourceError
from quickstudy.kinds.table.decode import DECIMAL, MARKERS, commas_of, is_missing, number

_NO_CLASS = MARKERS - {"none", "nil", "-", "--"}
_LOOKED_AT = 50  # cells of a column that may hold paths


def scan_opened(
    table: Table, base: Path, source: str, asked: Asked, *, inside: bool = False
) -> Draft:
    """Return what the rows of a table are: the examples themselves, or names of their files."""
    if holds_rows(table, asked):
        return draft_of_rows(table, source, asked)
    return draft_of(table, base, source, asked, inside=inside)


def holds_rows(table: Table, asked: Asked) -> bool:
    """Whether the rows of a table are the examples; else they name files."""
    if asked.kind is not None or asked.columns.path is not None or not asked.labelled:
        return asked.kind == "table"
    path = guess(table.columns, PATH_WORDS)
    if path is None:
        return True
    (cells,) = table.take([path])
    return not any(_is_file(cell) for cell in cells[:_LOOKED_AT])


def _is_file(cell: Any) -> bool:
    """Whether a cell names an example, or holds it."""
    return isinstance(cell, (bytes, Mapping, os.PathLike)) or kind_of(str(cell)) is not None


def draft_of_rows(table: Table, source: str, asked: Asked) -> Draft:
    """Return the rows of a table; the columns of the label, split and group are not learnt from.

    Raises `SourceError` for a column that is not there, or where the one to learn is not plain.
    """
    use = asked.columns
    targets = _targets(table, source, asked)
    may = [name for name in table.columns if name not in asked.known and asked.guessing]
    split = use.split or guess(may, ("split",))
    group = use.group or guess(may, ("group",))
    needed = [name for name, wanted in asked.known.items() if wanted]
    asked_of = [name for name in (*targets, use.split, use.group, *needed) if name]
    if lost := [name for name in asked_of if name not in table.columns]:
        what = f"column {lost[0]!r}" if len(lost) == 1 else f"columns {listed(map(repr, lost))}"
        raise SourceError(
            f"{source} has no {what}.",
            suggest(lost[0], table.columns, f"Its columns: {listed(table.columns, 30)}."),
        )
    told = {*targets, split, group}
    features = tuple(asked.known or (name for name in table.columns if name not in told))
    if not features:
        raise SourceError(f"{source} has no column to learn from.", "Add one beside the target.")
    wanted = [*features, *targets, *filter(None, (split, group))]
    there = [name for name in wanted if name in table.columns]
    values = _taken(table, there, source)
    notes = [*table.odd, *_settle_targets(values, targets)]
    count = len(values[there[0]])
    cells = [values.get(name, [None] * count) for name in features]
    return Draft(
        source=source,
        read=lambda row: tuple(column[row] for column in cells),
        stamp=_digest(features, cells),
        names=[f"row {row}" for row in range(count)],
        labels=labels_of([values[name] for name in targets], count),
        given=given_parts(values[split], source, split) if split else [],
        groups=[word(value) for value in values[group]] if group else [],
        kind="table",
        task=None,
        label_names=targets,
        columns=features,
        notes=notes,
    )


def _taken(table: Table, names: Sequence[str], source: str) -> dict[str, Sequence[Any]]:
    """Return columns by name; raises `SourceError` for two of one name, and where no row is."""
    if twice := [name for name in dict.fromkeys(names) if table.columns.count(name) > 1]:
        raise SourceError(
            f"{source} has more than one column named {listed(map(repr, twice))}.",
            "Rename one, or take it away.",
        )
    try:
        values = dict(zip(names, table.take(names), strict=True))
    except (OSError, ValueError, csv.Error) as error:
        raise unreadable(source, error) from error
    if not len(values[names[0]]):
        raise SourceError(f"There are no examples in {source}: it has no rows.", "Add some.")
    return values


def _settle_targets(values: dict[str, Sequence[Any]], targets: Sequence[str]) -> list[str]:
    """Write what is to be learnt plainly: nothing where it is missing, numbers with a point.

    Among words only what can be no class counts as missing: ``none`` may be one.
    """
    notes = []
    for name in targets:
        texts = [cell for cell in values[name] if isinstance(cell, str) and not is_missing(cell)]
        commas = commas_of(texts)
        numbers = bool(texts) and not any(math.isnan(number(text, commas)) for text in texts)

        def plain(cell: Any, commas: str = commas, numbers: bool = numbers) -> Any:
            if not isinstance(cell, str):
                return cell
            if is_missing(cell) and (numbers or cell.strip().lower() in _NO_CLASS):
                return None
            return repr(number(cell, commas)) if numbers and commas else cell

        values[name] = [plain(cell) for cell in values[name]]
        if numbers and commas:
            said = "read as decimal points" if commas == DECIMAL else "left out"
            notes.append(f"The commas in the numbers of {name!r} are {said}.")
    return notes


def _targets(table: Table, source: str, asked: Asked) -> tuple[str, ...]:
    if not asked.targeted:
        return ()
    if asked.columns.label is not None:
        return labels_in(asked.columns.label, table.columns)
    found = guess([name for name in table.columns if name not in asked.known], LABEL_WORDS)
    if found is None:
        raise SourceError(
            f"{source} has no column that is plainly the one to learn; "
            f"its columns: {listed(table.columns, 30)}.",
            "Name it: --target COLUMN (where rows name files: --path-column, --label-column).",
        )
    return (found,)


def _digest(names: Sequence[str], columns: Sequence[Sequence[Any]]) -> bytes:
    total = hashlib.blake2b("\0".join(names).encode("utf-8", "surrogatepass"), digest_size=16)
    for column in columns:
        for start in range(0, len(column), 4096):
            total.update(repr(list(column[start : start + 4096])).encode("utf-8", "surrogatepass"))
    return total.digest()


def rows_of(source: Any, known: Mapping[str, bool]) -> list[tuple[Any, ...]]:
    """Return the rows of a table's file, a frame or an array, their cells in the order `known`.

    `known` are the columns of a model, and whether it needs them. A mapping is one row, a list of
    mappings so many; a cell that one lacks is missing. Raises `SourceError` for a column that is
    not there.
    """
    if isinstance(source, Mapping):
        return rows_of([source], known)
    if isinstance(source, list) and all(isinstance(row, Mapping) for row in source):
        source = [{str(name): cell for name, cell in row.items()} for row in source]
        for name in sorted({name for row in source for name in row if name not in known})[:1]:
            raise SourceError(
                f"The model learnt from no column {name!r}.",
                suggest(name, known, f"Its columns: {listed(known, 30)}."),
            )
        return [tuple(row.get(name) for name in known) for row in source]
    if isinstance(source, (str, os.PathLike)):
        text = os.fspath(source)
        table, said = open_table(Path(text).expanduser(), text), text
    elif is_frame(source):
        table, said = table_of_frame(source), "the data frame"
    else:
        table, said = _table_of_cells(np.asarray(source), tuple(known)), "the array"
    draft = draft_of_rows(table, said, Asked(kind="table", targeted=False, known=known))
    return [draft.read(row) for row in range(len(draft.names))]  # type: ignore[misc]


def _table_of_cells(cells: NDArray[Any], known: tuple[str, ...]) -> Table:
    """Return an array ``N F``, or one row ``F``, whose columns are in the order `known`."""
    cells = cells[None] if cells.ndim == 1 else cells
    if cells.ndim != 2 or cells.shape[1] != len(known):
        raise SourceError(
            f"The rows have shape {cells.shape[1:]}; the model takes {len(known)} columns.",
            f"Give them in this order: {listed(known, 30)}.",
        )
    return Table(known, lambda names: [cells[:, known.index(name)].tolist() for name in names])


def table_of_arrays(x: Any, y: Any) -> tuple[Table, tuple[str, ...], bool]:
    """Return features ``N F`` (an array or a frame) and targets ``N`` or ``N K`` as one table.

    The second is the names of its target columns, the third whether these are the user's own: else
    they are ``y``, or ``y0``, ``y1``, with as many ``_`` as keep them apart from the features.
    Raises `SourceError` where the shapes differ, `ChoiceError` for a name in both.
    """
    columns = _named(x, "x")
    targets = _named(y, letter := "y")
    named = is_frame(y) or getattr(y, "name", None) is not None
    while not named and set(columns) & set(targets):
        targets = _named(y, letter := f"{letter}_")
    if len(x) != len(y):
        raise SourceError(
            f"There are {len(x):,} rows but {len(y):,} labels.", "Give one label for each row."
        )
    clash = sorted(set(columns) & set(targets))
    if clash:
        raise ChoiceError(
            f"The column '{clash[0]}' is both learnt from and to be learnt.", "Rename one of them."
        )
    both: dict[str, Sequence[Any]] = {**columns, **targets}
    return Table(tuple(both), lambda wanted: [both[name] for name in wanted]), tuple(targets), named


def _named(values: Any, letter: str) -> Mapping[str, Sequence[Any]]:
    """Return columns by name; those of an array are ``x0``, ``x1``; a single one is ``y``."""
    if is_frame(values):
        frame = table_of_frame(values)
        return dict(zip(frame.columns, frame.take(frame.columns), strict=True))
    name = getattr(values, "name", None)
    array = np.asarray(values)
    if array.ndim == 1:
        return {str(name) if name is not None else letter: array.tolist()}
    return {f"{letter}{number}": array[:, number].tolist() for number in range(array.shape[1])}
