"""How a network is taught: from scratch, or the last layer first and then, if it helps, the rest.

`teach` is the autopilot's hand: it measures, fills in what the recipe left to measuring, and on
`val` compares what it has.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from quickstudy.batches import Batches, in_order
from quickstudy.network import scores
from quickstudy.recipe import Recipe
from quickstudy.training import checkpoints
from quickstudy.training.frozen import teach_head
from quickstudy.training.head import BATCH
from quickstudy.training.lesson import Lesson
from quickstudy.training.loop import Trained, train
from quickstudy.training.timing import find_rate, settle_forward, settle_training

VIEWS = 8  # of one example of `val`, at most: a long recording must not outweigh all others
_WORTH_IT = 45.0  # seconds: less is spent on measuring and warming up


@dataclass
class Taught:
    """What teaching left in the network; scores on `val`."""

    recipe: Recipe
    trained: Trained | None
    candidates: list[dict[str, Any]]
    events: list[dict[str, Any]]
    val_accuracy: float
    temperature: float
    interrupted: bool
    test_seconds: float
    """Forecast for one view of the test."""


def teach(lesson: Lesson) -> Taught:
    """Teach the lesson's network in place.

    Raises `RunError` where nothing could be learnt, `head.Stopped` where it was stopped before.
    """
    settle_forward(lesson)
    if lesson.recipe.method == "scratch":
        trained = _train_all(lesson)
        _candidate(lesson, "trained from scratch", trained.val_accuracy, trained.val_loss)
        return _taught(lesson, trained)
    fitted = teach_head(lesson)
    accuracy, loss, _ = validate(lesson)
    _candidate(lesson, "last layer on the frozen body", accuracy, loss)
    time_left = lesson.seconds_left()
    fixed = lesson.recipe.epochs is not None or (lesson.folder / checkpoints.NAME).is_file()
    if lesson.recipe.method == "head" or lesson.stop.asked or (time_left < _WORTH_IT and not fixed):
        if lesson.recipe.method == "finetune":
            lesson.happened("no time was left for fine-tuning")
        return _taught(lesson, None, refit=fitted)
    before = {k: v.clone() for k, v in lesson.network.module.state_dict().items()}
    trained = _train_all(lesson)
    _candidate(lesson, "fine-tuned", trained.val_accuracy, trained.val_loss)
    if (trained.val_accuracy, -trained.val_loss) >= (accuracy, -loss):
        return _taught(lesson, trained)
    lesson.network.module.load_state_dict(before)
    lesson.happened("fine-tuning did not help on val: the last layer ships")
    return _taught(lesson, trained, refit=fitted)


def _candidate(lesson: Lesson, name: str, accuracy: float, loss: float) -> None:
    lesson.candidates.append(
        {"name": name, "val_accuracy": accuracy, "val_loss": loss, "chosen": False}
    )


def _taught(
    lesson: Lesson, trained: Trained | None, refit: Callable[[], None] | None = None
) -> Taught:
    """Mark what was chosen, find the temperature on `val`; the last layer then sees `val` too."""
    accuracy, _, temperature = validate(lesson)
    lesson.candidates[0 if refit is not None else -1]["chosen"] = True
    if refit is not None:
        refit()
    events = lesson.events + (trained.events if trained else [])
    return Taught(
        lesson.recipe,
        trained,
        lesson.candidates,
        events,
        accuracy,
        temperature,
        lesson.stop.asked,
        lesson.test_seconds(),
    )


@torch.inference_mode()
def validate(lesson: Lesson) -> tuple[float, float, float]:
    """Return accuracy, loss in nats at the best temperature, and that temperature, on `val`."""
    module = lesson.network.module
    module.eval()
    whose, found = [], []
    device = lesson.recipe.compute.device
    for owners, x in in_order(lesson.decoded, lesson.val, device, BATCH, most=VIEWS):
        whose.append(torch.from_numpy(owners))
        found.append(scores(module, x).float().cpu())
    if not found:
        return 0.0, math.inf, 1.0
    labels = torch.from_numpy(lesson.labels[lesson.val])
    return _judge(torch.cat(found), torch.cat(whose), labels)


def _judge(found: Tensor, owners: Tensor, labels: Tensor) -> tuple[float, float, float]:
    """Return accuracy, loss at the best temperature, temperature (Guo et al., 2017).

    `found` are the scores ``V K`` of views, `owners` whose they are, ``V``, of labels ``N``: as in
    predicting, an example's answer is the mean over its views. The temperature is fitted to targets
    smoothed by one example (Platt, 1999): a short `val` on which everything is right is no reason
    to be sure of everything.
    """
    many = torch.bincount(owners, minlength=len(labels))[:, None]

    def logs(temperature: float) -> Tensor:
        shares = torch.zeros(len(labels), found.shape[1])
        shares.index_add_(0, owners, (found / temperature).softmax(1))
        return (shares / many).clamp_min(1e-12).log()

    accuracy = float((logs(1.0).argmax(1) == labels).double().mean())
    temperatures = torch.logspace(-1.3, 1.3, 53, base=10.0).tolist()
    smoothing = 1 / (len(labels) + 1)
    losses = torch.stack(
        [F.cross_entropy(logs(t), labels, label_smoothing=smoothing) for t in temperatures]
    )
    best = float(temperatures[int(losses.nan_to_num(math.inf).argmin())])
    return accuracy, float(F.cross_entropy(logs(best), labels)), best


def _train_all(lesson: Lesson) -> Trained:
    """Settle speed and rate by measuring, then run the loop."""
    batches = Batches(
        lesson.decoded, lesson.train, lesson.labels[lesson.train], lesson.classes, lesson.recipe
    )
    settle_training(lesson, batches)
    batches.recipe = lesson.recipe
    if lesson.recipe.optimizer.lr is None:
        find_rate(lesson, batches)
        batches.recipe = lesson.recipe
    return train(
        lesson.network,
        lesson.recipe,
        batches,
        lesson.counts(),
        lambda: validate(lesson)[:2],
        len(lesson.val),
        clock=lesson.clock,
        deadline=lesson.clock.budget - lesson.reserve(),
        folder=lesson.folder,
        stop=lesson.stop,
        listen=lesson.listen,
    )
