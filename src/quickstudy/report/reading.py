"""Read a report dict that may lack any optional key: never raise, never invent."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

#: The version of report.json that this package writes and draws.
SCHEMA = 1

Report: TypeAlias = Mapping[str, Any]


def part(report: Report, key: str) -> Report:
    """Return the mapping under `key`, or an empty one."""
    found = report.get(key)
    return found if isinstance(found, Mapping) else {}


def rows(report: Report, key: str) -> Sequence[Any]:
    """Return the list under `key`, or an empty one."""
    found = report.get(key)
    return found if isinstance(found, Sequence) and not isinstance(found, str) else ()


def records(report: Report, key: str) -> list[Report]:
    """Return the mappings in the list under `key`."""
    return [row for row in rows(report, key) if isinstance(row, Mapping)]


def number(value: Any) -> float | None:
    """Return a finite number, or None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def ends(value: Any) -> tuple[float, float] | None:
    """Return the two ends of an interval, or None."""
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
        return None
    low, high = number(value[0]), number(value[1])
    return None if low is None or high is None else (low, high)


def scored(report: Report, key: str) -> Report:
    """Return the mapping under `key` if it holds an accuracy, else an empty one."""
    found = part(report, key)
    return found if number(found.get("accuracy")) is not None else {}


def matrix(test: Report) -> list[list[int]]:
    """Return the confusion matrix, rows true and columns predicted; empty when it is not square."""
    found = [[int(number(n) or 0) for n in row] for row in rows(test, "confusion")]
    return found if all(len(row) == len(found) for row in found) else []


def pairs(confusion: Sequence[Sequence[int]]) -> list[tuple[int, int, int]]:
    """Return (times, true, predicted) of every confusion that happened, commonest first."""
    found = [
        (n, true, said)
        for true, row in enumerate(confusion)
        for said, n in enumerate(row)
        if n and true != said
    ]
    return sorted(found, key=lambda pair: (-pair[0], pair[1], pair[2]))
