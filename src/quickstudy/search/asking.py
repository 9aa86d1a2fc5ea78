"""What somebody asked of a search -> its job and what it keeps, checked before anything is read."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quickstudy.cluster import place
from quickstudy.errors import ChoiceError, RunError
from quickstudy.folders import disk_errors
from quickstudy.learning import together
from quickstudy.learning.asking import new_job, refuse_changes, resumed_job
from quickstudy.learning.choosing import choices, columns_of
from quickstudy.learning.job import Job, told
from quickstudy.recipe.coercion import brief
from quickstudy.search.keeping import Search, kept_search, lead
from quickstudy.search.one import source_of
from quickstudy.search.rungs import SHORTEST
from quickstudy.search.space import as_data, read
from quickstudy.search.study import secret

BUDGET = "1h"
_ARRAYS = ("source-x.npy", "source-y.npy")
_NAME = "quickstudy"
#: Arguments of `tune` that a search which goes on cannot take.
_CHOICES = (
    *("budget", "weights", "settings", "recipe", "out", "seed", "device", "task", "space"),
    *("trials", "network", "loss", "optimizer"),
)
#: Those that say what may ship, which it cannot take either.
_SHIPS = ("ensemble", "distil")


def search_of(asked: Mapping[str, Any]) -> tuple[Search, Job, bool]:
    """Return the search that is `asked` and its job, and whether it goes on after a lost process.

    This process leads it from now on. `asked` are the arguments of `tune`.
    """
    source, test, storage = asked["source"], asked["test"], asked["storage"]
    lost = together.cut_short(asked)
    if lost is None and asked["resume"] is None:
        own, code = choices(asked["network"], asked["loss"], asked["optimizer"])
        refuse_code(source, test, code)
        own |= {"network.weights": asked["weights"], "task": asked["task"]}
        wanted = checked(asked["space"], asked["trials"])
        budget = asked["budget"] if asked["budget"] is not None else BUDGET
        job = new_job(
            source, test, columns_of(asked), own, asked["settings"], asked["recipe"], budget,
            asked["seed"], asked["device"], asked["out"],
        )  # fmt: skip
        search = begun(job, wanted, asked["trials"], storage, **{n: asked[n] for n in _SHIPS})
        lead(search.folder)
        return search, job, False
    if lost is None:
        refuse_changes(*(asked[name] for name in _CHOICES), *(n for n in _SHIPS if asked[n]))
    search, job = resumed(lost or Path(asked["resume"]), source, test, storage)
    if not lead(search.folder):
        raise RunError(
            f"Another process leads the search in {search.folder}.",
            f"Let it end, or help it: quickstudy tune --join {search.folder}",
        )
    return search, job, lost is not None


def check_place(on: str | None) -> None:
    """Raise `ChoiceError` for a cluster that a search cannot be led on."""
    if on is None:
        return
    if place(on).address is not None:  # it asks for a node of Ray's in the process that leads
        raise ChoiceError(
            "Ray Tune cannot be led from outside a cluster, through ray://.",
            "On one of its machines: quickstudy tune ... --on ray (ray job submit starts it there)",
        )
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ChoiceError(
            "torchrun has started these processes, and --on would start others.",
            "Take one of the two.",
        )


def checked(space: Any, trials: Any) -> dict[str, Any]:
    """Return the space that somebody asked for, as data; raise `ChoiceError` for what is none."""
    if trials is not None and (
        isinstance(trials, bool) or not isinstance(trials, int) or trials < 2
    ):
        raise ChoiceError(f"'{brief(trials)}' is no number of trials.", "Give 2 or more.")
    found = read(space)
    named = {key: one for key, one in found.items() if one is not None}
    return {**dict.fromkeys(found), **as_data(named)}


def refuse_code(source: Any, test: Any, code: Mapping[str, Any]) -> None:
    """Raise `ChoiceError` for what a process of its own cannot be given."""
    if code:
        what = ", ".join(code)
        raise ChoiceError(
            f"The {what} is code: each trial is a process of its own, which it cannot be given to.",
            "Name it, write it as a stack or an expression, or take learn().",
        )
    if test is not None and told(test) is None:
        raise ChoiceError(
            "The test of a search must be a path.", "Write it to a file, or a folder."
        )
    if source is not None and told(source) is None and _arrays(source) is None:
        raise ChoiceError(
            f"A {type(source).__name__} cannot be searched on: each trial is a process of its own.",
            "Give a path, or two arrays: (pictures N H W C, labels N).",
        )


def _arrays(source: Any) -> tuple[Any, Any] | None:
    """Return two arrays of plain numbers or words; None for anything else."""
    import numpy as np

    if not isinstance(source, tuple) or len(source) != 2:
        return None
    x, y = (np.asarray(one) for one in source)
    return None if x.dtype.hasobject or y.dtype.hasobject else (x, y)


def begun(
    job: Job,
    wanted: dict[str, Any],
    trials: int | None,
    storage: str | None,
    *,
    ensemble: bool = False,
    distil: bool = False,
) -> Search:
    """Return a search as it begins, and keep it in the job's folder."""
    if job.budget < SHORTEST and not job.fixed_length:
        if job.made:
            shutil.rmtree(job.folder)
        raise ChoiceError(
            f"{job.budget:g} s are too short for a search: a few trials and a last learning take "
            f"{SHORTEST:g} s at least.",
            "Give a larger --budget, or take quickstudy learn.",
        )
    search = Search(
        job.folder,
        job.budget,
        _NAME if storage is None else f"{_NAME}-{job.folder.absolute().name}-{time.time():.0f}",
        trials,
        storage,
        _kept_source(job),
        wanted,
        tuple(job.own),
        secret(storage),
        ensemble,
        distil,
    )
    search.keep(0.0)
    return search


def _kept_source(job: Job) -> Any:
    """Return the source as a trial finds it: its path, or its arrays' files."""
    path = told(job.source)
    if path is not None:
        return path
    import numpy as np

    arrays = _arrays(job.source)
    files = [str((job.folder / name).absolute()) for name in _ARRAYS]
    with disk_errors("the examples"):
        for file, array in zip(files, arrays or (), strict=True):
            np.save(file, array, allow_pickle=False)
    return files


def resumed(folder: Path, source: Any, test: Any, storage: str | None) -> tuple[Search, Job]:
    """Return the search of a folder, and the job of its last learning.

    Raises `RunError` for a folder without a search, or one that has ended.
    """
    search = kept_search(folder)
    if search.secret and storage is None:
        raise RunError(
            "The storage of that search has a password, which is not kept.", "Give --storage again."
        )
    if storage is not None:
        search.storage = storage
    if source is None and isinstance(search.source, list):
        source = source_of(search.source)
    elif source is not None and told(source) != search.source and told(source) is not None:
        raise RunError(
            f"That search learns from {search.source}, not from {os.fspath(source)}.",
            "Leave the source out.",
        )
    job = resumed_job(folder, source, test, ({}, {}))
    search.spent = max(search.spent, job.spent_before)
    job.budget = search.budget  # a kill while planning leaves that of the last learning
    if search.stage == "prepare":
        job.recipe = None
    return search, job
