"""Fewer threads while somebody else uses the cores.

The threads of one operation wait for each other. Where another program takes a core, they wait for
its turn to end, again and again: on two cores of which one is busy, two threads do less than half
of what one does alone (benchmarks/results/2026-11-23-crew.md). So the loop tries fewer when its
steps grow slow, and more again later. Nothing that is learnt depends on it but by the clock.
"""

from __future__ import annotations

from statistics import median

import torch

_TRIED = 4  # steps that a number of threads is judged by
_SLOWER = 1.5  # times the steps it was judged by: something has changed
_AGAIN = 150  # steps after which more threads are tried again


class Crew:
    """How many threads compute a step; tell it how long each took."""

    def __init__(self, most: int, *, steady: bool) -> None:
        self.most = self.now = most
        self.steady = steady or most < 2
        """Never changes: a run of given epochs must not depend on the clock."""
        self.size = 0
        self.recent: list[float] = []
        self.judged = 0.0
        """Seconds a step with the present number, when it was chosen; 0: not yet chosen."""
        self.before = 0.0
        """The same of the number that is not on trial; 0 where none is."""
        self.since = 0

    def stepped(self, size: int, seconds: float) -> None:
        """Hear that a step on input of `size` took so long; perhaps change the threads."""
        if self.steady:
            return
        if size != self.size:  # other work: nothing to compare with
            self.size, self.recent, self.judged, self.before = size, [], 0.0, 0.0
            return
        self.since += 1
        self.recent = [*self.recent, seconds][-_TRIED:]
        if len(self.recent) < _TRIED:
            return
        here = median(self.recent)
        if self.before:
            self._decide(here)
        elif not self.judged or here > _SLOWER * self.judged or self._due():
            self._try(here)

    def _due(self) -> bool:
        return self.now < self.most and self.since >= _AGAIN

    def _try(self, here: float) -> None:
        """Put the other number of threads on trial."""
        self.before = here
        self._use(self.most if self.now < self.most else max(1, self.most // 2))

    def _decide(self, here: float) -> None:
        """Keep what was on trial, or go back."""
        if here > self.before:
            here = self.before
            self._use(self.most if self.now < self.most else max(1, self.most // 2))
        self.judged, self.before, self.since = here, 0.0, 0

    def _use(self, threads: int) -> None:
        self.now, self.recent = threads, []
        torch.set_num_threads(threads)

    def home(self) -> None:
        """Use all threads again."""
        torch.set_num_threads(self.most)
