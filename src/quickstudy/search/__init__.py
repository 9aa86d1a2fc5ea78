"""tune(): recipes raced under one budget, then the best one learnt. Read this file first.

The search is Optuna's; each trial is a `learn` in a process of its own that ends before the test;
what is handed over is a run as any other, learnt by the winner's recipe in the time that is left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from quickstudy.clock import Clock, ctrl_c
from quickstudy.cluster import connected
from quickstudy.learning import Run, together
from quickstudy.notebook import here
from quickstudy.progress import Listener
from quickstudy.search import asking
from quickstudy.search.flow import helped, searched
from quickstudy.search.keeping import Search, leave
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
    ensemble: bool = False,
    distil: bool = False,
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
    on: str | None = None,
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
    With `ensemble` the best few networks may ship as one, their answers averaged; with `distil`
    they teach one network, which may ship: if `val` says that it pays, which the report tells.
    `storage` is a URL of Optuna's (default: a file in the run's folder). All else is as for
    `learn`; what is fixed by `settings` or `recipe` is not varied. `on` is a Ray cluster that tries
    several at a time; started by torchrun, each process tries its own. `resume` goes on with a
    search that was stopped.

    Raises a `QuickstudyError` for all that the user can mend, and `RunError` when it is stopped.
    """
    asked = dict(locals())
    check_storage(storage)
    asking.check_place(on)
    with connected(on) if on is not None else nullcontext() as there:
        crew = together.joined(asked, lambda told: join(told["folder"], storage=storage))
        search, job, lost = asking.search_of(asked)
        clock = Clock(search.budget, search.spent)
        if started is not None:
            clock.began = started
        try:
            with (
                job.working(clock, listen or here()),
                ctrl_c(job.stop),
                together.led(job, crew, again=lost) if there is None else nullcontext(),
            ):
                return searched(search, job, there)
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
