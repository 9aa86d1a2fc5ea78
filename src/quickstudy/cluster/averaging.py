"""What stands around a network and its loss where several processes share a batch; how quick."""

from __future__ import annotations

import inspect
import statistics
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from quickstudy.network import Built

_FEWEST = 20  # steps that tell how quick all are together
_TIMED = 1000


def unsynchronised() -> dict[str, Any]:
    """Return what keeps statistics apart: process 0's ship, and nobody looks at them in training.

    The option has another name from torch 2.15 on.
    """
    takes = inspect.signature(nn.parallel.DistributedDataParallel.__init__).parameters
    return {next(n for n in ("forward_sync_buffers", "broadcast_buffers") if n in takes): False}


class Running(nn.Module):
    """A network as it computes in training: itself, or its compiled form."""

    def __init__(self, network: Built) -> None:
        super().__init__()
        self.module = network.module
        self._forms = (network.compiled or network.module,)  # in a tuple: not registered twice

    def forward(self, x: Tensor) -> Any:
        """Compute."""
        return self._forms[0](x)


class Weighted(nn.Module):
    """A loss times a share: of a part of a batch that is larger or smaller than the others."""

    def __init__(self, loss: nn.Module, share: float) -> None:
        super().__init__()
        self.loss, self.share = loss, share

    def forward(self, scores: Tensor, target: Tensor) -> Tensor:
        """Compute."""
        found: Tensor = self.loss(scores, target) * self.share
        return found


@dataclass
class Speed:
    """How long a step takes at the first size that is learnt from."""

    size: tuple[int, ...]
    alone: float
    """Seconds of one process while the others wait."""
    together: list[float] = field(default_factory=list)
    """Seconds of all together, step by step."""

    def add(self, took: float) -> None:
        """Add a step."""
        if len(self.together) < _TIMED:
            self.together.append(took)

    def times(self, world: int) -> float | None:
        """Return how many times the examples of one all go through; None after too few steps."""
        if len(self.together) < _FEWEST or not self.alone:
            return None
        return world * self.alone / statistics.median(self.together[_FEWEST // 2 :])
