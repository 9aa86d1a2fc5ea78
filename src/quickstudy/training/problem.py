"""A loss over all examples at once, as a function of the parameters, in double precision."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter

import torch
from torch import Tensor, nn

_GRACE = 1.0  # seconds after the end in which a small problem is still solved

#: Training and validation examples: input and target.
Pair = tuple[Tensor, Tensor]
State = list[dict[str, Tensor]]


class OverdueError(Exception):
    """No time is left, or somebody asked to stop: in the midst of a step."""


@dataclass
class Problem:
    """A loss over all examples as a function of the parameters."""

    module: nn.Module
    criterion: nn.Module
    x: Tensor
    target: Tensor
    seconds_left: Callable[[], float]
    stop: Callable[[], bool]
    scale: float = 1.0
    """The loss is divided by it, so that tolerances mean the same whatever the units."""
    parameters: list[nn.Parameter] = field(default_factory=list)
    ended: float = math.inf
    """When there was no more time."""

    def __post_init__(self) -> None:
        both = itertools.chain(self.module.parameters(), self.criterion.parameters())
        self.parameters = [p for p in both if p.requires_grad]

    def loss(self) -> Tensor:
        """Return the loss in units of `scale`."""
        value: Tensor = self.criterion(self.module(self.x), self.target) / self.scale
        return value

    def value(self, pair: Pair | None = None) -> float:
        """Return the loss as it is, on other examples if given."""
        x, target = pair or (self.x, self.target)
        with torch.no_grad():
            return float(self.criterion(self.module(x), target))

    def go_on(self) -> bool:
        """Whether there is time and nobody asked to stop."""
        return not self.stop() and self.seconds_left() > 0

    def overdue(self) -> bool:
        """Whether there was no more time `_GRACE` ago: enough for an answer to a small problem."""
        if self.go_on():
            return False
        self.ended = min(self.ended, perf_counter())
        return perf_counter() > self.ended + _GRACE

    def state(self) -> State:
        """Return a copy of all weights."""
        return [copy.deepcopy(m.state_dict()) for m in (self.module, self.criterion)]

    def load(self, state: State) -> None:
        """Put weights back."""
        for module, kept in zip((self.module, self.criterion), state, strict=True):
            module.load_state_dict(kept)


@contextmanager
def exactly(problem: Problem, double: bool) -> Iterator[None]:
    """Compute in float64, without dropout, whatever the modules are; then as they were."""
    modules = (problem.module, problem.criterion)
    modes = [[part.training for part in m.modules()] for m in modules]
    tensors = [t for m in modules for t in (*m.parameters(), *m.buffers())]
    kept = [t.dtype for t in tensors]
    for m in modules:
        m.eval()
    if double:
        for t in tensors:
            t.data = t.data.double() if t.is_floating_point() else t.data
        if problem.x.is_floating_point():
            problem.x = problem.x.double()
        problem.target = problem.target.double()
    try:
        yield
    finally:
        for t, dtype in zip(tensors, kept, strict=True):
            t.data = t.data.to(dtype)
            t.grad = None
        for m, mode in zip(modules, modes, strict=True):
            for part, training in zip(m.modules(), mode, strict=True):
                part.training = training


def like(problem: Problem, val: Pair | None) -> Pair | None:
    """Return `val` in the precision of the problem."""
    if val is None or len(val[0]) == 0:
        return None
    return val[0].to(problem.x.dtype), val[1].to(problem.target.dtype)
