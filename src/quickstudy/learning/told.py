"""What the report tells of a run: its data, its network, its mistakes, its time."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quickstudy import kinds, report
from quickstudy.catalog import Catalog
from quickstudy.checking import Duplicates, leaks
from quickstudy.errors import ExampleError
from quickstudy.facts import Facts
from quickstudy.hardware import Hardware
from quickstudy.learning import promising, suspects
from quickstudy.learning.job import Job
from quickstudy.learning.rehearsing import Groups
from quickstudy.model import Model
from quickstudy.network import Spec, parameters
from quickstudy.network.drawing import draw, flops
from quickstudy.splitting import Split
from quickstudy.tasks import Truth
from quickstudy.training import Lesson, Taught


@dataclass(frozen=True, eq=False)
class Ended:
    """All that a run has when teaching is over."""

    job: Job
    catalog: Catalog
    seen: Facts
    machine: Hardware
    lesson: Lesson
    twins: Duplicates
    parts: Split
    taught: Taught
    groups: Groups | None
    spec: Spec | None = None
    """Of the network that ships, where that is not the recipe's."""


#: Rows of the test, what is true of them, and the answers ``N K``.
Tested = tuple[NDArray[np.int64], Truth, NDArray[np.float64]]


def everything(
    ended: Ended, model: Model, tested: Tested, scores: Any, beside: dict[str, Any]
) -> dict[str, Any]:
    """Return the whole report but what groups and the clock say; docs/report.md has every key."""
    lesson, taught = ended.lesson, ended.taught
    return {
        **_about(ended),
        "data": _data(ended),
        "test": {
            **scores.as_dict(),
            "mistakes": _mistakes(ended, model, tested),
            **{key: value for key, value in beside.items() if value is not None},
        },
        "groups": None,
        "calibration": promising.measured(model, *tested[1:], taught.recipe.seed),
        "val": {"n": len(ended.parts.val), "score": taught.val_score},
        "learned": _learned(lesson.network.learned() | taught.learned),
        "network": _drawn(ended),
    }


def _about(ended: Ended) -> dict[str, Any]:
    job, taught = ended.job, ended.taught
    trained = taught.trained
    return {
        "schema": report.SCHEMA,
        "task": taught.task.name,
        "title": job.folder.name,
        "made": now(),
        "source": _source(ended.catalog.source),
        "command": job.command(),
        "budget": job.budget,
        "outcome": _outcome(job, taught),
        "curves": trained.curves if trained else [],
        "steps": trained.step if trained else None,
        "candidates": taught.candidates,
        "events": taught.events,
        "race": ended.lesson.race,
        "search": _search(job.folder),
        "recipe": {
            key: {"value": choice.value, "why": choice.why}
            for key, choice in taught.recipe.choices().items()
        },
        "waiting": trained.waited if trained else None,
        "augmenting": trained.augmented if trained else None,
        "versions": versions(),
        "hardware": ended.machine.as_dict(),
    }


def _search(folder: Path) -> dict[str, Any] | None:
    """Return what `tune` has found before this learning; None where it was no part of a search."""
    file = folder / "search.json"
    if not file.is_file():
        return None
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))["told"]
    return found


def _source(named: str) -> str:
    """Return a source as it was named; of ``.`` and ``..``, which name nothing, the folder."""
    return named if Path(named).name.strip(".") else str(Path(named).resolve())


def _learned(values: dict[str, float]) -> list[dict[str, Any]]:
    return [{"name": name, "value": value} for name, value in values.items()]


def _drawn(ended: Ended) -> dict[str, Any]:
    recipe, module = ended.taught.recipe, ended.lesson.network.module
    example = ended.lesson.decoded.how.blank(1, recipe.size)
    return {
        "name": recipe.network.name if ended.spec is None else ended.spec.name,
        "parameters": parameters(module),
        "flops": flops(module, example),
        "input": list(example.shape[1:]),
        "layers": draw(module, example),
    }


def _mistakes(ended: Ended, model: Model, tested: Tested) -> list[dict[str, Any]]:
    catalog, max_pixels = ended.catalog, ended.job.max_pixels
    rows, truth, found = tested
    shown = []
    for place in model.task.worst(truth, found):
        example = int(ended.lesson.decoded.kept[rows[place]])
        shown.append(
            {
                "name": str(catalog.names[example]),
                **model.task.mistake(truth[place], found[place]),
                **_embedded(catalog, example, max_pixels),
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


def _data(ended: Ended) -> dict[str, Any]:
    job, catalog, lesson, parts = ended.job, ended.catalog, ended.lesson, ended.parts
    twins = ended.twins
    decoded = lesson.decoded
    counted = lesson.task.counted
    learnt = lesson.truth[parts.train] if lesson.stream is None else lesson.stream.truth
    doubted = suspects.told(job, catalog, lesson)
    left_out = [*catalog.left_out, *decoded.left_out]
    return {
        "kind": catalog.kind,
        "classes": list(catalog.classes),
        "counts": {
            "train": counted(learnt),
            "val": counted(lesson.truth[parts.val]),
            "test": counted(lesson.truth[parts.test]),
        },
        "examples": {
            "train": len(learnt),
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
        "sizes": ended.seen.seen.as_dict(),
        "findings": job.findings,
        "remarks": [{"name": o.name, "reason": o.reason} for o in decoded.remarks],
        **doubted,
    }


def seconds(job: Job) -> dict[str, float]:
    """Return where the time went."""
    spent = job.clock.spent()
    stages = {name: round(took, 3) for name, took in job.clock.stages.items()}
    stages["start"] = round(max(0.0, spent - sum(stages.values())), 3)
    return {**stages, "total": round(spent, 3)}


def versions() -> dict[str, str]:
    """Return what it was made with."""
    names = ("quickstudy", "torch", "torchvision", "numpy", "pillow", "soundfile")
    return {**{name: version(name) for name in names}, "python": platform.python_version()}


def now() -> str:
    """Return the moment, as ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")
