"""The learning rate, found by a range test on the real data (Smith, 2015)."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import torch
from torch import nn

from quickstudy.training.optimizers import set_rate

STEPS = 40
#: Rates tried, lowest and highest, and how far below the best point to stay. The last number is
#: from benchmarks/rate.py: the factor at which whole runs ended best on the data sets there.
RANGES = {"sgd": (1e-3, 3.0, 0.3), "adamw": (1e-5, 3e-2, 0.1), "muon": (1e-3, 0.5, 0.2)}


def range_test(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss_at: Callable[[int], float],
    method: str,
    steps: int = STEPS,
) -> tuple[float, str]:
    """Return a learning rate and the reason; network and optimiser are left as they were.

    `loss_at(i)` computes the loss of training batch `i` and leaves its gradient. The rate grows from step to step until
    the smoothed loss is four times the least seen; the rate of that least loss, times a safe
    share, is the answer.
    """
    before = copy.deepcopy(network.state_dict())
    before_optimizer = copy.deepcopy(optimizer.state_dict())
    low, high, share = RANGES[method]
    smooth, weight, seen = 0.0, 0.0, []
    for i in range(steps):
        rate = low * (high / low) ** (i / (steps - 1))
        set_rate(optimizer, rate)
        value = loss_at(i)
        if not math.isfinite(value):
            break
        optimizer.step()
        smooth, weight = 0.8 * smooth + 0.2 * value, 0.8 * weight + 0.2
        seen.append((smooth / weight, rate))
        if seen[-1][0] > 4 * min(seen)[0]:
            break
    network.load_state_dict(before)
    optimizer.load_state_dict(before_optimizer)
    if not seen:
        return low, "the loss was not finite at any rate tried: the lowest one"
    best_loss, best = min(seen)
    rate = float(f"{best * share:.2g}")
    return rate, (
        f"range test of {len(seen)} steps on your data: the loss was least ({best_loss:.2f}) "
        f"at {best:.2g}; {share:g} of that"
    )
