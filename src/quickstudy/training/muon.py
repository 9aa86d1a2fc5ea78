"""Muon: each step moves a matrix in all its directions alike; convolutions count as matrices."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from quickstudy.hardware import bfloat16_is_quick
from quickstudy.training.parts import part_like, whole

#: AdamW's rate for what Muon does not move (vectors, the last layer), as a share of Muon's.
_BESIDE_MUON = 0.1


class Muon(torch.optim.Optimizer):
    """Momentum whose direction is made orthogonal (Jordan et al., 2024), for matrices.

    A convolution ``out in h w`` counts as a matrix ``out (in h w)``. Vectors and the parameters
    named in `beside` are moved by Adam with decoupled decay (Loshchilov and Hutter, 2017), those in
    `undecayed` by Adam alone.
    """

    def __init__(
        self,
        matrices: Iterable[Tensor],
        beside: Iterable[Tensor],
        undecayed: Iterable[Tensor] = (),
        *,
        lr: float,
        momentum: float,
        weight_decay: float,
    ) -> None:
        beside_muon = {"share": _BESIDE_MUON, "matrix": False}
        groups: list[dict[str, Any]] = [
            {"params": list(matrices), "share": 1.0, "matrix": True},
            {"params": list(beside), **beside_muon},
            {
                "params": list(undecayed),
                "share": _BESIDE_MUON,
                "matrix": False,
                "weight_decay": 0.0,
            },
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
    all_of_it = whole(direction)
    matrix = all_of_it.reshape(len(all_of_it), -1)
    stretch = max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5
    update: Tensor = orthogonal(matrix).view_as(all_of_it).mul_(stretch)
    return part_like(direction, update)


def _adam_update(gradient: Tensor, state: dict[str, Tensor], momentum: float) -> Tensor:
    state["steps"] = state["steps"].cpu() + 1  # a checkpoint puts it where the parameter is
    steps = float(state["steps"])
    state["first"].lerp_(gradient, 1 - momentum)
    state["second"].lerp_(gradient.square(), 0.01)
    first = state["first"] / (1 - momentum**steps)
    update: Tensor = first / ((state["second"] / (1 - 0.99**steps)).sqrt() + 1e-8)
    return update


def orthogonal(matrix: Tensor, rounds: int = 3) -> Tensor:
    """Return roughly ``U V^T`` of ``matrix = U S V^T``: Newton-Schulz with Jordan's quintic.

    In bfloat16 where the device is quick in it; the rounding does not matter here.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix.bfloat16() if bfloat16_is_quick(matrix.device) else matrix
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(rounds):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.T if tall else x).to(matrix.dtype)
