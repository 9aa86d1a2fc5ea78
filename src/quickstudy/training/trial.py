"""A training step of a lesson, tried without leaving a trace: timed, and asked for its answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from quickstudy.batches import Batches
from quickstudy.hardware import Answers, Way, in_layout, keep_memory, lay_out, settle
from quickstudy.network import Built, main_and_auxiliary
from quickstudy.recipe import Recipe
from quickstudy.training.lesson import Lesson
from quickstudy.training.step import in_memory

_NOISE = 1.0  # of the gradient, where a batch is too small to be halved


@dataclass
class LessonTrial:
    """A step of a lesson on one batch; `hardware.tune` times it."""

    network: Built
    recipe: Recipe
    loss_of: nn.Module
    x: Tensor
    target: Tensor

    @classmethod
    def of(cls, lesson: Lesson, batches: Batches) -> LessonTrial:
        """Take a batch of the middle size, as it is."""
        recipe = lesson.recipe
        with batches.reading(0) as ahead:
            x, target = batches.take(ahead, middle(recipe), plain=True)
        loss_of = lesson.criterion(smoothing=False, balanced=False)
        return cls(lesson.network, recipe, loss_of, x, target)

    def cut(self, rows: int) -> LessonTrial:
        """Return the same with so many examples: the first, or all again until they suffice."""
        times = -(-rows // len(self.x))
        x, target = (torch.cat([one] * times)[:rows] for one in (self.x, self.target))
        return replace(self, x=x, target=target)

    @property
    def on_processor(self) -> bool:
        """Whether the processor computes it."""
        return torch.device(self.recipe.compute.device).type == "cpu"

    @contextmanager
    def leaving_no_trace(self) -> Iterator[None]:
        """Put the network back as it was, whatever was tried."""
        module = self.network.module
        before = {k: v.clone() for k, v in module.state_dict().items()}
        try:
            yield
        finally:
            module.zero_grad(set_to_none=True)
            module.load_state_dict(before)

    def prepare(self, way: Way) -> None:
        """Set threads, memory, layout and precision."""
        torch.set_num_threads(way.threads)
        if self.on_processor:
            keep_memory(way.memory_kept)
        lay_out(self.network.module, way.memory_format)
        self.x = in_layout(self.x, way.memory_format)
        if self.recipe.compute.precision != way.precision:
            self.recipe = self.recipe.decided("compute.precision", way.precision, "")
        self.network.module.train()

    def step(self) -> None:
        """Do forward and backward once."""
        self.parts()
        settle(self.recipe.compute.device)

    def parts(self) -> int:
        """Return in how many parts memory lets it be done."""
        return in_memory(self.network, self.recipe, self.loss_of, self.x, self.target)[1]

    def answers(self) -> Answers:
        """Do so without chance, and return scores and gradient."""
        return answers(self.network, self.recipe, self.loss_of, self.x, self.target)

    def noise(self) -> float:
        """Return what the halves of the batch say differently: half their distance."""
        if len(self.x) < 4:
            return _NOISE
        halves = [slice(0, None, 2), slice(1, None, 2)]
        first, second = (
            answers(self.network, self.recipe, self.loss_of, self.x[s], self.target[s]).gradient
            for s in halves
        )
        return float((first - second).norm() / (first + second).norm().clamp(min=1e-12))


def answers(
    network: Built, recipe: Recipe, loss_of: nn.Module, x: Tensor, target: Tensor
) -> Answers:
    """Return what a training step says of a batch: layers that draw at random do not."""
    run = network.module if network.compiled is None else network.compiled
    kept: list[Tensor] = []

    def noted(given: Tensor) -> Any:
        out = run(given)
        kept.append(main_and_auxiliary(out)[0].detach().float().clone())
        return out

    with _without_chance(network.module), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        how = replace(network, compiled=noted)
        parts = in_memory(how, recipe, loss_of, x, target)[1]
    learnt = [p.grad for p in network.module.parameters() if p.grad is not None]
    gradient = torch.cat([g.detach().float().flatten() for g in learnt])  # a copy
    return Answers(torch.cat(kept[-len(x.chunk(parts)) :]), gradient)


@contextmanager
def _without_chance(module: nn.Module) -> Iterator[None]:
    """Switch dropout and stochastic depth off for a while, by the names of their classes."""
    drops = [
        layer
        for layer in module.modules()
        if layer.training and any(w in type(layer).__name__ for w in ("Drop", "Stochastic"))
    ]
    for layer in drops:
        layer.training = False
    try:
        yield
    finally:
        for layer in drops:
            layer.training = True


def middle(recipe: Recipe) -> int:
    """Return the size of input that stands for all those of a run."""
    if recipe.start_size == recipe.size:
        return recipe.size
    return max(8, (recipe.start_size + recipe.size) // 16 * 8)
