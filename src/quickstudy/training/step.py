"""Forward and backward once, in as many parts as memory needs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from quickstudy.hardware import autocast
from quickstudy.network import Built, main_and_auxiliary
from quickstudy.recipe import Recipe

_AUXILIARY = 0.3  # weight of GoogLeNet's extra losses (Szegedy et al., 2014)


class OverMembers(nn.Module):
    """A loss of scores ``N K`` as one of an ensemble's, ``N M K``: each member is taught alone."""

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, scores: Tensor, target: Tensor) -> Tensor:
        """Compute."""
        if scores.ndim == 3:
            target = target.repeat_interleave(scores.shape[1], 0)
            scores = scores.flatten(0, 1)
        found: Tensor = self.loss(scores, target)
        return found


def forward_backward(
    network: Built,
    recipe: Recipe,
    loss_of: nn.Module,
    x: Tensor,
    target: Tensor,
    parts: int = 1,
) -> float:
    """Leave the gradient of the mean loss in the network, computed in `parts`; return the loss."""
    network.module.zero_grad(set_to_none=True)
    loss_of.zero_grad(set_to_none=True)
    total = 0.0
    for piece, wanted in zip(x.chunk(parts), target.chunk(parts), strict=True):
        with autocast(recipe.compute.device, recipe.compute.precision):
            run = network.module if network.compiled is None else network.compiled
            main, auxiliary = main_and_auxiliary(run(piece))
        loss = loss_of(main, wanted)
        for extra in auxiliary:
            loss = loss + _AUXILIARY * loss_of(extra, wanted)
        loss = loss * (len(piece) / len(x))
        loss.backward()
        total += float(loss.detach())
    return total


def in_memory(
    network: Built,
    recipe: Recipe,
    loss_of: nn.Module,
    x: Tensor,
    target: Tensor,
    parts: int = 1,
) -> tuple[float, int]:
    """Do `forward_backward` in as many parts as memory needs; return the loss and the parts."""
    while True:
        try:
            return forward_backward(network, recipe, loss_of, x, target, parts), parts
        except (MemoryError, RuntimeError) as problem:
            if not _out_of_memory(problem) or parts >= len(x):
                raise
        parts *= 2
        network.module.zero_grad(set_to_none=True)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _out_of_memory(problem: BaseException) -> bool:
    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(problem, MemoryError) or any(w in str(problem) for w in words)
