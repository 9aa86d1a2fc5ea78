"""learn(): from labelled examples to a model, one line a stage. Read this file first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from quickstudy import decoding, facts, hardware, kinds, splitting, tracking
from quickstudy.catalog import Catalog
from quickstudy.clock import Clock, ctrl_c
from quickstudy.learning import again, looking, rehearsing, saying, streaming, suspects, together
from quickstudy.learning.building import learn_statistics, task_for
from quickstudy.learning.ending import conclude
from quickstudy.learning.job import Job
from quickstudy.learning.planning import plan_and_build
from quickstudy.learning.run import Run
from quickstudy.learning.told import Ended
from quickstudy.network import Built
from quickstudy.notebook import here
from quickstudy.progress import Listener
from quickstudy.recipe import Recipe
from quickstudy.training import VIEWS, Lesson, teach

__all__ = ["Run", "learn"]


def learn(
    source: Any = None,
    *,
    budget: str | float | None = None,
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
    track: str | Sequence[str] | None = None,
    listen: Listener | None = None,
    started: float | None = None,
) -> Run:
    """Learn from labelled pictures, recordings or rows within a budget of time; return the `Run`.

    `source` is a folder with a folder per class, a table of paths and labels or of the examples
    themselves, an archive, shards (a folder, or an address as ``s3://bucket/shards``), a list of
    (path, label), arrays ``(N H W C, N)`` or ``(N F, N)``, a data frame, a Hugging Face or a torch
    data set. `target` names the column of a table to learn, or
    several. Which `kind` it is (``image``, ``sound``, ``table``) and what is asked, the `task`
    (``classification``, ``multilabel``, ``regression``), is found out where not said. Labels and
    groups may be read from file names: `label_from` is a pattern such as ``{digit}_{speaker}_{n}``
    and `target` the field to learn, `group_from` one with ``{group}``, which keeps each group on
    one side of the split.

    `budget` is seconds or text (``90s``, ``10m``, ``2h``; default ``10m``). Everything chosen can
    be overruled: by `network` (a name, a stack of layers, an expression, an ONNX file, a module or
    what makes one), `weights` (a file, or ``none``), `loss` and `optimizer` (a name, an expression,
    a function), `settings` (dotted keys of the recipe) or a whole `recipe` file. `resume` goes on
    with a run's folder. `on` is a Ray cluster to learn on, ``ray`` or ``ray://HOST:PORT``; started
    by torchrun, several processes learn together. `track` names where to follow it:
    ``tensorboard``, ``mlflow``, ``wandb``. `listen` hears `Progress` (default: a bar in a notebook,
    else silence); `started` is the `time.perf_counter` at which the caller's clock began.

    Raises a `QuickstudyError` for all that the user can mend.
    """
    asked = dict(locals())
    if on is not None:
        return together.elsewhere(on, asked, listen or here())
    crew = together.joined(asked)
    trackers = tracking.asked(track)
    job, lost = together.job_of(asked)
    clock = Clock(job.budget, job.spent_before)
    if started is not None:
        clock.began = started
    with (
        job.working(clock, listen or here()),
        ctrl_c(job.stop),
        tracking.tracked(trackers, job.folder, job.listen, clock.spent) as tracked,
        together.led(job, crew, again=lost),
    ):
        job.listen = tracked.listen
        run = _learn(job)
        tracked.ended(run.facts, run.lines, run.folder)
        return run


def _learn(job: Job) -> Run:
    return conclude(taught(job))


def begun(job: Job) -> tuple[Catalog, hardware.Hardware, facts.Facts, Recipe, Built]:
    """Look and plan; return the examples, the computer, what was seen, the recipe, the network."""
    with job.stage("look"):
        catalog = job.find_examples()
        machine = hardware.survey(job.device)
        if catalog.kind != "table":  # there speed decides nothing
            machine = hardware.quicken(machine)
        seen = facts.survey(catalog, cores=machine.cores, max_pixels=job.max_pixels)
        seen = replace(seen, suggested=rehearsing.suspected(catalog))
        saying.found(job, catalog, machine, seen)
        job.seconds_each = seen.sound.seconds if catalog.kind == "sound" else 1.0
    with job.stage("plan"):
        catalog = job.afford(catalog, seen)
        recipe, network = plan_and_build(job, catalog, seen, machine)
    return catalog, machine, seen, recipe, network


def taught(job: Job, *, looks: int = 1, later: float = 0.0) -> Ended:
    """Do all of a run that comes before its test: nothing here asks a test example.

    Time is kept for `looks` at the test, and `later` seconds for what the caller does before it.
    """
    catalog, machine, seen, recipe, network = begun(job)
    together.reach(job, recipe)
    with job.stage("decode"):
        how, tell = kinds.planned(recipe, seen.seen), job.progress("decode")
        catalog = streaming.divided(job, catalog, recipe, how, machine.cores)
        by = recipe.compute.device if recipe.epochs is None else "cpu"  # else a clock might decide
        decoded = decoding.decode(catalog, how, job.cache, machine.cores, tell, by)
        saying.check_classes(catalog, decoded)
        kept = decoded.kept
        twins = saying.twins(catalog, decoded)
        parts = splitting.split(
            catalog.labels[kept],
            given=catalog.given[kept],
            groups=catalog.groups[kept],
            duplicates=twins.group,
            seed=recipe.seed,
            test=recipe.test,
            val=recipe.val,
        )
        saying.parts_made(job, catalog, decoded, twins, parts)
        looking.looked(job, catalog, decoded, twins)
        groups = rehearsing.met(job, catalog, decoded, parts)
    with job.stage("train"):
        lesson = Lesson(
            network=network,
            recipe=recipe,
            hardware=machine,
            decoded=decoded,
            task=task_for(recipe, catalog, parts.train, kept),
            truth=catalog.truth[kept],
            families=splitting.unions(catalog.groups[kept], twins.group),
            train=parts.train,
            val=parts.val,
            stream=streaming.joined(job, catalog, decoded),
            test_views=looks * decoded.views(parts.test) if job.asks_test else 0,
            val_views=decoded.views(parts.val, VIEWS),
            clock=job.clock,
            folder=job.folder,
            stop=job.stop,
            listen=job.listen,
            decided=job.keep_recipe,
            later=later + rehearsing.seconds(job, recipe, groups),
            loss=job.code.get("loss"),
            optimizer=job.code.get("optimizer"),
            crew=together.crew_for(job, recipe),
            known=together.known(job, recipe, catalog, decoded),
            events=together.events(job),
        )
        lesson.anew = not again.cannot(lesson, job.code)
        lesson.rebuild, lesson.fixed = again.builder(lesson, job.code), frozenset(job.own)
        suspects.of_table(lesson)
        learn_statistics(lesson)
        learnt = teach(lesson)
        streaming.ended(job)
    return Ended(job, catalog, seen, machine, lesson, twins, parts, learnt, groups)
