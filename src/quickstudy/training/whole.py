"""Small problems: all examples at once, by L-BFGS from many starting points, in double precision.

Cheap draws are ranked first, short runs from the best of them next; the best few are run to their
end, and where the parameters are few, Newton's steps settle the last digits.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from quickstudy.errors import ChoiceError, RunError
from quickstudy.training.newton import newton
from quickstudy.training.problem import OverdueError, Pair, Problem, State, exactly, like
from quickstudy.training.starts import Drawer, best_mixed

RESTARTS = 32
_DRAWS = 64  # ranked for each restart; a formula's loss costs some 0.1 ms
_SHORT, _LONG, _CHUNK = 40, 1000, 20  # iterations; between chunks the clock is asked
_POLISHED = 4


@dataclass(frozen=True)
class Fit:
    """What fitting left in the module, and how it went."""

    loss: float
    val_loss: float | None
    gradient: float
    """Norm of the loss's gradient at the end."""
    iterations: int
    """Of the run that was kept."""
    converged: bool
    """Further steps would not have lowered the loss."""
    restarts: int
    """Starting points that were run from."""
    reached: int
    """How many of them came to the best loss."""
    values: dict[str, Tensor]
    """Every learned parameter by name, in the precision of the computation."""


@dataclass
class _Run:
    """Where one starting point has led."""

    loss: float
    state: State
    iterations: int = 0
    converged: bool = False
    val_loss: float = math.inf


def fit_whole(
    module: nn.Module,
    criterion: nn.Module,
    x: Tensor,
    target: Tensor,
    *,
    val: Pair | None = None,
    restarts: int = RESTARTS,
    seed: int = 0,
    seconds_left: Callable[[], float] = lambda: math.inf,
    stop: Callable[[], bool] = lambda: False,
    double: bool = True,
) -> Fit:
    """Minimise ``criterion(module(x), target)`` over the parameters of both; leave the best there.

    The first start is the module as it is. Of the runs brought to their end the one with the least
    loss is kept, on `val` if given. Dropout is off. Raises `ChoiceError` where there is nothing to
    learn, `RunError` where every start ends in infinity. L-BFGS: Liu and Nocedal, 1989.
    """
    problem = Problem(module, criterion, x, target, seconds_left, stop)
    if not problem.parameters:
        raise ChoiceError("There is nothing to learn: no parameter.", "m*x + c learns m and c.")
    double = double and x.device.type != "mps"  # which has no float64
    own = [x.device] if x.is_cuda else []
    with exactly(problem, double), torch.random.fork_rng(devices=own):
        val = like(problem, val)
        runs = _short_runs(problem, restarts, seed)
        best = _polished(problem, runs, val)
        problem.load(best.state)
        near = best.loss + 0.01 * abs(best.loss) + 1e-6 * problem.scale
        return Fit(
            best.loss,
            best.val_loss if val is not None else None,
            _gradient(problem) * problem.scale,
            best.iterations,
            best.converged,
            len(runs),
            sum(run.loss <= near for run in runs),
            _values(problem),
        )


def _short_runs(problem: Problem, restarts: int, seed: int) -> list[_Run]:
    """Return where each start led in few iterations, those that stayed finite, best first."""
    first = problem.state()
    starts = [first, *_starts(problem, restarts - 1, seed)]
    begun = []
    for start in starts:
        problem.load(start)
        begun.append(problem.value())
    sound = sorted(abs(value) for value in begun if math.isfinite(value))
    problem.scale = max(sound[len(sound) // 2], 1e-300) if sound else 1.0
    runs: list[_Run] = []
    for start, value in zip(starts, begun, strict=True):
        if runs and not problem.go_on():
            break
        if math.isfinite(value):
            run = _descend(problem, _Run(value, start), _SHORT)
            runs += [run] if math.isfinite(run.loss) else []
    if not runs:
        raise RunError(
            f"The loss is not a number from any of {len(starts)} starting points.",
            "Look for a logarithm or root of what can be negative, or a division by 0.",
        )
    return sorted(runs, key=lambda run: run.loss)


def _starts(problem: Problem, many: int, seed: int) -> list[State]:
    """Return starting points: fresh layers; of a formula's parameters the best of many draws."""
    first, drawer = problem.state(), Drawer(problem.module, problem.x, problem.target, seed)
    draws = many if drawer.layers else many * _DRAWS
    found = []
    for number in range(draws):
        if not problem.go_on():
            break
        drawer.draw(number)
        value = problem.value(drawer.few)
        if math.isfinite(value):
            found.append((value, number))
    starts = []
    for number in best_mixed(found, many):
        drawer.draw(number)
        starts.append(problem.state())
        problem.load(first)
    problem.load(first)
    return starts


def _descend(problem: Problem, run: _Run, iterations: int) -> _Run:
    """Go on from a run's weights by L-BFGS; the loss is not a number where it exploded."""
    problem.load(run.state)
    solver = torch.optim.LBFGS(
        problem.parameters,
        max_iter=_CHUNK,
        max_eval=4 * _CHUNK,
        tolerance_grad=0.0,
        tolerance_change=1e-16,
        history_size=30,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        if problem.overdue():
            raise OverdueError
        solver.zero_grad()
        loss = problem.loss()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    done, loss, converged = 0, run.loss, False
    while done < iterations and not converged and (done == 0 or problem.go_on()):
        try:
            solver.step(closure)  # type: ignore[no-untyped-call]
        except OverdueError:
            loss = problem.value()
            if not loss <= run.loss:
                return run
            break
        before, loss = loss, problem.value()
        if not math.isfinite(loss):
            return _Run(math.nan, run.state)
        done += _CHUNK
        converged = before - loss <= 1e-9 * abs(loss) + 1e-15 * problem.scale
    steps = sum(int(state.get("n_iter", 0)) for state in solver.state.values())
    return _Run(loss, problem.state(), run.iterations + steps, converged)


def _polished(problem: Problem, runs: list[_Run], val: Pair | None) -> _Run:
    """Bring the best runs to their end, in place; return the best of them, on `val` if given."""
    ended: list[_Run] = []
    for number, run in enumerate(runs[:_POLISHED]):
        if ended and not problem.go_on():
            break
        further = _descend(problem, run, _LONG)
        run = further if further.loss <= run.loss else run
        problem.load(run.state)
        settled = newton(problem.loss, problem.parameters) if problem.go_on() else None
        if settled is not None:
            run = _Run(problem.value(), problem.state(), run.iterations + settled[0], settled[1])
        run.val_loss = problem.value(val) if val is not None else run.loss
        runs[number] = run
        ended.append(run)
    return min(ended, key=lambda run: run.val_loss if math.isfinite(run.val_loss) else math.inf)


def _gradient(problem: Problem) -> float:
    """Return the norm of the scaled loss's gradient."""
    parts = torch.autograd.grad(problem.loss(), problem.parameters, allow_unused=True)
    return math.sqrt(sum(float(part.square().sum()) for part in parts if part is not None))


def _values(problem: Problem) -> dict[str, Tensor]:
    named = itertools.chain(problem.module.named_parameters(), problem.criterion.named_parameters())
    return {name: p.detach().clone() for name, p in named if p.requires_grad}
