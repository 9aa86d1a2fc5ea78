"""A learning curve over data: the last layer, learnt from a quarter, a half and all of it.

On features that are there already, so that it costs seconds. Every answer is to an example that the
layer has not learnt from: by cross-validation, because `val` alone is too small to tell.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from quickstudy.training import head
from quickstudy.training.lesson import Lesson

SHARES = (0.25, 0.5, 1.0)
QUICK = 0.05
"""Of the budget, at most, for a curve that nobody asked for."""
_ASKED_AGAIN = 2_000  # examples learnt from that are asked about, for the score on those

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Curve:
    """Answers to the same examples after learning from a quarter, a half and all of others."""

    how: str
    """``last layer``, ``trees`` or ``network``."""
    learnt: tuple[int, ...]
    """How many examples were learnt from, for each of `SHARES`."""
    truth: NDArray[Any]
    """Of the examples asked about, ``N`` or ``N K``."""
    answers: Floats
    """``S N K``."""
    train_truth: NDArray[Any]
    """The same of examples that the last of them had learnt from, and its answers to those."""
    train_answers: Floats
    seconds: float


def of_features(
    lesson: Lesson,
    rows: Ints,
    x: NDArray[np.float32],
    y: Tensor,
    loss_of: head.Loss,
    strength: float,
) -> Curve | None:
    """Return the curve of the last layer on features ``N D`` of `rows`, targets `y` (``N ...``).

    As many of five folds as a twentieth of the budget allows, all of them where epochs are given;
    None where there is no time for one. The strength holds the whole of the penalty the same
    whatever the number of examples, as a prior does.
    """
    began = lesson.clock.spent()
    most = min(QUICK * lesson.clock.budget, 0.3 * lesson.seconds_left())

    def in_time(seconds: float) -> bool:
        return lesson.recipe.epochs is not None or seconds < most

    rng = np.random.default_rng([lesson.recipe.seed, 4])
    families = lesson.families[rows]
    fold, place = head.folds(families, rng), halving(families, strata(lesson, rows), rng)
    fits = _Fits(lesson, _standardised(x), y, place, loss_of, strength, in_time)
    found, learnt, asked = [], [], list[Ints]()
    again = rows[:0], np.empty((0, lesson.outputs))
    for number in askable(fold, place):
        spent = lesson.clock.spent() - began
        if lesson.stop.asked or not in_time(spent * (number + 1) / max(1, number)):
            break
        others, ask = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        some = rng.permutation(others)[:_ASKED_AGAIN]
        made = fits.answers(others, np.concatenate([ask, some]))
        if made is None:
            break
        found.append(made[0][:, : len(ask)])
        learnt.append(made[1])
        asked.append(ask)
        again = rows[some], made[0][-1, len(ask) :]
    if not found:
        return None
    return Curve(
        "last layer",
        tuple(np.mean(learnt, axis=0).round().astype(int).tolist()),
        lesson.truth[rows[np.concatenate(asked)]],
        np.concatenate(found, axis=1),
        lesson.truth[again[0]],
        again[1],
        lesson.clock.spent() - began,
    )


def _standardised(x: NDArray[np.float32]) -> Tensor:
    features = torch.from_numpy(x)
    return (features - features.mean(0)) / features.std(0).clamp_min(1e-6)


@dataclass(frozen=True, eq=False)
class _Fits:
    """Last layers on standardised features, and how they are learnt."""

    lesson: Lesson
    z: Tensor
    y: Tensor
    place: Floats
    loss_of: head.Loss
    strength: float
    in_time: Callable[[float], bool]

    def answers(self, others: Ints, ask: Ints) -> tuple[Floats, list[int]] | None:
        """Return answers ``S n K`` to `ask` and how many of the `others` were learnt from.

        None where the first of the fits tells that there is no time for all: each takes about as
        long as it has examples.
        """
        task, found, sizes = self.lesson.task, [], []
        start: tuple[Tensor, Tensor] | None = None
        for share in SHARES:
            began = time.perf_counter()
            some = others[self.place[others] <= share]
            held = self.strength * len(others) / max(1, len(some))
            x, y = self.z[some], self.y[some]
            start = head.solve(x, y, self.lesson.outputs, self.loss_of, held, start)
            said = task.answers(self.z[ask] @ start[0].T + start[1])
            found.append(np.asarray(said.double().numpy(), np.float64))
            sizes.append(len(some))
            whole = (time.perf_counter() - began) / SHARES[0] * sum(SHARES)
            if len(found) == 1 and not self.in_time(whole):
                return None
        return np.stack(found), sizes


def strata(lesson: Lesson, rows: Ints) -> Ints:
    """Return what subsets keep even, ``N``: the class; of labels if any; of numbers a fifth."""
    truth = lesson.truth[rows]
    if lesson.task.name == "classification":
        return np.asarray(truth, np.int64)
    if lesson.task.name == "multilabel":
        return np.asarray(truth.sum(1) > 0, np.int64)
    edges = np.quantile(truth[:, 0], [0.2, 0.4, 0.6, 0.8])
    return np.searchsorted(edges, truth[:, 0]).astype(np.int64)


def askable(fold: Ints, place: Floats) -> list[int]:
    """Return the folds ``F`` beside which there is something of the smallest share to learn from.

    Of few families, all that the smallest share holds may be in the one fold.
    """
    there: list[int] = np.unique(fold).tolist()
    return [one for one in there if (place[fold != one] <= SHARES[0]).any()]


def halving(families: Ints, stratum: Ints, rng: np.random.Generator) -> Floats:
    """Return a place in (0, 1) for each example: those up to 0.25 are a quarter of all.

    Families (``N``, -1: alone) stay whole, each where its first member's `stratum` puts it; every
    stratum is spread evenly, has one family in the quarter at least, and smaller shares lie within
    larger ones.

    >>> place = halving(np.array([0, 0, 1, 2, -1, -1]), np.zeros(6, int), np.random.default_rng(0))
    >>> bool(place[0] == place[1]), sorted(set(place.round(2).tolist()))
    (True, [0.1, 0.3, 0.5, 0.7, 0.9])
    """
    alone = np.where(families < 0, families.max(initial=0) + 1 + np.arange(len(families)), families)
    _, first, number = np.unique(alone, return_index=True, return_inverse=True)
    of, place = stratum[first], np.zeros(len(first))
    for one in np.unique(of).tolist():
        members = np.flatnonzero(of == one)
        even = (rng.permutation(len(members)) + 0.5) / len(members)
        place[members] = np.where(even == even.min(), np.minimum(even, SHARES[0]), even)
    found: Floats = place[number]
    return found
