"""Optimisers by name. SGD and AdamW are torch's; Muon here takes convolutions as matrices."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from quickstudy.hardware import bfloat16_is_quick
from quickstudy.network import Built
from quickstudy.recipe import Recipe

#: AdamW's rate for what Muon does not move (vectors, the last layer), as a share of Muon's.
_BESIDE_MUON = 0.1


class Muon(torch.optim.Optimizer):
    """Momentum whose direction is made orthogonal (Jordan et al., 2024), for matrices.

    A convolution ``out in h w`` counts as a matrix ``out (in h w)``. Vectors and the parameters
    named in `beside` are moved by Adam with decoupled decay (Loshchilov and Hutter, 2017).
    """

    def __init__(
        self,
        matrices: Iterable[Tensor],
        beside: Iterable[Tensor],
        *,
        lr: float,
        momentum: float,
        weight_decay: float,
    ) -> None:
        groups: list[dict[str, Any]] = [
            {"params": list(matrices), "share": 1.0, "matrix": True},
            {"params": list(beside), "share": _BESIDE_MUON, "matrix": False},
        ]
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__([g for g in groups if g["params"]], defaults)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Move every parameter once."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["first"] = torch.zeros_like(parameter)
                    if not group["matrix"]:
                        state["second"] = torch.zeros_like(parameter)
                        state["steps"] = torch.zeros(())
                rate = group["lr"] * group["share"]
                parameter.mul_(1 - rate * group["weight_decay"])
                update = _matrix_update if group["matrix"] else _adam_update
                parameter.add_(update(parameter.grad, state, group["momentum"]), alpha=-rate)


def _matrix_update(gradient: Tensor, state: dict[str, Tensor], momentum: float) -> Tensor:
    state["first"].lerp_(gradient, 1 - momentum)
    direction = gradient.lerp(state["first"], momentum)  # Nesterov
    matrix = direction.reshape(len(direction), -1)
    stretch = max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5
    update: Tensor = orthogonal(matrix).view_as(direction).mul_(stretch)
    return update


def _adam_update(gradient: Tensor, state: dict[str, Tensor], momentum: float) -> Tensor:
    state["steps"] += 1
    steps = float(state["steps"])
    state["first"].lerp_(gradient, 1 - momentum)
    state["second"].lerp_(gradient.square(), 0.01)
    first = state["first"] / (1 - momentum**steps)
    update: Tensor = first / ((state["second"] / (1 - 0.99**steps)).sqrt() + 1e-8)
    return update


def orthogonal(matrix: Tensor, rounds: int = 3) -> Tensor:
    """Return roughly ``U V^T`` of ``matrix = U S V^T``: Newton-Schulz with Jordan's quintic.

    In bfloat16 where the matrix products are quick in it; the rounding does not matter here.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    quick = matrix.device.type != "cpu" or bfloat16_is_quick()
    x = matrix.bfloat16() if quick else matrix
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(rounds):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.T if tall else x).to(matrix.dtype)


#: Makes an optimiser of parameters, or of parameters and a learning rate.
Factory = Callable[..., torch.optim.Optimizer]


def check_optimizer(name: str) -> None:
    """(the lead's stand-in: helper for optimisers, replace it)."""


def optimizer(
    network: Built,
    recipe: Recipe,
    *,
    also: Iterable[nn.Parameter] = (),
    factory: Factory | None = None,
) -> torch.optim.Optimizer:
    """Return the recipe's optimiser over the network; norms and biases are not decayed.

    Parameters are grouped in the network's own order, so saved states fit by number.
    """
    how = recipe.optimizer
    lr = how.lr if how.lr is not None else 0.0
    learnt = [p for p in network.module.parameters() if p.requires_grad]
    decayed = [p for p in learnt if p.ndim > 1]
    plain = [p for p in learnt if p.ndim <= 1]
    if how.name == "muon":
        last = set(map(id, network.last.parameters()))
        matrices = [p for p in decayed if id(p) not in last]
        beside = [p for p in learnt if p.ndim <= 1 or id(p) in last]
        return Muon(matrices, beside, lr=lr, momentum=how.momentum, weight_decay=how.weight_decay)
    groups = [
        {"params": decayed, "weight_decay": how.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    if how.name == "adamw":
        return torch.optim.AdamW(groups, lr=lr, betas=(how.momentum, 0.99))
    return torch.optim.SGD(groups, lr=lr, momentum=how.momentum, nesterov=how.momentum > 0)


def set_rate(of: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of every group."""
    for group in of.param_groups:
        group["lr"] = lr


def clip(network: nn.Module, most: float) -> float:
    """Scale the gradient down to norm `most`; return what its norm was."""
    return float(torch.nn.utils.clip_grad_norm_(network.parameters(), most))
