"""Whether the network is compiled for training: only where that is measured to be quicker.

torch.compile (Ansel et al., 2024) turns forward and backward into code for this processor. That
takes a minute on a CPU, so it is tried only where the run is long beside it. Only training uses
it: what looks at `val`, the test and predictions run the network itself, whose tensors keep their
names.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from quickstudy.batches import Batches
from quickstudy.hardware import (
    BUSY,
    QUICKER,
    difference,
    recall,
    refusal,
    remember,
    seconds_per_call,
    waited_so_far,
)
from quickstudy.progress import Progress
from quickstudy.training.lesson import Lesson
from quickstudy.training.trial import LessonTrial
from quickstudy.training.tuned import key_of

_A_LAYER = 0.8  # seconds of compiling, forward and backward: benchmarks/compiling.py
_AT_LEAST = 15.0  # seconds of compiling anything
_TRYING = 1 / 30  # of the time left, at most, to find out


def compiled_form(module: nn.Module, *, grows: bool) -> Callable[[Tensor], Any]:
    """Return what computes `module` compiled; it is compiled when first called.

    Where the input `grows` in training one form serves all sizes: each would cost a compilation.
    """
    form: Callable[[Tensor], Any] = torch.compile(module, dynamic=grows)
    return form


@dataclass
class Compiled:
    """The network in training: its compiled form; itself from the first time that fails."""

    module: nn.Module
    form: Callable[[Tensor], Any] | None
    say: Callable[[str], None]

    def __call__(self, x: Tensor) -> Any:
        """Compute."""
        if self.form is not None:
            try:
                return self.form(x)
            except torch._dynamo.exc.TorchDynamoException as problem:
                self.form = None
                self.say(_failed(problem))
        return self.module(x)


@dataclass(frozen=True)
class Timed:
    """Seconds of a step as it is and compiled, and of compiling; why compiled is refused, or ''."""

    eager: float
    compiled: float
    took: float
    refused: str = ""
    busy: bool = False
    """Whether other programs wanted the processor meanwhile: not to be kept."""


def settle_compiling(lesson: Lesson, batches: Batches) -> None:
    """Settle `compute.compile` where it is ``auto``, and put the compiled form where training is.

    Nothing is timed where epochs are given; a resumed run keeps what was settled. What was timed
    here before, for the same network and sizes, is not timed again.
    """
    asked = lesson.recipe.compute.compile
    known = _known(lesson) if asked == "auto" and lesson.recipe.epochs is None else None
    if asked == "auto":
        why = _not_worth_trying(lesson) if known is None else _known_not_to_pay(lesson, known)
        if why:
            lesson.decide("compute.compile", False, why)
    if lesson.recipe.compute.compile is False:
        return
    module, recipe = lesson.network.module, lesson.recipe
    form = compiled_form(module, grows=recipe.start_size < recipe.size)
    run = Compiled(module, form, lambda line: _say(lesson, line))
    try:
        trial = LessonTrial.of(lesson, batches)
        with trial.leaving_no_trace():
            timed = _time(trial, form, rounds=2 if asked == "auto" and not known else 0)
    except Exception as problem:  # compilers raise of every family; training goes on without
        if asked == "auto":
            lesson.decide("compute.compile", False, _failed(problem))
        _say(lesson, _failed(problem))
        return
    if asked == "auto":
        if known is None and not timed.busy:
            remember(_key(lesson), asdict(timed))
        timed = known or timed
        lesson.decide("compute.compile", *chosen(timed, lesson.seconds_left()))
        lesson.step_seconds = min(timed.eager, timed.compiled)
    if lesson.recipe.compute.compile:
        lesson.network = replace(lesson.network, compiled=run)


def chosen(timed: Timed, left: float) -> tuple[bool, str]:
    """Return whether to compile, and why: with the seconds left."""
    said = (
        f"measured here: {1000 * timed.eager:.0f} ms a step as it is, "
        f"{1000 * timed.compiled:.0f} compiled, which took {timed.took:.0f} s"
    )
    if timed.refused:
        return False, f"{said}: refused, for {timed.refused}"
    if timed.compiled >= QUICKER * timed.eager:
        return False, f"{said}: not quicker"
    saved = left * (timed.eager / timed.compiled - 1)
    return True, f"{said}; the {left:.0f} s left do the work of {left + saved:.0f}"


def _not_worth_trying(lesson: Lesson) -> str:
    """Return why compiling is not even tried, or nothing."""
    if lesson.recipe.epochs is not None:
        return "not timed, so that the same epochs give the same result"
    layers = sum(1 for m in lesson.network.module.modules() if not [*m.children()])
    expected, left = _AT_LEAST + _A_LAYER * layers, max(0.0, lesson.seconds_left())
    if expected <= _TRYING * left:
        return ""
    return (
        f"not tried: compiling {layers} layers takes some {expected:.0f} s, too much to find out "
        f"with {left:.0f} s left"
    )


def _key(lesson: Lesson) -> dict[str, Any]:
    return {**key_of(lesson), "compiled": True}


def _known(lesson: Lesson) -> Timed | None:
    """Return what was timed here before, if that can be."""
    found = recall(_key(lesson))
    if found is None:
        return None
    try:
        eager, compiled, took = (float(found[name]) for name in ("eager", "compiled", "took"))
        refused = str(found["refused"])[:300]
    except (LookupError, TypeError, ValueError, OverflowError):
        return None
    good = all(0 < one < 1e6 for one in (eager, compiled, took))
    return Timed(eager, compiled, took, refused) if good else None


def _known_not_to_pay(lesson: Lesson, known: Timed) -> str:
    """Return why compiling is not done again, or nothing: it must save more than it takes."""
    left = max(0.0, lesson.seconds_left())
    pays, why = chosen(known, left)
    if not pays:
        return why
    if (left - known.took) * known.eager / known.compiled > left:
        return ""
    return f"{why.partition('; ')[0]}: too much of the {left:.0f} s left"


def _time(trial: LessonTrial, form: Callable[[Tensor], Any], rounds: int) -> Timed:
    """Time a step as it is and compiled, in turn, and compiling; compare their answers."""
    trial.network.module.train()
    compiled = replace(trial, network=replace(trial.network, compiled=form))
    began = perf_counter()
    compiled.step()
    took = perf_counter() - began
    if not rounds:
        return Timed(math.inf, math.inf, took)
    best, since, waited = [math.inf, math.inf], perf_counter(), waited_so_far()
    for which in [0, 1] * rounds:
        found = seconds_per_call((trial, compiled)[which].step, least=0.3, most_calls=6)
        best[which] = min(best[which], found)
    busy = waited_so_far() - waited > BUSY * (perf_counter() - since)
    refused = refusal(difference(compiled.answers(), trial.answers()), trial.noise())
    return Timed(best[0], best[1], took, refused, busy)


def _failed(problem: BaseException) -> str:
    first = next(iter(str(problem).splitlines()), "") or type(problem).__name__
    return f"torch.compile cannot be used here ({first[:160]}): training goes on without it"


def _say(lesson: Lesson, line: str) -> None:
    lesson.listen(Progress("said", lesson.clock.spent(), said=f"  {line}."))
