"""Examples as they are given -> decoded, reading ahead on all cores."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quickstudy.errors import ExampleError
from quickstudy.hardware import readers, usable_cores
from quickstudy.kinds import Preparation

_AHEAD = 1  # examples a core that are read ahead

#: The name of an example, and its values or the reason why not.
Read = tuple[str, NDArray[Any] | str]


def read(how: Preparation, what: Sequence[Any], batch: int) -> Iterator[Read]:
    """Yield name and decoded values of each, or the reason why not; rows `batch` at a time."""
    if how.kind == "table":
        yield from _rows(how, what, batch)
        return
    if len(what) == 1:  # threads would take longer to begin than most files do
        yield _named(what[0]), _open(how, what[0])
        return
    ahead: deque[Future[NDArray[Any] | str]] = deque()
    cores = usable_cores()
    with readers(cores) as pool:
        for number in range(len(what) + _AHEAD * cores):
            if number < len(what):
                ahead.append(pool.submit(_open, how, what[number]))
            if (done := number - _AHEAD * cores) >= 0:
                yield _named(what[done]), ahead.popleft().result()


def _named(one: Any) -> str:
    return str(one) if isinstance(one, str | Path) else type(one).__name__


def _rows(how: Any, rows: Sequence[Any], batch: int) -> Iterator[Read]:
    for start in range(0, len(rows), batch):
        part = rows[start : start + batch]
        for number, piece in enumerate(how.decode_many(part), start):
            yield f"row {number}", piece if isinstance(piece, str) else piece.values


def _open(how: Preparation, one: Any) -> NDArray[Any] | str:
    raw = Path(one) if isinstance(one, str) else one
    try:
        return how.values(raw)
    except ExampleError as problem:
        return problem.message


def is_samples(what: Sequence[Any]) -> bool:
    """Whether it is one example of sound in memory: ``(samples, rate)``."""
    return len(what) == 2 and isinstance(what[0], np.ndarray) and isinstance(what[1], Real)
