"""What planning needs to know of a table: what its columns hold, and how much of it is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from quickstudy.kinds.table.columns import Column, typed
from quickstudy.kinds.table.decode import is_missing

_WILD = 1e6  # times larger: the largest number of a table against the smallest


@dataclass(frozen=True)
class TableFacts:
    """What a sample of rows says."""

    rows: int
    """Rows looked at."""
    columns: tuple[Column, ...]
    """All of them, those left out as well, in the order of the rows."""
    missing: float
    """Share of the cells that are empty, in the columns that are learnt from."""
    smallest: float
    """Of all numbers but 0, without their sign; 0 where there are none."""
    largest: float
    """Of all numbers, without their sign."""
    empty: tuple[int, ...] = ()
    """Cells of each column without a value: empty, or not what the column holds."""

    kind: ClassVar[str] = "table"

    @property
    def features(self) -> int:
        """Numbers that a row becomes."""
        return sum(len(column.features) for column in self.columns)

    @property
    def left_out(self) -> tuple[Column, ...]:
        """Columns that are not learnt from; `why` says why."""
        return tuple(column for column in self.columns if column.type == "left out")

    def count(self, type_: str) -> int:
        """Return how many columns are of a type."""
        return sum(column.type == type_ for column in self.columns)

    @property
    def wild(self) -> bool:
        """Whether numbers of very different sizes stand in the table."""
        return self.smallest > 0 and self.largest / self.smallest > _WILD

    def remarks(self) -> tuple[str, ...]:
        """Return a sentence for each column that is left out, and for what is odd about others."""
        return tuple(
            f"Column {column.name!r}{' is left out' if column.type == 'left out' else ''}: {note}."
            for column in self.columns
            if (note := _note(column))
        )

    def sentence(self) -> str:
        """Return what is learnt from in a line: ``5 columns of numbers, 2 of words; 1 left out``.

        With the share of cells that are missing, where any are.
        """
        kinds = (("number", "numbers"), ("category", "words"), ("date", "dates"))
        counts = [(self.count(type_), many) for type_, many in kinds if self.count(type_)]
        parts = [f"{n:,} of {many}" for n, many in counts]
        said = f"Columns: {', '.join(parts) or 'none to learn from'}"
        said += f"; {len(self.left_out):,} left out" if self.left_out else ""
        if self.missing:
            said += f"; {100 * self.missing:.2g} % of the cells are missing"
        return said

    def as_dict(self) -> dict[str, Any]:
        """Return what the report tells."""
        return {
            "numbers": self.count("number"),
            "categories": self.count("category"),
            "dates": self.count("date"),
            "features": self.features,
            "missing": self.missing,
            "smallest": self.smallest,
            "largest": self.largest,
            "left_out": [[column.name, column.why] for column in self.left_out],
            "remarks": list(self.remarks()),
            "columns": [
                {
                    "name": column.name,
                    "type": _TYPES[column.type].format(len(column.words)),
                    "missing": empty,
                    "note": _note(column),
                }
                for column, empty in zip(self.columns, self.empty, strict=True)
            ],
        }


_TYPES = {
    "number": "numbers",
    "category": "one of {:,} words",
    "date": "dates",
    "left out": "left out",
}


def _note(column: Column) -> str:
    rare = f"{column.rare:,} words are too rare to be learnt and count as one"
    rare = rare if column.rare != 1 else "1 word is too rare to be learnt"
    return "; ".join(filter(None, (column.why, rare if column.rare else "")))


def summed_up(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> TableFacts:
    """Return the facts of a sample of rows, whose cells are in the order of `names`."""
    cells = list(zip(*rows, strict=True)) if rows else [() for _ in names]
    columns = tuple(typed(name, each) for name, each in zip(names, cells, strict=True))
    empty: list[int] = []
    sizes: list[float] = []
    for column, each in zip(columns, cells, strict=True):
        if column.type == "left out":
            empty.append(sum(map(is_missing, each)))
            continue
        values = column.encode_all(each)[:, 0].astype(np.float64)
        empty.append(int(np.isnan(values).sum()))
        if column.type == "number":
            values = np.abs(values * column.unit + column.origin)
            values = values[values > 0]
            sizes += [float(values.min()), float(values.max())] if len(values) else []
    learnt = [n for n, column in zip(empty, columns, strict=True) if column.features]
    return TableFacts(
        rows=len(rows),
        columns=columns,
        missing=sum(learnt) / max(1, len(rows) * len(learnt)),
        smallest=min(sizes, default=0.0),
        largest=max(sizes, default=0.0),
        empty=tuple(empty),
    )
