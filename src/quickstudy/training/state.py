"""Everything that changes while a network is trained, and how it is kept."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from quickstudy.batches import Batches
from quickstudy.clock import Clock
from quickstudy.network import Built
from quickstudy.recipe import Recipe
from quickstudy.training import checkpoints
from quickstudy.training.crew import Crew
from quickstudy.training.optimizers import Factory, optimizer
from quickstudy.training.schedules import share_of_rate

_WORTH_WAITING = 0.99  # times the loss on `val` that was
_CHECKS = 12  # validations in a run
_GROWN = 0.8  # of the run: pictures have their full size from here


@dataclass
class Loop:
    """Everything that changes while training."""

    network: Built
    recipe: Recipe
    batches: Batches
    loss_of: nn.Module
    clock: Clock
    deadline: float
    """Seconds on the run's clock at which training must have ended."""
    began: float
    """Seconds on the run's clock at which training began (before any kill)."""
    optimizer: torch.optim.Optimizer
    average: dict[str, Tensor]
    crew: Crew = field(default_factory=Crew)
    step: int = 0
    rate_share: float = 1.0
    """Falls when the loss explodes."""
    parts: int = 1
    """Parts a batch is computed in; doubles when memory does not suffice."""
    smooth: float = math.nan
    """The loss, smoothed over some 20 steps; and the least that it has been:"""
    least: float = math.inf
    checked: int = 0
    best_pass: float = 0.0
    """Passes over the examples after which `val` was best."""
    mark: float = math.inf
    """Loss on `val` when it last fell by as much as is worth waiting for."""
    mark_pass: float = 0.0
    """Passes after which that was."""
    told: float = -math.inf
    """Seconds on the run's clock at which progress was last told."""
    check_took: float = 0.0
    check_ended: float = 0.0
    best: tuple[float, float] = (-math.inf, math.inf)
    best_state: dict[str, Tensor] = field(default_factory=dict)
    curves: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)

    def share_done(self) -> float:
        """Return how much of the schedule is behind, 0 to 1."""
        if self.recipe.epochs is not None:
            return min(1.0, self.step / self.steps_in_all())
        return min(1.0, (self.clock.spent() - self.began) / max(1.0, self.deadline - self.began))

    def steps_in_all(self) -> int:
        """Return the steps of a run whose epochs are given."""
        return max(1, round((self.recipe.epochs or 0) * len(self.batches) / self.recipe.batch))

    def size(self, done: float) -> int:
        """Return the size of input at this share of the run: pictures grow, a multiple of 8."""
        first, last = self.recipe.start_size, self.recipe.size
        grown = first + (last - first) * min(1.0, done / _GROWN)
        return last if grown >= last else max(first, round(grown / 8) * 8)

    def rate(self, done: float) -> float:
        """Return the learning rate at this share of the run."""
        schedule, top = self.recipe.schedule, self.recipe.optimizer.lr or 0.0
        return self.rate_share * top * share_of_rate(schedule.shape, schedule.warmup, done)

    def passes(self) -> float:
        """Return how often the training examples were gone through."""
        return self.step * self.recipe.batch / max(1, len(self.batches))

    def better(self, score: float, loss: float) -> bool:
        """Whether `val` was never better, by its loss where the recipe waits for that.

        Where little is learnt from, little is held out, and a few answers make a score.
        """
        if self.recipe.patience is not None:
            return loss < self.best[1]
        return (score, -loss) > (self.best[0], -self.best[1])

    def noted(self, loss: float) -> None:
        """Remember whether the loss on `val` has fallen enough to wait on."""
        if loss < _WORTH_WAITING * self.mark:
            self.mark, self.mark_pass = loss, self.passes()

    def out_of_patience(self) -> bool:
        """Whether `val` has become hardly better for as many passes as the recipe waits."""
        patience = self.recipe.patience
        return patience is not None and self.passes() - self.mark_pass > patience

    def beats(self) -> int:
        """Return how many validations are due so far."""
        if self.recipe.patience is not None:
            half = 0.5 * self.recipe.batch / max(1, len(self.batches))
            return int(self.passes() + half)  # a pass ends with the step nearest to its end
        return int(self.share_done() * _CHECKS)

    def may_check(self) -> bool:
        """Whether it is time to validate, and that leaves nine tenths of the time to learning.

        After each pass where the recipe waits for `val` to become no better, else 12 times a run.
        """
        if self.beats() <= self.checked:
            return False
        if self.recipe.epochs is not None:
            return True
        return time.perf_counter() - self.check_ended > 9 * self.check_took

    def happened(self, what: str) -> None:
        """Note an event for the report."""
        self.events.append({"seconds": round(self.clock.spent(), 2), "what": what})

    def state(self) -> checkpoints.State:
        """Return all of it as a checkpoint."""
        tensors = {
            **checkpoints.prefixed("network", self.network.module.state_dict()),
            **checkpoints.prefixed("loss", self.loss_of.state_dict()),
            **checkpoints.prefixed("average", self.average),
            **checkpoints.prefixed("best", self.best_state),
            **checkpoints.pack_optimizer(self.optimizer),
        }
        kept = (
            *("step", "rate_share", "parts", "smooth", "least", "checked", "best", "best_pass"),
            *("mark", "mark_pass"),
            *("curves", "events"),
        )
        facts = {name: getattr(self, name) for name in kept}
        return checkpoints.State(
            tensors,
            {**facts, "began": self.began},
        )

    def part(self, name: str, tensor: Tensor) -> Tensor:
        """Return what this process holds of a checkpoint's tensor: all of it."""
        return tensor

    def restore(self, state: checkpoints.State) -> None:
        """Go back to a checkpoint; the clock goes on."""
        self.network.module.load_state_dict(checkpoints.under("network", state.tensors))
        self.loss_of.load_state_dict(checkpoints.under("loss", state.tensors))
        average = checkpoints.under("average", state.tensors)
        for name, tensor in self.average.items():
            tensor.copy_(average[name])
        self.best_state = checkpoints.under("best", state.tensors)
        checkpoints.unpack_optimizer(self.optimizer, state.tensors)
        for name in (
            *("step", "rate_share", "parts", "smooth", "least", "checked", "best_pass"),
            *("mark", "mark_pass"),
            *("curves", "events"),
        ):
            setattr(self, name, copy.copy(state.facts[name]))
        self.best = (state.facts["best"][0], state.facts["best"][1])

    @torch.no_grad()
    def move_average(self) -> None:
        """Move the running average of all weights and statistics towards the present ones."""
        decay = min(self.recipe.averaging, self.step / (self.step + 20))
        for name, now in self.network.module.state_dict().items():
            if now.dtype.is_floating_point and self.recipe.averaging > 0:
                self.average[name].lerp_(now, 1 - decay)
            else:
                self.average[name].copy_(now)

    @contextmanager
    def averaged(self) -> Iterator[dict[str, Tensor]]:
        """Put the averaged weights into the network for a while, and lend them."""
        module = self.network.module
        own = {k: v.detach().clone() for k, v in module.state_dict().items()}
        module.load_state_dict(self.average)
        try:
            yield self.average
        finally:
            module.load_state_dict(own)


def new_loop(
    network: Built,
    recipe: Recipe,
    batches: Batches,
    loss_of: nn.Module,
    clock: Clock,
    deadline: float,
    factory: Factory | None,
) -> Loop:
    """Return a loop before its first step, begun now."""
    return Loop(
        network,
        recipe,
        batches,
        loss_of,
        clock,
        deadline,
        clock.spent(),
        optimizer(network, recipe, also=loss_of.parameters(), factory=factory),
        {k: v.detach().clone() for k, v in network.module.state_dict().items()},
    )
