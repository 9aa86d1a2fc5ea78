"""A run that several processes learn together: who leads, who follows, and what is said of it."""

from __future__ import annotations

import functools
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

import numpy as np

from quickstudy import cluster
from quickstudy.catalog import Catalog, part
from quickstudy.cluster import Follower, Group, changed_words, left, unfinished, workers_words
from quickstudy.decoding import Decoded, decode, opened
from quickstudy.errors import RunError
from quickstudy.folders import new_folder
from quickstudy.hardware import usable_cores
from quickstudy.kinds import Preparation
from quickstudy.learning import streaming
from quickstudy.learning.asking import new_job, refuse_changes, refuse_used, resumed_job, run_name
from quickstudy.learning.building import spec_of
from quickstudy.learning.choosing import choices, columns_of
from quickstudy.learning.job import Job, told
from quickstudy.learning.run import Run
from quickstudy.model import load
from quickstudy.network.own import PREFIX
from quickstudy.progress import Listener
from quickstudy.recipe import Recipe
from quickstudy.shards.order import Order
from quickstudy.shards.stream import Stream
from quickstudy.training.checkpoints import NAME
from quickstudy.training.crew import Crew

_OWN = ("task", "picture.max_pixels")  # that decide which examples there are
#: Runs trials of the search that process 0 tells of.
Helps: TypeAlias = Callable[[Mapping[str, Any]], object]
#: Arguments of `learn` that a run which goes on cannot take.
_CHOICES = ("budget", "weights", "settings", "recipe", "out", "seed", "device")


def joined(asked: Mapping[str, Any], helps: Helps | None = None) -> Crew:
    """Return the processes started with this one, if it is the first of them, or the only one.

    One that follows does so here, and then ends its program. `helps` is what it does in a search.
    """
    crew = cluster.joined()
    if isinstance(crew, Group) and crew.rank:
        follow(crew, asked, helps)
    return crew


def elsewhere(on: str, asked: Mapping[str, Any], listen: Listener) -> Run:
    """Learn as `asked` in the workers of a cluster; return the run, its files here."""
    told = {k: v for k, v in asked.items() if k not in ("on", "listen", "started", "out", "resume")}
    for key in ("source", "test", "weights", "recipe", "network"):
        if isinstance(told[key], str | Path) and Path(told[key]).exists():
            told[key] = str(Path(told[key]).absolute())
    cluster.place(on)  # before anything is made
    if asked["resume"] is not None:
        folder = Path(asked["resume"])
    elif asked["out"] is not None:
        folder = Path(asked["out"])
        refuse_used(folder)
    else:
        folder = new_folder(Path("runs"), run_name(asked["source"]))
    found = cluster.on_ray(on, told, folder.absolute(), listen)
    model = load(folder / "model", network=asked["network"] if _is_code(asked) else None)
    page = folder / "report.html"
    return Run(folder, model, found["test"], found["recipe"], page, found["facts"], found["lines"])


def _is_code(asked: Mapping[str, Any]) -> bool:
    return "network" in choices(asked["network"], asked["loss"], asked["optimizer"])[1]


def follow(crew: Group, asked: Mapping[str, Any], helps: Helps | None = None) -> NoReturn:
    """Follow the first process until it lets this one go; then this program ends.

    `asked` are the arguments of `learn`, as every process has been given them.
    """
    _, code = choices(asked["network"], asked["loss"], asked["optimizer"])
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the first one, which tells
    try:
        Follower(crew, functools.partial(examples, asked), code, helps).follow()
    finally:
        left(crew)
    raise SystemExit(0)


def follow_here() -> None:
    """Follow as a process that another has started: what it needs to know it is told."""
    follow(cluster.called(), dict.fromkeys(("source", "test", "network", "loss", "optimizer")))


def examples(
    asked: Mapping[str, Any], facts: Mapping[str, Any], recipe: Recipe, how: Preparation
) -> tuple[Decoded, Stream | None]:
    """Return the examples as a process has them that follows: the first one's cache, or its own.

    Raises `RunError` where the files are not those that the first process has.
    """
    folder = Path(facts["decoded"])
    if (folder / "index.json").is_file() and facts["window"] is None:
        return opened(folder, how), None
    source = asked["source"] if asked["source"] is not None else facts["source"]
    test = asked["test"] if asked["test"] is not None else facts["test"]
    columns = {k: tuple(v) if isinstance(v, list) else v for k, v in facts["columns"].items()}
    own = {key: (value, "") for key, value in facts["own"].items()}
    cores = usable_cores()
    with tempfile.TemporaryDirectory() as kept:
        job = Job(source, test, columns, own, 0.0, facts["seed"], None, Path(kept))
        catalog = job.find_examples()
        if job.stamp != facts["stamp"]:
            raise RunError(
                f"{catalog.source} does not hold the same files here as where the run began.",
                "Put the examples where all machines see them, or copy them with their times "
                "(rsync -a).",
            )
        job.seconds_each = facts["seconds_each"]
        if facts["window"] is not None:
            catalog = streaming.divided(job, catalog, recipe, how, cores)
        elif len(catalog) > facts["examples"]:
            rng = np.random.default_rng(job.seed)
            catalog = part(catalog, np.sort(rng.permutation(len(catalog))[: facts["examples"]]))
        decoded = decode(catalog, how, job.cache, cores, lambda _: None)
        stream = streaming.joined(job, catalog, decoded)
        if stream is not None:  # in the order of the first process, whose disk may hold more
            stream.order = Order(stream.order.counts, facts["window"], recipe.seed)
        return decoded, stream


def known(job: Job, recipe: Recipe, catalog: Catalog, decoded: Decoded) -> dict[str, Any]:
    """Return what a process that follows must know beside its lesson: numbers and text."""
    return {
        "spec": spec_of(recipe, len(catalog.classes), decoded.how, auxiliary=True).as_dict(),
        "source": told(job.source),
        "test": told(job.test),
        "columns": job.columns,
        "own": {key: job.own[key][0] for key in _OWN if key in job.own},
        "seed": job.seed,
        "stamp": job.stamp,
        "window": job.stream.order.window if job.stream is not None else None,
        "seconds_each": job.seconds_each,
        "examples": len(catalog),
    }


def job_of(asked: Mapping[str, Any]) -> tuple[Job, bool]:
    """Return the job that is `asked`, and whether it goes on after a process was lost or came."""
    source, test = asked["source"], asked["test"]
    code = [asked[name] for name in ("network", "loss", "optimizer")]
    before = cut_short(asked)
    if before is not None:
        return _stoppable(resumed_job(before, source, test, _code_alone(*code)), asked), True
    own = {name: asked[name] for name in _CHOICES}
    if asked["resume"] is not None:
        refuse_changes(*own.values(), asked["task"])
        job = resumed_job(Path(asked["resume"]), source, test, choices(*code))
        return _stoppable(job, asked), False
    settled, given = choices(*code)
    settled |= {"network.weights": own.pop("weights"), "task": asked["task"]}
    job = new_job(source, test, columns_of(asked), settled, **own)
    job.code = given
    return _stoppable(job, asked), False


def _stoppable(job: Job, asked: Mapping[str, Any]) -> Job:
    """Return the job, to be stopped by whoever listens from afar, too."""
    job.stop = getattr(asked["listen"], "stop", job.stop)
    return job


def cut_short(asked: Mapping[str, Any]) -> Path | None:
    """Return the run that this start of processes has begun already; None on its first time."""
    if asked["resume"] is not None:
        return None
    out = asked["out"]
    runs = [Path(out)] if out is not None else sorted(Path("runs").glob("*"))
    found = unfinished(runs)
    if found is not None and (found / "report.html").is_file() and not (found / NAME).is_file():
        raise SystemExit(0)  # a process was lost when all was done: nothing is left to do
    return found


def _code_alone(*given: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return of network, loss and optimiser what is code: a run that goes on has the rest."""
    own, code = choices(*given)
    return {key: value for key, value in own.items() if str(value).startswith(PREFIX)}, code


@contextmanager
def led(job: Job, crew: Crew, *, again: bool) -> Iterator[None]:
    """Lead the others inside; then let them go. `again`: after one was lost or has come."""
    before = job.workers[-1] if job.workers else 0
    job.crew, job.launch = crew, cluster.launch() or job.launch
    job.workers.append(crew.world)
    job.keep()
    if again and before:
        job.say(f"  {changed_words(before, crew.world)}")
    elif isinstance(crew, Group):
        job.say(f"  {workers_words(crew.machines)}")
    try:
        yield
    finally:
        left(job.crew)
        if job.started is not None:
            job.started.end()


def reach(job: Job, recipe: Recipe) -> None:
    """Start a process for every GPU of this machine, where that is quicker and can be."""
    if job.crew.world > 1 or _alone(recipe) or job.code or job.device not in (None, "cuda", "cpu"):
        return
    many = cluster.processes(recipe, job.clock.left())
    if many > 1:
        job.started = cluster.launch_others(many)


def crew_for(job: Job, recipe: Recipe) -> Crew:
    """Return who teaches what a recipe says: the first alone where sharing would not be quicker."""
    if job.started is not None:
        job.crew = crew = job.started.join()
        job.workers[-1] = crew.world
        job.say(f"  {workers_words(crew.machines)}, one for each GPU")
    elif job.crew.world > 1 and (why := _alone(recipe)):
        job.say(f"  The first worker learns alone: {why}")
        return Crew()
    return job.crew


def _alone(recipe: Recipe) -> str:
    """Return why sharing would not be quicker; nothing where it may be."""
    if recipe.kind == "table":
        return "a step on rows of a table is over before it could be shared"
    return "the last layer alone is learnt in a moment" if recipe.method == "head" else ""


def events(job: Job) -> list[dict[str, Any]]:
    """Return as an event for the report how often workers were lost or came, if ever."""
    if len(job.workers) < 2 or max(job.workers) < 2:
        return []
    listed = ", then ".join(map(str, job.workers))
    times = len(job.workers) - 1
    often = "once" if times == 1 else f"{times} times"
    what = f"workers were lost or came {often}: {listed} learnt together"
    return [{"seconds": round(job.clock.spent(), 2), "what": what}]
