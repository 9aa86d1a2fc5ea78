"""How unlike what was learnt from an input is, as part of the exported graph."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from quickstudy.calibration import Energy, Mahalanobis, Measure, Neighbours


def unlike(measure: Measure) -> nn.Module:
    """Return what says of features ``N D`` and scores ``N K`` what a `measure` does, ``N``."""
    if isinstance(measure, Mahalanobis):
        return _Mahalanobis(measure)
    if isinstance(measure, Neighbours):
        return NearestLearnt(measure)
    assert isinstance(measure, Energy)  # there are three
    return _Energy()


class _Mahalanobis(nn.Module):
    means: Tensor
    whitening: Tensor

    def __init__(self, of: Mahalanobis) -> None:
        super().__init__()
        self.register_buffer("means", _float32(of.means))
        self.register_buffer("whitening", _float32(of.whitening))

    def forward(self, features: Tensor, scores: Tensor) -> Tensor:
        apart = (features @ self.whitening)[:, None] - self.means[None]
        return apart.square().sum(2).amin(1)


class NearestLearnt(nn.Module):
    """How far the `k`-th nearest of what was learnt from is."""

    kept: Tensor

    def __init__(self, of: Neighbours) -> None:
        super().__init__()
        self.k = of.k
        self.sortless = False
        """Whether to do without sorting, for runtimes that have none."""
        self.register_buffer("kept", _float32(of.kept))

    def forward(self, features: Tensor, scores: Tensor) -> Tensor:
        """Return distances ``N``."""
        alike = F.normalize(features, dim=1) @ self.kept.T
        nearest = self._counted(alike) if self.sortless else alike.topk(self.k, dim=1).values[:, -1]
        return (2 - 2 * nearest).clamp(min=0).sqrt()

    def _counted(self, alike: Tensor) -> Tensor:
        """Return the `k`-th greatest of each row: the next greatest, until there are enough."""
        found = alike.amax(1)
        for _ in range(1, self.k):
            below = torch.where(alike < found[:, None], alike, -2.0).amax(1)
            enough = (alike >= found[:, None]).float().sum(1) >= self.k
            found = torch.where(enough, found, below)
        return found


class _Energy(nn.Module):
    def forward(self, features: Tensor, scores: Tensor) -> Tensor:
        return -scores.logsumexp(1)


def _float32(values: NDArray[np.floating]) -> Tensor:
    return torch.from_numpy(np.asarray(values, np.float32))
