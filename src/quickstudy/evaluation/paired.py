"""Two models on the same examples: which is better, how sure that is, and what it would take."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quickstudy.errors import SourceError
from quickstudy.evaluation.intervals import (
    CLIP,
    Estimate,
    Floats,
    affordable,
    counts,
    percentiles,
    share,
)
from quickstudy.evaluation.ranking import mean_average_precision
from quickstudy.evaluation.rivals import mean_average_precisions, paired, r2s

CHANCE = 0.05
"""How often two equal models may be called different."""
_POWER = 0.8  # how often a test of the size asked for shows a difference that is there
_POINT = 0.01  # of the score: the least difference worth asking for
_RESAMPLES = 1000
_SWAPS = 1000
_FEWEST_SWAPS, _SWAPPED = 199, 40_000_000  # examples times labels times swaps: some seconds
_CELLS = 4_000_000  # signs drawn at once

METRICS = {"classification": "accuracy", "multilabel": "mAP", "regression": "R2"}


@dataclass(frozen=True)
class Compared:
    """Two models on the same `n` examples; differences are the second's less the first's."""

    task: str
    n: int
    first: Estimate
    second: Estimate
    difference: Estimate
    p: float
    """How often two equal models would differ by as much: exact McNemar, or swapped at random."""
    only: tuple[int, int] | None
    """Of classes: how many only the first, and only the second, had right."""
    log_loss: Estimate | None
    """The difference in nats an example (of labels: a label); below 0 the second is better."""
    needed: int
    """Test examples that would show the difference, 8 times in 10."""
    sought: float
    """The difference that this is for: the one found, or one point where that is smaller still."""

    @property
    def metric(self) -> str:
        """``accuracy``, ``mAP`` or ``R2``."""
        return METRICS[self.task]

    @property
    def verdict(self) -> str:
        """``better``, ``worse`` (the second than the first), or ``unclear``."""
        low, high = self.difference.interval
        if self.p > CHANCE or low <= 0 <= high:
            return "unclear"
        return "better" if self.difference.value > 0 else "worse"

    def as_dict(self) -> dict[str, Any]:
        """Return the comparison as plain JSON values."""
        only = None if self.only is None else {"first": self.only[0], "second": self.only[1]}
        return {
            "task": self.task,
            "metric": self.metric,
            "n": self.n,
            "first": self.first.as_dict(),
            "second": self.second.as_dict(),
            "difference": self.difference.as_dict(),
            "p": self.p,
            "test": "exact McNemar" if self.task == "classification" else "randomization",
            "only": only,
            "log_loss_difference": None if self.log_loss is None else self.log_loss.as_dict(),
            "needed": self.needed,
            "sought": self.sought,
            "verdict": self.verdict,
        }


def compared(
    task: str, truth: NDArray[Any], first: NDArray[Any], second: NDArray[Any], seed: int = 0
) -> Compared:
    """Compare two models' answers ``N K`` to the same examples; `truth` is ``N`` or ``N K``.

    Accuracies by McNemar's exact test (1947) with Newcombe's interval of a paired difference
    (1998), which holds where few answers differ; the others by the percentile interval of a paired
    bootstrap and by swapping the two models' answers at random (Noreen 1989; Yeh 2000). They are
    called different only where interval and test agree. Raises `SourceError` without examples, or
    where the truth leaves the score undefined.
    """
    if len(truth) == 0:
        raise SourceError("There is no example to compare on.", "Add examples, or a test part.")
    rng = np.random.default_rng(seed)
    if task == "classification":
        return _of_classes(truth, first, second, rng)
    one, two, difference = differing(task, truth, first, second, seed)
    true = np.asarray(truth, np.float64)
    swap = _p_of_numbers if task == "regression" else _p_of_labels
    loss = None
    if task == "multilabel":
        before, after = (_surprise(np.where(true > 0.5, p, 1 - p)).mean(1) for p in (first, second))
        loss = _mean_difference(before, after, rng)
    needed, sought = _needed_of(difference, len(true))
    return Compared(
        task,
        len(true),
        one,
        two,
        difference,
        swap(true, first, second, rng),
        None,
        loss,
        needed,
        sought,
    )


def differing(
    task: str, truth: NDArray[Any], first: NDArray[Any], second: NDArray[Any], seed: int = 0
) -> tuple[Estimate, Estimate, Estimate]:
    """Return two models' scores on the same examples, and the second's less the first's.

    Raises `SourceError` where the truth leaves the score undefined.
    """
    if task == "classification":
        return _accuracies(truth, first, second)[:3]
    true = np.asarray(truth, np.float64)
    if (task == "regression" and not (np.ptp(true, axis=0) > 0).any()) or not true.any():
        raise SourceError("The truth of these examples never varies.", "Test on others.")
    resampled = r2s if task == "regression" else mean_average_precisions
    whole, drawn = resampled(true, first, second, np.random.default_rng(seed))
    return (
        percentiles(whole[0], drawn[0]),
        percentiles(whole[1], drawn[1]),
        percentiles(whole[1] - whole[0], drawn[1] - drawn[0]),
    )


def mcnemar(first: int, second: int) -> float:
    """Return the exact two-sided p of McNemar's test: `first` and `second` count disagreements.

    Twice the binomial tail at one half, at most 1.

    >>> round(mcnemar(1, 9), 6)
    0.021484
    """
    n, least = first + second, min(first, second)
    if n == 0:
        return 1.0
    logs = [
        math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) for k in range(least + 1)
    ]
    top = max(logs)
    tail = math.exp(top - n * math.log(2)) * math.fsum(math.exp(one - top) for one in logs)
    return min(1.0, 2 * tail)


def examples_for(difference: float, disagreement: float, power: float = _POWER) -> int:
    """Return how many paired examples show a difference of two shares (Connor 1987).

    `disagreement` is the share of the examples that only one of the two has right.

    >>> examples_for(0.02, 0.06)
    1175
    """
    normal = NormalDist()
    z, power_z = normal.inv_cdf(1 - CHANCE / 2), normal.inv_cdf(power)
    spread = math.sqrt(max(0.0, disagreement - difference**2))
    return math.ceil(((z * math.sqrt(disagreement) + power_z * spread) / difference) ** 2)


def _accuracies(
    truth: NDArray[Any], first: NDArray[Any], second: NDArray[Any]
) -> tuple[Estimate, Estimate, Estimate, tuple[int, int]]:
    """Return both accuracies, the second's less the first's, and what only one has right."""
    n = len(truth)
    one, two = (answers.argmax(1) == truth for answers in (first, second))
    both, only = int((one & two).sum()), (int((one & ~two).sum()), int((two & ~one).sum()))
    difference = Estimate((only[1] - only[0]) / n, paired(both, only[1], only[0], n))
    return share(both + only[0], n), share(both + only[1], n), difference, only


def _of_classes(
    truth: NDArray[Any], first: NDArray[Any], second: NDArray[Any], rng: np.random.Generator
) -> Compared:
    n, rows = len(truth), np.arange(len(truth))
    ours, theirs, difference, only = _accuracies(truth, first, second)
    sought = max(abs(difference.value), _POINT)
    return Compared(
        "classification",
        n,
        ours,
        theirs,
        difference,
        mcnemar(*only),
        only,
        _mean_difference(_surprise(first[rows, truth]), _surprise(second[rows, truth]), rng),
        examples_for(sought, max(sum(only) / n, sought)),
        sought,
    )


def _surprise(shares: NDArray[Any]) -> Floats:
    """Return -log of the probability given to the truth, in nats."""
    found: Floats = -np.log(np.clip(np.asarray(shares, np.float64), CLIP, 1.0))
    return found


def _mean_difference(first: Floats, second: Floats, rng: np.random.Generator) -> Estimate:
    """Return the mean of the second's less the first's, with its bootstrap interval."""
    each = second - first
    drawn = np.concatenate([times @ each for times in counts(len(each), _RESAMPLES, rng)])
    return percentiles(float(each.mean()), drawn / len(each))


def _needed_of(difference: Estimate, n: int) -> tuple[int, float]:
    """Return the examples that would show a difference whose interval is a bootstrap's."""
    normal = NormalDist()
    wide = normal.inv_cdf(1 - CHANCE / 2)
    error = (difference.interval[1] - difference.interval[0]) / (2 * wide)
    sought = max(abs(difference.value), _POINT)
    return max(1, math.ceil(n * ((wide + normal.inv_cdf(_POWER)) * error / sought) ** 2)), sought


def _p_of_numbers(
    true: Floats, first: NDArray[Any], second: NDArray[Any], rng: np.random.Generator
) -> float:
    """Return the p of squared errors whose sides are swapped at random: a test of signs."""
    spread = true.var(axis=0)
    varies = np.ptp(true, axis=0) > 0
    errors = [
        ((np.asarray(one, np.float64) - true)[:, varies] ** 2 / spread[varies]).mean(1)
        for one in (first, second)
    ]
    each = errors[0] - errors[1]
    found, beyond, size = abs(float(each.sum())), 0, max(1, _CELLS // len(each))
    for start in range(0, _SWAPS, size):
        rows = min(size, _SWAPS - start)
        signs = 2.0 * rng.integers(0, 2, (rows, len(each)), dtype=np.int8) - 1
        beyond += int((np.abs(signs @ each) >= found * (1 - 1e-12)).sum())
    return (1 + beyond) / (1 + _SWAPS)


def _p_of_labels(
    true: Floats, first: NDArray[Any], second: NDArray[Any], rng: np.random.Generator
) -> float:
    """Return the p of the mean average precision where the sides are swapped at random."""
    swaps = max(_FEWEST_SWAPS, min(_SWAPS, _SWAPPED // (2 * true.size)))
    swaps = affordable(swaps, 2 * true.size)
    whole = mean_average_precision(true, second) - mean_average_precision(true, first)
    beyond = 0
    for _ in range(swaps):
        turned = rng.random(len(true)) < 0.5
        one, two = first.copy(), second.copy()
        one[turned], two[turned] = second[turned], first[turned]
        swapped = mean_average_precision(true, two) - mean_average_precision(true, one)
        beyond += abs(swapped) >= abs(whole) - 1e-12
    return (1 + beyond) / (1 + swaps)
