"""A loss that somebody wrote in Python: (prediction, target) -> scalar, checked at every call."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from quickstudy.errors import ChoiceError

_WANTED = "A loss takes (prediction, target), tensors N K, and returns one number as a tensor."


class Given(nn.Module):
    """A user's own loss; what it learns, if it is an nn.Module, are this module's parameters."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compute; raises `ChoiceError` for what is no scalar tensor that can be differentiated."""
        name = _called(self.function)
        try:
            found = self.function(prediction, target)
        except Exception as problem:
            if isinstance(problem, MemoryError) or "memory" in str(problem):
                raise  # the training loop takes smaller parts
            raise ChoiceError(
                f"The loss {name} failed: {type(problem).__name__}: {problem}", _WANTED
            ) from problem
        if not isinstance(found, Tensor):
            raise ChoiceError(
                f"The loss {name} returned {type(found).__name__}, not a tensor.", _WANTED
            )
        if found.numel() != 1:
            shape = " ".join(map(str, found.shape))
            raise ChoiceError(
                f"The loss {name} returned a tensor of {shape}, not one number.",
                "Return its mean: .mean().",
            )
        if not found.is_floating_point():
            raise ChoiceError(
                f"The loss {name} returned {found.dtype}, which has no gradient.", _WANTED
            )
        if torch.is_grad_enabled() and prediction.requires_grad and not found.requires_grad:
            raise ChoiceError(
                f"What the loss {name} returned does not depend on the prediction.",
                "Compute with torch alone, without .detach(), .item(), argmax or NumPy.",
            )
        return found.reshape(()).to(prediction.dtype)


def check_given(function: Any) -> None:
    """Raise `ChoiceError` for what cannot be called with two tensors, before it is."""
    if isinstance(function, type) and issubclass(function, nn.Module):
        name = function.__name__
        raise ChoiceError(f"{name} is a class, not a loss.", f"Give one made of it: {name}().")
    if not callable(function):
        raise ChoiceError(f"A {type(function).__name__} is no loss.", _WANTED)
    try:
        inspect.signature(function).bind(None, None)
    except TypeError as problem:
        raise ChoiceError(
            f"The loss {_called(function)} does not take two arguments: {problem}.", _WANTED
        ) from problem
    except ValueError:
        return  # one written in C tells nothing of itself: the first call will


def _called(function: Any) -> str:
    return str(getattr(function, "__name__", type(function).__name__))
