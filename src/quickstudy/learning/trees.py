"""Gradient-boosted trees on the same rows: what a network has to beat, or admit defeat to.

scikit-learn's `HistGradientBoosting*` at its defaults (after LightGBM, Ke et al., 2017): on small
tables the hardest rival to a network (Grinsztajn et al., 2022).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from quickstudy import evaluation
from quickstudy.kinds.table.columns import described
from quickstudy.tasks import Task, Truth
from quickstudy.training import Lesson

_MOST_ROWS = 100_000
_MOST_WORDS = 255  # that a category may have there; the rarer ones count as missing

Floats = NDArray[np.float64]


def compared(
    lesson: Lesson, task: Task, rows: NDArray[np.int64], truth: Truth, answers: Floats
) -> dict[str, Any] | None:
    """Return how trees do on the test's `rows`, beside our `answers` ``N K``: for the report.

    None where there is nothing to learn: every number that was learnt from is the same.
    """
    learnt = np.concatenate([lesson.train, lesson.val])
    if len(learnt) > _MOST_ROWS:
        rng = np.random.default_rng(lesson.recipe.seed)
        learnt = np.sort(rng.permutation(learnt)[:_MOST_ROWS])
    words = described(lesson.decoded.how.columns)["words"]
    x, asked = matrix(lesson, learnt, words), matrix(lesson, rows, words)
    found = grown(task, x, lesson.truth[learnt], asked, words, lesson.recipe.seed)
    if task.name == "classification":
        return evaluation.rival(truth, answers.argmax(1), found.argmax(1), "accuracy")
    if task.name == "regression" and not (np.ptp(truth, axis=0) > 0).any():
        return None
    return evaluation.rival(truth, answers, found, task.score_name)


def matrix(lesson: Lesson, rows: NDArray[np.int64], words: list[int]) -> Floats:
    """Return rows ``N F``, with words that trees cannot take as missing."""
    return without_rare(lesson.decoded.pieces(rows)[:, 0].astype(np.float64), words)


def without_rare(x: Floats, words: list[int]) -> Floats:
    """Return rows ``N F`` (which it changes), with words that trees cannot take as missing."""
    for column, count in enumerate(words):
        if count:
            x[x[:, column] >= min(count, _MOST_WORDS), column] = np.nan
    return x


def grown(
    task: Task, x: Floats, truth: Truth, asked: Floats, words: list[int], seed: int
) -> Floats:
    """Return the answers ``N K`` to `asked` of trees that learnt from rows `x`, ``N F``."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    told = {"categorical_features": [bool(count) for count in words], "random_state": seed}
    if task.name == "regression":
        made = (HistGradientBoostingRegressor(**told).fit(x, y).predict(asked) for y in truth.T)
        return np.stack(list(made), axis=1)
    columns = [truth] if task.name == "classification" else list(truth.T)
    found = np.zeros((len(asked), len(task.outputs)))
    for number, y in enumerate(columns):
        if len(np.unique(y)) < 2 and task.name == "classification":
            found[:, int(y[0])] = 1.0
            continue
        if len(np.unique(y)) < 2:
            found[:, number] = y[0]
            continue
        trees = HistGradientBoostingClassifier(**told).fit(x, y)
        shares = trees.predict_proba(asked)
        if task.name == "classification":
            found[:, trees.classes_] = shares
        else:
            found[:, number] = shares[:, 1]
    return found
