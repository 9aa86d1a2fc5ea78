"""Optimisers by name, from timm and from a factory; the learning rate through a run."""

from __future__ import annotations

import builtins
import copy
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from quickstudy.errors import ChoiceError, MissingExtra
from quickstudy.network import Built
from quickstudy.training import checkpoints
from quickstudy.training.lion import Lion
from quickstudy.training.optimizers import (
    OPTIMIZERS,
    check_optimizer,
    optimizer,
    rate_of,
    set_rate,
)
from quickstudy.training.rate import RANGES, range_for
from quickstudy.training.schedules import SHAPES, share_of_rate

FROM_BATCHES = [name for name in OPTIMIZERS if name != "lbfgs"]
X = torch.randn(32, 6, generator=torch.Generator().manual_seed(0))
Y = X[:, :1] * X[:, 1:2]


def network() -> Built:
    torch.manual_seed(0)
    layers = [nn.Linear(6, 8), nn.LayerNorm(8), nn.Tanh(), nn.Linear(8, 4), nn.Linear(4, 1)]
    return Built(nn.Sequential(*layers), "4")


def made(name: str, of: Built, lr: float | None = 1e-3, **more: Any) -> torch.optim.Optimizer:
    how = SimpleNamespace(name=name, lr=lr, momentum=0.9, weight_decay=0.01)
    recipe: Any = SimpleNamespace(optimizer=how)
    return optimizer(of, recipe, **more)


def learn(of: Built, by: torch.optim.Optimizer, steps: int) -> float:
    for _ in range(steps):
        of.module.zero_grad()
        loss = (of.module(X) - Y).square().mean()
        loss.backward()
        by.step()
    return float(loss.detach())


def timms() -> list[str]:
    import timm.optim

    known: list[str] = timm.optim.list_optimizers()
    return known


def usable(name: str) -> bool:
    try:
        check_optimizer(name)
    except ChoiceError:
        return False
    return True


def test_lion_is_its_definition_and_timms() -> None:
    from timm.optim import Lion as Theirs

    torch.manual_seed(1)
    start, gradients = torch.randn(4, 3), torch.randn(6, 4, 3)
    lr, one, two, decay = 0.01, 0.9, 0.99, 0.1
    parameter, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    ours = Lion([parameter], lr=lr, betas=(one, two), weight_decay=decay)
    oracle = Theirs([theirs], lr=lr, betas=(one, two), weight_decay=decay)
    p, m = start.clone(), torch.zeros(4, 3)
    for g in gradients:
        p = p - lr * ((one * m + (1 - one) * g).sign() + decay * p)  # Chen et al., algorithm 2
        m = two * m + (1 - two) * g
        parameter.grad, theirs.grad = g.clone(), g.clone()
        ours.step()
        oracle.step()
    torch.testing.assert_close(parameter.detach(), p)
    torch.testing.assert_close(parameter.detach(), theirs.detach())


@pytest.mark.parametrize("name", FROM_BATCHES)
def test_only_matrices_are_decayed_and_all_is_learnt(name: str) -> None:
    """Muon decays what it does not move as a matrix, too, as it always has."""
    of, own = network(), nn.Parameter(torch.tensor(1.0))
    by = made(name, of, also=[own])
    decayed = {id(p): g["weight_decay"] > 0 for g in by.param_groups for p in g["params"]}
    assert len(decayed) == len(list(of.module.parameters())) + 1
    for p in of.module.parameters():
        assert decayed[id(p)] == (p.ndim > 1 or name == "muon")
    assert not decayed[id(own)]
    assert id(by.param_groups[-1]["params"][-1]) == id(own)  # last: earlier numbers stay
    before = {k: v.clone() for k, v in of.module.state_dict().items()}
    own.grad = torch.ones(())
    first = learn(of, by, 1)
    assert own.item() < 1
    assert all(not torch.equal(before[k], p) for k, p in of.module.named_parameters())
    assert learn(of, by, 30) < first


def test_a_scalar_of_the_network_is_not_decayed_by_muon() -> None:
    of = network()
    of.module.register_parameter("beta", nn.Parameter(torch.tensor(3.0)))
    by = made("muon", of, lr=0.5)
    of.module.beta.grad = torch.zeros(())
    by.step()
    assert of.module.beta.item() == 3.0


def test_every_optimiser_learns_and_goes_on_from_a_checkpoint() -> None:
    tried = [*FROM_BATCHES, *(name for name in timms() if name not in OPTIMIZERS and usable(name))]
    assert {"adan", "lamb", "adopt", "nadamw", "madgrad", "novograd"} < set(tried)
    for name in tried:
        of = network()
        by = made(name, of, lr=1e-2)
        first = learn(of, by, 1)
        assert learn(of, by, 6) < first, name
        kept = {k: v.clone() for k, v in checkpoints.pack_optimizer(by).items()}
        other = copy.deepcopy(of)
        again = made(name, other, lr=1e-2)
        checkpoints.unpack_optimizer(again, kept)
        learn(of, by, 3)
        learn(other, again, 3)
        for p, q in zip(of.module.parameters(), other.module.parameters(), strict=True):
            assert torch.equal(p, q), name


def test_unknown_optimisers_get_did_you_mean() -> None:
    for name, near in (("adamW", "adamw"), ("lin", "lion"), ("adann", "adan")):
        with pytest.raises(ChoiceError, match="no optimiser") as caught:
            check_optimizer(name)
        assert caught.value.hint == f"Did you mean '{near}'?"
    for name in OPTIMIZERS:
        check_optimizer(name)


def test_without_timm_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *more: Any, **others: Any) -> Any:
        if name.startswith("timm"):
            raise ImportError(name)
        return real(name, *more, **others)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtra, match="lookahead") as caught:
        check_optimizer("lookahead_thing")
    assert "quickstudy[models]" in caught.value.hint
    with pytest.raises(ChoiceError, match="no optimiser 'adamv'"):
        check_optimizer("adamv")


@pytest.mark.parametrize("name", ["adahessian", "kron"])
def test_what_cannot_be_used_here_says_why(name: str) -> None:
    with pytest.raises(ChoiceError, match=r"second derivatives|cannot be kept"):
        check_optimizer(name)
    with pytest.raises(ChoiceError, match="all examples at once"):
        made("lbfgs", network())


def test_a_factory_gets_the_rate_if_it_takes_one() -> None:
    class Own(torch.optim.SGD):
        def __init__(self, params: Any, lr: float) -> None:
            super().__init__(params, lr=lr)

    factories: list[tuple[Any, float, float]] = [  # factory, its rate of 0.05, and of none
        (torch.optim.NAdam, 0.05, 2e-3),
        (partial(torch.optim.AdamW, betas=(0.8, 0.9)), 0.05, 1e-3),
        (lambda p: torch.optim.SGD(p, lr=0.3), 0.3, 0.3),
        (lambda p, rate: torch.optim.SGD(p, lr=rate), 0.05, 1e-3),
        (Own, 0.05, 1e-3),
    ]
    for factory, given, left in factories:
        of = network()
        assert rate_of(made("own", of, lr=0.05, factory=factory)) == given
        by = made("own", of, lr=None, factory=factory)
        assert rate_of(by) == left
        assert sum(len(g["params"]) for g in by.param_groups) == len(list(of.module.parameters()))


def test_a_factorys_groups_keep_the_proportions_of_their_rates() -> None:
    def factory(parameters: list[Tensor]) -> torch.optim.Optimizer:
        first = {"params": parameters[:2], "lr": 0.01}
        return torch.optim.SGD([first, {"params": parameters[2:]}], lr=0.1)

    own = nn.Parameter(torch.ones(()))
    by = made("own", network(), lr=None, factory=factory, also=[own])
    assert rate_of(by) == 0.1
    set_rate(by, 0.5)
    assert [g["lr"] for g in by.param_groups] == pytest.approx([0.05, 0.5])
    assert by.param_groups[1]["params"][-1] is own


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (lambda p: "adam", "returned str"),
        (lambda: None, "takes ()"),
        (lambda p, lr, more: None, "takes (p, lr, more)"),
        (lambda p: torch.optim.LBFGS(p), "all examples at once"),
    ],
)
def test_what_is_no_factory_is_refused(factory: Any, message: str) -> None:
    with pytest.raises(ChoiceError) as caught:
        made("own", network(), factory=factory)
    assert message in caught.value.message


def test_rates_to_try_are_those_of_the_family() -> None:
    assert range_for("adam") == range_for("nadamw") == range_for("cadamw") == RANGES["adamw"]
    assert range_for("clion") == RANGES["lion"]
    assert range_for("sgdw") == RANGES["sgd"]
    assert RANGES["lion"].usual == pytest.approx(RANGES["adamw"].usual / 10)
    for name in [*FROM_BATCHES, *timms()]:
        tried = range_for(name)
        assert tried.low < tried.usual / 10 < tried.usual * 10 <= tried.high, name


def shares(schedule: Any, by: torch.optim.Optimizer, steps: int) -> list[float]:
    found = []
    for _ in range(steps):
        found.append(by.param_groups[0]["lr"])
        by.step()
        schedule.step()
    return found


@pytest.mark.parametrize("steps", [20, 101])
def test_schedules_are_torchs(steps: int) -> None:
    from torch.optim import lr_scheduler as theirs

    last = steps - 1
    oracles = {
        "cosine": lambda o: theirs.CosineAnnealingLR(o, last),
        "linear": lambda o: theirs.PolynomialLR(o, last, power=1.0),
        "constant": lambda o: theirs.ConstantLR(o, factor=1.0),
        "exponential": lambda o: theirs.ExponentialLR(o, 0.01 ** (1 / last)),
    }
    for shape, oracle in oracles.items():
        by = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=1.0)
        ours = [share_of_rate(shape, 0.0, i / last) for i in range(steps)]
        assert ours == pytest.approx(shares(oracle(by), by, steps), abs=1e-9), shape


def test_warming_up_is_torchs() -> None:
    from torch.optim.lr_scheduler import LinearLR

    by = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=1.0)
    climb = LinearLR(by, start_factor=0.01, total_iters=20)
    ours = [share_of_rate("constant", 0.2, i / 100) for i in range(30)]
    exact = [max(0.01, i / 20) if i < 20 else 1.0 for i in range(30)]
    assert ours == pytest.approx(exact)
    assert ours == pytest.approx(shares(climb, by, 30), abs=0.01)  # ours is of 0, not of 0.01


@pytest.mark.parametrize("climbs", [0.1, 0.3, 0.5])
def test_one_cycle_is_torchs(climbs: float) -> None:
    from torch.optim.lr_scheduler import OneCycleLR

    steps = 100
    by = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=1.0)
    oracle = OneCycleLR(by, 1.0, total_steps=steps + 1, pct_start=climbs, cycle_momentum=False)
    warmup = (climbs * (steps + 1) - 1) / steps  # torch's climb ends a step early
    ours = [share_of_rate("one_cycle", warmup, i / steps) for i in range(steps)]
    assert ours == pytest.approx(shares(oracle, by, steps), abs=1e-9)


def test_step_is_torchs() -> None:
    from torch.optim.lr_scheduler import StepLR

    by = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=1.0)
    ours = [share_of_rate("step", 0.0, (i + 0.5) / 90) for i in range(90)]
    assert ours == pytest.approx(shares(StepLR(by, 30), by, 90))


def test_inverse_sqrt_is_its_definition() -> None:
    """Vaswani et al., 2017, equation 3, in units of its highest rate."""
    steps, warm = 1000, 100
    exact = [min(n**-0.5, n * warm**-1.5) * warm**0.5 for n in range(1, steps)]
    ours = [share_of_rate("inverse_sqrt", warm / steps, n / steps) for n in range(1, steps)]
    assert ours == pytest.approx(exact)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_schedule_never_leaves_0_to_1_and_peaks_after_the_warm_up(shape: str) -> None:
    for warmup in (0.0, 0.05, 1.0):
        found = [share_of_rate(shape, warmup, i / 200) for i in range(201)]
        assert all(0 <= share <= 1 for share in found)
        assert max(found) == pytest.approx(share_of_rate(shape, warmup, warmup))


def test_an_unknown_schedule_gets_did_you_mean() -> None:
    with pytest.raises(ChoiceError) as caught:
        share_of_rate("cosin", 0.0, 0.5)
    assert caught.value.hint == "Did you mean 'cosine'?"
