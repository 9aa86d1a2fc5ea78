"""Small problems fitted whole: closed forms, frequencies, XOR, and what cannot be fitted."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from quickstudy.errors import ChoiceError, RunError
from quickstudy.functions import Function, criterion, parse
from quickstudy.training.newton import newton
from quickstudy.training.whole import Fit, fit_whole

XOR = (torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]]), torch.tensor([[0.0], [1], [1], [0]]))


def formula(text: str) -> Function:
    return Function(parse(text), ["x"], free="learn")


def fitted(
    module: nn.Module, x: Tensor, y: Tensor, loss: str = "mean_squared_error", **m: Any
) -> Fit:
    return fit_whole(module, criterion(loss, task="regression"), x, y, **m)


def uniform(seed: int, n: int, low: float, high: float) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return low + (high - low) * torch.rand(n, 1, generator=random, dtype=torch.float64)


@pytest.mark.parametrize(
    ("low", "high"), [(-1, 1), (1000, 9000), (-5000, 5000), (5000, 5100), (1990, 2024)]
)
def test_a_line_is_the_closed_form(low: float, high: float) -> None:
    x = uniform(0, 10_000, low, high)
    noise = torch.randn(10_000, 1, generator=torch.Generator().manual_seed(1))
    y = 3.7 * x - 12.5 + noise
    exact = torch.linalg.lstsq(torch.cat([x, torch.ones_like(x)], 1), y).solution.ravel()
    line = formula("m*x + c")
    fit = fitted(line, x, y, restarts=8)
    assert float(fit.values["m"] - exact[0]) == pytest.approx(0, abs=1e-6)
    assert float(fit.values["c"] - exact[1]) == pytest.approx(0, abs=1e-6)
    assert fit.converged
    assert fit.reached == fit.restarts == 8
    assert fit.loss == pytest.approx(float((exact[0] * x + exact[1] - y).square().mean()))
    assert line.m.dtype == torch.float32  # as it was
    assert line.values()["m"] == pytest.approx(float(exact[0]), rel=1e-7)


def test_the_least_absolute_error_is_found_too() -> None:
    """Without second derivatives; the best constant is the median."""
    y = uniform(2, 101, -3, 8) ** 3
    fit = fitted(formula("0*x + c"), torch.zeros_like(y), y, "mean_absolute_error", restarts=8)
    assert float(fit.values["c"]) == pytest.approx(float(y.median()), abs=1e-3)


def missed(seed: int, spread: float = 1.0) -> float:
    """Fit a sine drawn at random; return how far the answer is off, symmetries taken out."""
    u = uniform(seed, 3, 0, 1).ravel().tolist()
    a, f, p = 0.5 + 2.5 * u[0], (0.5 + 3.5 * u[1]) / spread, 2 * math.pi * u[2]
    x = uniform(seed + 1000, 200, -5, 5) * spread
    fit = fitted(formula("a*sin(f*x + p)"), x, a * (f * x + p).sin(), seed=seed)
    found = {name: float(value) for name, value in fit.values.items()}
    if found["f"] < 0:  # sin(-z) = -sin(z)
        found = {name: -value for name, value in found.items()}
    if found["a"] < 0:
        found["a"], found["p"] = -found["a"], found["p"] + math.pi
    turned = math.remainder(found["p"] - p, 2 * math.pi)
    return max(abs(found["a"] - a), spread * abs(found["f"] - f), abs(turned))


def test_sines_are_recovered() -> None:
    assert [seed for seed in range(6) if not missed(seed) < 1e-4] == []
    assert missed(6, spread=100.0) < 1e-4


def test_xor_needs_two_layers() -> None:
    torch.manual_seed(0)
    two = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 1))
    fit = fitted(two, *XOR, restarts=12)
    assert fit.loss < 1e-10
    assert 1 <= fit.reached <= fit.restarts == 12
    assert torch.equal(two(XOR[0]) > 0.5, XOR[1] > 0.5)
    one = fitted(nn.Linear(2, 1), *XOR, restarts=4)
    assert one.loss == pytest.approx(0.25)  # a guess of a half


def test_a_neuron_is_logistic_regression() -> None:
    from sklearn.linear_model import LogisticRegression

    x = uniform(3, 300, -2, 2).reshape(100, 3)
    y = (x.sum(1) + uniform(4, 100, -2, 2).ravel() > 0).long()
    theirs = LogisticRegression(C=math.inf, tol=1e-10, max_iter=10_000).fit(x.numpy(), y.numpy())
    neuron = nn.Linear(3, 1)
    loss = criterion("binary_cross_entropy", task="multilabel")
    fit = fit_whole(neuron, loss, x, y[:, None].double(), restarts=3)
    assert fit.converged
    assert fit.values["weight"].ravel().tolist() == pytest.approx(theirs.coef_[0], rel=1e-4)


def test_the_same_seed_gives_the_same_weights_and_leaves_the_generator_alone() -> None:
    found = []
    for _ in range(2):
        torch.manual_seed(5)
        module = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Dropout(0.5), nn.Linear(2, 1))
        before = torch.get_rng_state()
        fitted(module, *XOR, restarts=3, seed=7)
        assert torch.equal(torch.get_rng_state(), before)
        assert module.training
        assert all(p.grad is None for p in module.parameters())
        found.append(module[0].weight.detach().clone())
    assert torch.equal(found[0], found[1])


def test_what_a_loss_learns_is_fitted_with_it() -> None:
    """The scale of a Laplace distribution: its likeliest value is the mean distance."""
    y = uniform(9, 400, -1, 1) ** 3
    text = "mean(abs(prediction - target)) / exp(s) + s, s=learn(0.0)"
    fit = fitted(formula("0*x + c"), torch.zeros_like(y), y, text, restarts=4)
    distance = (y - y.median()).abs().mean()
    s = next(value for name, value in fit.values.items() if name.endswith("s"))
    assert float(s.exp()) == pytest.approx(float(distance), rel=1e-3)


def test_val_chooses_between_ends() -> None:
    """Two bottoms are alike on the training example; only val tells which."""
    ends = Function(parse("(k*k - 1)**2 + x*k, k=learn(0.3)"), ["x"])
    zero = torch.zeros(1, 1)
    for wanted in (-1.0, 1.0):
        fit = fitted(ends, zero, zero, val=(torch.ones(1, 1), torch.full((1, 1), wanted)))
        assert float(fit.values["k"]) == pytest.approx(wanted, abs=1e-3)
        assert fit.val_loss == pytest.approx(0, abs=1e-5)


def test_starts_that_explode_are_dropped() -> None:
    x = uniform(11, 100, 0.1, 3)
    fit = fitted(formula("log(k*x)"), x, (2.5 * x).log())  # half of the draws are below 0
    assert float(fit.values["k"]) == pytest.approx(2.5)
    with pytest.raises(RunError, match="not a number from any"):
        fitted(formula("k * log(x)"), -x, x)


def test_nothing_to_learn_is_said() -> None:
    with pytest.raises(ChoiceError, match="nothing to learn"):
        fitted(Function(parse("2*x"), ["x"]), *XOR)


def test_without_time_or_on_request_there_is_still_an_answer() -> None:
    x = uniform(12, 50, 1, 3)
    for asked in ({"seconds_left": lambda: -1.0}, {"stop": lambda: True}):
        fit = fitted(formula("m*x + c"), x, 2 * x + 1, **asked)
        assert fit.restarts == 1
        assert fit.loss < 1e-6


def test_newton_finds_a_minimum_not_a_saddle() -> None:
    """Rosenbrock's valley from beside a saddle-like start; exact at (1, 1)."""
    p = torch.tensor([-1.2, 1.0], dtype=torch.float64, requires_grad=True)

    def valley() -> Tensor:
        return 0.01 * ((1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2)

    steps, reached = newton(valley, [p]) or (0, False)
    assert reached
    assert steps < 30
    assert p.tolist() == pytest.approx([1, 1], abs=1e-9)
    q = torch.tensor([1e-3], dtype=torch.float64, requires_grad=True)
    newton(lambda: (q**4 - q**2).sum(), [q])  # curves downward at the start
    assert abs(q.item()) == pytest.approx(math.sqrt(0.5), abs=1e-9)
    assert newton(lambda: q.abs().sum(), [q]) is None
    many = torch.zeros(65, dtype=torch.float64, requires_grad=True)
    assert newton(lambda: many.square().sum(), [many]) is None


def test_a_large_problem_ends_soon_after_its_time() -> None:
    """In the midst of the first twenty iterations, not after them."""
    layers = nn.Sequential(nn.Linear(400, 1500), nn.Tanh(), nn.Linear(1500, 1))
    x = torch.randn(3000, 400)
    began = time.perf_counter()
    fit = fitted(layers, x, x[:, :1].sin(), seconds_left=lambda: -1.0)
    assert math.isfinite(fit.loss) and fit.iterations < 20
    assert time.perf_counter() - began < 60
