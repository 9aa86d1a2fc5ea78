"""How unlike the training data an input is, and from where on the answer is `unknown`.

Measures of the features that the last layer sees, and of its scores; all are higher for what is
less like the training data. Which one a model takes is measured, on inputs made to be unlike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from quickstudy.calibration.selective import auroc
from quickstudy.evaluation import Estimate, wilson
from quickstudy.evaluation.intervals import Floats, Ints

Features = NDArray[np.floating]

REFUSED = 0.05
"""Share of known data that may be answered with `unknown`, at most."""
NEIGHBOURS = 10
_MOST_KEPT = 2000  # training examples that are neighbours: 2 MB at 512 features, 2 bytes each
_WIDEST = 512  # features that a covariance is taken of: its square is kept, 1 MB
_FEWEST, _MOST_APART = 5, 5  # held-out examples of a class, and classes, to leave one out
_CHUNK = 4_000_000  # distances at once: 32 MB
_TINY = 1e-12


class Measure(Protocol):
    """Says of features ``N D`` and scores ``N K`` how unlike the training data each is."""

    name: ClassVar[str]

    @property
    def width(self) -> int | None:
        """How many features it is of; None: it asks for none."""

    def unlike(self, features: Features, scores: Features) -> Floats:
        """Return ``N`` numbers, higher for what is less like the training data."""

    def tensors(self) -> dict[str, NDArray[np.floating]]:
        """Return what a model keeps."""


@dataclass(frozen=True, eq=False)
class Mahalanobis:
    """Distance to the nearest class's mean, in deviations shared by all classes (Lee et al., 2018).

    The covariance is shrunk as Ledoit & Wolf (2004) have it: features may be more than examples.
    """

    means: Floats
    """``K D``, already turned by `whitening`."""
    whitening: Floats
    """``D D``: features times it have unit covariance within a class."""

    name: ClassVar[str] = "mahalanobis"

    @staticmethod
    def fitted(features: Features, classes: Ints) -> Mahalanobis:
        """Fit on features ``N D`` of training examples and their classes ``N``."""
        x = np.asarray(features, np.float64)
        present, which = np.unique(classes, return_inverse=True)
        means = np.stack([x[which == k].mean(0) for k in range(len(present))])
        values, vectors = np.linalg.eigh(shrunk_covariance(x - means[which]))
        whitening = vectors / np.sqrt(np.maximum(values, max(float(values.max()) * 1e-9, _TINY)))
        return Mahalanobis(means @ whitening, whitening)

    @property
    def width(self) -> int:
        """``D``."""
        return len(self.whitening)

    def unlike(self, features: Features, scores: Features) -> Floats:
        """Return squared distances ``N``."""
        x = np.asarray(features, np.float64) @ self.whitening
        found = [((x - mean) ** 2).sum(1) for mean in self.means]
        nearest: Floats = np.min(found, axis=0)
        return nearest

    def tensors(self) -> dict[str, NDArray[np.floating]]:
        """Return what a model keeps."""
        return {
            "means": self.means.astype(np.float32),
            "whitening": self.whitening.astype(np.float32),
        }


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Distance to the k-th nearest training features, all of length 1 (Sun et al., 2022)."""

    kept: NDArray[np.float32]
    """``M D``."""
    k: int = NEIGHBOURS

    name: ClassVar[str] = "neighbours"

    @staticmethod
    def fitted(features: Features, seed: int = 0, k: int = NEIGHBOURS) -> Neighbours:
        """Fit on features ``N D`` of training examples; of many some are kept, at random."""
        x = _unit(features)
        if len(x) > _MOST_KEPT:
            x = x[np.sort(np.random.default_rng(seed).permutation(len(x))[:_MOST_KEPT])]
        return Neighbours(x.astype(np.float16).astype(np.float32), min(k, len(x)))

    @property
    def width(self) -> int:
        """``D``."""
        return int(self.kept.shape[1])

    def unlike(self, features: Features, scores: Features) -> Floats:
        """Return distances ``N``, 0 to 2."""
        x, found = _unit(features).astype(np.float32), []
        for part in np.array_split(x, max(1, len(x) * len(self.kept) // _CHUNK)):
            near = np.partition(-(part @ self.kept.T), self.k - 1, axis=1)[:, self.k - 1]
            found.append(np.sqrt(np.maximum(0.0, 2 + 2 * near.astype(np.float64))))
        return np.concatenate(found)

    def tensors(self) -> dict[str, NDArray[np.floating]]:
        """Return what a model keeps: in 16 bits, which lose nothing of what was fitted."""
        return {"kept": self.kept.astype(np.float16)}


@dataclass(frozen=True)
class Energy:
    """-log sum exp of the scores (Liu et al., 2020)."""

    name: ClassVar[str] = "energy"
    width: ClassVar[None] = None

    def unlike(self, features: Features, scores: Features) -> Floats:
        """Return energies ``N`` in nats."""
        found: Floats = -np.logaddexp.reduce(np.asarray(scores, np.float64), axis=1)
        return found

    def tensors(self) -> dict[str, NDArray[np.floating]]:
        """Return nothing: it has nothing to keep."""
        return {}


def shrunk_covariance(centred: Floats) -> Floats:
    """Return the covariance ``D D`` of centred ``N D``, drawn towards a multiple of the identity.

    By as much as is best for its squared error (Ledoit & Wolf, 2004).
    """
    n, d = centred.shape
    plain = centred.T @ centred / n
    mean = np.trace(plain) / d
    apart = float(((plain - mean * np.eye(d)) ** 2).sum())
    lengths = (centred**2).sum(1)
    noise = float((lengths**2).sum() / n - (plain**2).sum()) / n
    share = 1.0 if apart <= 0 else min(1.0, max(0.0, noise / apart))
    found: Floats = (1 - share) * plain + share * mean * np.eye(d)
    return found


def _unit(features: Features) -> Floats:
    x = np.asarray(features, np.float64)
    found: Floats = x / np.maximum(np.sqrt((x**2).sum(1, keepdims=True)), _TINY)
    return found


#: Features ``N D`` and scores ``N K`` of the same inputs.
Seen = tuple[Features, Features]


@dataclass(frozen=True, eq=False)
class Chosen:
    """A measure, and how the choice was made."""

    measure: Measure
    areas: Mapping[str, Mapping[str, float]]
    """AUROC of each measure on each sort of unlike inputs."""


def fitted(features: Features, classes: Ints, *, energy: bool, seed: int = 0) -> list[Measure]:
    """Return every measure that suits, fitted on training features ``N D`` and classes ``N``.

    `energy` is for scores that are of classes.
    """
    found: list[Measure] = [Neighbours.fitted(features, seed)]
    if features.shape[1] <= _WIDEST:
        found.append(Mahalanobis.fitted(features, classes))
    return [*found, Energy()] if energy else found


def classes_apart(
    measures: Sequence[Measure],
    learnt: tuple[Features, Ints],
    held_out: tuple[Features, Features, Ints],
    seed: int = 0,
) -> dict[str, float]:
    """Return how well each of `measures` would tell a class that it has not met, by name: AUROC.

    The mean over the commonest classes: each is left out of what was `learnt` (features ``N D``,
    classes ``N``), and its `held_out` examples (features, scores, classes) are told from those of
    the others. Nothing of fewer than three classes, or where only one was held out.
    """
    (x, classes), (features, scores, truth) = learnt, held_out
    present = np.unique(classes)
    there, many = np.unique(truth, return_counts=True)
    there = there[np.lexsort((there, -many))][: int((many >= _FEWEST).sum())]
    found: dict[str, list[float]] = {}
    some = len(present) >= 3 and len(np.unique(truth)) > 1
    for one in there[:_MOST_APART].tolist() if some else []:
        new = truth == one
        for measure in measures:
            seen = scores
            if isinstance(measure, Mahalanobis):  # how classes spread tells little of where one is
                measure = Mahalanobis(measure.means[present != one], measure.whitening)
            elif isinstance(measure, Neighbours):
                measure = Neighbours.fitted(x[classes != one], seed, measure.k)
            else:
                seen = np.delete(scores, one, axis=1)
            how = measure.unlike(features, seen)
            found.setdefault(measure.name, []).append(auroc(how[~new], how[new]))
    return {name: float(np.mean(areas)) for name, areas in found.items()}


def choose(
    measures: Sequence[Measure],
    known: Seen,
    unlike: Mapping[str, Seen],
    also: Mapping[str, Mapping[str, float]] | None = None,
) -> Chosen:
    """Choose the measure that best tells `known` held-out examples from sorts of `unlike` ones.

    By the worst AUROC over the sorts, then by their mean: a measure that is blind to one sort is
    no safeguard. `also` are AUROC measured before: sort -> measure -> area.
    """
    seen = {one.name: one.unlike(*known) for one in measures}
    areas: dict[str, dict[str, float]] = {
        one.name: {sort: auroc(seen[one.name], one.unlike(*new)) for sort, new in unlike.items()}
        for one in measures
    }
    for sort, found in (also or {}).items():
        for name, area in found.items():
            areas[name][sort] = area
    best = max(measures, key=lambda one: _merit(areas[one.name]))
    return Chosen(best, areas)


def _merit(areas: Mapping[str, float]) -> tuple[float, float]:
    found = list(areas.values()) or [0.5]
    return min(found), sum(found) / len(found)


def cross_fitted(
    measure: Measure, features: Features, classes: Ints, fold: Ints, seed: int = 0
) -> Floats:
    """Return how unlike each of ``N`` training examples is to those of the other folds.

    As unlike as new ones are, where the features ``N D`` are of a body that did not learn from
    them. Nothing by the scores, whose last layer did, or where all are in one fold.
    """
    if isinstance(measure, Energy) or len(np.unique(fold)) < 2:
        return np.empty(0)
    found = np.empty(len(features))
    for number in np.unique(fold).tolist():
        learn, ask = fold != number, fold == number
        part: Measure = (
            Mahalanobis.fitted(features[learn], classes[learn])
            if isinstance(measure, Mahalanobis)
            else Neighbours.fitted(features[learn], seed)
        )
        found[ask] = part.unlike(features[ask], features[ask])
    return found


def threshold(known: Floats, refused: float = REFUSED, sure: float = 0.9) -> float:
    """Return the number that, with 90 % certainty, a share `refused` of known data exceeds at most.

    Certain over how the `known` examples, not learnt from, happened to be drawn (a tolerance limit:
    Wilks, 1941; for conformal prediction Vovk, 2012): a new one exceeds it less often on average,
    3 % of 200. The highest of them where they are too few to be so sure (fewer than 45), infinity
    where a new one might exceed even that more often (fewer than 19).

    >>> threshold(np.arange(200.0)), threshold(np.arange(19.0)), threshold(np.arange(18.0))
    (194.0, 18.0, inf)
    """
    n = len(known)
    if n == 0 or 1 / (n + 1) > refused:
        return math.inf
    logs = np.cumsum(np.log(np.arange(1, n + 1)))
    ways = logs[-1] - np.r_[0.0, logs] - np.r_[0.0, logs][::-1]  # n over m, m from 0
    m = np.arange(n + 1)
    chance = np.exp(ways + m * math.log(refused) + (n - m) * math.log1p(-refused)).cumsum()
    above = max(0, int(np.searchsorted(chance, 1 - sure, side="right")) - 1)
    return float(np.sort(known)[n - 1 - above])


def share(which: NDArray[np.bool_]) -> Estimate:
    """Return the share of ``N`` that are, with Wilson's interval."""
    k, n = int(which.sum()), len(which)
    return Estimate(k / n if n else 0.0, wilson(k, n))
