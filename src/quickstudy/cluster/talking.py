"""What processes that learn together tell each other: numbers, facts as JSON, tensors.

Over a group of its own, so that nothing told can be taken for a gradient, and without pickling.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from quickstudy.errors import RunError
from quickstudy.recipe import Recipe

#: What process 0 tells the others to do.
LEARN, RATES, STEPS, STEP, END, LEAVE, SEARCH, ROOM, ALL, AVERAGE = range(10)
_LOST = ("closed by peer", "reset by peer", "gloo", "nccl", "broken pipe", "timed out", "timeout")


class LostError(RunError):
    """One of the processes that learn together has gone."""

    def __init__(self, problem: BaseException) -> None:
        why = next(iter(str(problem).splitlines()), "")[:160]
        super().__init__(
            f"A worker was lost: the others cannot go on without it ({why}).",
            "Nothing learnt until the last checkpoint is lost: started again (torchrun "
            "--max-restarts 10, or --on ray, do so by themselves), the run goes on from there.",
        )


class Talk:
    """How process 0 tells the others things, and all of them compare numbers."""

    rank: int
    world: int
    talk: Any
    """The group for it, of `torch.distributed`."""
    broken: bool
    """Whether a process was lost: then nothing can be told any more."""

    def tell(self, what: int, done: float = 0.0) -> None:
        """Have the others do something. Raises `LostError`."""
        with self.together():
            dist.broadcast(torch.tensor([what, done], dtype=torch.float64), 0, group=self.talk)

    @contextmanager
    def doing(self, what: int, done: float = 0.0) -> Iterator[None]:
        """Have the others do something that process 0 does inside.

        Where that fails they wait for its part, and can be told nothing more: it must end.
        """
        if self.rank == 0:
            self.tell(what, done)
        try:
            yield
        except BaseException:
            self.broken = True
            raise

    def hear(self) -> tuple[int, float]:
        """Return what process 0 tells, once it does. Raises `LostError`."""
        told = torch.zeros(2, dtype=torch.float64)
        with self.together():
            dist.broadcast(told, 0, group=self.talk)
        return int(told[0]), float(told[1])

    def send(self, facts: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Send facts (JSON) and tensors to all others."""
        listed = [[k, str(t.dtype).partition(".")[2], list(t.shape)] for k, t in tensors.items()]
        text = torch.frombuffer(bytearray(json.dumps([facts, listed]).encode()), dtype=torch.uint8)
        with self.together():
            dist.broadcast(torch.tensor([len(text)]), 0, group=self.talk)
            dist.broadcast(text, 0, group=self.talk)
            for tensor in tensors.values():
                if tensor.numel():
                    dist.broadcast(_bytes(tensor), 0, group=self.talk)

    def receive(self) -> tuple[dict[str, Any], Iterator[tuple[str, Tensor]]]:
        """Return the facts that were sent, and the tensors one by one: all are to be taken."""
        length = torch.zeros(1, dtype=torch.int64)
        with self.together():
            dist.broadcast(length, 0, group=self.talk)
            text = torch.zeros(int(length), dtype=torch.uint8)
            dist.broadcast(text, 0, group=self.talk)
        facts, listed = json.loads(bytes(text.numpy()))
        return facts, self._tensors(listed)

    def _tensors(self, listed: list[list[Any]]) -> Iterator[tuple[str, Tensor]]:
        for name, kind, shape in listed:
            tensor = torch.empty(shape, dtype=getattr(torch, kind))
            with self.together():
                if tensor.numel():
                    dist.broadcast(_bytes(tensor), 0, group=self.talk)
            yield name, tensor

    def mean(self, value: float) -> float:
        """Return the mean of what all have. Raises `LostError`."""
        found = torch.tensor([value], dtype=torch.float64)
        with self.together():
            dist.all_reduce(found, group=self.talk)
        return float(found) / self.world

    def most(self, *values: int) -> list[int]:
        """Return the most of what all have, of each. Raises `LostError`."""
        found = torch.tensor(values)
        with self.together():
            dist.all_reduce(found, dist.ReduceOp.MAX, group=self.talk)
        return [int(one) for one in found]

    @contextmanager
    def together(self) -> Iterator[None]:
        """Turn what a lost process raises here into `LostError`."""
        try:
            yield
        except RuntimeError as problem:
            if not any(word in str(problem).lower() for word in _LOST):
                raise
            self.broken = True
            raise LostError(problem) from problem


def values(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as JSON, without its reasons."""
    return {key: choice.value for key, choice in recipe.choices().items()}


def _bytes(tensor: Tensor) -> Tensor:
    """Return a tensor's bytes, flat, on the CPU: every kind of number travels so."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
