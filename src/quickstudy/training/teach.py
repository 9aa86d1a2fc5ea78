"""How a network is taught: from scratch, or the last layer first and then, if it helps, the rest.

`teach` is the autopilot's hand: it measures, fills in what the recipe left to measuring, and on
`val` compares what it has.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from quickstudy.batches import Batches, in_order
from quickstudy.clock import Clock, Stop
from quickstudy.decoding import Pictures
from quickstudy.functions import class_weights, loss_named
from quickstudy.hardware import (
    Hardware,
    autocast,
    fastest_training,
    layout_named,
    seconds_per_call,
    settle,
)
from quickstudy.network import Built, scores
from quickstudy.progress import Listener, Progress
from quickstudy.recipe import Recipe
from quickstudy.training import head
from quickstudy.training.loop import Trained, forward_backward, train
from quickstudy.training.optimizers import optimizer
from quickstudy.training.rate import STEPS, range_test

_SAVING = 2.5  # seconds for saving the model and writing the report
_WORTH_IT = 45.0  # seconds: shorter fine-tuning was never better than the last layer alone


@dataclass
class Lesson:
    """All that teaching needs. Rows are rows of `pictures`; `labels` has one for each."""

    network: Built
    recipe: Recipe
    hardware: Hardware
    pictures: Pictures
    labels: NDArray[np.int64]
    duplicates: NDArray[np.int64]
    train: NDArray[np.int64]
    val: NDArray[np.int64]
    test_examples: int
    classes: int
    clock: Clock
    folder: Path
    stop: Stop
    listen: Listener
    decided: Callable[[Recipe], None]
    """Keeps the recipe when a measurement has settled something, so that a resumed run has it."""
    forward_precision: str = "float32"
    """The quickest for running the frozen body."""
    candidates: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)

    def decide(self, key: str, value: Any, why: str) -> None:
        """Settle a choice by what was measured."""
        self.recipe = self.recipe.decided(key, value, why)
        self.decided(self.recipe)

    def counts(self) -> list[int]:
        """Return how many training examples each class has."""
        return [int(n) for n in np.bincount(self.labels[self.train], minlength=self.classes)]

    def said(self, stage: str, share: float) -> None:
        """Tell how far a stage is."""
        spent = self.clock.spent()
        self.listen(Progress(stage, spent, share, max(0.0, self.clock.left())))


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


def teach(lesson: Lesson) -> Taught:
    """Teach the lesson's network in place.

    Raises `RunError` where nothing could be learnt, `head.Stopped` where it was stopped before.
    """
    forward = _settle_forward(lesson)
    if lesson.recipe.method == "scratch":
        trained = _train_all(lesson, _reserve(lesson, forward))
        _candidate(lesson, "trained from scratch", trained.val_accuracy, trained.val_loss)
        return _taught(lesson, trained)
    fitted = _teach_head(lesson, forward)
    accuracy, loss, _ = validate(lesson)
    _candidate(lesson, "last layer on the frozen body", accuracy, loss)
    time_left = lesson.clock.left() - _reserve(lesson, forward)
    fixed = lesson.recipe.epochs is not None
    if lesson.recipe.method == "head" or lesson.stop.asked or (
        time_left < _WORTH_IT and not fixed
    ):
        if lesson.recipe.method == "finetune":
            lesson.events.append(_event(lesson, "no time was left for fine-tuning"))
        return _taught(lesson, None, refit=fitted)
    before = {k: v.clone() for k, v in lesson.network.module.state_dict().items()}
    trained = _train_all(lesson, _reserve(lesson, forward))
    _candidate(lesson, "fine-tuned", trained.val_accuracy, trained.val_loss)
    if (trained.val_accuracy, -trained.val_loss) >= (accuracy, -loss):
        return _taught(lesson, trained)
    lesson.network.module.load_state_dict(before)
    lesson.events.append(_event(lesson, "fine-tuning did not help on val: the last layer ships"))
    return _taught(lesson, trained, refit=fitted)


def _event(lesson: Lesson, what: str) -> dict[str, Any]:
    return {"seconds": round(lesson.clock.spent(), 2), "what": what}


def _candidate(lesson: Lesson, name: str, accuracy: float, loss: float) -> None:
    lesson.candidates.append(
        {"name": name, "val_accuracy": accuracy, "val_loss": loss, "chosen": False}
    )


def _taught(
    lesson: Lesson, trained: Trained | None, refit: Callable[[], None] | None = None
) -> Taught:
    """Mark what was chosen, find the temperature on `val`, then let the last layer see `val` too."""
    accuracy, _, temperature = validate(lesson)
    lesson.candidates[0 if refit is not None else -1]["chosen"] = True
    if refit is not None:
        refit()
    events = lesson.events + (trained.events if trained else [])
    return Taught(
        lesson.recipe, trained, lesson.candidates, events, accuracy, temperature, lesson.stop.asked
    )


def _reserve(lesson: Lesson, forward: float) -> float:
    """Seconds to keep for the test and for saving; `forward` is seconds per picture."""
    views = 2 if lesson.recipe.augment.mirror else 1
    return lesson.test_examples * views * forward * 1.1 + _SAVING


def _settle_forward(lesson: Lesson) -> float:
    """Time the network without learning at the final size; return seconds per picture."""
    recipe, device = lesson.recipe, lesson.recipe.compute.device
    module = lesson.network.module
    module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    module.eval()
    size = recipe.picture.size
    x = torch.zeros(16, 3, size, size, device=device).to(memory_format=torch.channels_last)
    timed = {}
    for precision in ("float32", "bfloat16") if lesson.hardware.bfloat16 else ("float32",):

        def once(precision: str = precision) -> None:
            with torch.inference_mode(), autocast(device, precision):
                scores(module, x)
            settle(device)

        timed[precision] = seconds_per_call(once, least=0.15, most_calls=5) / len(x)
    lesson.forward_precision = min(timed, key=lambda p: timed[p])
    return timed["float32"]


@torch.inference_mode()
def validate(lesson: Lesson) -> tuple[float, float, float]:
    """Return accuracy, loss in nats at the best temperature, and that temperature, on `val`."""
    module = lesson.network.module
    module.eval()
    found = []
    for x in in_order(
        lesson.pictures, lesson.val, lesson.recipe, lesson.recipe.picture.size, head.BATCH
    ):
        found.append(scores(module, x.contiguous(memory_format=torch.channels_last)).float().cpu())
    if not found:
        return 0.0, math.inf, 1.0
    return _judge(torch.cat(found), torch.from_numpy(lesson.labels[lesson.val]))


def _judge(found: Tensor, labels: Tensor) -> tuple[float, float, float]:
    """Return accuracy, loss at the best temperature, temperature (Guo et al., 2017)."""
    accuracy = float((found.argmax(1) == labels).double().mean())
    temperatures = torch.logspace(-1.3, 1.3, 53, base=10.0)
    losses = torch.stack(
        [torch.nn.functional.cross_entropy(found / t, labels) for t in temperatures]
    )
    best = int(losses.nan_to_num(math.inf).argmin())
    return accuracy, float(losses[best]), float(temperatures[best])


def _teach_head(lesson: Lesson, forward: float) -> Callable[[], None]:
    """Learn the last layer on frozen features; return what learns it again with `val` as well."""
    rows = np.concatenate([lesson.train, lesson.val])
    rows = _affordable(lesson, rows, forward)
    x = _features(lesson, rows, "features", mirrored=False)
    y, groups = lesson.labels[rows], lesson.duplicates[rows]
    n_val = len(lesson.val)
    learn = np.arange(len(rows) - n_val)
    if _mirrors(lesson, len(rows), forward):
        y, groups = np.tile(y, 2), _with_mirrors(groups)
        x = np.concatenate([x, _features(lesson, rows, "mirrored", mirrored=True)])
        learn = np.concatenate([learn, learn + len(rows)])
    weights = class_weights(lesson.counts(), lesson.recipe.balance)
    seed = lesson.recipe.seed

    def fit(which: NDArray[np.int64]) -> head.Fitted:
        fitted = head.fit(x[which], y[which], lesson.classes, weights, groups[which], seed)
        head.install(lesson.network, fitted)
        return fitted

    lesson.events.append(_event(lesson, "last layer: " + fit(learn).why()))
    return lambda: fit(np.arange(len(y))) and None


def _with_mirrors(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number groups so that each example and its mirror image are in one."""
    alone = np.where(groups < 0, groups.max(initial=0) + 1 + np.arange(len(groups)), groups)
    return np.tile(alone, 2)


def _affordable(lesson: Lesson, rows: NDArray[np.int64], forward: float) -> NDArray[np.int64]:
    """Drop training rows, at random, that the budget leaves no time for; `val` stays, last."""
    seconds = 0.8 * (lesson.clock.left() - _reserve(lesson, forward))
    most = max(lesson.classes * 20, int(seconds / max(forward, 1e-9)))
    if len(rows) <= most or lesson.recipe.epochs is not None:
        return rows
    spare = max(lesson.classes * 10, most - len(lesson.val))
    kept = np.random.default_rng(lesson.recipe.seed).permutation(len(lesson.train))[:spare]
    lesson.events.append(
        _event(
            lesson,
            f"the budget left time for {spare:,} of {len(lesson.train):,} training pictures; "
            "a larger one uses them all",
        )
    )
    return np.concatenate([lesson.train[np.sort(kept)], lesson.val])


def _mirrors(lesson: Lesson, n: int, forward: float) -> bool:
    """Whether mirror images are to be learnt from too: allowed, and there is time."""
    if not lesson.recipe.augment.mirror or lesson.stop.asked:
        return False
    if lesson.recipe.epochs is not None:
        return True
    if lesson.clock.left() - _reserve(lesson, forward) > 1.1 * n * forward + 3.0:
        return True
    if lesson.clock.left() - _reserve(lesson, forward) < 0:
        lesson.decide("augment.mirror", False, "the budget leaves no time for a second view")
    return False


def _features(
    lesson: Lesson, rows: NDArray[np.int64], name: str, *, mirrored: bool
) -> NDArray[np.float32]:
    def each(done: int) -> bool:
        lesson.said("features", done / len(rows))
        return not lesson.stop.asked

    recipe = lesson.recipe.decided("compute.precision", lesson.forward_precision, "")
    return head.features(
        lesson.network,
        lesson.pictures,
        rows,
        recipe,
        lesson.folder / f"{name}.f32",
        mirrored=mirrored,
        each=each,
    )


def _train_all(lesson: Lesson, reserve: float) -> Trained:
    """Settle speed and rate by measuring, then run the loop."""
    batches = Batches(
        lesson.pictures, lesson.train, lesson.labels[lesson.train], lesson.classes, lesson.recipe
    )
    _settle_training(lesson, batches)
    batches.recipe = lesson.recipe
    if lesson.recipe.optimizer.lr is None:
        _find_rate(lesson, batches)
        batches.recipe = lesson.recipe
    return train(
        lesson.network,
        lesson.recipe,
        batches,
        lesson.counts(),
        lambda: validate(lesson)[:2],
        len(lesson.val),
        clock=lesson.clock,
        deadline=lesson.clock.budget - reserve,
        folder=lesson.folder,
        stop=lesson.stop,
        listen=lesson.listen,
    )


def _settle_training(lesson: Lesson, batches: Batches) -> None:
    """Choose precision and memory format by timing real steps; not where epochs are given."""
    recipe, module = lesson.recipe, lesson.network.module
    auto = (recipe.compute.precision, recipe.compute.memory_format)
    if "auto" in auto:
        if recipe.epochs is not None:
            quick = "bfloat16" if lesson.hardware.bfloat16 else "float32"
            why = "the usual choice here; not timed, so that the same epochs give the same result"
            found = (quick, "channels_last", why, why)
        else:
            found = _time_steps(lesson, batches)
        for key, was, now, why in zip(
            ("precision", "memory_format"), auto, found[:2], found[2:], strict=True
        ):
            if was == "auto":
                lesson.decide(f"compute.{key}", now, why)
    layout = layout_named(lesson.recipe.compute.memory_format)
    module.to(memory_format=layout)  # type: ignore[call-overload]


def _time_steps(lesson: Lesson, batches: Batches) -> tuple[str, str, str, str]:
    recipe = lesson.recipe
    size = (recipe.picture.start_size + recipe.picture.size) // 16 * 8
    before = {k: v.clone() for k, v in lesson.network.module.state_dict().items()}
    loss_of = loss_named(
        recipe.loss.name, 0.0, torch.ones(lesson.classes, device=recipe.compute.device)
    )
    with batches.reading(0) as ahead:
        x, target = batches.take(ahead, max(8, size), plain=True)

    def step(_: Any, precision: str, layout: str) -> None:
        trial = recipe.decided("compute.precision", precision, "")
        piece = x.contiguous(memory_format=layout_named(layout))
        lesson.network.module.train()
        forward_backward(lesson.network, trial, loss_of, piece, target)

    fixed = None if recipe.compute.precision == "auto" else recipe.compute.precision
    speed = fastest_training(lesson.network.module, step, lesson.hardware, fixed_precision=fixed)
    lesson.network.module.zero_grad(set_to_none=True)
    lesson.network.module.load_state_dict(before)
    left = lesson.clock.left()
    steps = left / speed.seconds_per_step
    lesson.decide(
        "epochs",
        None,
        f"the clock decides: about {steps * recipe.batch / len(batches):.0f} at the "
        f"{recipe.batch / speed.seconds_per_step:.0f} pictures/s measured",
    )
    return speed.precision, speed.memory_format, speed.why, speed.why


def _find_rate(lesson: Lesson, batches: Batches) -> None:
    """Run the range test at the first picture size, on the first batches, unblended."""
    recipe, network = lesson.recipe, lesson.network
    weights = torch.ones(lesson.classes, device=recipe.compute.device)
    loss_of = loss_named(recipe.loss.name, recipe.loss.label_smoothing, weights)
    moved = optimizer(network, recipe)
    network.module.train()
    with batches.reading(0) as ahead:

        def step(_: int) -> float:
            x, target = batches.take(ahead, recipe.picture.start_size, plain=True)
            return forward_backward(network, recipe, loss_of, x, target)

        rate, why = range_test(network.module, moved, step, recipe.optimizer.name, STEPS)
    lesson.decide("optimizer.lr", rate, why)
