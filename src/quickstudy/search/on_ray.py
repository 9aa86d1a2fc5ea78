"""`tune --on ray`: trials on the workers of a Ray cluster, several at a time, run by Ray Tune.

What is tried, how far, and what is learnt from it stays the search's own business: Ray Tune is
given a searcher that takes trials from the search and tells it how they went, so space, rungs and
leaderboard are those of one computer. Where Ray has put a trial it is a process of its own, which
reads the examples and writes its folder there: both must be on a disk that all machines share.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.search import Searcher
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from quickstudy.cluster import Connected
from quickstudy.errors import QuickstudyError, RunError
from quickstudy.search.tasks import Task
from quickstudy.search.trials import GO_ON, Outcome, run_trial
from quickstudy.shards import is_far
from quickstudy.shards.places import expanded

#: Read by Ray Tune: a Ctrl-C is the search's to deal with, and so is what is written and said.
_OURS = {
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "RAY_AIR_NEW_OUTPUT": "0",  # the old one is silent
}
_EVERY = 1.0  # seconds between words of a trial on how far it is


class _Forgetful:
    """What Ray Tune cannot keep: it would pickle the search, which has its own memory."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class Trial(tune.Trainable):  # type: ignore[misc]
    """A trial, where Ray has put it."""

    def setup(self, config: Mapping[str, Any]) -> None:
        """Start its process, and a thread that watches it."""
        self.news: tuple[float, float | None] = (0.0, None)
        self.outcome = Outcome("FAIL", 0.0)
        self.unwanted = threading.Event()
        self.watcher = threading.Thread(target=self._run, args=(config,), daemon=True)
        self.watcher.start()

    def _run(self, config: Mapping[str, Any]) -> None:
        try:
            if there := lacking(config["needs"]):
                raise _unseen("Its machine", there)
            folder, spec = Path(config["folder"]), json.loads(config["spec"])
            self.outcome = run_trial(folder, spec, config["limit"], self._heard)
        except QuickstudyError as problem:
            self.outcome = Outcome("FAIL", 0.0, problem.message)

    def _heard(self, share: float, val: float | None) -> tuple[str, str]:
        self.news = share, val
        return ("STOPPED", "") if self.unwanted.is_set() else GO_ON

    def step(self) -> dict[str, Any]:
        """Wait a little; return how far it is, or how it has ended."""
        self.watcher.join(_EVERY)
        if self.watcher.is_alive():
            return {"share": self.news[0], "val": self.news[1]}
        return {"done": True, "outcome": asdict(self.outcome)}

    def cleanup(self) -> None:
        """End its process."""
        self.unwanted.set()
        self.watcher.join()


class _Asked(_Forgetful, Searcher, tune.Stopper):  # type: ignore[misc]
    """What Ray Tune asks for trials, and tells of them."""

    def __init__(self, tasks: Iterator[Task | None], stopping: Callable[[], bool]) -> None:
        super().__init__()
        self.tasks, self.stopping = tasks, stopping
        self.running: dict[str, tuple[Task, float]] = {}
        """By Ray's names for them; since when."""
        self.outcomes: dict[str, Outcome] = {}

    def suggest(self, trial_id: str) -> Any:
        """Return the next trial; None where it must wait for others."""
        task = next(self.tasks, Searcher.FINISHED)
        if not isinstance(task, Task):
            return task
        self.running[trial_id] = task, time.time()
        return {
            "folder": str(task.folder.absolute()),
            "limit": task.limit,
            "spec": json.dumps(task.spec),
            "needs": needed(task.folder.parents[1], task.spec["source"], task.spec["test"]),
        }

    def __call__(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        """Hear how far a trial is; return whether it is to end."""
        task, began = self.running[trial_id]
        if "outcome" in result:
            self.outcomes[trial_id] = Outcome(**result["outcome"])
            return True
        state, why = task.watch(result["share"], result["val"])
        if state:
            self.outcomes[trial_id] = Outcome(state, time.time() - began, why)
        return bool(state)

    def stop_all(self) -> bool:
        """Return whether all are to end."""
        return self.stopping()

    def on_trial_complete(
        self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False
    ) -> None:
        """Hand on how a trial went; that of one which Ray lost is told by `_Lost`."""
        if trial_id in self.outcomes:
            self.end(trial_id, self.outcomes.pop(trial_id))

    def end(self, trial_id: str, outcome: Outcome) -> None:
        """Tell the search how a trial went."""
        task, _ = self.running.pop(trial_id)
        task.ended(outcome)


class _Lost(_Forgetful, tune.Callback):  # type: ignore[misc]
    """Hears why Ray could not run a trial, or lost it."""

    def __init__(self, asked: _Asked) -> None:
        self.asked = asked

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """Tell the search why."""
        if trial.trial_id in self.asked.running:
            seconds = time.time() - self.asked.running[trial.trial_id][1]
            said = Path(trial.error_file).read_text(encoding="utf-8").splitlines()[1:]
            told = [line.strip() for line in said if line.strip()]  # what Ray says, or a traceback
            why = told[-1 if told[0].startswith("ray::") else 0][:200]
            self.asked.end(trial.trial_id, Outcome("FAIL", seconds, f"its worker was lost: {why}"))


def run_on_ray(
    there: Connected, tasks: Iterator[Task | None], stopping: Callable[[], bool]
) -> None:
    """Run trials on a cluster until there are no more, or somebody stops them."""
    os.environ.update(_OURS)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # failures are the search's to tell
    asked = _Asked(tasks, stopping)
    with tempfile.TemporaryDirectory() as storage:  # of Ray Tune's own memory: ours is the study
        tune.run(
            Trial,
            name="tune",
            storage_path=storage,
            num_samples=-1,
            search_alg=asked,
            max_concurrent_trials=there.most,
            resources_per_trial={key.lower(): amount for key, amount in there.takes.items()},
            stop=asked,
            callbacks=[_Lost(asked)],
            verbose=0,
            raise_on_failed_trial=False,
        )
    for name in list(asked.running):  # a Ctrl-C ends them without a word
        asked.end(name, Outcome("STOPPED", 0.0, "stopped by Ctrl-C"))


def needed(folder: Path, source: Any, test: str | None) -> list[str]:
    """Return the files and folders that trials must see: the run's, and what is learnt from."""
    sources = source if isinstance(source, list) else [source]
    paths = [one for one in (*sources, test) if one is not None and not is_far(one)]
    return [str(folder.absolute()), *(file for one in paths for file in expanded(one))]


def lacking(paths: Sequence[str]) -> list[str]:
    """Return the paths that this machine does not have."""
    return [path for path in paths if not Path(path).exists()]


def _unseen(who: str, paths: Sequence[str]) -> RunError:
    return RunError(
        f"{who} does not see {' and '.join(paths)}.",
        "Put it on a disk that all machines of the cluster share, at the same path (--out for "
        "the run's folder).",
    )


def check_reach(there: Connected, folder: Path, source: Any, test: str | None) -> None:
    """Raise `RunError` where a machine that may run trials does not see these, or cannot."""
    paths, look = needed(folder, source, test), there.ray.remote(num_cpus=0)(lacking)
    machines = there.machines()
    if not machines:
        wants = " and ".join(f"{amount:g} {what}" for what, amount in there.takes.items())
        raise RunError(f"No machine of the cluster has {wants}.", "Ask for fewer: cores=1")
    for one in machines:
        here = NodeAffinitySchedulingStrategy(one["NodeID"], soft=False)
        name = one["NodeManagerHostname"]
        try:
            unseen = there.ray.get(look.options(scheduling_strategy=here).remote(paths))
        except there.ray.exceptions.RayError as problem:
            said = [line for line in str(problem).splitlines() if line.strip()]
            raise RunError(
                f"{name} cannot run a trial: {said[-1].strip()[:200]}",
                "Is the same Quickstudy installed there?",
            ) from problem
        if unseen:
            raise _unseen(name, unseen)
