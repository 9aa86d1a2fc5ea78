"""What keeping silent buys: accuracy against coverage; how well a number tells two things apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quickstudy.evaluation import Estimate
from quickstudy.evaluation.intervals import Floats, draws, percentiles

_POINTS = 100  # of a curve that is drawn


def auroc(low: NDArray[np.floating], high: NDArray[np.floating]) -> float:
    """Return how often one of `high` is above one of `low`, ties counting half.

    The area under the receiver operating characteristic (Mann & Whitney, 1947).

    >>> auroc(np.array([1.0, 2.0]), np.array([2.0, 3.0]))
    0.875
    """
    if len(low) == 0 or len(high) == 0:
        raise ValueError("auroc needs some of each")
    ordered = np.sort(low)
    below, upto = (np.searchsorted(ordered, high, side=s).mean() for s in ("left", "right"))
    return float((below + upto) / 2 / len(low))


def auroc_between(
    low: NDArray[np.floating], high: NDArray[np.floating], *, seed: int = 0, resamples: int = 200
) -> Estimate:
    """Return `auroc` with the 95 % interval of the bootstrap over both."""
    rng = np.random.default_rng(seed)
    pairs = zip(
        (row for some in draws(len(low), resamples, rng) for row in some),
        (row for some in draws(len(high), resamples, rng) for row in some),
        strict=True,
    )
    found = np.array([auroc(low[a], high[b]) for a, b in pairs])
    return percentiles(auroc(low, high), found)


@dataclass(frozen=True, eq=False)
class Selective:
    """Accuracy where only the surest are answered, from the surest one to all."""

    coverage: Floats
    """Share answered, ascending."""
    accuracy: Floats
    """Of those answered."""
    aurc: float
    """Area under risk against coverage (Geifman & El-Yaniv, 2017): lower is better."""
    excess: float
    """That less what the best order of these answers would have (Geifman et al., 2019)."""

    def as_dict(self) -> dict[str, Any]:
        """Return what the report draws, as plain JSON values."""
        points = [[float(c), float(a)] for c, a in zip(self.coverage, self.accuracy, strict=True)]
        return {"curve": points, "aurc": self.aurc, "excess": self.excess}


def risk_coverage(doubt: NDArray[np.floating], right: NDArray[Any]) -> Selective:
    """Return accuracy against coverage where the least doubtful are answered first.

    `doubt` and `right` (0 or 1) have shape ``N``. Equally doubtful ones are answered together, as
    in any order on average.

    >>> risk_coverage(np.array([0.1, 0.2, 0.9]), np.array([1, 1, 0])).accuracy.round(2).tolist()
    [1.0, 1.0, 0.67]
    """
    doubt, came = np.asarray(doubt, np.float64), np.asarray(right, np.float64)
    if len(doubt) == 0 or doubt.shape != came.shape:
        raise ValueError("doubt and right must be N numbers each, N at least 1")
    n = len(doubt)
    _, which, many = np.unique(doubt, return_inverse=True, return_counts=True)
    evened = (np.bincount(which, weights=came) / many)[np.sort(which)]
    answered = np.arange(1, n + 1)
    accuracy = evened.cumsum() / answered
    best = np.sort(came)[::-1].cumsum() / answered
    aurc, least = float((1 - accuracy).mean()), float((1 - best).mean())
    shown = np.unique(np.linspace(0, n - 1, min(n, _POINTS)).round().astype(np.int64))
    return Selective(answered[shown] / n, accuracy[shown], aurc, aurc - least)
