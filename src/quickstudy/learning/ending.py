"""The end of a run: save the model, look at the test once, write the report."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator
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
from quickstudy.learning import rehearsing
from quickstudy.learning.job import Job
from quickstudy.learning.planning import spec_of
from quickstudy.learning.rehearsing import Groups
from quickstudy.learning.run import Run
from quickstudy.model import Model
from quickstudy.network import Built, drop_auxiliary, parameters
from quickstudy.network.drawing import draw, flops
from quickstudy.recipe import Recipe
from quickstudy.splitting import Split
from quickstudy.training import Lesson, Taught, checkpoints

_TELL_EVERY = 32  # examples


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
        spec_of(recipe, len(catalog.classes), auxiliary=False),
        catalog.classes,
        planned(recipe, taught.temperature),
        {"made": _now(), "versions": _versions()},
    )
    with job.stage("save"):
        model.save(job.folder / "model")  # before the test: what was learnt is safe first
    with job.stage("evaluate"):
        tested, scores = _test(job, catalog, lesson, parts, taught, model)
        one, many = NOUNS[catalog.kind]
        lines = evaluation.sentence(scores, one=one, many=many)
        model = _with_result(model, lines[0], scores)
    with job.stage("save"):
        model.save(job.folder / "model")
    told = {
        **_about(job, catalog, machine, taught),
        "data": _data(job, catalog, seen, lesson, twins, parts),
        "test": {**scores.as_dict(), "mistakes": _mistakes(job, catalog, lesson, tested)},
        "groups": None,
        "val": {"n": len(parts.val), "accuracy": taught.val_accuracy},
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
        "title": job.folder.name,
        "made": _now(),
        "source": catalog.source,
        "command": job.command(),
        "budget": job.budget,
        "outcome": _outcome(job, taught),
        "curves": trained.curves if trained else [],
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


#: Rows of the test, their labels ``N`` and their probabilities ``N K``.
Tested = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]


def _test(
    job: Job, catalog: Catalog, lesson: Lesson, parts: Split, taught: Taught, model: Model
) -> tuple[Tested, evaluation.Scores]:
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

    labels, found = lesson.labels[rows], model.probabilities(pieces())
    scores = evaluation.score(
        labels,
        found,
        classes=catalog.classes,
        baseline_class=int(np.bincount(lesson.labels[parts.train]).argmax()),
        seed=taught.recipe.seed,
    )
    return (rows, labels, found), scores


def _drawn(network: Built, recipe: Recipe, decoded: Decoded) -> dict[str, Any]:
    example = decoded.how.blank(1, recipe.size)
    return {
        "name": recipe.network.name,
        "parameters": parameters(network.module),
        "flops": flops(network.module, example),
        "input": list(example.shape[1:]),
        "layers": draw(network.module, example),
    }


def _with_result(model: Model, line: str, scores: evaluation.Scores) -> Model:
    facts = {
        **model.facts,
        "result": line,
        "accuracy": scores.accuracy,
        "interval": list(scores.interval),
    }
    return Model(model.network, model.spec, model.classes, model.preparation, facts)


def _mistakes(job: Job, catalog: Catalog, lesson: Lesson, tested: Tested) -> list[dict[str, Any]]:
    rows, labels, found = tested
    shown = []
    for place in evaluation.mistakes(labels, found):
        example = int(lesson.decoded.kept[rows[place]])
        said = int(found[place].argmax())
        shown.append(
            {
                "name": str(catalog.names[example]),
                "true": catalog.classes[labels[place]],
                "predicted": catalog.classes[said],
                "probability": float(found[place, said]),
                **_embedded(catalog, example, job.max_pixels),
            }
        )
    return shown


def _embedded(catalog: Catalog, example: int, max_pixels: int) -> dict[str, str | None]:
    """Return an example as data URIs to look at and to play; nothing where its file has gone."""
    try:
        return kinds.shown(catalog.kind, catalog.read(example), max_pixels)
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
    labels, decoded = lesson.labels, lesson.decoded

    def counted(rows: NDArray[np.int64]) -> dict[str, int]:
        found = np.bincount(labels[rows], minlength=len(catalog.classes))
        return {name: int(n) for name, n in zip(catalog.classes, found, strict=True)}

    left_out = [*catalog.left_out, *decoded.left_out]
    return {
        "kind": catalog.kind,
        "classes": list(catalog.classes),
        "counts": {
            "train": counted(parts.train),
            "val": counted(parts.val),
            "test": counted(parts.test),
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
