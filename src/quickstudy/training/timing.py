"""What is settled by measuring: precision, memory format, speed, learning rate."""

from __future__ import annotations

from typing import Any

import torch

from quickstudy.batches import Batches
from quickstudy.hardware import (
    autocast,
    fastest_training,
    in_layout,
    lay_out,
    seconds_per_call,
    settle,
)
from quickstudy.network import scores
from quickstudy.training.compiling import settle_compiling
from quickstudy.training.lesson import Lesson
from quickstudy.training.optimizers import asks_for_rate, optimizer, rate_of
from quickstudy.training.rate import STEPS, range_for, range_test
from quickstudy.training.step import in_memory

_TRYING = 0.15  # of the time left, at most, to find the rate


def settle_forward(lesson: Lesson) -> None:
    """Time the network without learning, at the final size; put it where it computes."""
    recipe, device = lesson.recipe, lesson.recipe.compute.device
    module = lesson.network.module
    lay_out(module.to(device), "channels_last")
    module.eval()
    x = lesson.decoded.how.blank(16, recipe.size).to(device)
    timed = {}
    frozen = recipe.epochs is None and recipe.method != "scratch"  # else nobody asks which is quick
    both = frozen and lesson.hardware.bfloat16
    for precision in ("float32", "bfloat16") if both else ("float32",):

        def once(precision: str = precision) -> None:
            with torch.inference_mode(), autocast(device, precision):
                scores(module, x)
            settle(device)

        timed[precision] = seconds_per_call(once, least=0.15, most_calls=5) / len(x)
    if recipe.epochs is None:  # else nothing that is learnt may depend on the clock
        lesson.forward_precision = min(timed, key=lambda p: timed[p])
    lesson.forward = timed["float32"]


def settle_training(lesson: Lesson, batches: Batches) -> None:
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
    lay_out(module, lesson.recipe.compute.memory_format)
    settle_compiling(lesson, batches)


def _time_steps(lesson: Lesson, batches: Batches) -> tuple[str, str, str, str]:
    recipe = lesson.recipe
    grows = recipe.start_size < recipe.size
    size = (recipe.start_size + recipe.size) // 16 * 8 if grows else recipe.size
    before = {k: v.clone() for k, v in lesson.network.module.state_dict().items()}
    loss_of = lesson.criterion(smoothing=False, balanced=False)
    with batches.reading(0) as ahead:
        x, target = batches.take(ahead, max(8, size), plain=True)

    def step(_: Any, precision: str, layout: str) -> None:
        trial = recipe.decided("compute.precision", precision, "")
        lesson.network.module.train()
        in_memory(lesson.network, trial, loss_of, in_layout(x, layout), target)

    fixed = None if recipe.compute.precision == "auto" else recipe.compute.precision
    speed = fastest_training(lesson.network.module, step, lesson.hardware, fixed_precision=fixed)
    lesson.network.module.zero_grad(set_to_none=True)
    lesson.network.module.load_state_dict(before)
    left = lesson.clock.left()
    steps = left / speed.seconds_per_step
    lesson.step_seconds = speed.seconds_per_step
    lesson.decide(
        "epochs",
        None,
        f"the clock decides: about {steps * recipe.batch / len(batches):.0f} at the "
        f"{recipe.batch / speed.seconds_per_step:.0f} examples/s measured",
    )
    return speed.precision, speed.memory_format, speed.why, speed.why


def find_rate(lesson: Lesson, batches: Batches) -> None:
    """Run the range test at the first size, on the first batches, unblended."""
    recipe, network = lesson.recipe, lesson.network
    if lesson.optimizer is not None and not asks_for_rate(lesson.optimizer):
        own = rate_of(optimizer(network, recipe, factory=lesson.optimizer))
        lesson.decide("optimizer.lr", own, "what your function gives its optimiser")
        return
    if STEPS * lesson.step_seconds > _TRYING * max(0.0, lesson.seconds_left()):
        usual = range_for(recipe.optimizer.name).usual
        why = f"the usual one: {STEPS} steps of trying would take too much of the time left"
        lesson.decide("optimizer.lr", usual, why)
        return
    loss_of = lesson.criterion(balanced=False)
    moved = optimizer(network, recipe, factory=lesson.optimizer)
    network.module.train()
    with batches.reading(0) as ahead:

        def step(_: int) -> float:
            x, target = batches.take(ahead, recipe.start_size, plain=True)
            return in_memory(network, recipe, loss_of, x, target)[0]

        rate, why = range_test(network.module, moved, step, recipe.optimizer.name, STEPS)
    lesson.decide("optimizer.lr", rate, why)
