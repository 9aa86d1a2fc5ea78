"""The end of a run: save the model, look at the test once, write the report."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quickstudy import evaluation, kinds, report
from quickstudy.catalog import Catalog
from quickstudy.checking import Duplicates, leaks
from quickstudy.decoding import Decoded
from quickstudy.errors import ExampleError
from quickstudy.facts import Facts
from quickstudy.hardware import Hardware
from quickstudy.kinds import NOUNS, planned
from quickstudy.learning import promising, rehearsing, suspects, trees
from quickstudy.learning.building import spec_of
from quickstudy.learning.examples import keep_examples
from quickstudy.learning.job import Job
from quickstudy.learning.rehearsing import Groups
from quickstudy.learning.run import Run
from quickstudy.model import Model
from quickstudy.network import Built, drop_auxiliary, parameters
from quickstudy.network.drawing import draw, flops
from quickstudy.recipe import Recipe
from quickstudy.splitting import Split
from quickstudy.tasks import Truth
from quickstudy.training import Lesson, Taught, checkpoints

_TELL_EVERY = 32  # examples
_NO_RULE = (
    "No rule was found that holds for rows it has not learnt from: the columns may not tell it, or "
    "the rows may be too few."
)
_ASKED_AGAIN = 2_000  # examples learnt from: enough to tell whether a network fits them


def conclude(
    job: Job,
    catalog: Catalog,
    seen: Facts,
    machine: Hardware,
    lesson: Lesson,
    twins: Duplicates,
    parts: Split,
    taught: Taught,
    groups: Groups | None,
) -> Run:
    """Save, test once, report; return the run."""
    recipe, network = taught.recipe, lesson.network
    job.keep_recipe(recipe)
    drop_auxiliary(network.module)
    model = Model(
        network.module,
        spec_of(recipe, lesson.outputs, lesson.decoded.how, auxiliary=False),
        taught.task,
        planned(recipe, lesson.decoded.how),
        {"made": _now(), "versions": _versions(), "target": catalog.target},
        promising.calibrated(taught.task, lesson.truth[lesson.val], taught.held_out),
    )
    with job.stage("save"):
        model.save(job.folder / "model")  # before the test: what was learnt is safe first
        keep_examples(job.folder, catalog, lesson.decoded, parts, suspects.left_out(lesson))
    with job.stage("evaluate"):
        tested, scores = _test(job, lesson, parts, taught, model)
        one, many = NOUNS[catalog.kind]
        lines = model.task.said(scores, f"{one} it never saw", f"{many} it never saw")
        model = replace(model, facts={**model.facts, **_result(lines[0], scores)})
        beside = _beside(lesson, parts, model, tested, scores)
        lines += [beside["trees"]["sentence"]] if beside["trees"] else []
        lines += [beside["cannot"]] if beside["cannot"] else []
    with job.stage("save"):
        model.save(job.folder / "model")
    told = {
        **_about(job, catalog, machine, taught),
        "data": _data(job, catalog, seen, lesson, twins, parts),
        "test": {
            **scores.as_dict(),
            "mistakes": _mistakes(job, catalog, lesson, model, tested),
            **{key: value for key, value in beside.items() if value is not None},
        },
        "groups": None,
        "calibration": promising.measured(model, *tested[1:], taught.recipe.seed),
        "val": {"n": len(parts.val), "score": taught.val_score},
        "learned": _learned(network.learned() | taught.learned),
        "network": _drawn(network, recipe, lesson.decoded),
    }
    if groups is not None:
        with job.stage("rehearse"):
            told["groups"] = rehearsing.scored(job, lesson, taught, groups, tested, catalog.classes)
            lines += rehearsing.sentence(groups, told["groups"])
    told["seconds"] = _seconds(job)
    page = report.write(told, job.folder)
    _tidy(job)
    return Run(job.folder, model, scores, recipe, page, told, tuple(lines))


def _about(job: Job, catalog: Catalog, machine: Hardware, taught: Taught) -> dict[str, Any]:
    """Return all of the report but what the data, the test and the network say."""
    trained = taught.trained
    return {
        "schema": report.SCHEMA,
        "task": taught.task.name,
        "title": job.folder.name,
        "made": _now(),
        "source": catalog.source,
        "command": job.command(),
        "budget": job.budget,
        "outcome": _outcome(job, taught),
        "curves": trained.curves if trained else [],
        "steps": trained.step if trained else None,
        "candidates": taught.candidates,
        "events": taught.events,
        "recipe": {
            key: {"value": choice.value, "why": choice.why}
            for key, choice in taught.recipe.choices().items()
        },
        "waiting": trained.waited if trained else None,
        "augmenting": trained.augmented if trained else None,
        "versions": _versions(),
        "hardware": machine.as_dict(),
    }


#: Rows of the test, what is true of them, and the answers ``N K``.
Tested = tuple[NDArray[np.int64], Truth, NDArray[np.float64]]


def _test(
    job: Job, lesson: Lesson, parts: Split, taught: Taught, model: Model
) -> tuple[Tested, Any]:
    """Run the model over the test examples, once, and score it."""
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

    truth, found = lesson.truth[rows], model.answers(pieces())
    guess = model.task.guess(lesson.truth[parts.train])
    scores = model.task.tested(truth, found, guess, taught.recipe.seed)
    return (rows, truth, found), scores


def _beside(
    lesson: Lesson, parts: Split, model: Model, tested: Tested, scores: Any
) -> dict[str, Any]:
    """Return what stands beside the scores: trees on the same rows, and a network that cannot.

    Nothing (None) of either where it is no question.
    """
    rows, truth, found = tested
    grown, cannot = None, None
    if lesson.recipe.table is not None and lesson.recipe.table.trees:
        grown = trees.compared(lesson, model.task, rows, truth, found)
    if not scores.beats_baseline:
        some = np.random.default_rng(0).permutation(parts.train)[:_ASKED_AGAIN]
        again = model.answers(lesson.decoded.piece(row) for row in some.tolist())
        learnt = lesson.truth[some]
        on_train = model.task.tested(learnt, again, model.task.guess(learnt), 0)
        cannot = evaluation.no_better_than_guess(on_train)
        if cannot is not None and lesson.recipe.patience is not None:
            cannot = _NO_RULE  # `val` ended it before it could learn the rows by heart
    return {"trees": grown, "cannot": cannot}


def _learned(values: dict[str, float]) -> list[dict[str, Any]]:
    return [{"name": name, "value": value} for name, value in values.items()]


def _drawn(network: Built, recipe: Recipe, decoded: Decoded) -> dict[str, Any]:
    example = decoded.how.blank(1, recipe.size)
    return {
        "name": recipe.network.name,
        "parameters": parameters(network.module),
        "flops": flops(network.module, example),
        "input": list(example.shape[1:]),
        "layers": draw(network.module, example),
    }


def _result(line: str, scores: Any) -> dict[str, Any]:
    """Return what a model's folder tells of its test."""
    main = scores.main
    if main is None:
        return {"result": line}
    return {"result": line, scores.main_name: main.value, "interval": list(main.interval)}


def _mistakes(
    job: Job, catalog: Catalog, lesson: Lesson, model: Model, tested: Tested
) -> list[dict[str, Any]]:
    rows, truth, found = tested
    shown = []
    for place in model.task.worst(truth, found):
        example = int(lesson.decoded.kept[rows[place]])
        shown.append(
            {
                "name": str(catalog.names[example]),
                **model.task.mistake(truth[place], found[place]),
                **_embedded(catalog, example, job.max_pixels),
            }
        )
    return shown


def _embedded(catalog: Catalog, example: int, max_pixels: int) -> dict[str, str | None]:
    """Return an example as data URIs to look at and to play; nothing where its file has gone."""
    try:
        return kinds.shown(catalog.kind, catalog.read(example), max_pixels, catalog.columns)
    except ExampleError:
        return {"picture": None, "sound": None}


def _outcome(job: Job, taught: Taught) -> dict[str, Any]:
    status = "interrupted" if taught.interrupted else "finished"
    if taught.trained and not taught.trained.finished and not taught.interrupted:
        status = "stopped"
    return {"status": status, "notes": list(job.notes)}


def _data(
    job: Job,
    catalog: Catalog,
    seen: Facts,
    lesson: Lesson,
    twins: Duplicates,
    parts: Split,
) -> dict[str, Any]:
    decoded = lesson.decoded
    counted = lesson.task.counted
    doubted = suspects.told(job, catalog, lesson)
    left_out = [*catalog.left_out, *decoded.left_out]
    return {
        "kind": catalog.kind,
        "classes": list(catalog.classes),
        "counts": {
            "train": counted(lesson.truth[parts.train]),
            "val": counted(lesson.truth[parts.val]),
            "test": counted(lesson.truth[parts.test]),
        },
        "examples": {
            "train": len(parts.train),
            "val": len(parts.val),
            "test": len(parts.test),
        },
        "left_out": [{"name": o.name, "reason": o.reason} for o in left_out],
        "notes": [*catalog.notes, *job.notes],
        "duplicates": {
            "identical": twins.identical,
            "near": twins.near,
            "leaks": len(leaks(twins.group, parts.part)),
        },
        "sizes": seen.seen.as_dict(),
        "remarks": [{"name": o.name, "reason": o.reason} for o in decoded.remarks],
        "suspects": doubted,
    }


def _seconds(job: Job) -> dict[str, float]:
    spent = job.clock.spent()
    stages = {name: round(took, 3) for name, took in job.clock.stages.items()}
    stages["start"] = round(max(0.0, spent - sum(stages.values())), 3)
    return {**stages, "total": round(spent, 3)}


def _versions() -> dict[str, str]:
    names = ("quickstudy", "torch", "torchvision", "numpy", "pillow", "soundfile")
    return {**{name: version(name) for name in names}, "python": platform.python_version()}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _tidy(job: Job) -> None:
    """Remove what only an unfinished run needs; an interrupted one can still go on."""
    if not job.stop.asked:
        for file in job.folder.glob("*.f32"):
            file.unlink()
        (job.folder / checkpoints.NAME).unlink(missing_ok=True)
        shutil.rmtree(job.folder / "rehearsal", ignore_errors=True)
