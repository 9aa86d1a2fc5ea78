"""What a model does not know: learnt when teaching is over, measured on the test.

How unlike the training data an example is, is told by what goes into the network's last layer.
Which measure of that serves best is tried on examples made to be unlike (`kinds.unlike`), and on
whole classes left out. The threshold is a tolerance limit: with 90 % certainty it refuses at most
5 % of data like these. It is set by `val`; with a frozen body by train too, in cross-validation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quickstudy import calibration, kinds
from quickstudy.calibration import Detector
from quickstudy.learning.told import Ended, Tested
from quickstudy.model import Model
from quickstudy.network.seen import last_layer
from quickstudy.tasks import Task
from quickstudy.training import KNOWING, VIEWS, Lesson
from quickstudy.training.head import folds

_FEWEST = 19  # held-out examples, to refuse 1 in 20 of those known at most
_LEARNT, _LEAST_LEARNT = 2_000, 50  # training examples that are looked at
_MADE, _LEAST_MADE = 64, 8  # examples of each sort that are made to be unlike
_FIXED = (400, 24)  # the same where the epochs are given, and the clock decides nothing
_SORTS = 4  # at most
_LATE = 0.01  # of the budget, which a run that is late may still take
_AT_ONCE = 512  # test examples whose features are held


@dataclass(frozen=True)
class _Looks:
    """How many examples there is time to look at."""

    learnt: int
    made: int


def with_unknown(ended: Ended, model: Model) -> tuple[Model, dict[str, Any]]:
    """Return the model that can say `unknown` as well, and what the report tells of that.

    The same model, and `why`, where that cannot be told.
    """
    lesson = ended.lesson
    layer = last_layer(model.network, lesson.network.head)
    looks = _looks(ended)
    why = _cannot(ended, layer)
    if why or looks is None:
        why = why or "the budget left no time to learn it"
        ended.job.say(f"  It cannot say 'none of these': {why}.")
        return model, {"why": why}
    rng = np.random.default_rng([lesson.recipe.seed, 7])
    rows, features = _learnt(lesson, model, layer, looks, rng)
    some = rng.permutation(lesson.val)[: looks.made]
    made = kinds.unlike(lesson.decoded.how, [lesson.decoded.piece(row) for row in some], rng)
    sorts = {name: model.looked(one, layer, most=VIEWS)[1:] for name, one in made.items()}
    chosen = _chosen(ended, rows, features, sorts)
    usual = _usual(ended, rows, features, chosen.measure)
    detector = Detector(chosen.measure, calibration.threshold(usual), layer)
    told = {
        "why": None,
        "measure": chosen.measure.name,
        "n": len(usual),
        "learnt": len(rows),
        "tried": {name: dict(areas) for name, areas in chosen.areas.items()},
    }
    kept = replace(model.calibration, detector=detector)
    return replace(model, calibration=kept), told


def _cannot(ended: Ended, layer: str) -> str:
    """Return why it cannot be told what is unknown, '' where it can."""
    n = len(ended.lesson.val)
    if not layer:
        return "its network has no last layer whose input could be compared"
    if not ended.taught.held_out.shipped:
        return "its network learnt from all examples in the end, and none was left to compare with"
    if n < _FEWEST:
        return f"{n} examples were held out, {_FEWEST} are needed"
    if not ended.taught.held_out.features.shape[1]:
        return "what goes into its network's last layer is not of one example each"
    return "the run was stopped" if ended.job.stop.asked else ""


def _looks(ended: Ended) -> _Looks | None:
    """Return how many examples there is time for; None for none."""
    lesson, job = ended.lesson, ended.job
    if job.fixed_length:
        return _Looks(*_FIXED)
    views = lesson.decoded.views(lesson.val, VIEWS) / max(1, len(lesson.val))
    each = max(1e-6, lesson.test_seconds() * views)
    spare = max(0.0, job.clock.left() - lesson.reserve_taught())
    late = _LATE * job.budget if job.clock.left() > 0 else 0.0
    most = min(KNOWING * job.budget, max(spare, late)) / each
    if lesson.seen is not None:
        made = min(_MADE, int(most / _SORTS))
        return _Looks(0, made) if made >= _LEAST_MADE else None
    made = max(_LEAST_MADE, min(_MADE, int(most / 3 / _SORTS)))
    learnt = min(_LEARNT, int(most - made * _SORTS))
    return _Looks(learnt, made) if learnt >= _LEAST_LEARNT else None


def _learnt(
    lesson: Lesson, model: Model, layer: str, looks: _Looks, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.floating]]:
    """Return training rows and what goes into the last layer for each."""
    if lesson.seen is not None:
        rows, features = lesson.seen
        good = np.isin(rows, lesson.train)  # suspects were left out since
        return rows[good], features[good]
    rows = np.sort(rng.permutation(lesson.train)[: looks.learnt])
    pieces = (lesson.decoded.piece(row) for row in rows.tolist())
    return rows, model.looked(pieces, layer, most=VIEWS)[1]


def _chosen(
    ended: Ended,
    rows: NDArray[np.int64],
    features: NDArray[np.floating],
    sorts: Mapping[str, calibration.Seen],
) -> calibration.Chosen:
    lesson, held = ended.lesson, ended.taught.held_out
    known, seed = (held.features, held.scores), lesson.recipe.seed
    if lesson.task.name != "classification":
        measures = calibration.fitted(features, np.zeros(len(rows), int), energy=False, seed=seed)
        return calibration.choose(measures, known, sorts)
    classes = lesson.truth[rows]
    measures = calibration.fitted(features, classes, energy=True, seed=seed)
    held_out = (*known, lesson.truth[lesson.val])
    apart = calibration.classes_apart(measures, (features, classes), held_out, seed)
    also = {"classes left out": apart} if apart else {}
    return calibration.choose(measures, known, sorts, also)


def _usual(
    ended: Ended,
    rows: NDArray[np.int64],
    features: NDArray[np.floating],
    measure: calibration.Measure,
) -> NDArray[np.float64]:
    """Return how unlike those learnt from known examples are, which it did not learn from.

    `val`; with a frozen body also what was learnt from, each beside the others: that did not
    change what the body says of it.
    """
    lesson, held = ended.lesson, ended.taught.held_out
    found = measure.unlike(held.features, held.scores)
    if lesson.seen is None:
        return found
    classes = lesson.truth[rows] if lesson.task.name == "classification" else 0 * rows
    rng = np.random.default_rng([lesson.recipe.seed, 8])
    fold = folds(lesson.families[rows], rng)
    more = calibration.cross_fitted(measure, features, classes, fold, lesson.recipe.seed)
    return np.concatenate([found, more])


def asked(
    model: Model, pieces: Iterable[NDArray[Any]]
) -> tuple[NDArray[np.float64], NDArray[np.bool_] | None]:
    """Return answers ``N K`` about decoded examples, and which are unknown, ``N``."""
    if model.calibration.detector is None:
        return model.answers(pieces), None
    answers, unknown = [np.empty((0, len(model.classes)))], [np.empty(0, bool)]
    for part in _parts(pieces):
        found, features, scores = model.looked(part)
        answers.append(found)
        unknown.append(model.calibration.detector.unknown(features, scores))
    return np.concatenate(answers), np.concatenate(unknown)


def _parts(pieces: Iterable[NDArray[Any]]) -> Iterator[list[NDArray[Any]]]:
    rest = iter(pieces)
    while part := list(islice(rest, _AT_ONCE)):
        yield part


def measured(
    told: dict[str, Any], unknown: NDArray[np.bool_] | None, task: Task, tested: Tested
) -> dict[str, Any]:
    """Return `told` with how many of the test were refused, and how right the others are."""
    if unknown is None or not len(unknown):
        return told
    found: dict[str, Any] = {"refused": calibration.share(unknown).as_dict()}
    _, truth, answers = tested
    for name, rows in (("answered", ~unknown), ("rest", unknown)):
        found[name] = None
        if task.name == "classification" and rows.any():
            right = answers[rows].argmax(1) == truth[rows]
            found[name] = calibration.share(right).as_dict()
    return {**told, "test": {"n": len(unknown), **found}}
