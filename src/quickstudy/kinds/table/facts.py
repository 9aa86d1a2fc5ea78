"""What planning needs to know of a table: what its columns hold, and how much of it is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from quickstudy.kinds.table.columns import Column, typed
from quickstudy.kinds.table.decode import is_missing, number

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
        found = []
        for column in self.columns:
            if column.type == "left out":
                found.append(f"Column {column.name!r} is left out: {column.why}.")
                continue
            if column.why:
                found.append(f"Column {column.name!r}: {column.why}.")
            if column.rare:
                found.append(
                    f"Column {column.name!r}: {column.rare:,} words are too rare to be learnt "
                    "and count as one."
                )
        return tuple(found)

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
        }


def summed_up(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> TableFacts:
    """Return the facts of a sample of rows, whose cells are in the order of `names`."""
    cells = list(zip(*rows, strict=True)) if rows else [() for _ in names]
    columns = tuple(typed(name, each) for name, each in zip(names, cells, strict=True))
    empty, count = 0, 0
    sizes: list[float] = []
    for column, each in zip(columns, cells, strict=True):
        if column.type != "left out":
            empty += sum(map(is_missing, each))
            count += len(each)
        if column.type == "number":
            values = np.abs(np.array([number(cell) for cell in each]))
            values = values[values > 0]
            sizes += [float(values.min()), float(values.max())] if len(values) else []
    return TableFacts(
        rows=len(rows),
        columns=columns,
        missing=empty / max(1, count),
        smallest=min(sizes, default=0.0),
        largest=max(sizes, default=0.0),
    )
