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
        return _Neighbours(measure)
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


class _Neighbours(nn.Module):
    kept: Tensor

    def __init__(self, of: Neighbours) -> None:
        super().__init__()
        self.k = of.k
        self.register_buffer("kept", _float32(of.kept))

    def forward(self, features: Tensor, scores: Tensor) -> Tensor:
        alike = F.normalize(features, dim=1) @ self.kept.T
        nearest = alike.topk(self.k, dim=1).values[:, self.k - 1]
        return (2 - 2 * nearest).clamp(min=0).sqrt()


class _Energy(nn.Module):
    def forward(self, features: Tensor, scores: Tensor) -> Tensor:
        return -scores.logsumexp(1)


def _float32(values: NDArray[np.floating]) -> Tensor:
    return torch.from_numpy(np.asarray(values, np.float32))
