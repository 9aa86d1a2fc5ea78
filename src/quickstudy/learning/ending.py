"""The end of a run: save the model, look at the test once, write the report."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quickstudy import evaluation, report
from quickstudy.kinds import NOUNS, planned
from quickstudy.learning import data_curve, knowing, promising, rehearsing, suspects, told, trees
from quickstudy.learning.answers import keep_answers
from quickstudy.learning.building import spec_of
from quickstudy.learning.examples import keep_examples
from quickstudy.learning.job import Job
from quickstudy.learning.run import Run
from quickstudy.learning.slices import sliced
from quickstudy.learning.told import Ended, Tested
from quickstudy.model import Model
from quickstudy.model.folder import keep_card
from quickstudy.network import drop_auxiliary
from quickstudy.training import checkpoints, doubting, racing

_TELL_EVERY = 32  # examples
_NO_RULE = (
    "No rule was found that holds for rows it has not learnt from: the columns may not tell it, or "
    "the rows may be too few."
)
_ASKED_AGAIN = 2_000  # examples learnt from: enough to tell whether a network fits them


def conclude(ended: Ended) -> Run:
    """Save, test once, report; return the run."""
    job, lesson, taught, groups = ended.job, ended.lesson, ended.taught, ended.groups
    job.keep_recipe(taught.recipe)
    model = model_of(ended)
    with job.stage("save"):
        model.save(job.folder / "model")  # before the test: what was learnt is safe first
        left = suspects.left_out(lesson)
        keep_examples(job.folder, ended.catalog, lesson.decoded, ended.parts, left)
    with job.stage("know"):
        model, known = knowing.with_unknown(ended, model)
    with job.stage("evaluate"):
        tested, scores, unknown = _test(ended, model)
        one, many = NOUNS[ended.catalog.kind]
        lines = model.task.said(scores, f"{one} it never saw", f"{many} it never saw")
        model = replace(model, facts={**model.facts, **_result(lines[0], scores)})
        beside = _beside(ended, model, tested, scores)
        lines += _said(beside)
    with job.stage("save"):
        model.save(job.folder / "model")
        keep_answers(ended, tested)
    facts = told.everything(ended, model, tested, scores, beside)
    facts["calibration"]["unknown"] = knowing.measured(known, unknown, model.task, tested)
    facts["data_curve"] = data_curve.drawn(ended, model)
    lines += data_curve.in_short(facts["data_curve"])
    if groups is not None:
        with job.stage("rehearse"):
            names = ended.catalog.classes
            facts["groups"] = rehearsing.scored(job, lesson, taught, groups, tested, names)
            lines += rehearsing.sentence(groups, facts["groups"])
    facts["seconds"] = told.seconds(job)
    page = report.write(facts, job.folder)
    model = _with_card(job, model, facts)
    _tidy(job)
    return Run(job.folder, model, scores, taught.recipe, page, facts, tuple(lines))


def model_of(ended: Ended) -> Model:
    """Return the model that was learnt, before its test."""
    lesson, taught = ended.lesson, ended.taught
    rows, answers = taught.held_out.across
    drop_auxiliary(lesson.network.module)
    return Model(
        lesson.network.module,
        ended.spec or spec_of(taught.recipe, lesson.outputs, lesson.decoded.how, auxiliary=False),
        taught.task,
        planned(taught.recipe, lesson.decoded.how),
        {"made": told.now(), "versions": told.versions(), "target": ended.catalog.target},
        promising.calibrated(taught.task, lesson.truth[rows], answers),
    )


def _test(ended: Ended, model: Model) -> tuple[Tested, Any, NDArray[np.bool_] | None]:
    """Run the model over the test examples, once, and score it; return which are unknown too."""
    job, lesson, parts, taught = ended.job, ended.lesson, ended.parts, ended.taught
    decoded = lesson.decoded
    each = taught.test_seconds * lesson.test_views / max(1, len(parts.test))
    rows = job.afford_test(parts.test, each, lesson.later)
    tell = job.progress("evaluate", stoppable=False)

    def pieces() -> Iterator[NDArray[Any]]:
        for place, row in enumerate(rows.tolist()):
            if place % _TELL_EVERY == 0:
                decoded.forget()
                tell(place / len(rows))
            yield decoded.piece(row)

    truth, (found, unknown) = lesson.truth[rows], knowing.asked(model, pieces())
    guess = model.task.guess(lesson.truth[parts.train])
    scores = model.task.tested(truth, found, guess, taught.recipe.seed)
    return (rows, truth, found), scores, unknown


def _beside(ended: Ended, model: Model, tested: Tested, scores: Any) -> dict[str, Any]:
    """Return what stands beside the scores; None where something is no question.

    Trees on the same rows, a network that cannot, whether the test is large enough, its slices.
    """
    lesson = ended.lesson
    rows, truth, found = tested
    grown, cannot = None, None
    if lesson.recipe.table is not None and lesson.recipe.table.trees:
        grown = trees.compared(lesson, model.task, rows, truth, found)
    if not scores.beats_baseline:
        some = np.random.default_rng(0).permutation(lesson.train)[:_ASKED_AGAIN]
        again = model.answers(lesson.decoded.piece(row) for row in some.tolist())
        learnt = lesson.truth[some]
        on_train = model.task.tested(learnt, again, model.task.guess(learnt), 0)
        cannot = evaluation.no_better_than_guess(on_train)
        if cannot is not None and lesson.recipe.patience is not None:
            cannot = _NO_RULE  # `val` ended it before it could learn the rows by heart
    one, many = NOUNS[ended.catalog.kind]
    size = evaluation.enough(scores, one, many)
    return {
        "trees": grown,
        "cannot": cannot,
        "enough": size.as_dict() if size else None,
        "slices": sliced(ended, model.task, tested),
    }


def _said(beside: dict[str, Any]) -> list[str]:
    """Return the sentences on what stands beside the scores that a terminal shows as well."""
    told = [beside["trees"]["sentence"]] if beside["trees"] else []
    told += [beside["cannot"]] if beside["cannot"] else []
    told += [beside["enough"]["sentence"]] if beside["enough"] and beside["enough"]["few"] else []
    worse = beside["slices"] and beside["slices"]["worst"]
    return [*told, beside["slices"]["sentence"]] if worse else told


def _result(line: str, scores: Any) -> dict[str, Any]:
    """Return what a model's folder tells of its test."""
    main = scores.main
    if main is None:
        return {"result": line}
    return {"result": line, scores.main_name: main.value, "interval": list(main.interval)}


def _with_card(job: Job, model: Model, facts: dict[str, Any]) -> Model:
    """Return the model with its card, written beside it of all that the report tells."""
    model = replace(model, card=report.card(facts))
    keep_card(job.folder / "model", model.card)
    return model


def _tidy(job: Job) -> None:
    """Remove what only an unfinished run needs; an interrupted one can still go on."""
    if not job.stop.asked:
        for file in job.folder.glob("*.f32"):
            file.unlink()
        (job.folder / checkpoints.NAME).unlink(missing_ok=True)
        (job.folder / doubting.FILE).unlink(missing_ok=True)
        (job.folder / racing.FILE).unlink(missing_ok=True)
        shutil.rmtree(job.folder / "rehearsal", ignore_errors=True)
