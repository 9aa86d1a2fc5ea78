"""Examples of requests that arrive together -> one batch.

One thread a model computes. While it does, what arrives waits, and is the next batch, where batches
are quicker here; one request alone is not delayed, for only where another is being decoded does a
batch wait, a few milliseconds.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import median
from typing import Any

from quickstudy.prediction import Prediction
from quickstudy.serving.limits import Limits
from quickstudy.serving.metrics import Metrics
from quickstudy.serving.opening import Values
from quickstudy.serving.refusing import busy

Pairs = Sequence[tuple[str, Values]]
_BATCH = {"image": 32, "sound": 32, "table": 1024}
_KEPT, _ENOUGH = 32, 8  # batches whose times are kept, and that are enough to judge by
_SEVERAL = 4  # examples that make a batch
_GAIN = 1.15  # times quicker that a batch has to be
_LOOK_EVERY = 100  # batches


@dataclass(eq=False)
class Job:
    """The examples of one request, decoded as `model` takes them."""

    model: Any
    pairs: Pairs
    coverage: float | None
    answer: asyncio.Future[list[Prediction]]


class Pace:
    """Whether answering together is quicker here: it is on a GPU, and hardly on a few cores.

    Where it is not, one request after the other keeps each from waiting for the whole batch.
    """

    def __init__(self) -> None:
        self._alone: deque[float] = deque(maxlen=_KEPT)
        self._together: deque[float] = deque(maxlen=_KEPT)
        self._batches = 0

    def took(self, seconds: float, n: int) -> None:
        """Hear how long a batch of so many took."""
        if n == 1:
            self._alone.append(seconds)
        elif n >= _SEVERAL:
            self._together.append(seconds / n)

    def most(self, most: int) -> int:
        """Return how many examples to answer together, `most` at most; now and then all, to see."""
        self._batches += 1
        if min(len(self._alone), len(self._together)) < _ENOUGH or self._batches % _LOOK_EVERY == 0:
            return most
        return 1 if median(self._alone) <= _GAIN * median(self._together) else most


class Queue:
    """What waits for one model's answers."""

    def __init__(self, name: str, kind: str, limits: Limits, metrics: Metrics) -> None:
        self.name = name
        self.waiting = 0  # examples taken and not answered
        self._coming = 0  # requests whose examples are being decoded
        self._most = _BATCH[kind]
        self._room = limits.waiting if kind != "table" else max(limits.waiting, 2 * limits.rows)
        self._window = limits.window
        self._metrics = metrics
        self._jobs: deque[Job] = deque()
        self._arrived = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, f"model {name}")
        self._task: asyncio.Task[None] | None = None
        self._each = 0.0  # seconds an example, of late
        self._pace = Pace()
        metrics.waiting.labels(name).set_function(lambda: self.waiting)

    def start(self) -> None:
        """Begin to answer."""
        self._task = asyncio.get_running_loop().create_task(self._answer_all())

    def check(self, n: int = 1) -> None:
        """Raise `Refused` where there is no room for so many examples.

        One request is taken by an empty queue, however many rows it has.
        """
        if self.waiting and self.waiting + n > self._room:
            after = math.ceil(self.waiting * self._each)
            raise busy("full", f"{self.waiting:,} examples wait already.", min(60, after))

    def take(self, n: int) -> None:
        """Take so many examples of a request, which will be decoded; raises `Refused`."""
        self.check(n)
        self.waiting += n
        self._coming += 1

    def drop(self, n: int) -> None:
        """Forget what was taken: it is answered, or given up."""
        self.waiting -= n

    def decoded(self) -> None:
        """Say that a request's examples are no longer being decoded."""
        self._coming -= 1
        self._arrived.set()

    async def answered(self, model: Any, pairs: Pairs, coverage: float | None) -> list[Prediction]:
        """Return the answers to decoded examples; raises what the model does."""
        answer: asyncio.Future[list[Prediction]] = asyncio.get_running_loop().create_future()
        self._jobs.append(Job(model, pairs, coverage, answer))
        self._arrived.set()
        return await answer

    async def run(self, work: Callable[[], Any]) -> Any:
        """Return what `work` gives, done by the thread that computes."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _answer_all(self) -> None:
        while True:
            while not self._jobs:
                self._arrived.clear()
                await self._arrived.wait()
            most = self._pace.most(self._most)
            await self._gather(most)
            jobs = self._batch(most)
            if jobs:
                await self._answer(jobs)

    async def _gather(self, most: int) -> None:
        """Wait for others where some are on their way."""
        if not self._coming or self._ready() >= most:
            return
        try:
            async with asyncio.timeout(self._window):
                while self._coming and self._ready() < most:
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            pass

    def _ready(self) -> int:
        return sum(len(job.pairs) for job in self._jobs)

    def _batch(self, most: int) -> list[Job]:
        """Return jobs for one model and coverage, as many as go together; those given up go."""
        jobs: list[Job] = []
        others: deque[Job] = deque()
        size = 0
        while self._jobs and size < most:
            job = self._jobs.popleft()
            if job.answer.done():
                continue
            first = jobs[0] if jobs else job
            if job.model is not first.model or job.coverage != first.coverage:
                others.append(job)
                continue
            jobs.append(job)
            size += len(job.pairs)
        self._jobs.extendleft(reversed(others))
        return jobs

    async def _answer(self, jobs: Sequence[Job]) -> None:
        """Answer jobs; what one of them makes the model raise, only that one is told."""
        together = [pair for job in jobs for pair in job.pairs]
        model, coverage = jobs[0].model, jobs[0].coverage
        began = time.perf_counter()
        try:
            found = await self.run(lambda: list(model.answered(together, coverage)))
        except Exception as problem:
            if len(jobs) == 1:
                if not jobs[0].answer.done():
                    jobs[0].answer.set_exception(problem)
                return
            for job in jobs:
                await self._answer([job])
            return
        took = time.perf_counter() - began
        self._each = took / len(together) if together else 0.0
        self._pace.took(took, len(together))
        self._metrics.batch(self.name, len(together), took)
        rest = iter(found)
        for job in jobs:
            mine = [next(rest) for _ in job.pairs]
            if not job.answer.done():
                job.answer.set_result(mine)

    def stop(self) -> None:
        """End; nothing may wait any more."""
        if self._task is not None:
            self._task.cancel()
        self._thread.shutdown(wait=False, cancel_futures=True)
