"""Guaranteed answers: sets of classes or labels, and ranges of numbers, that hold the truth.

Split conformal prediction (Vovk et al., 2005; Papadopoulos et al., 2002): the answers to held-out
examples that the network has not learnt from say how far to open the set. Of examples that steered
nothing, whatever the network, a new one from where those came from is covered with at least the
probability asked for; over many calibrations, by at most 1 / (n + 1) more, but where sets of one
are already better. A run's `val` has chosen epoch and temperature as well, and with a frozen body
the answers are those of cross-validation, the layer that ships learnt once more: there the
guarantee holds nearly, and the test measures how nearly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quickstudy.errors import ChoiceError
from quickstudy.evaluation import Estimate, wilson
from quickstudy.evaluation.intervals import Floats, Ints

Bools = NDArray[np.bool_]
Answers = NDArray[np.floating]

PENALTY = 0.01
"""Of RAPS: for each class beyond the likeliest (`lambda` with `k_reg` 1 of the paper)."""
METHODS = ("lac", "aps", "raps")


def checked(coverage: float) -> float:
    """Return a coverage; raises `ChoiceError` unless it lies between 0 and 1."""
    if not isinstance(coverage, Real) or not 0 < coverage < 1:
        raise ChoiceError(
            f"The coverage {coverage!r} is no share between 0 and 1.",
            "Ask for one such as 0.9 or 0.95.",
        )
    return float(coverage)


def rank(n: int, coverage: float) -> int:
    """Return which of `n` scores, counted from 1, the threshold is: ceil((n + 1) coverage).

    n + 1 where `n` are too few to promise so much. Reckoned in fractions, for 0.07 * 100 is above
    7 in floating point.

    >>> rank(19, 0.95), rank(18, 0.95), rank(99, 0.07)
    (19, 19, 7)
    """
    return math.ceil(Fraction(checked(coverage)).limit_denominator(10**9) * (n + 1))


def quantile(ordered: Floats, coverage: float) -> float:
    """Return the threshold of ascending scores ``n``; infinity where they are too few."""
    at = rank(len(ordered), coverage)
    return float(ordered[at - 1]) if at <= len(ordered) else math.inf


def promised(ordered: Floats, coverage: float) -> float:
    """Return what sets with these ascending scores promise where `coverage` is asked for.

    More than asked where scores are equal: as where one label alone is right more often than asked,
    for it is in every set. Then it is as often as held-out examples were in them.

    >>> promised(np.array([-1, -1, -1, -1, -1, -1, -1, -1, 0.6, 0.9]), 0.5)
    0.7272727272727273
    """
    at = quantile(ordered, coverage)
    held = int(np.searchsorted(ordered, at, side="right")) + math.isinf(at)
    return held / (len(ordered) + 1)


def promisable(n: int) -> float:
    """Return the largest coverage that `n` held-out examples can promise: n / (n + 1)."""
    return n / (n + 1)


def class_scores(probabilities: Answers, method: str = "lac") -> Floats:
    """Return how far each class is from being answered, ``N K``; the likeliest is at -1.

    ``lac``: 1 - p (Sadinle et al., 2019). ``aps``: the probability of all classes down to it
    (Romano et al., 2020). ``raps``: that and a penalty for its rank (Angelopoulos et al., 2021).
    Without the random part of the last two, so that the same example always gets the same answer;
    the coverage is exact all the same. That the likeliest class is in every set is part of the
    score, and so of what is calibrated: forcing it in afterwards would cover too much.
    """
    p = np.asarray(probabilities, np.float64)
    order = np.argsort(-p, axis=1, kind="stable")
    found = np.empty_like(p)
    if method == "lac":
        found[:] = 1 - p
    else:
        reached = np.take_along_axis(p, order, 1).cumsum(1)
        if method == "raps":
            reached += PENALTY * np.arange(p.shape[1])
        np.put_along_axis(found, order, reached, 1)
    np.put_along_axis(found, order[:, :1], -1.0, 1)
    return found


@dataclass(frozen=True, eq=False)
class ClassSets:
    """Sets of classes: never empty, the likeliest among them; `ordered` are scores ``n``."""

    ordered: Floats
    method: str = "lac"

    @staticmethod
    def calibrated(labels: Ints, probabilities: Answers, method: str = "lac") -> ClassSets:
        """Calibrate on labels ``n`` and probabilities ``n K`` of held-out examples.

        Those of cross-validation serve as well where few are held out (Vovk, 2015): each answered
        by a network that has not learnt from it.
        """
        scores = class_scores(probabilities, method)[np.arange(len(labels)), labels]
        return ClassSets(np.sort(scores), method)

    def sets(self, probabilities: Answers, coverage: float) -> Bools:
        """Return which classes are in each set, ``N K``; all where too few were held out."""
        found: Bools = class_scores(probabilities, self.method) <= quantile(self.ordered, coverage)
        found[np.arange(len(found)), np.asarray(probabilities).argmax(1)] = True
        return found


@dataclass(frozen=True, eq=False)
class LabelSets:
    """Sets that hold every label that is there; `ordered` are scores ``n``.

    An example is covered when no label of its own is missing: nested sets of labels whose
    probability reaches a threshold (Cauchois et al., 2021). They may be empty: so may the truth.
    """

    ordered: Floats

    @staticmethod
    def calibrated(truth: NDArray[Any], probabilities: Answers) -> LabelSets:
        """Calibrate on truth ``n K`` (0 or 1) and probabilities ``n K``."""
        lacking = np.where(np.asarray(truth) > 0.5, 1 - np.asarray(probabilities, np.float64), 0.0)
        return LabelSets(np.sort(lacking.max(1)))

    def sets(self, probabilities: Answers, coverage: float) -> Bools:
        """Return which labels are in each set, ``N K``."""
        found: Bools = 1 - np.asarray(probabilities, np.float64) <= quantile(self.ordered, coverage)
        return found


@dataclass(frozen=True, eq=False)
class Ranges:
    """Ranges about numbers; `ordered` are absolute errors ``n T``, each number's ascending.

    As wide everywhere (Lei et al., 2018): the network gives one number, not its quantiles. Each
    number has its own promise, not all of them one.
    """

    ordered: Floats

    @staticmethod
    def calibrated(truth: Floats, values: Floats) -> Ranges:
        """Calibrate on true and answered numbers, ``n T`` each."""
        return Ranges(np.sort(np.abs(np.asarray(truth, np.float64) - values), axis=0))

    def ranges(self, values: Floats, coverage: float) -> Floats:
        """Return the lower and upper ends, ``N T 2``; infinite where too few were held out."""
        half = np.array([quantile(one, coverage) for one in self.ordered.T])
        return np.stack([values - half, values + half], axis=-1)


@dataclass(frozen=True)
class Covered:
    """How often the truth was in what was promised to hold it."""

    asked: float
    promised: float
    """What the sets promise: at least what was asked."""
    share: Estimate
    """With Wilson's interval."""
    size: float
    """Labels in a set on average; of numbers the width of the range."""
    single: float
    """Share of sets of one."""

    def as_dict(self) -> dict[str, Any]:
        """Return the measurement as plain JSON values."""
        told = {"asked": self.asked, "promised": self.promised, "share": self.share.as_dict()}
        size = self.size if math.isfinite(self.size) else None
        return {**told, "size": size, "single": self.single}


def covered_classes(
    labels: Ints, answers: Answers, sets: ClassSets, asked: float
) -> tuple[Covered, ...]:
    """Measure sets of classes by labels ``N`` and probabilities ``N K``."""
    found = sets.sets(answers, asked)
    return (_covered(found[np.arange(len(labels)), labels], found, sets.ordered, asked),)


def covered_labels(
    truth: NDArray[Any], answers: Answers, sets: LabelSets, asked: float
) -> tuple[Covered, ...]:
    """Measure sets of labels by those that are there, ``N K``, and probabilities ``N K``."""
    found = sets.sets(answers, asked)
    missing = (np.asarray(truth) > 0.5) & ~found
    return (_covered(missing.sum(1) == 0, found, sets.ordered, asked),)


def covered_numbers(
    truth: Floats, values: Floats, sets: Ranges, asked: float
) -> tuple[Covered, ...]:
    """Measure ranges by true and answered numbers ``N T``, each number for itself."""
    found = sets.ranges(values, asked)
    held = (found[..., 0] <= truth) & (truth <= found[..., 1])
    wide = found[..., 1] - found[..., 0]
    n = len(truth)
    return tuple(
        Covered(
            asked,
            promised(sets.ordered[:, t], asked),
            Estimate(float(held[:, t].mean()), wilson(int(held[:, t].sum()), n)),
            float(wide[:, t].mean()),
            0.0,
        )
        for t in range(truth.shape[1])
    )


def _covered(held: Bools, found: Bools, ordered: Floats, asked: float) -> Covered:
    """Measure sets ``N K`` by whether each held the truth, ``N``."""
    sizes, hits = found.sum(1), int(held.sum())
    share = Estimate(hits / len(held), wilson(hits, len(held)))
    single = float((sizes == 1).mean())
    return Covered(asked, promised(ordered, asked), share, float(sizes.mean()), single)
