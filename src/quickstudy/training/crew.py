"""Fewer threads while somebody else uses the cores.

The threads of one operation wait for each other. Where another program takes a core, they wait for
its turn to end, again and again: on two cores of which one is busy, two threads do less than half
of what one does alone (benchmarks/results/2026-11-23-crew.md). So the loop tries fewer when its
steps grow much slower, and more again soon after. Nothing that is learnt depends on it but by the
clock.
"""

from __future__ import annotations

from statistics import median

import torch

_WARM = 6  # steps not counted: the first ones on new work are slow
_TRIED = 4  # steps that a number of threads is judged by
_SLOWER = 2.5  # times the quickest steps seen: somebody else must be at work
_CLEARLY = 0.8  # of the time: fewer threads must gain as much, for noise gains a little
_SOON, _LATE = 20, 160  # steps until more threads are tried again, doubled each time in vain


class Crew:
    """How many threads compute a step; tell it how long each took."""

    def __init__(self, most: int, *, steady: bool) -> None:
        self.most = self.now = most
        self.steady = steady or most < 2
        """Never changes: a run of given epochs must not depend on the clock."""
        self.size = 0
        self.warm = _WARM
        self.recent: list[float] = []
        self.judged = 0.0
        """Seconds a step with the present number, at best; 0: not yet known."""
        self.before = 0.0
        """The same of the number that is not on trial; 0 where none is."""
        self.since, self.wait = 0, _SOON

    def stepped(self, size: int, seconds: float) -> None:
        """Hear that a step on input of `size` took so long; perhaps change the threads."""
        if self.steady:
            return
        if size != self.size:  # other work: nothing to compare with
            self.size, self.recent, self.judged, self.before = size, [], 0.0, 0.0
            self.warm = _WARM
        if self.warm:
            self.warm -= 1
            return
        self.since += 1
        self.recent = [*self.recent, seconds][-_TRIED:]
        enough = 2 if self.before and min(self.recent) > 1.3 * self.before else _TRIED
        if len(self.recent) < enough:
            return
        here = median(self.recent)
        if self.before:
            self._decide(here)
        elif self.judged and (here > _SLOWER * self.judged or self._due()):
            self.before = here
            self._use(self._other())
        else:
            self.judged = min(here, self.judged or here)

    def _due(self) -> bool:
        return self.now < self.most and self.since >= self.wait

    def _other(self) -> int:
        return self.most if self.now < self.most else max(1, self.most // 2)

    def _decide(self, here: float) -> None:
        """Keep what was on trial, or go back."""
        more = self.now == self.most
        kept = here < self.before * (1.0 if more else _CLEARLY)
        self.wait = min(_LATE, 2 * self.wait) if more and not kept else _SOON
        if not kept:
            here = self.before
            self._use(self._other())
        self.judged, self.before, self.since, self.recent = here, 0.0, 0, []

    def _use(self, threads: int) -> None:
        self.now, self.recent = threads, []
        torch.set_num_threads(threads)

    def home(self) -> None:
        """Use all threads again."""
        torch.set_num_threads(self.most)
