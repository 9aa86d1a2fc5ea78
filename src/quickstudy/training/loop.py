"""The one loop: Recipe + network + batches -> trained network, crash-safe.

Read `train` first. The clock decides when it ends, unless the recipe names the epochs; then
nothing that is learnt depends on the clock, but where a loss that explodes goes back to.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from quickstudy.batches import Ahead, Batches, mixed
from quickstudy.clock import Clock, Stop
from quickstudy.errors import RunError
from quickstudy.network import Built
from quickstudy.progress import Listener, Progress
from quickstudy.recipe import Recipe
from quickstudy.training import checkpoints
from quickstudy.training.crew import Crew
from quickstudy.training.optimizers import Factory, clip, set_rate
from quickstudy.training.state import Loop, new_loop

_PLAIN = 0.9  # of the run: the rest sees examples unblended
_CLIP = 5.0
_RETRIES = 3

#: Score (higher is better) and loss on `val` of the network as it stands.
Validate = Callable[[], tuple[float, float]]


@dataclass
class Trained:
    """What the loop leaves in the network, and how it went."""

    finished: bool
    """The schedule came to its end (else somebody stopped it, or the loss would not settle)."""
    step: int
    curves: list[dict[str, Any]]
    events: list[dict[str, Any]]
    val_score: float
    val_loss: float
    waited: float
    """Share of the training time in which examples were still being read."""
    augmented: float
    """Share of the training time spent on varying examples."""


def train(
    network: Built,
    recipe: Recipe,
    batches: Batches,
    loss_of: nn.Module,
    validate: Validate,
    noise: Callable[[float], float],
    *,
    clock: Clock,
    deadline: float,
    folder: Path,
    stop: Stop,
    listen: Listener,
    factory: Factory | None = None,
    crew: Crew | None = None,
) -> Trained:
    """Train `network` in place, to its averaged weights; go on from `folder`'s checkpoint if any.

    `noise` says how much a score on `val` may differ by chance; `factory` makes an optimiser of the
    user's own; `crew` are the processes that do each step together. Raises `RunError` when the loss
    explodes before anything was learnt, or when the disk is full.
    """
    loop = _begin(network, recipe, batches, loss_of, clock, deadline, folder, factory)
    loop.crew = crew or loop.crew
    saver = _Saver(folder, recipe.budget)
    batches.waited = batches.augmented = 0.0
    began_here, finished, exhausted = time.perf_counter(), False, False
    while not (finished or exhausted):
        sound = True
        with batches.reading(loop.step) as ahead, loop.crew.steps(loop) as now:
            while not stop.asked:
                done = now.share_done()
                finished = done >= 1 or now.out_of_patience()
                if finished:
                    break
                with now.crew.step(done):
                    loss = step_once(now, ahead, done)
                sound = is_sound(now, loss)
                if not sound:
                    break  # the examples are read again from the step gone back to
                _tell(now, listen, done)
                if now.may_check():
                    _check(now, validate, listen)
                if loss < _limit(now):
                    saver.save_if_due(now)
        if not sound:
            exhausted = not _go_back(loop, folder)
        if stop.asked:  # only now: a crew must learn first whether all of it is still there
            break
    network.module.to(recipe.compute.device)  # the crew may have had it elsewhere
    took = max(1e-9, time.perf_counter() - began_here)
    if stop.asked:
        loop.happened("stopped by Ctrl-C; what was learnt until then is kept")
    for line in loop.crew.told():
        loop.happened(line)
    checkpoints.write(folder, loop.state())
    trained = _end(loop, validate, noise, finished)
    return replace(trained, waited=batches.waited / took, augmented=batches.augmented / took)


@dataclass
class _Saver:
    """Writes a checkpoint when one is due: 2 % of the budget, but 2 s at least and 30 s at most."""

    folder: Path
    budget: float
    last: float = field(default_factory=time.perf_counter)
    took: float = 0.0

    def save_if_due(self, loop: Loop) -> None:
        wait = max(2.0, 0.02 * self.budget, 20 * self.took)
        if time.perf_counter() - self.last < min(30.0, wait):
            return
        began = time.perf_counter()
        checkpoints.write(self.folder, loop.state())
        self.last = time.perf_counter()
        self.took = self.last - began


def _begin(
    network: Built,
    recipe: Recipe,
    batches: Batches,
    loss_of: nn.Module,
    clock: Clock,
    deadline: float,
    folder: Path,
    factory: Factory | None,
) -> Loop:
    loop = new_loop(network, recipe, batches, loss_of, clock, deadline, factory)
    state = checkpoints.read(folder)
    if state is not None:
        try:
            loop.restore(state)
        except (RuntimeError, ValueError, KeyError) as problem:  # of a network that is code
            why = str(problem).strip().splitlines()[-1].strip()
            raise RunError(
                f"The checkpoint in {folder} does not fit what was given: {why}",
                "Give the network, the loss and the optimiser that the run began with.",
            ) from problem
        loop.began = state.facts["began"]
        if not state.facts.get("raced"):
            loop.happened(f"went on from the checkpoint at step {loop.step}")
    else:
        checkpoints.write(folder, loop.state())  # where an early explosion goes back to
    return loop


def step_once(loop: Loop, ahead: Ahead, done: float) -> float:
    """Move the parameters once; return the loss. Halves the batch while memory does not suffice."""
    x, target = loop.batches.take(ahead, loop.size(done), plain=done > _PLAIN)
    network = loop.network.module
    network.train()
    own = mixed(loop.recipe.seed, loop.step, *loop.batches.own)
    torch.manual_seed(own)  # dropout: the same after a kill
    set_rate(loop.optimizer, loop.rate(done))
    what = (loop.network, loop.recipe, loop.loss_of, x, target, loop.parts)
    loss, parts = loop.crew.compute(*what)
    if parts > loop.parts:
        loop.parts = parts
        loop.happened(f"out of memory: batches are now computed in {parts} parts")
    if not math.isfinite(clip(loop.optimizer, _CLIP)):
        return math.nan  # the loss was a number, its gradient is not
    if math.isfinite(loss):
        loop.optimizer.step()
        loop.step += 1
        loop.move_average()
    return loss


def is_sound(loop: Loop, loss: float) -> bool:
    """Whether the loss is a number and has not exploded."""
    if not math.isfinite(loss):
        return False
    before = loop.smooth
    loop.smooth = loss if math.isnan(before) else 0.95 * before + 0.05 * loss
    sound = loop.smooth < _limit(loop)
    if sound:
        loop.least = min(loop.least, loop.smooth)
    return sound


def _limit(loop: Loop) -> float:
    """Return the loss above which training has exploded."""
    return loop.least + 2 * abs(loop.least) + 3  # a loss may be below 0


def _go_back(loop: Loop, folder: Path) -> bool:
    """Return to the last checkpoint at a third of the rate; False after three times."""
    good = checkpoints.read(folder)
    if good is None:
        raise RunError(f"The checkpoint in {folder} has gone.", "Run it again.")
    share, at = loop.rate_share / 3, loop.step
    tries = sum("went back" in event["what"] for event in loop.events)
    events = loop.events
    loop.restore(good)
    loop.events, loop.rate_share = events, share
    if tries >= _RETRIES:
        loop.happened(f"the loss exploded again at step {at}: stopped with the best so far")
        if loop.step == 0:
            raise RunError(
                "The loss is not a number from the first steps on, at any rate tried.",
                "Lower it: --set optimizer.lr=0.0001; or try --set compute.precision=float32.",
            )
        return False
    loop.happened(f"the loss exploded at step {at}: went back to step {loop.step}, rate / 3")
    return True


def note(loop: Loop, done: float) -> None:
    """Add a point to the curves."""
    loop.curves.append(
        {
            "seconds": round(loop.clock.spent(), 2),
            "step": loop.step,
            "epoch": round(loop.passes(), 3),
            "loss": round(loop.smooth, 5),
            "lr": loop.rate(done),
            "size": loop.size(done),
            "val_loss": None,
            "val_score": None,
        }
    )


def _tell(loop: Loop, listen: Listener, done: float) -> None:
    spent = loop.clock.spent()
    if spent - loop.told < 1.0:
        return
    loop.told = spent
    note(loop, done)
    here = spent - loop.began
    if loop.recipe.epochs is None:
        left: float | None = loop.recipe.budget - spent
    else:  # nothing is known before the first step has ended
        left = here / done * (1 - done) if done else None
    val = loop.best[0] if math.isfinite(loop.best[0]) else None
    listen(Progress("train", spent, done, left, loop.smooth, val))


def _check(loop: Loop, validate: Validate, listen: Listener) -> None:
    """Ask `val` about the averaged weights; remember the best."""
    loop.checked = loop.beats()
    began = time.perf_counter()
    with loop.averaged() as weights:
        score, loss = validate()
    loop.check_took, loop.check_ended = time.perf_counter() - began, time.perf_counter()
    if not loop.curves or loop.curves[-1]["step"] != loop.step:
        note(loop, loop.share_done())
    loop.curves[-1] |= {"val_loss": round(loss, 5), "val_score": score}
    loop.noted(loss)
    if loop.better(score, loss):
        loop.best, loop.best_pass = (score, loss), loop.passes()
        loop.best_state = {k: v.clone() for k, v in weights.items()}
    spent = loop.clock.spent()
    listen(Progress("train", spent, loop.share_done(), None, loop.smooth, score))


def _end(
    loop: Loop, validate: Validate, noise: Callable[[float], float], finished: bool
) -> Trained:
    """Leave the averaged weights in the network, or the best ones if the end is clearly worse."""
    module = loop.network.module
    module.load_state_dict(loop.average)
    score, loss = validate()
    waits = loop.recipe.patience is not None
    margin = noise(score) if finished else 0.0
    worse = loss > loop.best[1] if waits else loop.best[0] > score + margin
    if loop.best_state and worse:
        module.load_state_dict(loop.best_state)
        score, loss = loop.best
        what = f"kept the weights of pass {loop.best_pass:.0f} of {loop.passes():.0f}, best on val"
        loop.happened(
            what if waits else "kept the weights that were best on val, not the last ones"
        )
    return Trained(finished, loop.step, loop.curves, loop.events, score, loss, 0.0, 0.0)
