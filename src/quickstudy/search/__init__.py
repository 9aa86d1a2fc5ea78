"""tune(): recipes raced under one budget, then the best one learnt. Read this file first.

The search is Optuna's; each trial is a `learn` in a process of its own that ends before the test;
what is handed over is a run as any other, learnt by the winner's recipe in the time that is left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from quickstudy.clock import Clock, ctrl_c
from quickstudy.errors import RunError
from quickstudy.learning import Run
from quickstudy.learning.asking import new_job, refuse_changes
from quickstudy.learning.choosing import choices, columns_of
from quickstudy.notebook import here
from quickstudy.progress import Listener
from quickstudy.search import asking
from quickstudy.search.flow import helped, searched
from quickstudy.search.keeping import Search, lead, leave
from quickstudy.search.space import Among, Range, Space
from quickstudy.search.study import check_storage

__all__ = ["Among", "Range", "Run", "Search", "Space", "join", "tune"]


def tune(
    source: Any = None,
    *,
    budget: str | float | None = None,
    space: str | Path | Mapping[str, Any] | None = None,
    trials: int | None = None,
    storage: str | None = None,
    test: Any = None,
    network: Any = None,
    weights: str | Path | None = None,
    loss: Any = None,
    optimizer: Any = None,
    settings: Mapping[str, Any] | None = None,
    recipe: str | Path | None = None,
    out: str | Path | None = None,
    seed: int | None = None,
    device: str | None = None,
    resume: str | Path | None = None,
    path_column: str | None = None,
    label_column: str | None = None,
    split_column: str | None = None,
    group_column: str | None = None,
    label_from: str | None = None,
    target: str | int | Sequence[str | int] | None = None,
    group_from: str | None = None,
    kind: str | None = None,
    task: str | None = None,
    listen: Listener | None = None,
    started: float | None = None,
) -> Run:
    """Search for a better recipe than the plan's within a budget (default ``1h``); learn by it.

    Half of the budget goes to trials, the rest to learning with the recipe that did best on `val`.
    `space` says what is varied, a YAML file or a mapping: ``{"optimizer.lr": {"low": 1e-4, "high":
    1e-1, "log": True}, "augment.mixup": [0, 0.2, 0.4]}``; what it does not name keeps its usual
    range, and a key with None is left as planned. `trials` is how many recipes are tried at most.
    `storage` is a URL of Optuna's (default: a file in the run's folder). All else is as for
    `learn`; what is fixed by `settings` or `recipe` is not varied. `resume` goes on with a search
    that was stopped.

    Raises a `QuickstudyError` for all that the user can mend, and `RunError` when it is stopped.
    """
    asked = dict(locals())
    check_storage(storage)
    if resume is not None:
        given = (budget, weights, settings, recipe, out, seed, device, task, space, trials)
        refuse_changes(*given, network, loss, optimizer)
        search, job = asking.resumed(Path(resume), source, test, storage)
        if not lead(search.folder):
            raise RunError(
                f"Another process leads the search in {search.folder}.",
                f"Let it end, or help it: quickstudy tune --join {search.folder}",
            )
    else:
        own, code = choices(network, loss, optimizer)
        asking.refuse_code(source, test, code)
        own |= {"network.weights": weights, "task": task}
        wanted = asking.checked(space, trials)
        budget = budget if budget is not None else asking.BUDGET
        job = new_job(
            source, test, columns_of(asked), own, settings, recipe, budget, seed, device, out
        )
        search = asking.begun(job, wanted, trials, storage)
        lead(search.folder)
    clock = Clock(search.budget, search.spent)
    if started is not None:
        clock.began = started
    try:
        with job.working(clock, listen or here()), ctrl_c(job.stop):
            return searched(search, job)
    finally:
        leave(search.folder)


def join(folder: str | Path, *, storage: str | None = None, listen: Listener | None = None) -> int:
    """Help a search that another process leads, until its last learning; return the trials run.

    Raises `RunError` for a folder without a search, or one that has ended.
    """
    check_storage(storage)
    search, job = asking.resumed(Path(folder), None, None, storage)
    job.listen = listen or here()
    with ctrl_c(job.stop):
        return helped(search, job)
