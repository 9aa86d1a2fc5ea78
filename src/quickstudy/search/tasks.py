"""What is to be run of a trial: its recipe, its folder, its time, and who hears how it went."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quickstudy.learning.job import told
from quickstudy.search.study import values
from quickstudy.search.trials import Outcome, Watch, longest

if TYPE_CHECKING:
    from quickstudy.search.searching import Searching

#: What a trial does without: it serves the report, or would change what is learnt from.
WITHOUT = {
    "rehearsal": 0.0,
    "suspects": "keep",
    "data_curve": "never",
    "table.trees": False,
    "race": 1,
}
_HEEDED = ("epochs", "picture.max_pixels")  # of what somebody fixed, beside the recipe


@dataclass(frozen=True)
class Task:
    """A trial as it is run, here or elsewhere."""

    folder: Path
    spec: Mapping[str, Any]
    limit: float
    """Seconds that it may take at most."""
    watch: Watch
    ended: Callable[[Outcome], object]


def task(
    at: Searching, trial: Any, rung: int, ended: Callable[[Outcome], object] | None = None
) -> Task:
    """Return what is to be run of a trial; of None, the plan's own recipe for the first time."""
    search, job = at.search, at.job
    seconds = search.rungs[rung].seconds
    number = trial.number if trial is not None else 0
    changed: Mapping[str, Any] = {}
    if trial is not None and not trial.user_attrs.get("plan"):
        changed = values(search.space, trial)
    without = {key: value for key, value in WITHOUT.items() if key in at.planned()}
    own = {key: job.own[key][0] for key in _HEEDED if key in job.own}
    own["batch"] = {**at.planned(), **changed}["batch"]  # a GPU would measure another
    limit = max(60.0, search.budget) if job.fixed_length else longest(seconds)
    spec = {
        "source": search.source,
        "cache": str(job.cache.absolute()),
        "test": told(job.test),
        "columns": job.columns,
        "own": own,
        "budget": limit if job.fixed_length else seconds,
        "seed": job.seed,
        "device": job.device,
        "most": job.most,
        "stamp": job.stamp,
        "keeps": search.keeps,
        "recipe": {**at.planned(), **changed, **without, "budget": max(5.0, seconds)},
    }
    _mend(spec["recipe"])
    folder = search.folder / "trials" / f"{number:03d}"
    if folder.exists():
        folder = folder.with_name(f"{number:03d}-{int(time.time())}")
    ended = ended or functools.partial(at.finish, trial, rung)
    return Task(folder, spec, limit, at.watching(trial, rung), ended)


def _mend(values_: dict[str, Any]) -> None:
    """Let what depends on a varied value follow it."""
    if "picture.size" in values_:
        values_["picture.start_size"] = min(values_["picture.start_size"], values_["picture.size"])
