"""Which networks answer best together: chosen on `val`, and judged on what they were not chosen by.

Ensemble selection with replacement (Caruana et al., 2004): again and again the network that helps
the mean of the answers most is added; how often each was is its weight. What is chosen on some
examples looks too good on these, so how much it helps is told by cross-validation: chosen on four
fifths of `val`, asked about the last one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from quickstudy.tasks import Task, Truth
from quickstudy.training.head import folds
from quickstudy.training.judging import Judgement, difference

#: How often a network is added, and how many there are at most: each takes its time whenever one
#: is asked. With more, poor ones come in at a few hundredths, which only make the answer less sure.
MOST = 5
#: Standard errors that an ensemble must be better by: it takes several times as long.
PAYS = 2.0

Floats = NDArray[np.float64]


def select(task: Task, truth: Truth, answers: Sequence[Floats]) -> Floats:
    """Return the weight of each network, of its `answers` ``N K``; at most `MOST` are above 0.

    Of equally good ones those that are in already, and the fewest.
    """
    counts, total = np.zeros(len(answers), int), np.zeros_like(answers[0])
    best, least = counts, math.inf
    for n in range(1, MOST + 1):
        losses = [float(task.losses(truth, (total + one) / n).mean()) for one in answers]
        added = min(range(len(answers)), key=lambda i: (losses[i], not counts[i]))
        counts = counts.copy()
        counts[added] += 1
        total = total + answers[added]
        if losses[added] < least - 1e-9:
            best, least = counts, losses[added]
    return np.asarray(best / best.sum(), np.float64)


def mean(answers: Sequence[Floats], weights: Floats) -> Floats:
    """Return the weighted mean of answers ``N K``."""
    return np.asarray(np.tensordot(weights, np.stack(answers), 1), np.float64)


def as_scores(task: Task, answers: Floats) -> Tensor:
    """Return the scores ``N K`` that an `Ensemble` of these mean answers gives."""
    if task.name == "regression":
        return task.encoded(answers)
    given = torch.from_numpy(answers)
    return given.clamp_min(1e-12).log() if task.name == "classification" else given.logit(1e-7)


def settled(task: Task, truth: Truth, answers: Floats) -> Task:
    """Return the task with what mean answers ``N K`` to known examples settle: a temperature."""
    return task.judged(as_scores(task, answers), torch.arange(len(truth)), truth).task


def judged(task: Task, truth: Truth, answers: Floats) -> Judgement:
    """Return what answers ``N K`` as they are are worth."""
    scored = task.judged(as_scores(task, answers), torch.arange(len(truth)), truth)
    losses = np.nan_to_num(task.losses(truth, answers), nan=math.inf)
    return Judgement(scored.score, losses, scored.loss)


def crossed(
    task: Task, truth: Truth, answers: Sequence[Floats], families: NDArray[np.int64], seed: int
) -> Floats:
    """Return answers ``N K`` of ensembles that were not chosen by the examples asked about.

    Examples of equal `families` are on one side.
    """
    fold = folds(families, np.random.default_rng([seed, 11]))
    found = np.empty_like(answers[0])
    for out in np.unique(fold):
        rest, asked = fold != out, fold == out
        if not rest.any():
            rest = asked  # all are one family
        weights = select(task, truth[rest], [one[rest] for one in answers])
        whole = mean(answers, weights)
        calibrated = settled(task, truth[rest], whole[rest])
        found[asked] = calibrated.answers(as_scores(task, whole[asked])).numpy()
    return found


def better(
    task: Task, one: Judgement, other: Judgement, least: float
) -> tuple[bool, dict[str, Any]]:
    """Return whether `one` is better by more than `least` standard errors, and the figures.

    Its loss on the same examples decides; its score must not be below the other's by more than
    chance.
    """
    apart, error = difference(one, other)
    fine = one.score >= other.score - task.noise(other.score, len(other.losses))
    ahead = -apart / error if error > 0 else 0.0
    told = {"loss": one.loss, "score": one.score, "standard_errors": ahead}
    return -apart >= least * error and fine, told
