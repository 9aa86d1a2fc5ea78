"""Labels that are probably wrong: rows of a table asked of trees, and what the report tells.

`of_rows` and `quickstudy.training.suspects.of_features` judge labels without a run.
"""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quickstudy import kinds
from quickstudy.catalog import Catalog
from quickstudy.errors import ExampleError
from quickstudy.folders import write_whole
from quickstudy.kinds import NOUNS
from quickstudy.kinds.table.columns import described
from quickstudy.learning import trees
from quickstudy.learning.job import Job
from quickstudy.training import Lesson, doubting
from quickstudy.training.head import folds
from quickstudy.training.suspects import Floats, Ints, Suspects, suspects

NAME = "suspects.csv"
_FIELDS = ("name", "part", "label", "probably", "probability", "left_out")
_SHOWN = {"image": 24, "sound": 8, "table": 0}  # 12 kB a picture, 50 kB a recording
_MOST_TOLD = 200  # in the report: a page must open; the table beside it has all
_MOST_ROWS = 20_000
_FEWEST_ROWS = 50
_SHARE = 0.04  # of the budget, at most
_TIMED = 1_000  # rows that a first fit is timed on
_TREES = 100


def of_rows(
    x: NDArray[np.floating[Any]],
    labels: Ints,
    groups: Ints | None = None,
    *,
    seed: int = 0,
    goes_on: Callable[[], bool] = lambda: True,
) -> Suspects:
    """Judge `labels` (class numbers ``N``) of a table's rows ``N F``, without a run.

    Randomised trees (Geurts, Ernst and Wehenkel, 2006) that have not learnt from a row, by five
    folds, say what they take it for; words are given as code numbers, what is missing as NaN. Equal
    `groups` (``N``, -1: alone) are asked together. `goes_on` is asked before each fold; where it
    says no, the rest counts as believed. For the list see `quickstudy.training.suspects.listed`.
    """
    return suspects(labels, _out_of_fold(x, labels, groups, seed, goes_on))


def _out_of_fold(
    x: NDArray[np.floating[Any]],
    labels: Ints,
    groups: Ints | None,
    seed: int,
    goes_on: Callable[[], bool] = lambda: True,
) -> Floats:
    """Return probabilities ``N K`` of trees that have not learnt from a row."""
    p = np.eye(int(labels.max()) + 1)[labels]
    x = _ranks(x)
    alone = np.full(len(labels), -1) if groups is None else groups
    fold = folds(alone, np.random.default_rng([seed, 5]))
    for number in range(int(fold.max()) + 1):
        learn, ask = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        if not goes_on():
            break
        if len(learn) and len(ask):
            p[ask] = 0.0
            grown = _grow(x[learn], labels[learn], seed)
            p[np.ix_(ask, grown.classes_)] = grown.predict_proba(x[ask])
    return p


def _ranks(x: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Return rows with each number's rank in its column: the scale then does not matter.

    Randomised trees cut evenly between the smallest and the largest; what is missing comes first.
    """
    ranks = np.empty(x.shape, np.float32)
    for column in range(x.shape[1]):
        there = ~np.isnan(x[:, column])
        ranks[~there, column] = -1.0
        ranks[there, column] = np.unique(x[there, column], return_inverse=True)[1]
    return ranks


def _grow(x: NDArray[np.floating[Any]], labels: Ints, seed: int) -> Any:
    from sklearn.ensemble import ExtraTreesClassifier

    grown = ExtraTreesClassifier(_TREES, min_samples_leaf=2, random_state=seed)
    return grown.fit(x, labels)


def of_table(lesson: Lesson) -> None:
    """Doubt the labels of a table's rows of train and val, before the network learns from them."""
    if lesson.recipe.kind != "table" or not doubting.asked(lesson):
        return
    rows = np.concatenate([lesson.train, lesson.val])
    if doubting.known(lesson, rows) is None:
        with lesson.clock.stage("doubt"):
            _asked(lesson, rows)


def _asked(lesson: Lesson, rows: Ints) -> None:
    words = described(lesson.decoded.how.columns)["words"]
    some = _affordable(lesson, rows, words)
    if len(some) < min(len(rows), _FEWEST_ROWS):
        doubting.no_time(lesson)
        return
    x, y = trees.matrix(lesson, rows[some], words), lesson.truth[rows[some]]
    groups, seed = lesson.families[rows[some]], lesson.recipe.seed
    found = _out_of_fold(x, y, groups, seed, lambda: not lesson.stop.asked)
    p = np.zeros((len(some), lesson.outputs))
    p[:, : found.shape[1]] = found
    doubting.noted(lesson, rows[some], p, "trees", "trees")


def _affordable(lesson: Lesson, rows: Ints, words: list[int]) -> Ints:
    """Return the places of rows, at random, that there is time to doubt: timed on a few."""
    order = np.random.default_rng([lesson.recipe.seed, 7]).permutation(len(rows))
    most = min(len(rows), _MOST_ROWS)
    if lesson.recipe.epochs is None:  # else nothing may depend on the clock
        few = rows[order[:_TIMED]]
        x = _ranks(trees.matrix(lesson, few, words))
        _grow(x, lesson.truth[few], 0)  # the first waits for scikit-learn to be there
        began = time.perf_counter()
        _grow(x, lesson.truth[few], 0)
        each = (time.perf_counter() - began) / len(few)
        most = min(most, int(_SHARE * lesson.clock.budget / (5 * each)))
    return np.sort(order[:most])


def left_out(lesson: Lesson) -> list[int]:
    """Return the rows that were not learnt from because of their label.

    Those of `val` too where the last layer ships, which in the end learns from `val` as well;
    elsewhere `val` steers, and stays whole.
    """
    with_val = lesson.recipe.method != "scratch" and lesson.candidates[0]["chosen"]
    out = (one for one in lesson.suspects if one["left_out"])
    return [one["row"] for one in out if with_val or one["part"] == "train"]


def told(job: Job, catalog: Catalog, lesson: Lesson) -> dict[str, Any]:
    """Return the report's `suspects`, by name, the most suspicious first, and `doubts`.

    All are written to the run's folder, and how many there are is said.
    """
    found = [_named(job, catalog, lesson, at, one) for at, one in enumerate(lesson.suspects)]
    if lesson.doubts:
        _write(job, found)
    if found:
        _say(job, catalog, found)
    counted = {"found": len(found), "left_out": sum(one["left_out"] for one in found)}
    doubts = {"looked": 0, "how": None, "noise": None, **lesson.doubts, **counted}
    why = None if lesson.doubts else _why_not(job, lesson)
    return {"suspects": found[:_MOST_TOLD], "doubts": {**doubts, "why_not": why}}


def _why_not(job: Job, lesson: Lesson) -> str:
    """Return why no labels were doubted."""
    if lesson.recipe.suspects == "keep":
        return lesson.recipe.why.get("suspects", "")
    return "the run was interrupted" if job.stop.asked else "what was learnt cannot tell"


def _named(
    job: Job, catalog: Catalog, lesson: Lesson, place: int, one: dict[str, Any]
) -> dict[str, Any]:
    example = int(lesson.decoded.kept[one["row"]])
    shown: dict[str, str | None] = {"picture": None, "sound": None}
    if place < _SHOWN[catalog.kind]:
        try:
            raw = catalog.read(example)
            shown = kinds.shown(catalog.kind, raw, job.max_pixels, catalog.columns)
        except ExampleError:  # its file has gone since
            pass
    rest = {key: value for key, value in one.items() if key != "row"}
    return {"name": str(catalog.names[example]), **rest, **shown}


def _write(job: Job, found: Sequence[dict[str, Any]]) -> None:
    text = io.StringIO(newline="")
    out = csv.writer(text, lineterminator="\n")
    out.writerow(_FIELDS)
    for one in found:
        share, left = f"{one['probability']:.4f}", "yes" if one["left_out"] else "no"
        out.writerow((one["name"], one["part"], one["label"], one["instead"], share, left))
    write_whole(job.folder / NAME, text.getvalue().encode("utf-8", "backslashreplace"))


def _say(job: Job, catalog: Catalog, found: Sequence[dict[str, Any]]) -> None:
    one, many = NOUNS[catalog.kind]
    out = sum(each["left_out"] for each in found)
    done = f"{out:,} of them not learnt from" if out else "learnt from all the same"
    some = f"1 {one}" if len(found) == 1 else f"{len(found):,} {many}"
    note = f"{some} may be labelled wrong, {done}"
    job.notes.append(note)
    first = found[0]
    job.say(
        f"  {note}; see {NAME} and the report (first: {first['name']!r}, labelled "
        f"{first['label']!r}, probably {first['instead']!r})"
    )
