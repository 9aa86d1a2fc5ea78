"""How long calls take, asked in turn: what else the machine does then slows all of them alike."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from quickstudy.hardware import usable_cores

_BUSY = 0.5  # of the usable cores, by others


@dataclass(frozen=True)
class Timed:
    """Milliseconds a call."""

    median: float
    least: float
    rounds: int


def interleaved(
    calls: Mapping[str, Callable[[], object]], rounds: int, *, seconds: float = 0.0
) -> dict[str, Timed]:
    """Return how long each takes: A B A B, after one call each that is not counted.

    At least `rounds` of each, and for `seconds` altogether where that is longer, to ten times as
    many.
    """
    for call in calls.values():
        call()
    took: dict[str, list[float]] = {name: [] for name in calls}
    began, done = time.perf_counter(), 0
    while done < rounds or (done < 10 * rounds and time.perf_counter() - began < seconds):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            took[name].append(1000 * (time.perf_counter() - start))
        done += 1
    return {
        name: Timed(statistics.median(each), min(each), len(each)) for name, each in took.items()
    }


def busy() -> str:
    """Return a warning where others use much of this machine; nothing where not, or unknown."""
    try:
        load = os.getloadavg()[0]
    except (AttributeError, OSError):  # Windows
        return ""
    cores = usable_cores()
    if load <= _BUSY * cores:
        return ""
    return f"this machine is busy (load {load:.1f} on {cores} cores): trust ratios, not digits"
