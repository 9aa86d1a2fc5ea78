"""The examples that a run's folder names, decoded as its model takes them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quickstudy.errors import ExampleError
from quickstudy.kinds import Preparation

#: In a run's folder: which examples there were, and those that are no files.
NAMES, DECODED = "examples.csv", "examples.npz"
_HEAD = ["name", "path", "label", "part"]


@dataclass(frozen=True)
class Example:
    """One line of what a run learnt from, steered by or tested on."""

    name: str
    path: str
    """Where it was, if it was a file."""
    label: str
    """What is true of it, as text; several joined by ``;``."""
    place: int
    cells: tuple[tuple[str, str], ...]
    """Of a row: columns and what they say."""


def examples_in(run: Path, part: str) -> list[Example]:
    """Return the examples of a run's ``train``, ``val`` or ``test``; none where no file says so."""
    file = run / NAMES
    if not file.is_file():
        return []
    lines = csv.reader(io.StringIO(file.read_text(encoding="utf-8", errors="surrogateescape")))
    head = next(lines, [])
    if head[:4] != _HEAD:
        return []
    return [
        Example(line[0], line[1], line[2], place, tuple(zip(head[4:], line[4:], strict=False)))
        for place, line in enumerate(lines)
        if len(line) >= 4 and line[3] == part
    ]


def decoded(
    run: Path, how: Preparation, examples: Sequence[Example]
) -> Iterator[NDArray[Any] | None]:
    """Yield each example decoded, nothing for one that cannot be read any more."""
    if how.kind == "table":
        yield from (_row(how, one) for one in examples)
        return
    memory = _in_memory(run)
    for one in examples:
        if one.path:
            try:
                yield how.values(Path(one.path))
            except ExampleError:
                yield None
        elif memory is not None:
            kept, ends = memory
            yield kept[ends[one.place] : ends[one.place + 1]]
        else:
            yield None


def _in_memory(run: Path) -> tuple[NDArray[Any], NDArray[np.int64]] | None:
    file = run / DECODED
    if not file.is_file():
        return None
    with np.load(file, allow_pickle=False) as kept:
        ends = np.concatenate([[0], np.cumsum(kept["counts"])])
        return kept["examples"], ends.astype(np.int64)


def _row(how: Preparation, one: Example) -> NDArray[np.float32] | None:
    """Return a row ``1 F`` of the cells that were kept in plain text."""
    cells = [text for _, text in one.cells]
    values: list[float] = []
    for column in how.columns:
        for _ in column.features:
            if not cells:
                return None
            text = cells.pop(0)
            if not text:
                values.append(np.nan)
            elif column.type == "number":
                values += column.encode(float(text))
            elif column.type == "category":
                values += column.encode(text)
            else:
                values.append(float(text))
    return np.array([values], np.float32)
