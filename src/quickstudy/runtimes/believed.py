"""The answers of a network with what makes them believable: guaranteed sets, and `unknown`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quickstudy.calibration import Calibration, Ranges
from quickstudy.calibration.conformal import checked
from quickstudy.errors import ModelError
from quickstudy.prediction import Prediction


def promised(calibration: Calibration, coverage: float | None) -> float | None:
    """Return the coverage, checked; raises `ModelError` of a model that can promise nothing."""
    if coverage is None:
        return None
    if calibration.sets is None:
        raise ModelError(
            "This model cannot promise a coverage: it kept no answers to held-out examples.",
            "Learn it again, with examples to hold out (split.val).",
        )
    return checked(coverage)


def with_set(
    said: Prediction,
    answer: NDArray[np.float64],
    calibration: Calibration,
    outputs: Sequence[str],
    coverage: float | None,
) -> Prediction:
    """Return a prediction with the set, or the ranges, that hold the truth as often as asked."""
    sets = calibration.sets
    if coverage is None or sets is None or said.error:
        return said
    row = answer[None]
    if isinstance(sets, Ranges):
        ends = sets.ranges(row, coverage)[0].tolist()
        ranges = {name: (low, high) for name, (low, high) in zip(outputs, ends, strict=True)}
        return replace(said, coverage=coverage, ranges=ranges)
    there = np.flatnonzero(sets.sets(row, coverage)[0])
    order = there[np.argsort(-answer[there], kind="stable")]
    return replace(said, coverage=coverage, labels_set=tuple(outputs[i] for i in order))


def unknown_of(
    features: NDArray[Any], scores: NDArray[Any], calibration: Calibration
) -> list[bool | None]:
    """Return for ``N`` examples whether each is unlike what was learnt from; None: cannot tell."""
    if calibration.detector is None or not len(features):
        return [None] * len(features)
    return [bool(one) for one in calibration.detector.unknown(features, scores)]
