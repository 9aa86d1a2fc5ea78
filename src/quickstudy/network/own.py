"""Networks that somebody made in Python: any nn.Module, what makes one, a Keras 3 model."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from quickstudy.errors import ChoiceError
from quickstudy.network.keras import Keras, check_backend, is_keras
from quickstudy.recipe import PREFIX as PREFIX

#: Arguments with a default that nevertheless mean the number of outputs.
_OUTPUTS = ("outputs", "classes", "num_classes", "n_classes", "num_outputs", "out_features")


def check_kind(own: Any) -> None:
    """Raise `ChoiceError` for what is no network and makes none, or one that torch cannot run."""
    check_backend(own)
    if not isinstance(own, nn.Module) and not callable(own):
        raise ChoiceError(
            f"A {type(own).__name__} is no network.",
            "Give a name, a stack, an nn.Module, or a function of the number of classes.",
        )


def called(own: Any) -> str:
    """Return the name that a recipe and a model keep for a network, loss or optimiser of code."""
    while isinstance(own, functools.partial):
        own = own.func
    return f"{PREFIX}{getattr(own, '__name__', type(own).__name__)}"


def made(own: Any, outputs: int) -> nn.Module:
    """Return the network: `own` itself, or what it makes when called with the number of outputs.

    A class or a function may take that number or nothing. Raises `ChoiceError` for what is neither,
    and for what fails.
    """
    check_kind(own)
    module = own if isinstance(own, nn.Module) else _call(own, outputs)
    check_backend(module)
    if not isinstance(module, nn.Module):
        raise ChoiceError(
            f"The network function returned a {type(module).__name__}, not an nn.Module.",
            "Return the network: def network(classes): return nn.Sequential(...)",
        )
    return Keras(module) if is_keras(module) else module


def _call(own: Callable[..., Any], outputs: int) -> Any:
    place, keywords = _arguments(own, outputs)
    try:
        return own(*place, **keywords)
    except Exception as problem:  # whatever their code raises is theirs to mend
        given = ", ".join([*map(str, place), *(f"{k}={v}" for k, v in keywords.items())])
        name = called(own).removeprefix(PREFIX)
        raise ChoiceError(
            f"The network {name}({given}) could not be made: {_said(problem)}",
            "Give what can be called with the number of outputs, or with nothing: "
            "network=lambda outputs: MyNet(3, outputs).",
        ) from problem


def _arguments(own: Callable[..., Any], outputs: int) -> tuple[list[int], dict[str, int]]:
    """Return with what a class or function is called: the number of outputs, or nothing."""
    try:
        parameters = inspect.signature(own).parameters.values()
    except (TypeError, ValueError):
        return [], {}
    free = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if any(p.kind in free and p.default is p.empty for p in parameters):
        return [outputs], {}
    named = [p.name for p in parameters if p.name in _OUTPUTS and p.kind not in free[:1]]
    return [], {named[0]: outputs} if named else {}


def last_linear(module: nn.Module, outputs: int) -> str:
    """Return the dotted path of the last linear layer that gives `outputs`, '' for none."""
    found = [
        path
        for path, layer in module.named_modules()
        if path and type(layer) is nn.Linear and layer.out_features == outputs
    ]
    return found[-1] if found else ""


def check(module: nn.Module, example: Tensor, outputs: int) -> None:
    """Raise `ChoiceError` unless a network gives scores ``N outputs`` for `example` ``N ...``.

    It must have something to learn, and keep nothing but tensors.
    """
    was_training = module.training
    try:
        with torch.no_grad():  # lazy layers make their weights here: these must be learnable
            found = module.eval()(example)
    except Exception as problem:  # whatever their code raises is theirs to mend
        raise ChoiceError(
            f"The network cannot take {list(example.shape)}: {_said(problem)}",
            "It gets a batch of that shape; see the recipe's size and channels.",
        ) from problem
    finally:
        module.train(was_training)
    shape = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
    if shape != [len(example), outputs]:
        raise ChoiceError(
            f"The network gives {shape} for {len(example)} examples; "
            f"{[len(example), outputs]} is asked for: {outputs} scores each.",
            "Give a function of the number of outputs: network=lambda outputs: MyNet(outputs).",
        )
    if outputs > 1 and _is_shares(found):
        raise ChoiceError(
            "The network gives probabilities (every row adds up to 1); scores are asked for.",
            "Leave out the softmax at its end: the loss and the model have their own.",
        )
    _check_kept(module)


def _is_shares(found: Tensor) -> bool:
    sums = found.float().sum(1)
    return bool((found >= 0).all()) and bool(torch.allclose(sums, torch.ones_like(sums)))


def _check_kept(module: nn.Module) -> None:
    if not any(p.requires_grad for p in module.parameters()):
        raise ChoiceError(
            "There is nothing to learn: the network has no parameter that may change.",
            "Register its tensors as nn.Parameter, with requires_grad.",
        )
    for name, kept in module.state_dict().items():
        if not isinstance(kept, Tensor):
            raise ChoiceError(
                f"The network keeps '{name}', a {type(kept).__name__}: only tensors can be saved.",
                "Leave out get_extra_state.",
            )


def _said(problem: Exception) -> str:
    first = str(problem).strip().splitlines()
    return f"{type(problem).__name__}: {first[0]}" if first else type(problem).__name__
