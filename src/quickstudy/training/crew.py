"""Who teaches one network: this process alone; the room `cluster` has what several do together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from torch import Tensor, nn

from quickstudy.network import Built
from quickstudy.recipe import Recipe
from quickstudy.training.checkpoints import State
from quickstudy.training.step import in_memory

if TYPE_CHECKING:
    from quickstudy.training.lesson import Lesson


class Crew:
    """The processes that teach one network together. Of one there is nothing to agree on."""

    rank: int = 0
    """Which of `world` this is; number 0 decides everything, the others follow it."""
    world: int = 1

    def enough(self, lesson: Lesson) -> None:
        """Settle a batch that gives every process enough to do."""

    def begin(self, lesson: Lesson) -> None:
        """Have the others come in to what is to be learnt now."""

    def trying_rates(self) -> None:
        """Have the others try learning rates as well."""

    @contextmanager
    def steps(self, recipe: Recipe, state: Callable[[], State]) -> Iterator[None]:
        """Do steps inside, all from the same `state`; the others are told when they have ended."""
        yield

    def go(self, done: float) -> None:
        """Have the others do a step too, at this share of the run."""

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
