"""The end of a run: save the model, look at the test once, write the report."""

from __future__ import annotations

import base64
import io
import platform
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from quickstudy import evaluation, report
from quickstudy.catalog import Catalog
from quickstudy.checking import Duplicates, leaks
from quickstudy.decoding import Pictures
from quickstudy.errors import ExampleError
from quickstudy.facts import Facts
from quickstudy.hardware import Hardware
from quickstudy.kinds.image.decode import open_picture
from quickstudy.learning.job import Job
from quickstudy.learning.planning import spec_of
from quickstudy.learning.run import Run
from quickstudy.model import Model, Preparation
from quickstudy.network import Built, drop_auxiliary, parameters
from quickstudy.network.drawing import draw, flops
from quickstudy.recipe import Recipe
from quickstudy.splitting import Split
from quickstudy.training import Taught, checkpoints

_BATCH = 32
_SHOWN_SIDE = 160  # pixels of a mistake's picture in the report


def conclude(
    job: Job,
    catalog: Catalog,
    seen: Facts,
    machine: Hardware,
    pictures: Pictures,
    twins: Duplicates,
    parts: Split,
    network: Built,
    taught: Taught,
) -> Run:
    """Save, test once, report; return the run."""
    recipe = taught.recipe
    job.keep_recipe(recipe)
    drop_auxiliary(network.module)
    model = Model(
        network.module,
        spec_of(recipe, len(catalog.classes), auxiliary=False),
        catalog.classes,
        _preparation(recipe, pictures.size, taught.temperature),
        {"made": _now(), "versions": _versions()},
    )
    with job.stage("save"):
        model.save(job.folder / "model")  # before the test: what was learnt is safe first
    with job.stage("evaluate"):
        rows = job.afford_test(parts.test, taught.test_seconds)
        labels, found = _test(job, catalog, pictures, rows, model)
        commonest = int(np.bincount(catalog.labels[pictures.kept][parts.train]).argmax())
        scores = evaluation.score(
            labels, found, classes=catalog.classes, baseline_class=commonest, seed=recipe.seed
        )
    with job.stage("save"):
        lines = tuple(evaluation.sentence(scores))
        model = _with_result(model, lines[0], scores)
        model.save(job.folder / "model")
        wrong = _mistakes(catalog, pictures, rows, model, labels, found)
        drawn = _drawn(network, recipe)
    told = {
        **_about(job, catalog, machine, taught),
        "data": _data(job, catalog, seen, pictures, twins, parts),
        "test": {**scores.as_dict(), "mistakes": wrong},
        "val": {"n": len(parts.val), "accuracy": taught.val_accuracy},
        "network": drawn,
    }
    page = report.write(told, job.folder)
    _tidy(job)
    return Run(job.folder, model, scores, recipe, page, told, lines)


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
        "seconds": _seconds(job),
        "waiting": trained.waited if trained else None,
        "augmenting": trained.augmented if trained else None,
        "versions": _versions(),
        "hardware": machine.as_dict(),
    }


def _test(
    job: Job, catalog: Catalog, pictures: Pictures, rows: NDArray[np.int64], model: Model
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Run the model over the test pictures, once; return labels ``N``, probabilities ``N K``."""
    tell = job.progress("evaluate", stoppable=False)

    def batches() -> Iterator[NDArray[np.uint8]]:
        for start in range(0, len(rows), _BATCH):
            yield pictures.rows(rows[start : start + _BATCH])
            pictures.forget()
            tell(start / len(rows))

    return catalog.labels[pictures.kept][rows], model.probabilities(batches())


def _drawn(network: Built, recipe: Recipe) -> dict[str, Any]:
    size = recipe.picture.size
    return {
        "name": recipe.network.name,
        "parameters": parameters(network.module),
        "flops": flops(network.module, size),
        "input": [3, size, size],
        "layers": draw(network.module, size),
    }


def _preparation(recipe: Recipe, decode_size: int, temperature: float) -> Preparation:
    how = recipe.picture
    return Preparation(
        decode_size=decode_size,
        size=how.size,
        fit=how.fit,
        mean=tuple(how.mean),
        std=tuple(how.std),
        mirror=recipe.augment.mirror,
        max_pixels=how.max_pixels,
        temperature=temperature,
    )


def _with_result(model: Model, line: str, scores: evaluation.Scores) -> Model:
    facts = {
        **model.facts,
        "result": line,
        "accuracy": scores.accuracy,
        "interval": list(scores.interval),
    }
    return Model(model.network, model.spec, model.classes, model.preparation, facts)


def _mistakes(
    catalog: Catalog,
    pictures: Pictures,
    rows: NDArray[np.int64],
    model: Model,
    labels: NDArray[np.int64],
    found: NDArray[np.float32],
) -> list[dict[str, Any]]:
    shown = []
    for place in evaluation.mistakes(labels, found):
        example = int(pictures.kept[rows[place]])
        said = int(found[place].argmax())
        shown.append(
            {
                "name": str(catalog.names[example]),
                "true": catalog.classes[labels[place]],
                "predicted": catalog.classes[said],
                "probability": float(found[place, said]),
                "picture": _embedded(catalog, example, model.preparation.max_pixels),
            }
        )
    return shown


def _embedded(catalog: Catalog, example: int, max_pixels: int) -> str | None:
    """Return a small JPEG of an example as a data URI; None where its file has gone since."""
    try:
        raw = catalog.read(example)
        picture = open_picture(raw, size=_SHOWN_SIDE, max_pixels=max_pixels)
    except ExampleError:
        return None
    side = max(picture.size)
    if side < _SHOWN_SIDE // 2:  # tiny pictures are shown in squares, not in a blur
        times = _SHOWN_SIDE // side
        size = (picture.width * times, picture.height * times)
        picture = picture.resize(size, Image.Resampling.NEAREST)
    picture.thumbnail((_SHOWN_SIDE, _SHOWN_SIDE))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()


def _outcome(job: Job, taught: Taught) -> dict[str, Any]:
    status = "interrupted" if taught.interrupted else "finished"
    if taught.trained and not taught.trained.finished and not taught.interrupted:
        status = "stopped"
    return {"status": status, "notes": list(job.notes)}


def _data(
    job: Job,
    catalog: Catalog,
    seen: Facts,
    pictures: Pictures,
    twins: Duplicates,
    parts: Split,
) -> dict[str, Any]:
    labels = catalog.labels[pictures.kept]

    def counted(rows: NDArray[np.int64]) -> dict[str, int]:
        found = np.bincount(labels[rows], minlength=len(catalog.classes))
        return {name: int(n) for name, n in zip(catalog.classes, found, strict=True)}

    left_out = [*catalog.left_out, *pictures.left_out]
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
        "sizes": {"width": seen.width, "height": seen.height},
    }


def _seconds(job: Job) -> dict[str, float]:
    spent = job.clock.spent()
    stages = {name: round(took, 3) for name, took in job.clock.stages.items()}
    stages["start"] = round(max(0.0, spent - sum(stages.values())), 3)
    return {**stages, "total": round(spent, 3)}


def _versions() -> dict[str, str]:
    names = ("quickstudy", "torch", "torchvision", "numpy", "pillow")
    return {**{name: version(name) for name in names}, "python": platform.python_version()}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _tidy(job: Job) -> None:
    """Remove what only an unfinished run needs; an interrupted one can still go on."""
    if not job.stop.asked:
        for file in job.folder.glob("*.f32"):
            file.unlink()
        (job.folder / checkpoints.NAME).unlink(missing_ok=True)
