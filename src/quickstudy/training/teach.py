"""How a network is taught: from scratch, or the last layer first and then, if it helps, the rest.

`teach` is the autopilot's hand: it measures, fills in what the recipe left to measuring, and on
`val` compares what it has.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from quickstudy.batches import Batches, in_order
from quickstudy.functions import Function
from quickstudy.kinds import planned
from quickstudy.kinds.views import averaged
from quickstudy.network import scores
from quickstudy.network.seen import beside, last_layer, sees_each
from quickstudy.recipe import Recipe
from quickstudy.tasks import Judged, Task
from quickstudy.training import checkpoints, doubting
from quickstudy.training.frozen import teach_head
from quickstudy.training.head import BATCH
from quickstudy.training.lesson import Lesson
from quickstudy.training.loop import Trained, train
from quickstudy.training.racing import race
from quickstudy.training.timing import find_rate, settle_forward, settle_training
from quickstudy.training.whole import fit_whole

VIEWS = 8  # of one example of `val`, at most: a long recording must not outweigh all others
_WORTH_IT = 45.0  # seconds: less is spent on measuring and warming up


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What a network says of `val`, asked as `Model` asks it: means over views."""

    answers: NDArray[np.float64]
    """``N K``."""
    features: NDArray[np.float64]
    """What goes into its last layer, ``N D``; ``N 0`` where it has none."""
    scores: NDArray[np.float64]
    """``N K``; ``N 0`` where it has no last layer."""
    shipped: bool
    """Whether the features are those of what ships: its body did not learn from `val` after."""
    across: tuple[NDArray[np.int64], NDArray[np.float64]]
    """Rows of `val`, with a frozen body those of train too, and answers of networks that had not
    learnt from each: by cross-validation."""


@dataclass
class Taught:
    """What teaching left in the network; scores on `val`."""

    recipe: Recipe
    trained: Trained | None
    candidates: list[dict[str, Any]]
    events: list[dict[str, Any]]
    val_score: float
    task: Task
    """With what `val` settled: the temperature of probabilities."""
    interrupted: bool
    learned: dict[str, float]
    """The parameters of a loss that learns some, by name."""
    test_seconds: float
    """Forecast for one view of the test."""
    held_out: HeldOut
    """What was said of `val` by the network before it learnt from those too."""


def teach(lesson: Lesson) -> Taught:
    """Teach the lesson's network in place.

    Raises `RunError` where nothing could be learnt, `head.Stopped` where it was stopped before.
    """
    settle_forward(lesson)
    if lesson.recipe.optimizer.name == "lbfgs":
        return teach_whole(lesson)
    if lesson.recipe.method == "scratch":
        loss_of = lesson.criterion()
        trained = _train_all(lesson, loss_of)
        doubting.of_learnt(lesson)
        _candidate(lesson, "trained from scratch", trained.val_score, trained.val_loss)
        return _taught(lesson, trained, loss_of)
    fitted = teach_head(lesson)
    head = validate(lesson)
    _candidate(lesson, "last layer on the frozen body", head.score, head.loss)
    time_left = lesson.seconds_left()
    fixed = lesson.recipe.epochs is not None or (lesson.folder / checkpoints.NAME).is_file()
    if lesson.recipe.method == "head" or lesson.stop.asked or (time_left < _WORTH_IT and not fixed):
        if lesson.recipe.method == "finetune":
            lesson.happened("no time was left for fine-tuning")
        return _taught(lesson, None, None, refit=fitted)
    before = {k: v.clone() for k, v in lesson.network.module.state_dict().items()}
    loss_of = lesson.criterion()
    trained = _train_all(lesson, loss_of)
    _candidate(lesson, "fine-tuned", trained.val_score, trained.val_loss)
    if (trained.val_score, -trained.val_loss) >= (head.score, -head.loss):
        lesson.seen = None  # of a body that is no more
        return _taught(lesson, trained, loss_of)
    lesson.network.module.load_state_dict(before)
    lesson.happened("fine-tuning did not help on val: the last layer ships")
    return _taught(lesson, trained, None, refit=fitted)


def teach_whole(lesson: Lesson) -> Taught:
    """Fit a small problem by L-BFGS from many starts; the best on `val` then sees `val` too."""
    module, criterion = lesson.network.module, lesson.criterion()
    x, target = _all_of(lesson, lesson.train)
    val = _all_of(lesson, lesson.val) if len(lesson.val) else None
    how: dict[str, Any] = {"seconds_left": lesson.seconds_left, "stop": lambda: lesson.stop.asked}
    lesson.said("train", 0.0)
    restarts, seed = lesson.recipe.optimizer.restarts, lesson.recipe.seed
    fit = fit_whole(module, criterion, x, target, val=val, restarts=restarts, seed=seed, **how)
    judged = validate(lesson)
    held_out = _held_out(lesson, judged.task, shipped=val is None)
    _candidate(lesson, "fitted whole", judged.score, judged.loss)
    lesson.candidates[-1]["chosen"] = True
    if val is not None:
        both = torch.cat([x, val[0]]), torch.cat([target, val[1]])
        fit_whole(module, criterion, *both, restarts=1, seed=seed, **how)
    ended = "reached the bottom" if fit.converged else "ended"
    lesson.happened(
        f"L-BFGS {ended} in {fit.iterations} iterations; {fit.reached} of {fit.restarts} starting "
        "points came to the same loss"
    )
    return Taught(
        lesson.recipe,
        None,
        lesson.candidates,
        lesson.events,
        judged.score,
        judged.task,
        lesson.stop.asked,
        _learned(criterion),
        lesson.test_seconds(),
        held_out,
    )


def _learned(loss_of: nn.Module) -> dict[str, float]:
    functions = [layer for layer in loss_of.modules() if isinstance(layer, Function)]
    return {f"loss.{name}": value for one in functions for name, value in one.values().items()}


def _all_of(lesson: Lesson, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    """Return all views of examples as the network takes them, and what they are taught."""
    whose, views = [], []
    for owners, x in in_order(lesson.decoded, rows, lesson.recipe.compute.device, BATCH):
        whose.append(owners)
        views.append(x)
    truth = lesson.truth[rows][np.concatenate(whose)]
    return torch.cat(views), lesson.task.encoded(truth).to(lesson.recipe.compute.device)


def _candidate(lesson: Lesson, name: str, score: float, loss: float) -> None:
    lesson.candidates.append({"name": name, "val_score": score, "val_loss": loss, "chosen": False})


def _taught(
    lesson: Lesson,
    trained: Trained | None,
    loss_of: nn.Module | None,
    refit: Callable[[], None] | None = None,
) -> Taught:
    """Mark what was chosen, find the temperature on `val`; the last layer then sees `val` too."""
    judged = validate(lesson)
    held_out, task = _held_out(lesson, judged.task), judged.task
    if refit is not None:
        held_out, task = _held_across(lesson, held_out, task)
    lesson.candidates[0 if refit is not None else -1]["chosen"] = True
    if refit is not None:
        refit()
    events = lesson.events + (trained.events if trained else [])
    return Taught(
        lesson.recipe,
        trained,
        lesson.candidates,
        events,
        judged.score,
        task,
        lesson.stop.asked,
        _learned(loss_of) if loss_of is not None else {},
        lesson.test_seconds(),
        held_out,
    )


@torch.inference_mode()
def validate(lesson: Lesson) -> Judged:
    """Judge the network as it stands on `val`."""
    whose, found = _over_val(lesson, lambda x: scores(lesson.network.module, x).float())
    if not found:
        return Judged(0.0, math.inf, lesson.task)
    return lesson.task.judged(torch.cat(found), torch.cat(whose), lesson.truth[lesson.val])


@torch.inference_mode()
def _held_out(lesson: Lesson, task: Task, *, shipped: bool = True) -> HeldOut:
    """Return what the network as it stands says of `val`, asked as `Model` asks it."""
    how = planned(lesson.recipe, lesson.decoded.how)
    module, k = lesson.network.module, lesson.outputs
    layer = last_layer(module, lesson.network.head)
    blank = how.blank(2, lesson.recipe.size).to(lesson.recipe.compute.device)
    layer = layer if layer and sees_each(module, layer, blank) else ""

    def ask(x: Tensor) -> Tensor:
        return beside(module, layer, task.answers, x)

    whose, found = _over_val(lesson, lambda x: how.answer(ask, x))
    if not found:
        none = np.empty((0, k))
        return HeldOut(none, none[:, :0], none[:, :0], shipped, (lesson.val, none))
    both = averaged(torch.cat(whose).numpy(), torch.cat(found).numpy(), len(lesson.val))
    more = both.shape[1] - k if layer else k
    answers, told = both[:, :k], both[:, more:] if layer else both[:, k:]
    return HeldOut(answers, both[:, k:more], told, shipped, (lesson.val, answers))


def _held_across(lesson: Lesson, held: HeldOut, task: Task) -> tuple[HeldOut, Task]:
    """Return the same with examples of train, and the task that all of them settled.

    Without those whose label is almost certainly wrong: a few of them would make it far too modest.
    """
    out = [one["row"] for one in lesson.suspects if one["left_out"]]
    if lesson.held is None and (not out or not held.scores.shape[1]):
        return held, task
    alone = torch.arange(len(lesson.val))
    rows, given, owners = lesson.held or (lesson.val, torch.from_numpy(held.scores).float(), alone)
    good = ~np.isin(rows, out)
    views = torch.from_numpy(good)[owners]
    rows, given = rows[good], given[views]
    owners = (torch.from_numpy(good.cumsum()) - 1)[owners[views]]
    task = lesson.task.judged(given, owners, lesson.truth[rows]).task
    answers = averaged(owners.numpy(), task.answers(given).numpy(), len(rows))
    return replace(held, across=(rows, answers)), task


def _over_val(lesson: Lesson, ask: Callable[[Tensor], Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Return whose the views of `val` are, and what is said of them, batch by batch."""
    lesson.network.module.eval()
    whose, found = [], []
    device = lesson.recipe.compute.device
    for owners, x in in_order(lesson.decoded, lesson.val, device, BATCH, most=VIEWS):
        whose.append(torch.from_numpy(owners))
        found.append(ask(x).cpu())
    return whose, found


def _score_and_loss(lesson: Lesson) -> tuple[float, float]:
    judged = validate(lesson)
    return judged.score, judged.loss


def _train_all(lesson: Lesson, loss_of: nn.Module) -> Trained:
    """Settle speed and rate by measuring, then run the loop."""
    if lesson.recipe.batch > lesson.learnable:
        lesson.decide("batch", lesson.learnable, "all that there is to learn from")
    crew = lesson.crew
    crew.enough(lesson)
    batches = Batches(
        lesson.decoded,
        lesson.train,
        lesson.truth[lesson.train],
        lesson.task,
        lesson.recipe,
        crew.rank,
        crew.world,
        lesson.stream,
        lesson.teacher,
    )
    settle_training(lesson, batches)
    batches.recipe = lesson.recipe
    crew.begin(lesson)
    if lesson.recipe.optimizer.lr is None:
        find_rate(lesson, batches)
        batches.recipe = lesson.recipe
    race(lesson, batches)
    batches.recipe = lesson.recipe
    return train(
        lesson.network,
        lesson.recipe,
        batches,
        loss_of,
        lambda: _score_and_loss(lesson),
        lambda score: lesson.task.noise(score, len(lesson.val)),
        clock=lesson.clock,
        deadline=lesson.clock.budget - lesson.reserve(),
        folder=lesson.folder,
        stop=lesson.stop,
        listen=lambda progress: lesson.listen(replace(progress, val_name=lesson.task.score_name)),
        factory=lesson.optimizer,
        crew=crew,
    )
