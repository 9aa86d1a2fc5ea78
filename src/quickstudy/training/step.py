"""Forward and backward once, in as many parts as memory needs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from quickstudy.hardware import autocast
from quickstudy.network import Built, main_and_auxiliary
from quickstudy.recipe import Recipe
from quickstudy.training.parts import norm_of

_SCALES = (2.0**16, 2.0**12, 2.0**8, 2.0**4, 1.0)
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
    """Leave the gradient of the mean loss in the network, computed in `parts`; return the loss.

    In float16 small gradients would be lost: the loss is multiplied by a power of 2 before, and
    they are divided by it after (Micikevicius et al., 2018); by less where one overflows. Every
    step begins with the same power, so that it depends on nothing that was before.
    """
    if recipe.compute.precision != "float16":
        return _multiplied(network, recipe, loss_of, x, target, parts, 1.0)
    for scale in _SCALES:
        total = _multiplied(network, recipe, loss_of, x, target, parts, scale)
        learnt = (*network.module.parameters(), *loss_of.parameters())
        gradients = [p.grad for p in learnt if p.grad is not None]
        finite = bool(norm_of(gradients).isfinite())
        if finite or scale == _SCALES[-1]:
            break
    for gradient in gradients:
        gradient.div_(scale)
    return total


def _multiplied(
    network: Built,
    recipe: Recipe,
    loss_of: nn.Module,
    x: Tensor,
    target: Tensor,
    parts: int,
    scale: float,
) -> float:
    """Leave the gradient of `scale` times the mean loss; return the mean loss."""
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
        (loss if scale == 1 else loss * scale).backward()
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
            if not out_of_memory(problem) or parts >= len(x):
                raise
        parts *= 2
        network.module.zero_grad(set_to_none=True)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def out_of_memory(problem: BaseException) -> bool:
    """Whether it is memory that was missing."""
    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(problem, MemoryError) or any(w in str(problem) for w in words)
