"""One tracker in a thread of its own, fed from a queue: learning never waits for it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Thread

from quickstudy.tracking.contract import Point, Result, Tracker

_MOST = 500  # points written at once


class Reader:
    """Hears what a run says and lets a tracker write it.

    `where` says where to look, once that is known; `failed` why it has ended early.
    """

    def __init__(self, kind: type[Tracker], folder: Path, *, copying: bool = False) -> None:
        self.title = kind.title
        self.failed = ""
        self._kind, self._folder, self._copying = kind, folder, copying and kind.copies
        self._queue: SimpleQueue[Point | Result | bool] = SimpleQueue()
        self._open = Event()
        self.where = ""
        # A daemon: a tracker that hangs keeps no program from ending.
        self._thread = Thread(target=self._work, name=f"tracking {self.title}", daemon=True)

    def start(self) -> None:
        """Begin the tracker's run."""
        self._thread.start()

    def opened(self, patience: float) -> None:
        """Wait until the tracker's run has begun, or has failed to, at most `patience` seconds."""
        self._open.wait(patience)

    def point(self, seconds: float, numbers: Mapping[str, float], said: str) -> None:
        """Take note of numbers and of what was said; returns at once."""
        if not self.failed:
            self._queue.put(Point(seconds, time.time(), numbers, said))

    def result(self, result: Result) -> None:
        """Take note of how the run ended; returns at once."""
        self._queue.put(result)

    def close(self, whole: bool, patience: float) -> None:
        """End the tracker's run, waiting at most `patience` seconds for what is not yet written."""
        self._queue.put(whole)
        self._thread.join(patience if whole else min(patience, 5.0))
        if self._thread.is_alive() and not self.failed:
            self.failed = f"it has not answered for {patience:.0f} s; the run itself is whole."

    def _work(self) -> None:
        try:
            tracker = self._kind(self._folder)
            self.where = tracker.where
            self._open.set()
            while (last := self._written(tracker)) is None:
                pass
            tracker.close(whole=last)
        # Whatever a library raises, an exit included, must not end the training.
        except (Exception, SystemExit) as problem:
            self.failed = f"{type(problem).__name__}: {' '.join(str(problem).split())[:300]}"
        finally:
            self._open.set()

    def _written(self, tracker: Tracker) -> bool | None:
        """Write what has come in; return how the run ended once it has."""
        points, other = [], None
        item = self._queue.get()
        while isinstance(item, Point):
            points.append(item)
            if len(points) == _MOST:
                break
            try:
                item = self._queue.get_nowait()
            except Empty:
                break
        if not isinstance(item, Point):
            other = item
        if points:
            tracker.write(points)
        if isinstance(other, Result):
            tracker.result(other, copying=self._copying)
            return None
        return other
