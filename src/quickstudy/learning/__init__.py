"""learn(): from labelled examples to a model, one line a stage. Read this file first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from quickstudy import decoding, facts, hardware, kinds, splitting
from quickstudy.catalog import column_names
from quickstudy.clock import Clock, ctrl_c
from quickstudy.learning import again, looking, rehearsing, saying, suspects
from quickstudy.learning.asking import new_job, refuse_changes, resumed_job
from quickstudy.learning.building import learn_statistics, task_for
from quickstudy.learning.choosing import choices
from quickstudy.learning.ending import conclude
from quickstudy.learning.job import Job
from quickstudy.learning.planning import plan_and_build
from quickstudy.learning.run import Run
from quickstudy.learning.told import Ended
from quickstudy.progress import Listener, silent
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
    """Learn from labelled pictures, recordings or rows within a budget of time; return the `Run`.

    `source` is a folder with a folder per class, a table of paths and labels or of the examples
    themselves, an archive, a list of (path, label), arrays ``(N H W C, N)`` or ``(N F, N)``, a data
    frame, a Hugging Face or a torch data set. `target` names the column of a table to learn, or
    several. Which `kind` it is (``image``, ``sound``, ``table``) and what is asked, the `task`
    (``classification``, ``multilabel``, ``regression``), is found out where not said. Labels and
    groups may be read from file names: `label_from` is a pattern such as ``{digit}_{speaker}_{n}``
    and `target` the field to learn, `group_from` one with ``{group}``, which keeps each group on
    one side of the split.

    `budget` is seconds or text (``90s``, ``10m``, ``2h``; default ``10m``). Everything chosen can
    be overruled: by `network` (a name, a stack of layers, an expression, an ONNX file, a module or
    what makes one), `weights` (a file, or ``none``), `loss` and `optimizer` (a name, an expression,
    a function), `settings` (dotted keys of the recipe) or a whole `recipe` file. `resume` goes on
    with a run's folder. `listen` hears
    `Progress` (default: a bar in a notebook, else silence); `started` is the `time.perf_counter`
    at which the caller's clock began.

    Raises a `QuickstudyError` for all that the user can mend.
    """
    if resume is not None:
        refuse_changes(budget, weights, settings, recipe, out, seed, device, task)
        job = resumed_job(Path(resume), source, test, choices(network, loss, optimizer))
    else:
        own, code = choices(network, loss, optimizer)
        own |= {"network.weights": weights, "task": task}
        columns: dict[str, Any] = {
            "path_column": column_names(path_column),
            "label_column": column_names(label_column),
            "split_column": column_names(split_column),
            "group_column": column_names(group_column),
            "label_from": label_from,
            "target": column_names(target),
            "group_from": group_from,
            "kind": kind,
        }
        job = new_job(source, test, columns, own, settings, recipe, budget, seed, device, out)
        job.code = code
    clock = Clock(job.budget, job.spent_before)
    if started is not None:
        clock.began = started
    with job.working(clock, listen or _here()), ctrl_c(job.stop):
        return _learn(job)


def _learn(job: Job) -> Run:
    with job.stage("look"):
        catalog = job.find_examples()
        machine = hardware.survey(job.device)
        if catalog.kind != "table":  # there speed decides nothing
            machine = hardware.quicken(machine)
        seen = facts.survey(catalog, cores=machine.cores, max_pixels=job.max_pixels)
        seen = replace(seen, suggested=rehearsing.suspected(catalog))
        saying.found(job, catalog, machine, seen)
    with job.stage("plan"):
        catalog = job.afford(catalog, seen)
        recipe, network = plan_and_build(job, catalog, seen, machine)
    with job.stage("decode"):
        how, tell = kinds.planned(recipe, seen.seen), job.progress("decode")
        decoded = decoding.decode(catalog, how, job.cache, machine.cores, tell)
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
            test_views=decoded.views(parts.test),
            val_views=decoded.views(parts.val, VIEWS),
            clock=job.clock,
            folder=job.folder,
            stop=job.stop,
            listen=job.listen,
            decided=job.keep_recipe,
            later=rehearsing.seconds(job, recipe, groups),
            loss=job.code.get("loss"),
            optimizer=job.code.get("optimizer"),
        )
        lesson.anew = not again.cannot(lesson, job.code)
        suspects.of_table(lesson)
        learn_statistics(lesson)
        taught = teach(lesson)
    return conclude(Ended(job, catalog, seen, machine, lesson, twins, parts, taught, groups))


def _here() -> Listener:
    """Return the reader of progress that suits where this runs."""
    from quickstudy.notebook import bar, in_notebook

    return bar() if in_notebook() else silent
