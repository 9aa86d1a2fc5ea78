"""Networks that somebody made in Python: any nn.Module, what makes one, a Keras 3 model."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from quickstudy.errors import ChoiceError

#: How a recipe calls a network that is code.
PREFIX = "python:"


class ChannelsLast(nn.Module):
    """A network that takes pictures ``N H W C``, as Keras has them -> one for ``N C H W``."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Compute."""
        out: Tensor = self.network(x.permute(0, 2, 3, 1) if x.ndim == 4 else x)
        return out


def called(own: Any) -> str:
    """Return the name that a recipe and a model keep for a network that is code."""
    named = own if inspect.isclass(own) or inspect.isfunction(own) else type(own)
    return f"{PREFIX}{getattr(named, '__qualname__', type(own).__name__)}"


def made(own: Any, outputs: int) -> nn.Module:
    """Return the network: `own` itself, or what it makes when called with the number of outputs.

    A class or a function may take that number or nothing. Raises `ChoiceError` for what is neither.
    """
    module = own
    if not isinstance(own, nn.Module):
        if not callable(own):
            raise ChoiceError(
                f"A {type(own).__name__} is no network.",
                "Give a name, a stack, an nn.Module, or a function of the number of classes.",
            )
        module = own(outputs) if _takes_outputs(own) else own()
    if not isinstance(module, nn.Module):
        raise ChoiceError(
            f"The network function returned a {type(module).__name__}, not an nn.Module.",
            "Return the network: def network(classes): return nn.Sequential(...)",
        )
    return ChannelsLast(module) if _is_keras(module) else module


def _takes_outputs(function: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    free = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return any(p.kind in free and p.default is p.empty for p in parameters)


def _is_keras(module: nn.Module) -> bool:
    return any(kind.__module__.split(".")[0] == "keras" for kind in type(module).__mro__)


def last_linear(module: nn.Module, outputs: int) -> str:
    """Return the dotted path of the last linear layer that gives `outputs`, '' for none."""
    found = [
        path
        for path, layer in module.named_modules()
        if type(layer) is nn.Linear and layer.out_features == outputs
    ]
    return found[-1] if found else ""


def check(module: nn.Module, example: Tensor, outputs: int) -> None:
    """Raise `ChoiceError` unless a network gives scores ``N outputs`` for `example` ``N ...``."""
    was_training = module.training
    try:
        with torch.inference_mode():
            found = module.eval()(example)
    except Exception as problem:  # whatever their code raises is theirs to mend
        raise ChoiceError(
            f"The network cannot take {list(example.shape)}: "
            f"{type(problem).__name__}: {str(problem).splitlines()[0] if str(problem) else ''}",
            "It gets a batch of that shape; see the recipe's size and channels.",
        ) from problem
    finally:
        module.train(was_training)
    shape = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
    if shape != [len(example), outputs]:
        raise ChoiceError(
            f"The network gives {shape} for {len(example)} examples; {outputs} scores each "
            "are asked for.",
            "Give a function of the number of outputs: network=lambda classes: MyNet(classes).",
        )
