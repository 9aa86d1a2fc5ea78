"""Read a report dict that may lack any optional key: never raise, never invent."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

#: The version of report.json that this package writes and draws.
SCHEMA = 2

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


def task(report: Report) -> str:
    """Return ``classification`` (also where none is named), ``regression`` or ``multilabel``."""
    found = report.get("task") or part(report, "test").get("task")
    return found if found in ("regression", "multilabel") else "classification"


@dataclass(frozen=True)
class Main:
    """The score that counts, its 95 % interval, and what the constant guess scores."""

    value: float
    interval: tuple[float, float] | None
    guess: float | None


def main(report: Report) -> Main | None:
    """Return accuracy, R2 or mean average precision on the test, whichever the task goes by."""
    test = part(report, "test")
    baseline = part(test, "baseline")
    key = {"regression": "r2", "multilabel": "mean_average_precision"}.get(task(report))
    if key is None:
        value, interval = number(test.get("accuracy")), test.get("interval")
        key = "accuracy"
    else:
        value, interval = number(part(test, key).get("value")), part(test, key).get("interval")
    return None if value is None else Main(value, ends(interval), number(baseline.get(key)))


def tested(report: Report) -> bool:
    """Return whether there is a score on the test, even one that no single number says."""
    return main(report) is not None or bool(part(part(report, "test"), "targets"))


def score_of(found: Report, name: str = "score", old: str = "accuracy") -> float | None:
    """Return a score on val, by its name in schema 1 where it has that one."""
    value = number(found.get(name))
    return number(found.get(old)) if value is None else value


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
