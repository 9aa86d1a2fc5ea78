"""What is settled by measuring: how steps are computed, how quick the network is, its rate."""

from __future__ import annotations

import torch

from quickstudy.batches import Batches
from quickstudy.hardware import autocast, lay_out, seconds_per_call, settle
from quickstudy.network import scores
from quickstudy.training.compiling import settle_compiling
from quickstudy.training.lesson import Lesson
from quickstudy.training.optimizers import asks_for_rate, optimizer, rate_of
from quickstudy.training.rate import STEPS, range_for, range_test
from quickstudy.training.tuned import settle_way

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
    """Settle how steps are computed: by timing real ones, but not where epochs are given."""
    settle_way(lesson, batches)
    batches.recipe = lesson.recipe
    lay_out(lesson.network.module, lesson.recipe.compute.memory_format)
    settle_compiling(lesson, batches)


def find_rate(lesson: Lesson, batches: Batches) -> None:
    """Run the range test at the first size, on the first batches, unblended."""
    recipe, network = lesson.recipe, lesson.crew.held(lesson.network)
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
    with lesson.crew.trying_rates(), batches.reading(0) as ahead:

        def step(_: int) -> float:
            x, target = batches.take(ahead, recipe.start_size, plain=True)
            return lesson.crew.compute(network, recipe, loss_of, x, target)[0]

        rate, why = range_test(network.module, moved, step, recipe.optimizer.name, STEPS)
    lesson.decide("optimizer.lr", rate, why)
