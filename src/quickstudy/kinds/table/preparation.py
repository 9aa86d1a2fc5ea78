"""How a row of a table becomes what the network takes: numbers as they are, words as codes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from quickstudy.errors import ExampleError, SourceError
from quickstudy.kinds.contract import Piece
from quickstudy.kinds.table.columns import Column
from quickstudy.kinds.table.decode import is_missing
from quickstudy.prediction import Segment

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_NAMED = 3  # cells that a remark names
_STRANGE = {
    "number": "are no numbers, and count as missing",
    "date": "are no dates as those learnt from, and count as missing",
    "category": "hold words that it has not learnt",
}
_EMPTY = "every cell is empty"
_NO_THUMB = np.zeros((16, 16, 3), np.uint8)


@dataclass(frozen=True)
class Preparation:
    """How a row, its cells in the order of `columns`, becomes ``F`` numbers."""

    columns: tuple[Column, ...]
    """All of the table's, those left out as well."""

    kind: ClassVar[str] = "table"
    dtype: ClassVar[str] = "float32"
    passes: ClassVar[int] = 1

    @classmethod
    def of_recipe(cls, recipe: Any, known: Any) -> Preparation:
        """Return what the columns of `known` say: a table's facts, or an earlier preparation.

        Raises `SourceError` where no column says anything.
        """
        columns = tuple(known.columns)
        if not any(column.features for column in columns):
            why = "; ".join(f"{column.name}: {column.why}" for column in columns[:8])
            raise SourceError(
                f"No column of the table can be learnt from ({why}).",
                "Add columns that hold numbers, words that come again, or dates.",
            )
        return cls(columns)

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> Preparation:
        """Return what `as_dict` kept."""
        return cls(tuple(Column.from_dict(column) for column in kept["columns"]))

    def as_dict(self) -> dict[str, Any]:
        """Return what `model.json` keeps."""
        return {"columns": [column.as_dict() for column in self.columns]}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all columns, in the order of a row's cells."""
        return tuple(column.name for column in self.columns)

    @property
    def needed(self) -> tuple[str, ...]:
        """Names of the columns that are learnt from; the cells of the others may be anything."""
        return tuple(column.name for column in self.columns if column.features)

    @property
    def item(self) -> tuple[int, ...]:
        """Shape of a decoded row."""
        return (self.size,)

    @property
    def size(self) -> int:
        """Numbers that a row becomes."""
        return sum(len(column.features) for column in self.columns)

    @property
    def key(self) -> str:
        """What decides the cache's content."""
        text = json.dumps(self.as_dict(), sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def decode(self, raw: Any) -> Piece:
        """Return ``1 F`` float32: NaN where a cell is missing; raises `ExampleError`."""
        if not isinstance(raw, tuple | list | np.ndarray):
            raise ExampleError(f"a {type(raw).__name__} is not a row of cells")
        if len(raw) != len(self.columns):
            raise ExampleError(f"has {len(raw)} cells, not {len(self.columns)}")
        cells = list(zip(self.columns, raw, strict=True))
        values = np.array([[x for column, cell in cells for x in column.encode(cell)]], np.float64)
        if np.isnan(values).all():
            raise ExampleError(_EMPTY)
        faults = [fault for column, cell in cells if (fault := column.fault(cell))]
        return Piece(values.astype(np.float32), _NO_THUMB, _told(faults))

    def values(self, raw: Any) -> NDArray[np.float32]:
        """Return the values of `decode` alone; raises `ExampleError`."""
        return self.decode(raw).values

    def decode_many(self, rows: Sequence[Any]) -> list[Piece | str]:
        """Return `decode` of each row, or why it raises; the same, and much quicker."""
        if not all(isinstance(row, tuple) and len(row) == len(self.columns) for row in rows):
            return [self._decoded_or_why(row) for row in rows]
        cells = list(zip(*rows, strict=True)) or [()] * len(self.columns)
        values = self.decode_all(cells)
        faults: dict[int, list[str]] = {}
        place = 0
        for column, each in zip(self.columns, cells, strict=True):
            if column.type in ("number", "date"):
                for row in np.flatnonzero(np.isnan(values[:, place])).tolist():
                    if fault := column.fault(each[row]):
                        faults.setdefault(row, []).append(fault)
            place += len(column.features)
        empty = np.flatnonzero(np.isnan(values).all(axis=1)).tolist()
        found: list[Piece | str] = [
            Piece(values[row : row + 1], _NO_THUMB, _told(faults.get(row)))
            for row in range(len(rows))
        ]
        for row in empty:
            found[row] = _EMPTY
        return found

    def doubts(self, rows: Sequence[Sequence[Any]]) -> list[str]:
        """Return a sentence for each column most of whose cells say nothing that was learnt."""
        found = []
        for column, cells in zip(self.columns, zip(*rows, strict=True), strict=False):
            present = [cell for cell in cells if not is_missing(cell)]
            if not column.features or (column.gaps and not present):
                continue
            bad = sum(column.is_strange(cell) for cell in present)
            what = _STRANGE[column.type]
            if not present:
                found.append(f"Column {column.name!r} is empty.")
            elif 2 * bad > len(present):
                found.append(f"Column {column.name!r}: {bad:,} of {len(present):,} cells {what}.")
        return found

    def _decoded_or_why(self, row: Any) -> Piece | str:
        try:
            return self.decode(row)
        except ExampleError as problem:
            return problem.message

    def decode_all(self, cells: Sequence[Sequence[Any]]) -> NDArray[np.float32]:
        """Return ``N F`` of whole columns, as `decode` of each row, and much quicker.

        `cells` has the cells of each column, all of one length. A row that is empty is all NaN.
        Raises `ExampleError` where the number of columns differs.
        """
        if len(cells) != len(self.columns):
            raise ExampleError(f"has {len(cells)} columns, not {len(self.columns)}")
        made = [column.encode_all(each) for column, each in zip(self.columns, cells, strict=True)]
        return np.concatenate(made, 1)

    def starts(self, n: int) -> NDArray[np.int64]:
        """Return 0: a row is seen whole."""
        return np.zeros(1, np.int64)

    def view(self, values: NDArray[Any], start: int) -> NDArray[Any]:
        """Return the row ``F``."""
        return np.asarray(values[start])

    def timeline(
        self,
        values: NDArray[Any],
        ask: Callable[[NDArray[Any]], NDArray[np.float32]],
        classes: tuple[str, ...],
    ) -> tuple[Segment, ...]:
        """Return nothing: in a row nothing happens."""
        return ()

    def prepare(self, views: Tensor) -> Tensor:
        """Return rows ``N F`` as float32; the network itself knows what numbers are usual."""
        return views.float()

    def gather(
        self, pieces: Sequence[NDArray[Any]], how: Any, rng: np.random.Generator
    ) -> tuple[Tensor, ...]:
        """Return ``N F``."""
        import torch

        if isinstance(pieces, np.ndarray):  # ``N 1 F``: gathered at once
            return (torch.from_numpy(pieces[:, 0]),)
        return (torch.from_numpy(np.concatenate(pieces)),)

    def vary(
        self, gathered: Sequence[Tensor], size: int, how: Any, generator: torch.Generator
    ) -> Tensor:
        """Return the rows as they are: what may be changed in a row only its makers know."""
        return gathered[0].float()

    def blend(
        self, x: Tensor, target: Tensor, how: Any, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return both as they are: between two words there is nothing."""
        return x, target

    def answer(self, ask: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """Return answers ``N K``."""
        return ask(x)

    def blank(self, n: int, size: int) -> Tensor:
        """Return rows of zeros ``n F``, whatever the `size`."""
        import torch

        return torch.zeros(n, self.size)


def _told(faults: Sequence[str] | None) -> str:
    """Return the remark on a row: its first faults."""
    if not faults:
        return ""
    more = f" and {len(faults) - _NAMED} more" if len(faults) > _NAMED else ""
    return "; ".join(faults[:_NAMED]) + more
