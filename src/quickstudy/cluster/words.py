"""What is said of several processes, in plain words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def workers_words(machines: Sequence[str]) -> str:
    """Return who works where; `machines` has the name of each worker's.

    >>> workers_words(["a", "a"])
    '2 workers on one machine'
    >>> workers_words(["a", "a", "b"])
    '3 workers on 2 machines (a: 2, b: 1)'
    """
    counted = Counter(machines)
    many = f"{len(machines)} worker{'s' if len(machines) != 1 else ''}"
    if len(counted) == 1:
        return f"{many} on one machine"
    each = ", ".join(f"{name}: {count}" for name, count in counted.items())
    return f"{many} on {len(counted)} machines ({each})"


def part_words(machines: Sequence[str], batch: int) -> str:
    """Return who shares a batch.

    >>> part_words(["a", "a"], 64)
    '2 workers on one machine learn together: 32 of each 64 examples a worker'
    """
    each = f"{batch / len(machines):.3g}"
    return f"{workers_words(machines)} learn together: {each} of each {batch} examples a worker"


def speed_words(workers: int, times: float) -> str:
    """Return how quick several were beside one of them.

    >>> speed_words(2, 1.834)
    'trained on 2 workers, 1.83 times the examples a second of one'
    """
    return f"trained on {workers} workers, {times:.2f} times the examples a second of one"


def changed_words(before: int, now: int) -> str:
    """Return what has become of the workers since a run was cut short.

    >>> changed_words(2, 1)
    'a worker was lost: 1 of 2 went on from the last checkpoint'
    >>> changed_words(1, 2)
    '2 workers now, where there was 1'
    >>> changed_words(2, 2)
    'a worker was lost and another came: 2 went on from the last checkpoint'
    """
    if now < before:
        lost = "a worker was" if before - now == 1 else f"{before - now} workers were"
        return f"{lost} lost: {now} of {before} went on from the last checkpoint"
    if now == before:
        return f"a worker was lost and another came: {now} went on from the last checkpoint"
    return f"{now} workers now, where there {'was' if before == 1 else 'were'} {before}"
