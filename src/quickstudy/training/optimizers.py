"""Optimisers by name: torch's, timm's, and ours."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from quickstudy.errors import ChoiceError, MissingExtra, did_you_mean
from quickstudy.network import Built
from quickstudy.recipe import Recipe
from quickstudy.training.lion import Lion
from quickstudy.training.muon import Muon
from quickstudy.training.parts import in_parts, norm_of

#: Makes an optimiser of parameters, or of parameters and a learning rate.
Factory = Callable[..., torch.optim.Optimizer]

_ANY = 1e-3  # rate to be made with until one is set: of 0, some cannot be made
#: The optimisers by name that need nothing but torch.
OPTIMIZERS = ("sgd", "adam", "adamw", "lion", "muon", "lbfgs")


def check_optimizer(name: str) -> None:
    """Raise `ChoiceError` unless `name` is one of `OPTIMIZERS` or timm's that runs here.

    Raises `MissingExtra` where timm is not installed and might have it.
    """
    if name in OPTIMIZERS:
        return
    ours = did_you_mean(name.lower(), OPTIMIZERS)
    missing = f"There is no optimiser '{name}'."
    try:
        import timm.optim
    except ImportError:
        if ours:
            raise ChoiceError(missing, ours) from None
        raise MissingExtra(f"The optimiser '{name}', if it is timm's,", "models") from None
    known = [*OPTIMIZERS, *timm.optim.list_optimizers()]
    if name not in known:
        near = did_you_mean(name.lower(), known)
        raise ChoiceError(missing, near or f"Optimisers: {', '.join(OPTIMIZERS)}, or timm's.")
    if timm.optim.get_optimizer_info(name).second_order:
        raise ChoiceError(
            f"The optimiser {name} needs second derivatives, which are not computed here.",
            "Choose another one, as adamw or adan.",
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries that would make it quicker
        _check_state(name)


def _check_state(name: str) -> None:
    """Raise `ChoiceError` where what it remembers does not fit a checkpoint."""
    tried = nn.Parameter(torch.zeros(2, 2))
    tried.grad = torch.ones(2, 2)
    made = _timms(name, [{"params": [tried]}], _ANY, 0.9)
    made.step()
    kept = [value for state in made.state.values() for value in state.values()]
    if not all(isinstance(value, Tensor | int | float | None) for value in kept):
        raise ChoiceError(
            f"What the optimiser {name} remembers cannot be kept: a run could not go on after a "
            "kill.",
            "Choose another one, as adamw or adan.",
        )


def _timms(
    name: str, groups: list[dict[str, Any]], lr: float, momentum: float
) -> torch.optim.Optimizer:
    """Return one of timm's; raises `ChoiceError` where it cannot be made here."""
    import timm.optim

    info = timm.optim.get_optimizer_info(name)
    # of betas, Adan's three and others' second suit each method: only timm's own values are tried
    own = {"momentum": momentum} if info.has_momentum else {}
    try:
        made: torch.optim.Optimizer = timm.optim.create_optimizer_v2(groups, name, lr=lr, **own)
    except (ImportError, AssertionError, RuntimeError, TypeError) as problem:
        why = str(problem).rstrip(".") or type(problem).__name__
        raise ChoiceError(
            f"The optimiser {name} cannot be used here: {why}.",
            "It may need a library or a GPU that is not there; choose another one.",
        ) from problem
    return made


def optimizer(
    network: Built,
    recipe: Recipe,
    *,
    also: Iterable[nn.Parameter] = (),
    factory: Factory | None = None,
) -> torch.optim.Optimizer:
    """Return the recipe's optimiser over the network; norms and biases are not decayed.

    `also` is learned as well, undecayed: a loss's own parameters. Parameters are grouped in the
    network's own order, `also` last, so saved states fit by number. With a `factory` it is made by
    that, in the order given. Raises `ChoiceError` for what cannot learn from batches.
    """
    how = recipe.optimizer
    learnt = [p for p in network.module.parameters() if p.requires_grad]
    more = [p for p in also if p.requires_grad]
    if factory is not None:
        return _by_factory(factory, [*learnt, *more], how.lr)
    decayed = [p for p in learnt if p.ndim > 1]
    plain = [p for p in learnt if p.ndim <= 1]
    if how.name == "muon":
        last = set(map(id, network.beside()))
        matrices = [p for p in decayed if id(p) not in last]
        beside = [p for p in learnt if p.ndim == 1 or id(p) in last]
        more = [*(p for p in learnt if p.ndim == 0), *more]
        usual = {"lr": how.lr or 0.0, "weight_decay": how.weight_decay, "momentum": how.momentum}
        return Muon(matrices, beside, more, **usual)
    groups = [
        {"params": decayed, "weight_decay": how.weight_decay},
        {"params": plain, "weight_decay": 0.0},
        {"params": more, "weight_decay": 0.0},
    ]
    return _named(how.name, [g for g in groups if g["params"]], how.lr, how.momentum)


def _named(
    name: str, groups: list[dict[str, Any]], rate: float | None, momentum: float
) -> torch.optim.Optimizer:
    lr, fused = rate or 0.0, _fused(groups)
    if name == "sgd":
        nesterov = momentum > 0
        return torch.optim.SGD(groups, lr=lr, momentum=momentum, nesterov=nesterov, fused=fused)
    if name in ("adam", "adamw"):
        method = torch.optim.Adam if name == "adam" else torch.optim.AdamW
        return method(groups, lr=lr, betas=(momentum, 0.99), fused=fused)
    if name == "lion":
        return Lion(groups, lr=lr, betas=(momentum, 0.99))
    if name == "lbfgs":
        raise ChoiceError(
            "L-BFGS takes all examples at once; it cannot learn from batches.",
            "It is for formulas and tables; take adamw or muon here.",
        )
    return _timms(name, groups, rate or _ANY, momentum)


def _fused(groups: list[dict[str, Any]]) -> bool | None:
    """Return whether one kernel moves all parameters: on a GPU; on a CPU that gains nothing.

    That it gains nothing is measured: 1.00 times on ResNet-18, two cores. None is torch's choice.
    """
    learnt = [p for group in groups for p in group["params"]]
    able = (p.is_cuda and p.is_floating_point() and not in_parts(p) for p in learnt)
    return True if learnt and all(able) else None


def _by_factory(
    factory: Factory, parameters: list[nn.Parameter], rate: float | None
) -> torch.optim.Optimizer:
    """Return what a user's function makes; the rates of its groups keep their proportions."""
    name = getattr(factory, "__name__", type(factory).__name__)
    made = _made(factory, parameters, rate)
    if not isinstance(made, torch.optim.Optimizer):
        raise ChoiceError(
            f"{name} returned {type(made).__name__}, not a torch.optim.Optimizer.",
            "Give a function of the parameters, as lambda p: torch.optim.NAdam(p, lr=1e-3).",
        )
    if isinstance(made, torch.optim.LBFGS):
        raise ChoiceError(
            "L-BFGS takes all examples at once; it cannot learn from batches.",
            "Give its name instead: optimizer='lbfgs', for formulas and tables.",
        )
    highest = rate_of(made)
    for group in made.param_groups:
        group["rate_share"] = float(group["lr"]) / highest if highest > 0 else 1.0
    return made


def _made(factory: Factory, parameters: list[nn.Parameter], rate: float | None) -> Any:
    """Call a factory with the parameters, and with the learning rate if it takes one.

    Without a rate its own default holds. Raises `ChoiceError` where it asks for more.
    """
    try:
        takes = inspect.signature(factory).parameters
    except ValueError:
        return factory(parameters)  # one written in C tells nothing of itself
    by_place, needed = _by_place(takes)
    if not by_place or needed[1:] or (needed and "lr" in takes and needed != ["lr"]):
        raise ChoiceError(
            f"The optimiser takes ({', '.join(takes)}).",
            "Give a function of the parameters, or of the parameters and lr.",
        )
    if needed and "lr" not in takes:
        return factory(parameters, rate or _ANY)
    if "lr" in takes and (needed or rate is not None):
        return factory(parameters, lr=rate or _ANY)
    return factory(parameters)


def _by_place(takes: Mapping[str, inspect.Parameter]) -> tuple[list[str], list[str]]:
    """Return the names of what can be given by its place, and which must be, the first left out."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    found = [p for p in takes.values() if p.kind in kinds]
    return [p.name for p in found], [p.name for p in found[1:] if p.default is p.empty]


def asks_for_rate(factory: Factory) -> bool:
    """Return whether a factory must be told a learning rate."""
    try:
        return bool(_by_place(inspect.signature(factory).parameters)[1])
    except ValueError:
        return False


def rate_of(of: torch.optim.Optimizer) -> float:
    """Return the highest learning rate of the groups: a factory's own, before any was set."""
    return max(float(group["lr"]) for group in of.param_groups)


def set_rate(of: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of every group: its share of `lr`, where it has one."""
    for group in of.param_groups:
        group["lr"] = lr * group.get("rate_share", 1.0)


def clip(of: torch.optim.Optimizer, most: float) -> float:
    """Scale the gradient of all that is learnt down to norm `most`; return what its norm was."""
    learnt = [p for group in of.param_groups for p in group["params"]]
    norm = norm_of([p.grad for p in learnt if p.grad is not None])
    found = float(norm)
    if not found + 1e-6 <= most:  # else torch multiplies all of it by 1
        torch.nn.utils.clip_grads_with_norm_(learnt, most, norm)
    return found
