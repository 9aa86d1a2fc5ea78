"""Whether the network is compiled for training: only where that is measured to be quicker.

torch.compile (Ansel et al., 2024) turns forward and backward into code for this processor, and on
NVIDIA's GPUs it may also record them as CUDA graphs, which are started at once instead of kernel by
kernel: that helps small networks. Compiling takes a minute, so it is tried only where the run is
long beside it. Only training uses it: what looks at `val`, the test and predictions run the network
itself, whose tensors keep their names.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from time import perf_counter
from typing import Any, Literal, TypeAlias

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
_ROUNDS = 2
_RECORDED = 3  # steps until a CUDA graph is what computes: one to warm up, one that is recorded
#: torch's name for what CUDA graphs do.
GRAPHS: Literal["reduce-overhead"] = "reduce-overhead"
#: How a network is compiled: with graphs or without.
Form: TypeAlias = Literal[True, "reduce-overhead"]
_WORDS: dict[Form, str] = {True: "compiled", GRAPHS: "with CUDA graphs"}


def compiled_form(module: nn.Module, *, grows: bool) -> Callable[[Tensor], Any]:
    """Return what computes `module` compiled; it is compiled when first called.

    Where the input `grows` in training one form serves all sizes: each would cost a compilation.
    """
    form: Callable[[Tensor], Any] = torch.compile(module, dynamic=grows)
    return form


def recorded_form(module: nn.Module, *, rows: int) -> Callable[[Tensor], Any]:
    """Return the same with CUDA graphs, recorded when called for the second time.

    Each call ends the step before: nothing of that may be wanted any more. They are for batches of
    so many `rows`. The parts of one are computed as they are: to the gradient that a graph leaves
    nothing can be added (pytorch's issue 169545).
    """
    form = torch.compile(module, dynamic=False, mode=GRAPHS)

    def run(x: Tensor) -> Any:
        if len(x) < rows:
            return module(x)
        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        return form(x)

    return run


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

    @property
    def share(self) -> float:
        """Of the time of a step as it is; infinite where it is refused."""
        return math.inf if self.refused else self.compiled / self.eager

    @property
    def pays(self) -> bool:
        """Whether it is quicker, and answers the same."""
        return self.share < QUICKER

    def said(self, how: Form) -> str:
        """Return the figures in words."""
        if math.isinf(self.compiled):
            return self.refused
        said = (
            f"measured here: {1000 * self.eager:.0f} ms a step as it is, "
            f"{1000 * self.compiled:.0f} {_WORDS[how]}, which took {self.took:.0f} s"
        )
        if self.pays:
            return said
        return f"{said}: refused, for {self.refused}" if self.refused else f"{said}: not quicker"


def settle_compiling(lesson: Lesson, batches: Batches) -> None:
    """Settle `compute.compile` where it is ``auto``, and put the compiled form where training is.

    Nothing is timed where epochs are given; a resumed run keeps what was settled. What was timed
    here before, for the same network and sizes, is not timed again.
    """
    auto = lesson.recipe.compute.compile == "auto"
    known = _known(lesson) if auto and lesson.recipe.epochs is None else {}
    if auto:
        why = _known_not_to_pay(lesson, known) if known else _not_worth_trying(lesson)
        if why:
            lesson.decide("compute.compile", False, why)
    if lesson.recipe.compute.compile is False:
        return
    trial = LessonTrial.of(lesson, batches)
    forms = {how: _form(lesson, how) for how in _candidates(lesson)}
    trial.network.module.train()
    with trial.leaving_no_trace():
        if auto:
            found = known or _timed_all(lesson, trial, forms)
            lesson.decide("compute.compile", *chosen(found, lesson.seconds_left()))
            lesson.step_seconds = min(t.compiled if t.pays else t.eager for t in found.values())
        how = _how(lesson)
        if GRAPHS in forms and how != GRAPHS:
            from torch._inductor.cudagraph_trees import reset_cudagraph_trees

            reset_cudagraph_trees()  # what was recorded keeps the memory of a step
        if how is None:
            return
        form = forms[how]
        run = Compiled(lesson.network.module, form, lambda line: _say(lesson, line))
        try:
            replace(trial, network=replace(trial.network, compiled=form)).step()
        except Exception as problem:  # compilers raise of every family; training goes on without
            if auto:
                lesson.decide("compute.compile", False, _failed(problem))
            _say(lesson, _failed(problem))
            return
    lesson.network = replace(lesson.network, compiled=run)


def chosen(found: Mapping[Form, Timed], left: float) -> tuple[Form | Literal[False], str]:
    """Return the form to train in, False for none, and why: with the seconds left."""
    order = sorted(found, key=lambda how: found[how].share)
    said = "; ".join(found[how].said(how) for how in order)
    best = found[order[0]]
    if not best.pays:
        return False, said
    return order[0], f"{said}; the {left:.0f} s left do the work of {left / best.share:.0f}"


def _candidates(lesson: Lesson) -> list[Form]:
    """Return the forms to choose from. A CUDA graph is of one size, and of one process."""
    recipe, how = lesson.recipe, _how(lesson)
    if how is not None:
        return [how]
    graphs = recipe.compute.device.startswith("cuda") and recipe.start_size == recipe.size
    return [True, GRAPHS] if graphs and lesson.crew.world == 1 else [True]


def _how(lesson: Lesson) -> Form | None:
    """Return the form that the recipe says; None where it says none."""
    said = lesson.recipe.compute.compile
    return said if said is True or said == GRAPHS else None


def _form(lesson: Lesson, how: Form) -> Callable[[Tensor], Any]:
    module, recipe = lesson.network.module, lesson.recipe
    if how == GRAPHS:
        return recorded_form(module, rows=recipe.batch)
    return compiled_form(module, grows=recipe.start_size < recipe.size)


def _not_worth_trying(lesson: Lesson) -> str:
    """Return why compiling is not even tried, or nothing."""
    if lesson.recipe.epochs is not None:
        return "not timed, so that the same epochs give the same result"
    layers = sum(1 for m in lesson.network.module.modules() if not [*m.children()])
    expected = (_AT_LEAST + _A_LAYER * layers) * len(_candidates(lesson))
    left = max(0.0, lesson.seconds_left())
    if expected <= _TRYING * left:
        return ""
    return (
        f"not tried: compiling {layers} layers takes some {expected:.0f} s, too much to find out "
        f"with {left:.0f} s left"
    )


def _key(lesson: Lesson, how: Form) -> dict[str, Any]:
    return {**key_of(lesson), "compiled": how}


def _known(lesson: Lesson) -> dict[Form, Timed]:
    """Return what was timed here before; nothing unless all of it was."""
    found = {}
    for how in _candidates(lesson):
        kept = recall(_key(lesson, how)) or {}
        try:
            eager, compiled, took = (float(kept[name]) for name in ("eager", "compiled", "took"))
            refused = str(kept["refused"])[:300]
        except (LookupError, TypeError, ValueError, OverflowError):
            return {}
        if not all(0 < one < 1e6 for one in (eager, compiled, took)):
            return {}
        found[how] = Timed(eager, compiled, took, refused)
    return found


def _known_not_to_pay(lesson: Lesson, known: Mapping[Form, Timed]) -> str:
    """Return why compiling is not done again, or nothing: it must save more than it takes."""
    left = max(0.0, lesson.seconds_left())
    how, why = chosen(known, left)
    if how is False:
        return why
    if (left - known[how].took) / known[how].share > left:
        return ""
    return f"{why.partition('; ')[0]}: too much of the {left:.0f} s left"


def _timed_all(
    lesson: Lesson, trial: LessonTrial, forms: Mapping[Form, Callable[[Tensor], Any]]
) -> dict[Form, Timed]:
    """Time each form against the network as it is; what fails is said, and no choice."""
    found = {}
    for how, form in forms.items():
        try:
            found[how] = _timed(trial, form)
        except Exception as problem:  # compilers raise of every family
            _say(lesson, _failed(problem))
            found[how] = Timed(lesson.step_seconds, math.inf, math.inf, _failed(problem))
        else:
            if not found[how].busy:
                remember(_key(lesson, how), asdict(found[how]))
    return found


def _timed(trial: LessonTrial, form: Callable[[Tensor], Any]) -> Timed:
    """Time a step as it is and compiled, in turn, and compiling; compare their answers."""
    compiled = replace(trial, network=replace(trial.network, compiled=form))
    began = perf_counter()
    compiled.step()
    took = perf_counter() - began
    best, since, waited = [math.inf, math.inf], perf_counter(), waited_so_far()
    for which in [0, 1] * _ROUNDS:
        found = seconds_per_call((trial, compiled)[which].step, least=0.3, most_calls=6)
        best[which] = min(best[which], found)
    busy = waited_so_far() - waited > BUSY * (perf_counter() - since)
    for _ in range(_RECORDED):
        answers = compiled.answers()
    refused = refusal(difference(answers, trial.answers()), trial.noise())
    return Timed(best[0], best[1], took, refused, busy)


def _failed(problem: BaseException) -> str:
    first = next(iter(str(problem).splitlines()), "") or type(problem).__name__
    return f"torch.compile cannot be used here ({first[:160]}): training goes on without it"


def _say(lesson: Lesson, line: str) -> None:
    lesson.listen(Progress("said", lesson.clock.spent(), said=f"  {line}."))
