"""The quickest way to compute a training step here that gives the same answers: by measuring.

Four things are settled one after the other, each by timing steps in turn (A B A B): what the C
library does with memory, the order of a picture's numbers, the precision, the threads. Whatever is
quicker must also answer as float32 does on the same batch, else it is refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import Tensor

#: What is settled, in this order.
AXES = ("memory_kept", "memory_format", "precision", "threads")
#: Of the time that a step takes: less than that is chance.
QUICKER = 0.97
#: Of the time: where more of it is spent waiting for the processor, others want it too.
BUSY = 0.1
_SCORES = 0.1  # of the size of float32's scores may theirs differ
_GRADIENT = 0.5  # of what other examples would change: adds a quarter to the gradient's variance
_NEVER = 0.02  # of the size of the gradient: less matters nowhere
_SCHEDSTAT = Path("/proc/thread-self/schedstat")
_WORDS: dict[str, dict[Any, str]] = {
    "memory_kept": {True: "memory kept", False: "memory returned to the system"},
    "threads": {1: "1 thread"},
}


@dataclass(frozen=True)
class Way:
    """One way to compute a step."""

    memory_kept: bool
    memory_format: str
    precision: str
    threads: int

    def word(self, axis: str) -> str:
        """Return how the reasons call what it does about `axis`."""
        value = getattr(self, axis)
        plain = f"{value} threads" if axis == "threads" else str(value)
        return _WORDS.get(axis, {}).get(value, plain)


@dataclass(frozen=True)
class Answers:
    """What a step said of a batch: scores ``N K``, and the gradient, flat."""

    scores: Tensor
    gradient: Tensor


@dataclass(frozen=True)
class Difference:
    """How far answers are from others, as shares of the others' size (Euclidean)."""

    scores: float
    gradient: float


class Trial(Protocol):
    """A training step that leaves no trace."""

    @property
    def on_processor(self) -> bool:
        """Whether the processor computes it, not a GPU."""

    def prepare(self, way: Way) -> None:
        """Set up what the next steps need."""

    def step(self) -> None:
        """Do forward and backward once; return when it is done."""

    def answers(self) -> Answers:
        """Do so once more and return what came of it."""

    def noise(self) -> float:
        """Return by what share of itself other examples would change the batch's gradient."""


@dataclass(frozen=True)
class Tuned:
    """What was settled, and by what figures."""

    way: Way
    seconds: float
    """Of one step; `plain` is that of PyTorch as installed."""
    plain: float
    why: Mapping[str, str]
    """A sentence for every one of `AXES`."""
    whole: bool = True
    """Whether there was time to measure all of it, on a computer that did nothing else."""


def difference(ours: Answers, theirs: Answers) -> Difference:
    """Return how far answers are from the other ones; infinite where they are no numbers."""
    return Difference(_share(ours.scores, theirs.scores), _share(ours.gradient, theirs.gradient))


def _share(ours: Tensor, theirs: Tensor) -> float:
    size = float(theirs.double().norm())
    apart = float((ours.double() - theirs.double()).norm())
    return apart / max(size, 1e-12) if math.isfinite(apart) else math.inf


def refusal(found: Difference, noise: float) -> str:
    """Return why answers are not the same, or nothing.

    A step's gradient is that of a few examples: others would change it by the share `noise`. An
    error small beside that changes nothing of what is learnt.
    """
    if not found.scores <= _SCORES:
        return f"its scores differ by {_percent(found.scores)}"
    if not found.gradient <= max(_NEVER, _GRADIENT * noise):
        return (
            f"its gradient differs by {_percent(found.gradient)}, where other examples would "
            f"change it by {_percent(noise)}"
        )
    return ""


def _percent(share: float) -> str:
    return "any amount" if math.isinf(share) else f"{100 * share:.{0 if share >= 0.1 else 1}f} %"


@dataclass
class _Search:
    trial: Trial
    limit: float
    """Seconds on the clock after which nothing more is begun."""
    plain: Way
    reference: Answers
    last: Way
    wall: dict[Way, float] = field(default_factory=dict)
    """Seconds of a step; `work` is what the processor did, in seconds of one core."""
    work: dict[Way, float] = field(default_factory=dict)
    waited: float = 0.0
    """Seconds in which other programs had the processor, of `spent` seconds."""
    spent: float = 0.0
    noise: float = math.nan

    @property
    def busy(self) -> bool:
        """Whether other programs want the processor too: then its own time is what to compare."""
        return self.waited > BUSY * self.spent

    def visit(self, way: Way, times: int = 1) -> None:
        """Time steps one way, the first after a change of memory not counted."""
        self.trial.prepare(way)
        if way.memory_kept != self.last.memory_kept:
            self.trial.step()
        self.last = way
        for _ in range(times):
            began, worked, waited = perf_counter(), process_time(), waited_so_far()
            self.trial.step()
            took, worked = perf_counter() - began, process_time() - worked
            self.waited, self.spent = self.waited + waited_so_far() - waited, self.spent + took
            self.wall[way] = min(took, self.wall.get(way, math.inf))
            self.work[way] = min(worked, self.work.get(way, math.inf))

    def affords(self, steps: int, way: Way) -> bool:
        return perf_counter() + steps * self.wall[way] <= self.limit

    def compared(self, way: Way) -> tuple[str, Difference]:
        """Return why a way is refused, or nothing, and how far its answers are from the plain."""
        if math.isnan(self.noise):
            self.trial.prepare(self.plain)
            self.noise = self.trial.noise()
        self.trial.prepare(way)
        try:
            found = difference(self.trial.answers(), self.reference)
        except (RuntimeError, TypeError, ValueError) as problem:  # of a network that is code
            first = next(iter(str(problem).splitlines()), "") or type(problem).__name__
            return f"it fails ({first[:160]})", Difference(math.inf, math.inf)
        return refusal(found, self.noise), found


def waited_so_far() -> float:
    """Return the seconds in which this thread could compute and others did; 0 where none counts.

    Linux counts them: Documentation/scheduler/sched-stats.rst.
    """
    try:
        return int(_SCHEDSTAT.read_text().split()[1]) / 1e9
    except (OSError, LookupError, ValueError):
        return 0.0


def tune(trial: Trial, options: Mapping[str, tuple[Any, ...]], usual: Way, allowed: float) -> Tuned:
    """Return the quickest way of those that the `options` for each axis allow.

    The first option is what PyTorch does as installed. In `allowed` seconds; where they do not
    suffice the `usual` way is taken, but never a precision whose answers were not compared.
    """
    plain = Way(**{axis: options[axis][0] for axis in AXES})
    trial.prepare(plain)
    limit = perf_counter() + allowed
    search = _Search(trial, limit, plain, trial.answers(), plain)
    search.visit(plain, 2)
    best, whole, why = plain, True, {}
    for axis in AXES:
        rivals = [replace(best, **{axis: one}) for one in options[axis][1:]]
        if not rivals:
            why[axis] = f"{plain.word(axis)}: the only way here"
        elif search.affords(2 + 3 * len(rivals), best):
            best, why[axis] = _quickest(search, best, rivals, axis)
        else:
            best, why[axis] = _unmeasured(search, best, axis, getattr(usual, axis))
            whole = False
    trial.prepare(best)
    seconds, as_installed = search.wall[best], search.wall[plain]
    return Tuned(best, seconds, as_installed, why, whole and not search.busy)


def same_answers(trial: Trial, plain: Way, way: Way) -> tuple[bool, str]:
    """Return whether a way answers as the plain one does, and a sentence; no clock decides this."""
    trial.prepare(plain)
    search = _Search(trial, 0.0, plain, trial.answers(), plain)
    why, found = search.compared(way)
    return not why, _said(way, "precision", why, found, search.noise)


def _unmeasured(search: _Search, best: Way, axis: str, value: Any) -> tuple[Way, str]:
    """Return the best way with the usual value for an axis, as quick as far as is known."""
    moved, said = replace(best, **{axis: value}), "the usual choice: no time to measure it"
    if axis == "precision" and moved != best:
        why, found = search.compared(moved)
        compared = _said(moved, axis, why, found, search.noise)
        if why:
            return best, f"no time to measure another; {compared}"
        said = f"{said}; {compared}"
    search.wall.setdefault(moved, search.wall[best])
    return moved, said


def _quickest(search: _Search, best: Way, rivals: list[Way], axis: str) -> tuple[Way, str]:
    """Return the quickest of the best so far and its rivals that answer the same, and why."""
    good, more = [], []
    for way in rivals:
        why, found = search.compared(way)
        if not why:
            good.append(way)
        if why or axis == "precision":
            more.append(_said(way, axis, why, found, search.noise))
    tried = [best, *good]
    if axis == "memory_kept":  # in turn, most steps would only fill the memory again
        for way in good:
            search.visit(way, 2)
    else:
        for way in tried * 2:
            search.visit(way)
    working = search.busy and search.trial.on_processor and axis != "threads"
    cost = search.work if working else search.wall
    winner = min(tried, key=lambda way: cost[way] / (1 if way == best else QUICKER))
    figures = ", ".join(
        f"{1000 * cost[way]:.0f} with {way.word(axis)}"
        for way in sorted(tried, key=lambda way: way != winner)
    )
    unit = "ms of processor time a step, for the computer is busy" if working else "ms a step"
    return winner, "; ".join([f"measured here, {unit}: {figures}", *more])


def _said(way: Way, axis: str, why: str, found: Difference, noise: float) -> str:
    if why:
        return f"{way.word(axis)} is refused: {why}"
    return (
        f"{way.word(axis)} changes the gradient by {_percent(found.gradient)}, other examples "
        f"would by {_percent(noise)}"
    )
