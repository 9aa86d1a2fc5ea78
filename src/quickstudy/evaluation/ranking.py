"""Average precision: how well probabilities put the examples that carry a label first."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from quickstudy.evaluation.intervals import Floats


class Ranked:
    """One label's examples in order of their probability, ready to be counted and recounted.

    Average precision is the mean, over the examples that carry the label, of the share of such
    examples among all with at least their probability: ties count as one step, as in scikit-learn.
    """

    def __init__(self, truth: NDArray[Any], probabilities: NDArray[Any]) -> None:
        """Sort `probabilities` (``N``) once; `truth` (``N``) is 0 or 1."""
        self.order = np.argsort(-probabilities, kind="stable")
        ranked = probabilities[self.order]
        self.carriers = np.flatnonzero(np.asarray(truth)[self.order] > 0)
        """Places of the examples that carry the label, ``P``."""
        self.ends = np.searchsorted(-ranked, -ranked[self.carriers], side="right") - 1
        """Place of the last example that is as probable, ``P``."""
        self.among = np.searchsorted(self.carriers, self.ends, side="right") - 1
        """Number of the last carrier that is as probable, ``P``."""

    def average_precision(self) -> float:
        """Return the average precision of all examples; NaN where none carries the label."""
        if not len(self.carriers):
            return np.nan
        return float(((self.among + 1) / (self.ends + 1)).mean())

    def drawn(self, times: NDArray[np.int32]) -> Floats:
        """Return it for resamples: `times` (``R N``) is how often each example was drawn."""
        if not len(self.carriers):
            return np.full(len(times), np.nan)
        ordered = times.take(self.order, axis=1)  # 5 times as fast as indexing
        seen = np.cumsum(ordered, axis=1, dtype=np.int32).take(self.ends, axis=1)
        weight = ordered.take(self.carriers, axis=1)
        hits = np.cumsum(weight, axis=1, dtype=np.int32)
        total = hits[:, -1]
        summed = (weight * hits.take(self.among, axis=1) / np.maximum(seen, 1)).sum(axis=1)
        found: Floats = np.where(total > 0, summed / np.maximum(total, 1), np.nan)
        return found


def ranked(truth: NDArray[Any], probabilities: NDArray[Any]) -> list[Ranked]:
    """Return each label's examples in order; both are ``N K``."""
    return [Ranked(t, p) for t, p in zip(truth.T, probabilities.T, strict=True)]


def mean_over_labels(drawn: Floats) -> Floats:
    """Return the mean over labels ``R`` of ``R K``; a label that no example carries is left out."""
    known = ~np.isnan(drawn)
    many = known.sum(axis=1)
    total = np.where(known, drawn, 0.0).sum(axis=1)
    found: Floats = np.where(many > 0, total / np.maximum(many, 1), np.nan)
    return found


def mean_average_precision(truth: NDArray[Any], probabilities: NDArray[Any]) -> float:
    """Return the mean over the labels that an example carries, both ``N K``; 0 where none does.

    >>> truth = np.array([[1, 0], [0, 0], [1, 0]])
    >>> round(mean_average_precision(truth, np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]])), 3)
    0.833
    """
    each = [one.average_precision() for one in ranked(truth, probabilities)]
    known = [one for one in each if not np.isnan(one)]
    return float(np.mean(known)) if known else 0.0
