"""`learn --on ray`: the same learning in the workers of a Ray cluster, which may go and come.

Ray Train (v2) starts the workers, finds out when one is lost, and starts as many as there then are
again; when machines come it grows. What they learn from has to be where they are. The run's folder
is written by the first worker; all of it is kept by an actor as well (`office`), so that a run goes
on wherever the first worker then is, and comes back to where it was asked for. No disk is shared.
"""

from __future__ import annotations

import importlib
import logging
import os
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from quickstudy import errors
from quickstudy.clock import Stop, ctrl_c
from quickstudy.cluster.office import Office
from quickstudy.cluster.working import work
from quickstudy.errors import ChoiceError, MissingExtra, QuickstudyError, RunError
from quickstudy.folders import write_whole
from quickstudy.progress import Listener, Progress

#: Read by Ray as it is loaded: without the first it reports to its makers.
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
_ASK_EVERY = 0.5  # seconds
_LOSSES = 100  # of workers, at most
_GROWING = 15.0  # seconds between looks for machines that have come
_ASKED = {"workers", "cores"}


@dataclass(frozen=True)
class Place:
    """Where to learn, and with how many workers; None: one a GPU, or one a machine without."""

    address: str | None
    """Of the cluster; None: the one that this machine is in, or else one of its own."""
    fewest: int = 1
    most: int | None = None
    cores: float | None = None
    """Of each worker."""


def place(text: str) -> Place:
    """Return what ``--on`` says. Raises `ChoiceError`.

    >>> place("ray?workers=1-4&cores=2")
    Place(address=None, fewest=1, most=4, cores=2.0)
    >>> place("ray://head:10001").address
    'ray://head:10001'
    """
    address, _, more = text.partition("?")
    wrong = ChoiceError(
        f"'{text}' is no place to learn on.",
        "Write ray, ray://HOST:PORT, or ray?workers=2 (workers=1-8: as many as there are).",
    )
    asked = dict(parse_qsl(more, keep_blank_values=True))
    if address != "ray" and not address.removeprefix("ray://").partition(":")[2].isdigit():
        raise wrong
    if (address != "ray" and not address.startswith("ray://")) or asked.keys() - _ASKED:
        raise wrong
    try:
        low, _, high = asked.get("workers", "").partition("-")
        fewest, most = int(low or 1), int(high or low or 0) or None
        cores = float(asked["cores"]) if "cores" in asked else None
    except ValueError as problem:
        raise wrong from problem
    if fewest < 1 or (most is not None and most < fewest) or (cores is not None and cores <= 0):
        raise wrong
    return Place(None if address == "ray" else address, fewest, most, cores)


@dataclass(frozen=True)
class Connected:
    """A cluster that this process is connected to, and the workers asked for there."""

    on: str
    """As it was asked for."""
    ray: Any
    """The library."""
    fewest: int
    most: int
    takes: dict[str, float]
    """What each worker takes: ``CPU``, and ``GPU`` where there are any."""

    @property
    def threads(self) -> int:
        """How many threads a worker computes with."""
        return max(1, int(self.takes["CPU"]))

    def machines(self) -> list[dict[str, Any]]:
        """Return the machines that a worker fits on, as Ray tells of them."""
        alive = [one for one in self.ray.nodes() if one["Alive"]]
        return [one for one in alive if self._fitting(one)]

    def slots(self) -> int:
        """Return how many of the workers there is room for now, at least one."""
        return max(1, min(self.most, sum(map(self._fitting, self.machines()))))

    def _fitting(self, machine: Mapping[str, Any]) -> int:
        has = machine["Resources"]
        return int(min(has.get(what, 0) // amount for what, amount in self.takes.items()))


@contextmanager
def connected(on: str) -> Iterator[Connected]:
    """Connect to a cluster, unless this program already is, and leave it afterwards.

    Raises `ChoiceError`, `MissingExtra` without Ray, and `RunError` where there is no such cluster
    or it is lost.
    """
    where, ray = place(on), _ray()
    ours = not ray.is_initialized()
    if ours:
        _connect(ray, where)
    try:
        yield Connected(on, ray, *_sized(ray, where))
    except ray.exceptions.RayError as problem:
        first = next(iter(str(problem).splitlines()), "") or type(problem).__name__
        raise RunError(
            f"The cluster was lost: {first[:200]}", "Is it still there (ray status)? Try again."
        ) from problem
    finally:
        if ours:
            ray.shutdown()


def on_ray(on: str, asked: Mapping[str, Any], folder: Path, listen: Listener) -> dict[str, Any]:
    """Learn on a cluster as `asked`; return the test, recipe, facts and lines of the run.

    `folder` then holds all that the run leaves; what it holds before, a run that is to go on, goes
    to the workers. Raises what the run raised, `MissingExtra` without Ray, and `RunError` where
    there is no such cluster or it is lost.
    """
    with connected(on) as there:
        ray = there.ray
        office = ray.remote(num_cpus=0)(Office).remote()
        files = _contents(folder)
        ray.get(office.put.remote(files, []))
        if "run.json" not in files:
            threads = {"compute.threads": there.threads}
            asked = {**asked, "settings": threads | dict(asked["settings"] or {})}
        told = {"asked": dict(asked), "office": office, "name": folder.name,
                "launch": f"ray-{uuid.uuid4().hex}"}  # fmt: skip
        fit = ray.remote(num_cpus=0, max_retries=0)(_fit)
        going = fit.remote(told, there.fewest, there.most, there.takes)
        return _watched(ray, office, going, folder, listen)


def _ray() -> Any:
    for key, value in _QUIET.items():
        os.environ.setdefault(key, value)
    try:
        importlib.import_module("ray.train")
        return importlib.import_module("ray")
    except ImportError as problem:
        raise MissingExtra("Learning on Ray", "cluster") from problem


def _connect(ray: Any, where: Place) -> None:
    how: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if where.address is not None:
        try:
            ray.init(where.address, **how)
        except (ConnectionError, RuntimeError, ValueError, TimeoutError) as problem:
            raise RunError(
                f"No Ray cluster answers at {where.address}: {str(problem).splitlines()[0]}",
                "Is it started there (ray start --head), and of the same version?",
            ) from problem
        return
    try:
        ray.init("auto", **how)
    except ConnectionError:  # none runs here
        ray.init("local", include_dashboard=False, _node_ip_address="127.0.0.1", **how)


def _sized(ray: Any, where: Place) -> tuple[int, int, dict[str, float]]:
    """Return the fewest and the most workers, and what each of them takes."""
    machines = [one["Resources"] for one in ray.nodes() if one["Alive"]]
    gpus = int(sum(one.get("GPU", 0) for one in machines))
    able = [one for one in machines if one.get("GPU" if gpus else "CPU", 0) >= 1]
    most = where.most or gpus or max(1, len(able))
    cores = where.cores
    if cores is None and able:
        beside = -(-most // len(able))  # workers a machine
        cores = min(one.get("CPU", 1) // (one["GPU"] if gpus else beside) for one in able)
    takes = {"CPU": max(1.0, cores or 1.0), **({"GPU": 1.0} if gpus else {})}
    return min(where.fewest, most), most, takes


def _fit(told: dict[str, Any], fewest: int, most: int, takes: dict[str, float]) -> None:
    """Have Ray Train work at it, in the cluster: an actor there survives who asked from outside."""
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer
    from ray.train.v2.api.config import LoggingConfig

    with tempfile.TemporaryDirectory() as storage:
        TorchTrainer(
            work,
            train_loop_config=told,
            scaling_config=ScalingConfig(
                num_workers=most if fewest == most else (fewest, most),
                use_gpu="GPU" in takes,
                resources_per_worker=takes,
                elastic_resize_monitor_interval_s=_GROWING,
            ),
            run_config=RunConfig(
                storage_path=storage,
                failure_config=FailureConfig(max_failures=_LOSSES),
                logging_config=LoggingConfig(log_level="ERROR"),
            ),
        ).fit()


def _watched(ray: Any, office: Any, going: Any, folder: Path, listen: Listener) -> dict[str, Any]:
    """Tell what the run tells until it has ended; a Ctrl-C here asks it to stop."""
    heard, stop, ended = 0, Stop(), False
    with ctrl_c(stop):
        while not ended:
            ended = bool(ray.wait([going], timeout=_ASK_EVERY)[0])
            if stop.asked:
                ray.get(office.ask_to_stop.remote())
            lines = ray.get(office.said.remote(heard))
            heard += len(lines)
            for line in lines:
                listen(Progress(**line))
    result, problem, files = ray.get(office.ended.remote())
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
    if problem is not None:
        raise _raised(*problem)
    if result is None:
        raise _lost(ray, going, folder)
    found: dict[str, Any] = result
    return found


def _raised(kind: str, message: str, hint: str) -> QuickstudyError:
    """Return the error that a run has ended with, of its own family where that takes these words.

    >>> _raised("SourceError", "No.", "Yes.")
    SourceError('No.')
    >>> _raised("MissingExtra", "No.", "Yes.")
    QuickstudyError('No.')
    """
    family = getattr(errors, kind, QuickstudyError)
    made: QuickstudyError
    made = (QuickstudyError if family is MissingExtra else family)(message, hint)
    return made


def _lost(ray: Any, going: Any, folder: Path) -> RunError:
    try:
        ray.get(going)
        why = "no worker said why"
    except Exception as problem:  # of every family: Ray's own, and what workers raised
        lines = [line for line in str(problem).splitlines() if line.strip()]
        why = (lines[-1] if lines else type(problem).__name__).strip()[:200]
    return RunError(
        f"The workers could not end the run: {why}.",
        f"What they had learnt is in {folder}: quickstudy learn --resume {folder} --on ray",
    )


def _contents(folder: Path) -> dict[str, bytes]:
    """Return the files of a run that is to go on, by their names in its folder."""
    found = [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}
