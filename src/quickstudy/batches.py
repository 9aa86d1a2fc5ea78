"""Decoded cache -> augmented batches on the device, the same for the same seed and step.

What a step gets depends on the seed and its number alone, not on what ran before: a run that was
killed goes on with the same examples in the same order, varied in the same way.
"""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from quickstudy.decoding import Decoded
from quickstudy.kinds.views import in_views
from quickstudy.recipe import Recipe
from quickstudy.shards.stream import Stream
from quickstudy.tasks import Task, Truth

#: Step, what the kind gathered, targets ``N K``; or what went wrong in reading them.
Item: TypeAlias = tuple[int, tuple[Tensor, ...], Tensor] | Exception
#: Gives the next one.
Ahead: TypeAlias = Callable[[], Item]

_AHEAD = 3
_TAUGHT = 0.5  # of a target is what a teacher says (Hinton et al., 2015)
_DECODED = 4  # steps of a stream that are decoded at the same time
_FORGET_EVERY = 32  # batches: the mapped pages stay under about 100 MB


@dataclass
class Batches:
    """The training examples: `rows` of `decoded`, ``N``, and what is true of each."""

    decoded: Decoded
    rows: NDArray[np.int64]
    truth: Truth
    task: Task
    recipe: Recipe
    rank: int = 0
    """Which part of every batch is taken, of `world`: each process of several takes one."""
    world: int = 1
    stream: Stream | None = None
    """Where the examples come from, if the cache has not all of them; `rows` are then none."""
    taught: Tensor | None = None
    """What a teacher says of each of `rows`, as targets ``N K``: learnt from beside the truth."""
    waited: float = field(default=0.0, init=False)
    """Seconds in which nothing could be computed because examples were still being read."""
    augmented: float = field(default=0.0, init=False)
    """Seconds spent on varying examples, on the network's own device."""

    def __len__(self) -> int:
        return len(self.rows) if self.stream is None else len(self.stream)

    def indices(self, step: int) -> NDArray[np.int64]:
        """Return which examples step `step` (from 0) learns from, ``batch`` of them."""
        if self.stream is not None:
            return self.stream.order.at(step * self.recipe.batch, self.recipe.batch)
        first, n = step * self.recipe.batch, len(self.rows)
        places = np.arange(first, first + self.recipe.batch)
        picked = np.empty(len(places), np.int64)
        for epoch in np.unique(places // n):
            order = np.random.default_rng([self.recipe.seed, int(epoch)]).permutation(n)
            here = places // n == epoch
            picked[here] = order[places[here] % n]
        return picked

    @property
    def own(self) -> tuple[int, ...]:
        """What parts of a batch draw differently by; nothing where there is one."""
        return (self.rank,) if self.world > 1 else ()

    def mine(self, step: int) -> NDArray[np.int64]:
        """Return which of them this process takes: the parts of all are the whole batch."""
        if self.stream is not None:
            return self.stream.share(self.indices(step), self.rank, self.world)
        return self.indices(step)[self.rank :: self.world]

    def _read(self, step: int) -> Item:
        try:
            if self.stream is None:
                picked, truth = self.mine(step), self.truth
                pieces = self.decoded.pieces(self.rows[picked])
            else:
                picked, pieces = self.stream.pieces(step, self.mine, self.recipe.batch)
                truth = self.stream.truth
            rng = np.random.default_rng([self.recipe.seed, step, 1, *self.own])
            gathered = self.decoded.how.gather(pieces, self.recipe.augment, rng)
            target = self.task.encoded(truth[picked]).float()
            if self.taught is not None:
                target = target.lerp(self.taught[picked], _TAUGHT)
            if step % _FORGET_EVERY == 0:
                self.decoded.forget()
            if self.recipe.compute.device.startswith("cuda"):
                gathered = tuple(one.pin_memory() for one in gathered)
            return step, gathered, target
        except Exception as problem:  # handed to the training thread, which raises it
            return problem

    @contextmanager
    def reading(self, first: int) -> Iterator[Ahead]:
        """Lend what gives the next batch as read, from step `first` on.

        For a GPU a thread reads ahead. On the CPU the arithmetic has all cores already, and reading
        from the cache takes under 1 % of a step (`waiting` in the report). A stream decodes on all
        cores: there between the steps, for arithmetic that shares its cores waits for itself.
        """
        with ExitStack() as streams:
            if self.stream is not None:
                steps = _DECODED if torch.device(self.recipe.compute.device).type != "cpu" else 1
                streams.enter_context(self.stream.ahead(self.rank, self.world, steps))
            with self._reading(first) as ahead:
                yield ahead

    @contextmanager
    def _reading(self, first: int) -> Iterator[Ahead]:
        if torch.device(self.recipe.compute.device).type == "cpu":
            steps = itertools.count(first)
            yield lambda: self._read(next(steps))
            return
        ahead: queue.Queue[Item] = queue.Queue(_AHEAD)
        done = threading.Event()
        reader = threading.Thread(
            target=self._read_on, args=(first, ahead, done), name="quickstudy-reader", daemon=True
        )
        reader.start()
        try:
            yield ahead.get
        finally:
            done.set()
            reader.join()

    def _read_on(self, step: int, ahead: queue.Queue[Item], done: threading.Event) -> None:
        while not done.is_set():
            item = self._read(step)
            while not done.is_set():
                try:
                    ahead.put(item, timeout=0.1)
                    break
                except queue.Full:
                    continue
            step += 1

    def take(self, ahead: Ahead, size: int, *, plain: bool = False) -> tuple[Tensor, Tensor]:
        """Return the next batch as the network takes it, and targets ``N K``, on the device.

        `plain` leaves the blending of examples out (the last part of a run, and range tests).
        """
        began = time.perf_counter()
        recipe, device = self.recipe, self.recipe.compute.device
        item = ahead()
        read = time.perf_counter()
        self.waited += read - began
        if isinstance(item, Exception):
            raise item
        step, gathered, target = item
        how = self.decoded.how
        generator = torch.Generator().manual_seed(mixed(recipe.seed, step, *self.own))
        here = [one.to(device, non_blocking=True) for one in gathered]
        x = how.vary(here, size, recipe.augment, generator)
        target = target.to(device, non_blocking=True)
        if not plain:
            x, target = how.blend(x, target, recipe.augment, generator)
        self.augmented += time.perf_counter() - read
        return x, target


def mixed(seed: int, step: int, *more: int) -> int:
    """Return one 63-bit seed from several numbers; neighbours give unrelated streams."""
    drawn = np.random.SeedSequence([seed, step, *more]).generate_state(1, np.uint64)[0]
    return int(drawn >> np.uint64(1))


def in_order(
    decoded: Decoded, rows: NDArray[np.int64], device: str, batch: int, *, most: int | None = None
) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
    """Yield all views of `rows` as the network takes them, at most `batch` at a time.

    With each comes which of the rows (by place) it shows; `most` views of one, spread evenly.
    """

    if decoded.of_rows:
        for start in range(0, len(rows), batch):
            views = decoded.pieces(rows[start : start + batch])[:, 0]
            here = decoded.how.prepare(torch.from_numpy(views).to(device))
            yield np.arange(start, start + len(views)), here
        return

    def pieces() -> Iterator[NDArray[Any]]:
        for number, row in enumerate(rows.tolist()):
            if number % (_FORGET_EVERY * batch) == 0:
                decoded.forget()
            yield decoded.piece(row)

    for owners, views in in_views(pieces(), decoded.how, batch, most=most):
        yield owners, decoded.how.prepare(torch.from_numpy(views).to(device))
