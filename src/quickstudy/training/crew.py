"""Who teaches one network: this process alone; the room `cluster` has what several do together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from torch import Tensor, nn

from quickstudy.network import Built
from quickstudy.recipe import Recipe
from quickstudy.training.step import in_memory

if TYPE_CHECKING:
    from quickstudy.training.lesson import Lesson
    from quickstudy.training.state import Loop


class Crew:
    """The processes that teach one network together. Of one there is nothing to agree on."""

    rank: int = 0
    """Which of `world` this is; number 0 decides everything, the others follow it."""
    world: int = 1

    def enough(self, lesson: Lesson) -> None:
        """Settle a batch that gives every process enough to do, and what it keeps."""

    def begin(self, lesson: Lesson) -> None:
        """Have the others come in to what is to be learnt now."""

    @contextmanager
    def trying_rates(self) -> Iterator[None]:
        """Have the others try learning rates inside as well."""
        yield

    def held(self, network: Built) -> Built:
        """Return a network as this process computes steps with it: itself, or its part of it."""
        return network

    @contextmanager
    def steps(self, loop: Loop) -> Iterator[Loop]:
        """Lend what does steps from the loop's state; that is whole again when they have ended."""
        yield loop

    @contextmanager
    def step(self, done: float) -> Iterator[None]:
        """Have the others do the step inside too, at this share of the run."""
        yield

    def compute(
        self,
        network: Built,
        recipe: Recipe,
        loss_of: nn.Module,
        x: Tensor,
        target: Tensor,
        parts: int = 1,
    ) -> tuple[float, int]:
        """Leave the gradient of the mean loss over a whole batch; return the loss, and the parts.

        `x` and `target` are what this process takes of it.
        """
        return in_memory(network, recipe, loss_of, x, target, parts)

    def told(self) -> list[str]:
        """Return sentences for the report on who worked, and how quick that was."""
        return []
