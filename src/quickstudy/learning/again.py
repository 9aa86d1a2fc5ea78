"""The same recipe, learnt anew from fewer examples: the honest learning curve over data."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from quickstudy.errors import RunError
from quickstudy.learning.building import build_network, learn_statistics
from quickstudy.learning.told import Ended
from quickstudy.network import Built
from quickstudy.recipe import Recipe
from quickstudy.training import Lesson, Stopped, teach
from quickstudy.training.curve import SHARES, Curve, halving, strata

_FOLDER = "data curve"
_ASKED_AGAIN = 2_000  # examples learnt from that are asked about
_FEWEST = 4  # examples of each class, on average, in a quarter

Ints = NDArray[np.int64]


def seconds(ended: Ended) -> float:
    """Return the forecast of `curve_of_network`: twice what teaching took, and a little."""
    trained = ended.taught.trained
    measured = trained.step * ended.lesson.step_seconds if trained else 0.0  # of a resumed run
    return 2.2 * max(ended.job.clock.stages.get("train", 0.0), measured)


def cannot(lesson: Lesson, code: Mapping[str, Any]) -> str:
    """Return why the network cannot be learnt anew, or nothing; `code` is the user's own."""
    if isinstance(code.get("network"), nn.Module):
        return "a network given as a module cannot begin anew"
    if lesson.stream is not None:
        return "the examples are too many to be decoded at once"
    if len(lesson.train) * SHARES[0] < _FEWEST * max(2, lesson.outputs):
        return f"a quarter of {len(lesson.train):,} examples is too few to learn from"
    return "" if len(lesson.val) else "nothing was held out to ask about"


def builder(lesson: Lesson, code: Mapping[str, Any]) -> Callable[[Recipe], Built] | None:
    """Return what builds the network of another recipe; None where it was given as a module."""
    if isinstance(code.get("network"), nn.Module):
        return None
    return lambda recipe: build_network(recipe, lesson.outputs, lesson.decoded.how, code)


def curve_of_network(ended: Ended, model: Any) -> Curve | None:
    """Return the curve of the network, scored on `val`; None where it failed or was interrupted.

    The smaller sets are learnt from for as many steps as the whole, at the same rate: with as many
    passes instead, a quarter of the examples would have a quarter of the steps, and look worse than
    it is.
    """
    lesson, job, taught = ended.lesson, ended.job, ended.taught
    began = time.perf_counter()
    rng = np.random.default_rng([lesson.recipe.seed, 4])
    place = halving(lesson.families[lesson.train], strata(lesson, lesson.train), rng)
    found, sizes = [], []
    for share in SHARES[:-1]:
        train = lesson.train[place <= share]
        answers = _learnt_anew(ended, train, _recipe(ended, len(train)))
        if answers is None or job.stop.asked:
            return None
        found.append(answers)
        sizes.append(len(train))
    some = rng.permutation(lesson.train)[:_ASKED_AGAIN]
    again = model.answers(lesson.decoded.piece(row) for row in some.tolist())
    return Curve(
        "network",
        (*sizes, len(lesson.train)),
        lesson.truth[lesson.val],
        np.stack([*found, taught.held_out.answers]),
        lesson.truth[some],
        again,
        time.perf_counter() - began,
    )


def _recipe(ended: Ended, n: int) -> Recipe:
    """Return the recipe for `n` examples: what the shipped network settled, as many steps."""
    recipe, trained = ended.taught.recipe, ended.taught.trained
    why = "as the network that ships"
    if trained is not None and trained.curves:
        passes = float(trained.curves[-1]["epoch"]) * len(ended.lesson.train) / n
        recipe = recipe.decided("epochs", max(passes, 1e-6), why)
    recipe = recipe.decided("patience", None, why)
    recipe = recipe.decided("batch", min(recipe.batch, n), why)
    recipe = recipe.decided("suspects", "keep", why)
    return recipe.decided("data_curve", "never", why)


def _learnt_anew(ended: Ended, train: Ints, recipe: Recipe) -> NDArray[np.float64] | None:
    """Return answers ``N K`` to `val` of the network learnt anew from `train`."""
    job, lesson = ended.job, ended.lesson
    folder = job.folder / _FOLDER
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed, maybe of another share
    folder.mkdir()
    again = replace(
        lesson,
        network=build_network(recipe, lesson.outputs, lesson.decoded.how, job.code),
        recipe=recipe,
        train=train,
        folder=folder,
        later=0.0,
        decided=lambda _: None,
        candidates=[],
        events=[],
        suspects=[],
        seen=None,
        curve=None,
        listen=lambda progress: job.listen(replace(progress, stage="data curve")),
    )
    learn_statistics(again)
    try:
        return teach(again).held_out.answers
    except (Stopped, RunError) as problem:
        if isinstance(problem, RunError):
            job.say(f"  The learning curve failed: {problem.message} The model itself is whole.")
        return None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
