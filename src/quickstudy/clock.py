"""The budget's clock, and the two ways to stop early: time and Ctrl-C."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType


@dataclass
class Clock:
    """Wall-clock of one run, in seconds; `before` was spent before a kill and counts."""

    budget: float
    before: float = 0.0
    began: float = field(default_factory=time.perf_counter)
    stages: dict[str, float] = field(default_factory=dict)

    def spent(self) -> float:
        """Return seconds since the run began."""
        return self.before + time.perf_counter() - self.began

    def left(self) -> float:
        """Return seconds until the budget is used up; below zero afterwards."""
        return self.budget - self.spent()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add what happens inside to the seconds of `name`; a stage within another counts once."""
        began, others = time.perf_counter(), sum(self.stages.values())
        try:
            yield
        finally:
            within = sum(self.stages.values()) - others
            took = time.perf_counter() - began - within
            self.stages[name] = self.stages.get(name, 0.0) + took


@dataclass
class Stop:
    """Whether somebody asked to stop."""

    asked: bool = False


@contextmanager
def ctrl_c(stop: Stop) -> Iterator[None]:
    """Let the first Ctrl-C (or SIGTERM) ask to stop; the second interrupts at once."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set signal handlers
        return

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.asked:
            raise KeyboardInterrupt
        stop.asked = True

    before = {s: signal.signal(s, ask) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)
