"""What tells the classes apart without looking: file size, shape, camera, border, sample rate.

A network takes the easiest way (Geirhos et al. 2020, "Shortcut learning in deep neural networks").
Where one such trait alone scores above the guess, the network may learn it in place of the class,
and the test, which has the same trait, cannot tell. Each trait is asked by itself, with Holte's 1R
(1993, "Very simple classification rules perform well"): the commonest class of each of a few
intervals, or of each word; colours by their nearest neighbours. The intervals are the leaves of a
small tree: those of equal frequency would hide one class of many among its neighbours. Five folds:
what is scored was never learnt from, and near-duplicates are on one side.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quickstudy.checking.findings import NOTE, SERIOUS, WARNING, Finding
from quickstudy.evaluation import wilson

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

FOLDS = 5
BINS, LEAST = 12, 5
"""Intervals of a number, at most (of many classes two each), and examples in one, at least."""
FEWEST = 40
"""Examples under which no interval would be narrow enough."""
MOST = 6_000
"""Examples asked at most, at random: the interval is then within 2 %."""
NEIGHBOURS = 15
CLEAR, PLAIN = 0.25, 0.75
"""Share of the way from the guess to no mistake, or of one class told from the rest, from which a
shortcut is a warning, and serious."""
RIM, UNIFORM = "border colour", 6.0
"""The trait that may well be what is shown (sky, grass), and the spread in grey levels under which
a rim is a frame or a backdrop."""
_SURE = 0.99  # some six traits are asked: 95 % of each would accuse one data set in four
_FIX = (
    "Make it the same for all classes (crop, convert, record alike), or mix the sources: "
    "a network may learn this in place of what is shown."
)


@dataclass(frozen=True)
class Told:
    """How well one trait alone tells the classes apart."""

    trait: str
    accuracy: float
    interval: tuple[float, float]
    guess: float
    """Accuracy of always saying the commonest class."""
    best: int
    """The class that is told apart best."""
    found: float
    """Share of that class that is found."""
    mistaken: float
    """Share of the others that are taken for it."""
    surely: float
    """0 to 1: how far that class is told from the rest, both found and right where it is said."""

    @property
    def above(self) -> bool:
        """Whether the whole interval lies above the guess, or one class is plainly told.

        One of 50 classes hardly moves the accuracy.
        """
        return self.interval[0] > self.guess or self.surely >= PLAIN

    @property
    def strength(self) -> float:
        """0 to 1: how far it goes, for all classes or for the one told best."""
        return max((self.accuracy - self.guess) / max(1e-9, 1 - self.guess), self.surely)


def shortcuts(
    traits: Mapping[str, Sequence[Any]], labels: Ints, classes: Sequence[str], groups: Ints
) -> list[Finding]:
    """Return the traits that alone score above the guess.

    `traits` has for each name ``N`` numbers, words, or tuples of numbers; `labels` and `groups`
    (equal numbers stay on one side, -1 alone) have shape ``N``.
    """
    found = []
    for one in told_apart(traits, labels, groups):
        if not one.above:
            continue
        said = (
            f"The {one.trait} alone tells the class in {100 * one.accuracy:.0f} of 100 "
            f"(a guess: {100 * one.guess:.0f} of 100). Told best is {classes[one.best]!r}: "
            f"{100 * one.found:.0f} of 100 are found, and {100 * one.mistaken:.0f} of 100 others "
            "are taken for it"
        )
        grade = SERIOUS if one.strength >= PLAIN else WARNING if one.strength >= CLEAR else NOTE
        if grade == SERIOUS and one.trait == RIM and not _framed(traits[one.trait], labels):
            grade = WARNING
        found.append(Finding("shortcut", "", said, grade, _FIX))
    return found


def _framed(borders: Sequence[Any], labels: Ints) -> bool:
    """Whether half of some class have a rim of one colour; its spread is the last number."""
    spread = np.array([border[-1] for border in borders], np.float64)
    return any(float(np.median(spread[labels == label])) < UNIFORM for label in np.unique(labels))


def told_apart(traits: Mapping[str, Sequence[Any]], labels: Ints, groups: Ints) -> list[Told]:
    """Ask each trait by itself; those that are the same for all, or unknown, are left out."""
    n = len(labels)
    rng = np.random.default_rng(0)
    rows = np.sort(rng.permutation(n)[:MOST])
    labels = labels[rows]
    if len(rows) < FEWEST or len(np.unique(labels)) < 2:
        return []
    fold = _folds(groups[rows], rng)
    found = []
    for name, values in traits.items():
        picked = [values[row] for row in rows.tolist()]
        if len(set(picked)) < 2 or any(value != value for value in picked):  # NaN: not known
            continue
        found.append(_told(name, _answers(picked, labels, fold), labels, fold))
    return sorted(found, key=lambda one: -one.strength)


def _folds(groups: Ints, rng: np.random.Generator) -> Ints:
    """Return a fold for each example; a group stays in one."""
    alone = groups < 0
    key = np.where(alone, np.arange(len(groups)) + groups.max(initial=0) + 1, groups)
    _, which = np.unique(key, return_inverse=True)
    of_group = rng.permutation(int(which.max()) + 1) % FOLDS
    folds: Ints = of_group[which].astype(np.int64)
    return folds


def _told(name: str, answers: Ints, labels: Ints, fold: Ints) -> Told:
    """Score answers. Of a class told from the rest the lesser counts of two shares above chance:

    that it is found (Youden's J, 1950, at the lower end of its interval), and that it is right
    where it is said (Powers 2011, markedness): of 50 classes an interval at the end of the range
    finds one though most in it are of others.
    """
    n, count = len(labels), int(labels.max()) + 1
    right = answers == labels
    guesses = np.array([_commonest(labels[fold != f], count) for f in range(FOLDS)])
    confusion = np.zeros((count, count))
    np.add.at(confusion, (labels, answers), 1)
    size = confusion.sum(1)
    hits = np.diag(confusion)
    found = hits / np.maximum(size, 1)
    mistaken = (confusion.sum(0) - hits) / np.maximum(n - size, 1)
    low = np.array([wilson(int(k), int(m))[0] for k, m in zip(hits, size, strict=True)])
    said = confusion.sum(0)
    right_said = hits / np.maximum(said, 1)
    missed = (size - hits) / np.maximum(n - said, 1)
    surely = np.where(size > 0, np.minimum(low - mistaken, right_said - missed), 0)
    best = int(surely.argmax())
    return Told(
        trait=name,
        accuracy=float(right.mean()),
        interval=wilson(int(right.sum()), n, _SURE),
        guess=max(float((guesses[fold] == labels).mean()), float(size.max() / n)),
        best=best,
        found=float(found[best]),
        mistaken=float(mistaken[best]),
        surely=max(0.0, float(surely[best])),
    )


def _answers(values: Sequence[Any], labels: Ints, fold: Ints) -> Ints:
    """Return what a trait alone says of each example, from the other folds."""
    answers = np.empty(len(labels), np.int64)
    for f in range(FOLDS):
        asked = fold == f
        if isinstance(values[0], tuple):
            points = np.array(values, np.float64)
            answers[asked] = _near(points[~asked], labels[~asked], points[asked])
        elif isinstance(values[0], str):
            _, codes = np.unique(np.array(values), return_inverse=True)
            answers[asked] = _rule(codes[~asked], labels[~asked], codes[asked])
        else:
            numbers = np.array(values, np.float64)[:, None]
            answers[asked] = _intervals(numbers[~asked], labels[~asked], numbers[asked])
    return answers


def _rule(known: Ints, labels: Ints, asked: Ints) -> Ints:
    """Return the commonest class of each code (1R); of an unknown code that of all."""
    count = int(labels.max()) + 1
    table = np.zeros((int(max(known.max(), asked.max())) + 1, count))
    np.add.at(table, (known, labels), 1)
    table += np.bincount(labels, minlength=count) / (len(labels) + 1.0)  # ties, and the unknown
    best: Ints = table.argmax(1)[asked]
    return best


def _intervals(known: Floats, labels: Ints, asked: Floats) -> Ints:
    """Return the commonest class of the interval each number of ``N 1`` lies in."""
    from sklearn.tree import DecisionTreeClassifier

    most = max(BINS, 2 * len(np.unique(labels)))
    tree = DecisionTreeClassifier(max_leaf_nodes=most, min_samples_leaf=LEAST, random_state=0)
    found: Ints = _fitted(tree, known, labels).predict(asked).astype(np.int64)
    return found


def _near(known: Floats, labels: Ints, asked: Floats) -> Ints:
    """Return the commonest class of the nearest points ``N D``, each axis by its own spread."""
    from sklearn.neighbors import KNeighborsClassifier

    scale = np.maximum(known.std(axis=0), 1e-9)
    nearest = KNeighborsClassifier(min(NEIGHBOURS, len(known)))
    found: Ints = _fitted(nearest, known / scale, labels).predict(asked / scale).astype(np.int64)
    return found


def _fitted(classifier: Any, known: Floats, labels: Ints) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a thousand classes are no regression
        return classifier.fit(known, labels)


def _commonest(labels: Ints, count: int) -> int:
    return int(np.bincount(labels, minlength=count).argmax())
