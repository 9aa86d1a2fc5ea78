"""Examples that are decoded as they are learnt from, some steps ahead, in an order known before."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quickstudy.errors import ExampleError, RunError
from quickstudy.kinds import NOUNS, Preparation
from quickstudy.shards.fetching import Store
from quickstudy.shards.order import Order, share

Ints = NDArray[np.int64]

_NAMED = 20  # examples that could not be decoded, by name


@dataclass(eq=False)
class Stream:
    """The examples to learn from; a *place* is one of `numbers`, which are in order of shards."""

    numbers: Ints
    """The catalog's numbers of the examples, ``N``."""
    truth: NDArray[Any]
    """What is true of each."""
    shards: Ints
    """The shards that are met, by their own numbers, in the order of `numbers`."""
    order: Order
    read: Callable[[int], Any]
    """The catalog's number -> the example before decoding."""
    how: Preparation
    threads: int
    holder: Store | None = None
    """What fetches the shards."""
    kept: Callable[[int], Any] = lambda number: None
    """The catalog's number -> the example decoded, where the cache has it."""
    beforehand: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    """Which of the catalog's examples are decoded beforehand, held out or not."""
    names: Sequence[str] = ()
    """The catalog's."""
    bad: dict[int, str] = field(default_factory=dict)
    """The catalog's number -> why it could not be decoded."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _waiting: dict[int, tuple[Ints, list[Future[Any]]]] = field(default_factory=dict)
    _pool: ThreadPoolExecutor | None = None
    _open: tuple[int, ...] = ()
    rank: int = 0
    world: int = 1
    steps: int = 1

    def __len__(self) -> int:
        return len(self.numbers)

    def share(self, picked: Ints, rank: int, world: int) -> Ints:
        """Return a worker's part of a batch: the parts of all are the whole batch."""
        return share(picked, self.order.shard_of(picked), rank, world)

    @contextmanager
    def ahead(self, rank: int = 0, world: int = 1, steps: int = 1) -> Iterator[None]:
        """Decode inside, so many steps at once; the order may then be read from any step on."""
        self.rank, self.world, self.steps = rank, world, steps
        try:
            with ThreadPoolExecutor(self.threads, "quickstudy-stream") as pool:
                self._pool, self._open = pool, ()
                try:
                    yield
                finally:
                    self._stop()
        finally:
            self._pool = None
            if self.holder is not None:
                self.holder.close()

    def _stop(self) -> None:
        """Have nobody begin anything more, or wait for the network."""
        for _, futures in self._waiting.values():
            for future in futures:
                future.cancel()
        self._waiting.clear()
        if self.holder is not None:
            self.holder.stop()

    def pieces(
        self, step: int, mine: Callable[[int], Ints], batch: int
    ) -> tuple[Ints, list[NDArray[Any]]]:
        """Return places and decoded examples of a step; those of the next steps are begun.

        One that cannot be decoded is replaced by another of the same step. Raises `RunError`
        where none of a step can be, and what reading a shard raises.
        """
        assert self._pool is not None  # only asked inside `ahead`
        for number in range(step, step + self.steps):
            if number not in self._waiting:
                self._fetch(number * batch, batch)
                picked = mine(number)
                futures = [self._pool.submit(self._one, place) for place in picked.tolist()]
                self._waiting[number] = picked, futures
        picked, futures = self._waiting.pop(step)
        found = [future.result() for future in futures]
        good = [place for place, one in enumerate(found) if one is not None]
        if not good:
            number = int(self.numbers[picked[0]])
            many = NOUNS[self.how.kind][1]
            raise RunError(
                f"None of the {len(picked):,} {many} of a step can be decoded "
                f"(the first: {self.bad.get(number, '')}).",
                "Check that the shards arrived whole, and that they hold what they should.",
            )
        where = [
            place if one is not None else good[place % len(good)] for place, one in enumerate(found)
        ]
        return picked[where], [one for place in where if (one := found[place]) is not None]

    def _fetch(self, first: int, batch: int) -> None:
        """Have the shards here that are open from `first` on, and those after them on their way."""
        if self.holder is None:
            return
        last = first + batch - 1
        now = {*self.order.shards_at(first).tolist(), *self.order.shards_at(last).tolist()}
        own = self._mine(sorted(now))
        if tuple(own) == self._open:
            return
        then = self._mine(sorted(self.order.shards_after(last).tolist()))
        needed = [*own, *(s for s in self._open if s not in own)]  # the last are still read from
        self.holder.need(self.shards[needed].tolist(), self.shards[then].tolist())
        self._open = tuple(own)

    def _mine(self, shards: list[int]) -> list[int]:
        """Return about a `world`th of the open shards, those that this worker's part lies in."""
        size = len(shards)
        first, end = self.rank * size // self.world, -(-(self.rank + 1) * size // self.world)
        return shards[first:end]

    def _one(self, place: int) -> NDArray[Any] | None:
        number = int(self.numbers[place])
        if (kept := self.kept(number)) is not None:
            return np.asarray(kept)
        try:
            return self.how.decode(self.read(number)).values
        except ExampleError as problem:
            with self._lock:
                self.bad[number] = problem.message
            return None

    def said(self) -> str:
        """Return a sentence on what could not be decoded; nothing where all could."""
        if not self.bad:
            return ""
        many = NOUNS[self.how.kind][1]
        named = [f"{self.names[n]!r}: {why}" for n, why in list(self.bad.items())[:_NAMED]]
        return f"{len(self.bad):,} {many} could not be decoded ({'; '.join(named)})"
