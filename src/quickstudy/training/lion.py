"""Lion: the sign of a momentum (Chen et al., 2023)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor


class Lion(torch.optim.Optimizer):
    """Every number moves by the learning rate, up or down: it wants a tenth of Adam's.

    `betas`: how much of the past the step listens to, and how much of it is kept. Decay is
    decoupled.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Move every parameter once."""
        for group in self.param_groups:
            listens, keeps = group["betas"]
            for parameter in group["params"]:
                gradient: Tensor | None = parameter.grad
                if gradient is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["first"] = torch.zeros_like(parameter)
                first: Tensor = state["first"]
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.sub_(first.lerp(gradient, 1 - listens).sign_(), alpha=group["lr"])
                first.lerp_(gradient, 1 - keeps)
