"""Where to start from: parameters drawn afresh, the same for the same number."""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch
from torch import Tensor, nn

_ROWS = 512  # of the examples, at most, that draws are ranked on
_SCALES = (0.3, 1.0, 3.0, 10.0)  # a formula's parameters: drawn about 0, so wide


class Drawer:
    """Draws the parameters of a module; `few` are examples to rank what was drawn on."""

    def __init__(self, module: nn.Module, x: Tensor, target: Tensor, seed: int) -> None:
        self.seed = seed
        modules = list(module.modules())
        self.layers: list[Any] = [m for m in modules if hasattr(m, "reset_parameters")]
        owned = {id(p) for layer in self.layers for p in layer.parameters()}
        learned = [p for p in module.parameters() if p.requires_grad]
        self.free = [p for p in learned if id(p) not in owned]
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
        rows = order[:_ROWS].to(x.device)
        self.few = (x[rows], target[rows])
        size = float(self.few[0].float().square().mean().sqrt())
        self.unit = 1.0 if not 0 < size < math.inf or 1 / 3 < size < 3 else 1 / size

    def draw(self, number: int) -> None:
        """Draw layers as they reset themselves, and what is free normally about 0.

        What multiplies large inputs may have to be small: half of the free ones are in units of
        1 / the inputs' root mean square.
        """
        own = torch.Generator().manual_seed(self.seed * 1_000_003 + number)
        if self.layers:
            torch.manual_seed(own.initial_seed())  # 1 ms: too dear for a formula's many draws
        for layer in self.layers:
            layer.reset_parameters()
        wide = _SCALES[number % len(_SCALES)]
        with torch.no_grad():
            for p in self.free:
                unit = self.unit if torch.rand((), generator=own) < 0.5 else 1.0
                p.copy_(torch.randn(p.shape, generator=own) * (wide * unit))


def best_mixed(found: list[tuple[float, int]], many: int) -> list[int]:
    """Return the numbers of half the best of all draws, and half the best of each scale."""
    found = sorted(found)
    scales = [[d for d in found if d[1] % len(_SCALES) == k] for k in range(len(_SCALES))]
    by_turns = [d for row in itertools.zip_longest(*scales) for d in row if d is not None]
    best = [number for _, number in found[: (many + 1) // 2]]
    return list(dict.fromkeys([*best, *[number for _, number in by_turns]]))[:many]
