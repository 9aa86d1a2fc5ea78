"""The learning rate, found by a range test on the real data (Smith, 2015)."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from quickstudy.training.optimizers import set_rate

STEPS = 40
_STABLE = 0.1  # of the least loss above it: beyond that the rate is too high
_LOST = 3.0  # of the least loss above it: no more is tried


@dataclass(frozen=True)
class Range:
    """Rates tried, `low` to `high`; `share` of the highest stable one is taken, near `usual`."""

    low: float
    high: float
    share: float
    usual: float
    factor: float = 2.5
    """The answer stays within this factor of the usual rate: 40 steps can mislead."""


_ADAM = Range(1e-5, 3e-2, 0.3, 3e-4)
RANGES = {
    "sgd": Range(1e-3, 3.0, 1.0, 0.1),
    "adam": _ADAM,
    "adamw": _ADAM,
    "lion": Range(1e-6, 3e-3, 0.3, 3e-5),  # a tenth of Adam's (Chen et al., 2023)
    "muon": Range(1e-3, 0.5, 0.1, 0.025),
}
#: How a name of timm's begins -> whose rates it is tried with.
_LIKE = {
    **dict.fromkeys(("adam", "nadam", "radam", "cadam", "cnadam", "adopt", "cadopt"), "adamw"),
    **dict.fromkeys(("lion", "clion"), "lion"),
    **dict.fromkeys(("sgd", "csgd", "momentum", "nesterov"), "sgd"),
}
_WIDE = Range(1e-6, 3.0, 0.3, 1e-3, factor=1e3)


def range_for(name: str) -> Range:
    """Return the rates to try for an optimiser: of its family, or wide where that is not known."""
    if name in RANGES:
        return RANGES[name]
    if "muon" in name:
        return _WIDE  # timm's scale their steps otherwise than ours
    near = next((whose for start, whose in _LIKE.items() if name.startswith(start)), None)
    return _WIDE if near is None else RANGES[near]


def range_test(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss_at: Callable[[int], float],
    method: str,
    steps: int = STEPS,
) -> tuple[float, str]:
    """Return a learning rate and the reason; network and optimiser are left as they were.

    `loss_at(i)` computes the loss of training batch `i` and leaves its gradient. The rate grows
    from step to step until the smoothed loss leaves its least value behind for good.
    """
    before = copy.deepcopy(network.state_dict())
    before_optimizer = copy.deepcopy(optimizer.state_dict())
    tried = range_for(method)
    smooth, weight, seen = 0.0, 0.0, []
    for i in range(steps):
        rate = tried.low * (tried.high / tried.low) ** (i / (steps - 1))
        set_rate(optimizer, rate)
        value = loss_at(i)
        if not math.isfinite(value):
            break
        optimizer.step()
        smooth, weight = 0.8 * smooth + 0.2 * value, 0.8 * weight + 0.2
        seen.append((smooth / weight, rate))
        least = min(seen)[0]
        if seen[-1][0] > least + _LOST * abs(least):  # a loss may be below 0
            break
    network.load_state_dict(before)
    optimizer.load_state_dict(before_optimizer)
    return _chosen(seen, tried)


def _chosen(seen: list[tuple[float, float]], tried: Range) -> tuple[float, str]:
    """Return the rate and the reason, from (smoothed loss, rate) in order of the rate."""
    if not seen:
        return (
            tried.usual / tried.factor,
            "the loss was not finite at any rate: far below the usual one",
        )
    least = min(range(len(seen)), key=lambda i: seen[i])
    stable = seen[least][1]
    for loss, rate in seen[least:]:
        if loss > seen[least][0] + _STABLE * abs(seen[least][0]):
            break
        stable = rate
    wanted = tried.share * stable
    rate = min(max(wanted, tried.usual / tried.factor), tried.usual * tried.factor)
    kept = "" if rate == wanted else f", kept within a factor of {tried.factor:g} of the usual"
    return float(f"{rate:.2g}"), (
        f"range test of {len(seen)} steps on your data: the loss stays low up to {stable:.2g}; "
        f"{tried.share:g} of that{kept}"
    )
