"""An ensemble teaches one network, which answers as quickly as any: distillation.

The recipe's network learns anew; half of each target is the truth, half what the ensemble says of
the example (Hinton et al., 2015), asked once about each as it is, unvaried.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from quickstudy.errors import RunError
from quickstudy.learning.building import build_network, learn_statistics
from quickstudy.learning.ending import model_of
from quickstudy.learning.told import Ended
from quickstudy.recipe import Recipe
from quickstudy.search.keeping import Search
from quickstudy.training import Lesson, Stopped, Taught, checkpoints, teach
from quickstudy.training.crew import Crew

FOLDER = "distilled"
_ASKING = 0.5  # of the time for it, at most, may go to asking the ensemble
_TELL_EVERY = 32  # examples


def distilled(search: Search, ended: Ended, teacher: Ended) -> Ended | str:
    """Return the end of a learning that the ensemble `teacher` gave; why, where there was none."""
    lesson, job, recipe = ended.lesson, ended.job, ended.taught.recipe
    why = _cannot(search, ended, teacher)
    if why:
        return why
    folder = job.folder / FOLDER
    folder.mkdir(exist_ok=True)
    try:
        taught, again = _taught(ended, teacher, folder)
    except Stopped:
        return "the run was stopped"
    except RunError as problem:
        return f"it failed: {problem.message}"
    finally:
        if not job.stop.asked:
            shutil.rmtree(folder, ignore_errors=True)
    if recipe.method != "scratch" and taught.candidates[0]["chosen"]:
        return "fine-tuning did not help, and a last layer learns from the truth alone"
    before = [{**one, "chosen": False} for one in ended.taught.candidates]
    named = [{**one, "name": f"taught by an ensemble: {one['name']}"} for one in taught.candidates]
    events = ended.taught.events + taught.events
    taught = replace(taught, recipe=recipe, candidates=[*before, *named], events=events)
    shown = replace(
        lesson, network=again.network, teacher=again.teacher, seen=again.seen, held=again.held
    )
    return replace(ended, lesson=shown, taught=taught)


def _taught(ended: Ended, teacher: Ended, folder: Path) -> tuple[Taught, Lesson]:
    """Have the network of the recipe learn anew; the other processes, if any, wait meanwhile."""
    lesson, job, recipe = ended.lesson, ended.job, ended.taught.recipe
    again = replace(
        lesson,
        network=build_network(recipe, lesson.outputs, lesson.decoded.how, job.code),
        recipe=recipe.decided("suspects", "keep", "they were told after the last learning"),
        folder=folder,
        decided=lambda _: None,
        candidates=[],
        events=[],
        seen=None,
        held=None,
        crew=Crew(),
        listen=lambda progress: job.listen(replace(progress, stage="distil")),
    )
    learn_statistics(again)
    again.teacher = _said(ended, teacher)
    return teach(again), again


def untaught(recipe: Recipe, streamed: bool) -> str:
    """Return why a recipe's network cannot be taught by others; nothing where it can."""
    if recipe.method == "head" or recipe.optimizer.name == "lbfgs":
        return "this recipe learns in one piece, from the truth alone"
    return "the examples are too many to be decoded at once" if streamed else ""


def _cannot(search: Search, ended: Ended, teacher: Ended) -> str:
    """Return why an ensemble cannot teach a network here; nothing where it can."""
    lesson = ended.lesson
    if why := untaught(ended.taught.recipe, lesson.stream is not None):  # of a trial's recipe
        return why
    begun = (ended.job.folder / FOLDER / checkpoints.NAME).is_file()
    if begun or ended.job.fixed_length or not teacher.spec:
        return ""
    views = lesson.decoded.views(lesson.train)
    asking = views * lesson.test_seconds() * len(teacher.spec.members())
    if asking > _ASKING * search.distilling:
        return f"asking them about all examples takes {asking:.0f} s, too much of the budget"
    left = lesson.seconds_left() - asking
    if left < _ASKING * search.distilling:
        return f"the budget leaves {max(0.0, left):.0f} s for it"
    return ""


def _said(ended: Ended, teacher: Ended) -> Tensor:
    """Return what the ensemble says of each example to learn from, as targets ``N K``."""
    lesson, job = ended.lesson, ended.job
    tell, rows = job.progress("distil", stoppable=False), lesson.train.tolist()

    def pieces() -> Iterator[NDArray[Any]]:
        for place, row in enumerate(rows):
            if place % _TELL_EVERY == 0:
                if job.stop.asked:
                    raise Stopped
                lesson.decoded.forget()
                tell(place / len(rows))
            yield lesson.decoded.piece(row)

    answers = model_of(teacher).answers(pieces())
    if lesson.task.name == "regression":
        return lesson.task.encoded(answers).float()
    return torch.from_numpy(answers).float()
