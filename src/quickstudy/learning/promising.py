"""What a run can promise: calibrated on `val`, measured on `test`, told in the report."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from quickstudy import calibration
from quickstudy.calibration import Calibration, Covered
from quickstudy.model import Model
from quickstudy.tasks import Task, Truth

PROMISES = (0.9, 0.95)

Floats = NDArray[np.float64]


def calibrated(task: Task, truth: Truth, held_out: Floats) -> Calibration:
    """Return what a model keeps, of the truth ``N`` of `val` and the answers ``N K`` to it."""
    if not len(truth):
        return Calibration()
    return Calibration(calibration.calibrated(task.name, truth, held_out))


def measured(model: Model, truth: Truth, answers: Floats, seed: int) -> dict[str, Any]:
    """Return how far the probabilities and the promises hold on the test, for the report.

    `truth` is that of the test, `answers` ``N K``.
    """
    found: dict[str, Any] = {"reliability": None, "selective": None, "sets": None}
    if model.task.name == "classification":
        found["reliability"] = calibration.of_classes(truth, answers, seed=seed).as_dict()
        right = answers.argmax(1) == truth
        found["selective"] = calibration.risk_coverage(1 - answers.max(1), right).as_dict()
    elif model.task.name == "multilabel":
        found["reliability"] = calibration.of_labels(truth, answers, seed=seed).as_dict()
    sets = model.calibration.sets
    if sets is not None:
        n = len(sets.ordered)
        numbers = isinstance(sets, calibration.Ranges)
        held = [
            one.as_dict()
            | {"possible": promise <= calibration.promisable(n)}
            | ({"name": model.classes[place]} if numbers else {})
            for promise in PROMISES
            for place, one in enumerate(_covered(sets, truth, answers, promise))
        ]
        found["sets"] = {"n": n, "measured": held}
    return found


def _covered(
    sets: calibration.Sets, truth: Truth, answers: Floats, promise: float
) -> tuple[Covered, ...]:
    if isinstance(sets, calibration.Ranges):
        return calibration.covered_numbers(truth, answers, sets, promise)
    if isinstance(sets, calibration.LabelSets):
        return calibration.covered_labels(truth, answers, sets, promise)
    return calibration.covered_classes(truth, answers, sets, promise)
