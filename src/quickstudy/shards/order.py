"""Which example comes when in a stream of shards: shuffled well, and known without reading.

An epoch's shards are put in an order of its own; so many of them are open at once, and all their
examples are mixed. So the place of an example follows from the seed and the epoch alone: a run that
was stopped begins anywhere, any number of workers share the same order, and each example comes
once an epoch. (MosaicML's streaming has the same idea: blocks of shards shuffled, by a seed.)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

_MIXED = 16_384  # examples to mix at least, where there are so many
_FEWEST = 4  # shards open at once


def window_of(counts: Ints, most: int = 2**31) -> int:
    """Return how many shards are open at once: `_MIXED` examples' worth, at most `most`."""
    mean = max(1.0, float(counts.mean())) if len(counts) else 1.0
    wanted = max(_FEWEST, int(np.ceil(_MIXED / mean)))
    return max(1, min(wanted, most, len(counts)))


class Order:
    """The order of examples that lie in shards one after the other, `counts` of them in each.

    >>> order = Order(np.array([3, 2, 4]), window=2, seed=0)
    >>> sorted(order.at(0, 9).tolist())
    [0, 1, 2, 3, 4, 5, 6, 7, 8]
    """

    def __init__(self, counts: Ints, window: int, seed: int) -> None:
        self.counts, self.window, self.seed = counts, window, seed
        self.begins = np.cumsum(counts) - counts
        self.examples = int(counts.sum())
        self._epoch = -1
        self._shards = self._ends = np.zeros(0, np.int64)
        self._mixed: dict[tuple[int, int], Ints] = {}

    def at(self, first: int, count: int) -> Ints:
        """Return the examples at `count` places from `first` on; epochs follow one another."""
        found: list[Ints] = []
        while count:
            epoch, place = divmod(first, self.examples)
            number, begin = self._window_at(epoch, place)
            mixed = self._window(epoch, number)
            here = mixed[place - begin : place - begin + count]
            found.append(here)
            first, count = first + len(here), count - len(here)
        return np.concatenate(found) if found else np.zeros(0, np.int64)

    def shards_at(self, first: int) -> Ints:
        """Return the shards that are open at a place."""
        epoch, place = divmod(first, self.examples)
        return self._members(epoch, self._window_at(epoch, place)[0])

    def shards_after(self, first: int) -> Ints:
        """Return the shards that are opened next, when those at a place are done with."""
        epoch, place = divmod(first, self.examples)
        number = self._window_at(epoch, place)[0] + 1
        return self._members(*((epoch, number) if number < len(self._ends) else (epoch + 1, 0)))

    def shard_of(self, examples: Ints) -> Ints:
        """Return the shard of each example."""
        return np.searchsorted(self.begins + self.counts, examples, side="right")

    def _ordered(self, epoch: int) -> None:
        if epoch != self._epoch:
            rng = np.random.default_rng([self.seed, epoch, 2])
            self._shards = rng.permutation(np.flatnonzero(self.counts))
            ends = np.cumsum(self.counts[self._shards])
            last = np.arange(self.window, len(ends) + self.window, self.window) - 1
            self._ends = ends[np.minimum(last, len(ends) - 1)]
            self._epoch = epoch

    def _window_at(self, epoch: int, place: int) -> tuple[int, int]:
        """Return the number of the window that holds a place, and where it begins."""
        self._ordered(epoch)
        number = int(np.searchsorted(self._ends, place, side="right"))
        return number, int(self._ends[number - 1]) if number else 0

    def _members(self, epoch: int, number: int) -> Ints:
        self._ordered(epoch)
        return self._shards[number * self.window : (number + 1) * self.window]

    def _window(self, epoch: int, number: int) -> Ints:
        """Return the examples of a window, mixed."""
        if (epoch, number) not in self._mixed:
            shards = self._members(epoch, number)
            inside = [np.arange(self.counts[s]) + self.begins[s] for s in shards.tolist()]
            rng = np.random.default_rng([self.seed, epoch, 3, number])
            while len(self._mixed) > 1:  # batches lie in two of them at most
                del self._mixed[next(iter(self._mixed))]
            self._mixed[epoch, number] = rng.permutation(np.concatenate(inside))
        return self._mixed[epoch, number]


def share(picked: Ints, shards: Ints, rank: int, world: int) -> Ints:
    """Return a worker's part of a batch: as many as any, in as few shards as can be.

    Sorted by shard and cut in `world`: a worker then fetches about a `world`th of the open shards.
    """
    if world == 1:
        return picked
    return np.array_split(picked[np.argsort(shards, kind="stable")], world)[rank]
