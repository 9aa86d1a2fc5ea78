"""Would more data help, or another network? What a run tells of its learning curve over data."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quickstudy import evaluation
from quickstudy.errors import SourceError
from quickstudy.evaluation import Estimate
from quickstudy.kinds.table.columns import described
from quickstudy.learning import again, trees
from quickstudy.learning.told import Ended
from quickstudy.model import Model
from quickstudy.tasks import Task
from quickstudy.training import Lesson
from quickstudy.training.curve import QUICK, SHARES, Curve, askable, halving, strata
from quickstudy.training.head import folds

Ints = NDArray[np.int64]

_HARDLY = 0.005  # of the score: less than half a point for twice the examples is hardly anything
_GAP = 0.05  # between examples learnt from and others: more than noise, less than a failure
_MOST_ROWS = 20_000  # that trees learn from: some seconds
_LEAST = 1.0  # seconds
_HOW = {
    "last layer": "the last layer alone, on the frozen body",
    "trees": "gradient-boosted trees, a quick stand-in for the network",
    "network": "the same recipe, learnt anew in as many steps",
}
_ASK = "to have it drawn: --set data_curve=always"


@dataclass(frozen=True)
class _Told:
    """The scores of a curve."""

    scores: tuple[Estimate, ...]
    gain: Estimate
    """From half of the examples to all."""
    train: Estimate
    """On examples that were learnt from."""


def drawn(ended: Ended, model: Model) -> dict[str, Any]:
    """Return `data_curve` of the report: scores, a verdict, or `why` there is none."""
    job, lesson = ended.job, ended.lesson
    if lesson.recipe.data_curve == "never":
        chosen = "data_curve" in job.own
        return {"why": "you set data_curve=never" if chosen else lesson.recipe.why["data_curve"]}
    if ended.spec is not None or lesson.teacher is not None:
        return {"why": "several networks made what ships"}
    curve, why = lesson.curve, ""
    if curve is None and job.stop.asked:
        return {"why": "the run was interrupted"}
    if curve is None:
        with job.stage("data curve"):
            curve, why = _made(ended, model)
    if curve is None:
        return {"why": why}
    task = ended.taught.task
    try:
        told = _scored(task, curve)
    except SourceError:
        return {"why": "the truth of the examples asked about never varies"}
    verdict, sentence = said(task.name, told)
    how = _HOW[curve.how]
    if curve.how == "last layer" and not ended.taught.candidates[0]["chosen"]:
        how += " (what ships was fine-tuned as well)"
    return {
        "why": None,
        "how": how,
        "on": "val" if curve.how == "network" else "cross-validation",
        "learnt": list(curve.learnt),
        "asked": len(curve.truth),
        "scores": [one.as_dict() for one in told.scores],
        "train": told.train.as_dict(),
        "gain": told.gain.as_dict(),
        "verdict": verdict,
        "sentence": sentence,
        "seconds": round(curve.seconds, 2),
    }


def in_short(told: dict[str, Any]) -> list[str]:
    """Return the first half of the sentence, for a terminal; nothing where nothing was drawn."""
    if told.get("why"):
        return []
    return [str(told["sentence"]).partition(")")[0] + ")."]


def _made(ended: Ended, model: Model) -> tuple[Curve | None, str]:
    """Return a curve that nothing has drawn yet, or why there is none."""
    lesson, job = ended.lesson, ended.job
    if lesson.recipe.method != "scratch":
        return None, "no time was left for it"
    asked, rows = lesson.recipe.data_curve == "always", ended.catalog.kind == "table"
    if job.fixed_length and not asked:
        return None, f"where epochs are given the clock decides nothing; {_ASK}"
    left = job.clock.left() - lesson.later
    needed, cannot = again.seconds(ended), again.cannot(lesson, job.code)
    in_time = job.fixed_length or needed < (left if asked else min(left, QUICK * job.budget))
    if in_time and not cannot:
        return again.curve_of_network(ended, model), "it failed, or was interrupted"
    if rows and (left > _LEAST or job.fixed_length):
        found = _of_trees(ended)
        return found, "" if found else "no time was left for it"
    if cannot:
        return None, cannot
    took = f"learning this network twice more would take some {needed:.0f} s"
    return None, f"{took}, and {max(0.0, left):.0f} s were left" if asked else f"{took}; {_ASK}"


def _of_trees(ended: Ended) -> Curve | None:
    """Return the curve of trees on the rows, by as many of five folds as there is time for."""
    lesson, job = ended.lesson, ended.job
    began = time.perf_counter()
    most = min(QUICK * job.budget, job.clock.left() - lesson.later)
    rng = np.random.default_rng([lesson.recipe.seed, 4])
    rows = np.sort(rng.permutation(np.concatenate([lesson.train, lesson.val]))[:_MOST_ROWS])
    families = lesson.families[rows]
    place, fold = halving(families, strata(lesson, rows), rng), folds(families, rng)

    def in_time(seconds: float) -> bool:
        return job.fixed_length or seconds < most

    found, asked, sizes = [], [], []
    known, on_known = rows[:0], np.empty((0, lesson.outputs))
    for number in askable(fold, place):
        spent = time.perf_counter() - began
        if job.stop.asked or not in_time(spent * (number + 1) / max(1, number)):
            break
        others, ask = np.flatnonzero(fold != number), rows[fold == number]
        learnt = [rows[others[place[others] <= share]] for share in SHARES]
        some = rng.permutation(learnt[-1])[: len(ask)]
        said = _fold_of_trees(lesson, learnt, np.concatenate([ask, some]), in_time)
        if said is None:
            break
        found.append(said[:, : len(ask)])
        known, on_known = some, said[-1, len(ask) :]
        asked.append(ask)
        sizes.append([len(each) for each in learnt])
    if not found:
        return None
    return Curve(
        "trees",
        tuple(np.mean(sizes, axis=0).round().astype(int).tolist()),
        lesson.truth[np.concatenate(asked)],
        np.concatenate(found, axis=1),
        lesson.truth[known],
        on_known,
        time.perf_counter() - began,
    )


def _fold_of_trees(
    lesson: Lesson, learnt: list[Ints], ask: Ints, in_time: Callable[[float], bool]
) -> NDArray[np.float64] | None:
    """Return answers ``S n K`` to `ask`; None where the first of the fits tells of no time."""
    words, seed = described(lesson.decoded.how.columns)["words"], lesson.recipe.seed
    x, found = trees.matrix(lesson, ask, words), []
    for some in learnt:
        began = time.perf_counter()
        known = trees.matrix(lesson, some, words)
        found.append(trees.grown(lesson.task, known, lesson.truth[some], x, words, seed))
        whole = (time.perf_counter() - began) / SHARES[0] * sum(SHARES)
        if len(found) == 1 and not in_time(whole):
            return None
    return np.stack(found)


def _scored(task: Task, curve: Curve) -> _Told:
    first, half, _ = evaluation.differing(task.name, curve.truth, *curve.answers[:2])
    _, whole, gain = evaluation.differing(task.name, curve.truth, *curve.answers[1:])
    learnt = curve.train_answers
    train, _, _ = evaluation.differing(task.name, curve.train_truth, learnt, learnt)
    return _Told((first, half, whole), gain, train)


def said(task: str, told: _Told) -> tuple[str, str]:
    """Return the verdict (``data``, ``network``, ``unclear``) and what it rests on, in words."""
    low, high = told.gain.interval
    whole, train = told.scores[-1], told.train
    gap = train.value - whole.value
    apart = gap > _GAP and train.interval[0] > whole.interval[1]
    numbers = task == "regression"

    def points(value: float) -> str:
        return f"{value:+.3f}" if numbers else f"{100 * value:+.1f}"

    unit = " of R2" if numbers else " points"
    score = evaluation.fraction if numbers else _percent
    rise = (
        f"from half of the examples to all the score changed by {points(told.gain.value)}{unit} "
        f"(95 % sure: {points(low)} to {points(high)})"
    )
    beside = f"{score(train.value)} on what it learnt from, {score(whole.value)} on others"
    if low > 0:
        ahead = _ahead(told)
        more = f"twice as many again may bring about {points(ahead)}{unit}"
        return "data", f"More data would help: {rise}; {more}. Beside it: {beside}."
    if high < _HARDLY:
        what = "Another network, larger inputs or better labels would help more"
        if apart:
            what = "A network that suits these examples better would help more"
        if whole.value > 1 - _HARDLY:
            what = "There is hardly anything left to gain"
        return "network", f"More data of this kind would hardly help: {rise}. {what}: {beside}."
    hint = "which speaks for more data" if apart else "which speaks for another network"
    return (
        "unclear",
        f"Cannot tell whether more data would help: {rise}. Beside it: {beside}, {hint}.",
    )


def _percent(share: float) -> str:
    return f"{evaluation.percent(share)} %"


def _ahead(told: _Told) -> float:
    """Return what twice the examples may bring: the last rise, shrinking as it shrank before.

    At most the last rise itself, and at least a quarter of it: three points tell no more.
    """
    before = told.scores[1].value - told.scores[0].value
    shrank = told.gain.value / before if before > 0 else 1.0
    return told.gain.value * min(1.0, max(0.25, shrank))
