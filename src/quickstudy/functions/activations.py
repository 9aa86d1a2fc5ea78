"""Activations: by name, or as an expression in x."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from quickstudy.errors import ChoiceError, did_you_mean
from quickstudy.functions.expression import Function, is_expression, parse
from quickstudy.functions.operations import FUNCTIONS, SYNONYMS

#: Names of torch.nn.functional -> torch's modules, with torch's defaults.
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "celu": nn.CELU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "hardsigmoid": nn.Hardsigmoid,
    "hardswish": nn.Hardswish,
    "hardtanh": nn.Hardtanh,
    "identity": nn.Identity,
    "leaky_relu": nn.LeakyReLU,
    "logsigmoid": nn.LogSigmoid,
    "mish": nn.Mish,
    "prelu": nn.PReLU,
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "selu": nn.SELU,
    "sigmoid": nn.Sigmoid,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "softsign": nn.Softsign,
    "tanh": nn.Tanh,
    "tanhshrink": nn.Tanhshrink,
}


def activation(name_or_expression: str) -> nn.Module:
    """Return an activation by name, or the elementwise function of x that a text describes.

    Besides `ACTIVATIONS`, every function of one number that expressions have will do: ``sin``.
    Each call returns a module of its own, with its own learned parameters. Raises `ChoiceError`.

    >>> activation("gelu")
    GELU(approximate='none')
    >>> activation("x * sigmoid(beta * x), beta=learn(1.0)").values()
    {'beta': 1.0}
    """
    if not isinstance(name_or_expression, str):
        kind = type(name_or_expression).__name__
        raise ChoiceError(f"An activation is a name or an expression, not {kind}.")
    if is_expression(name_or_expression):
        return _function_of_x(name_or_expression)
    name = name_or_expression.strip()
    if name in ACTIVATIONS:
        return ACTIVATIONS[name]()
    others = [n for n, f in FUNCTIONS.items() if f.elementwise and f.arity == 1]
    if name in others:
        return _function_of_x(f"{name}(x)")
    if name in SYNONYMS:
        raise ChoiceError(f"There is no activation '{name}'.", f"Did you mean '{SYNONYMS[name]}'?")
    known = [*ACTIVATIONS, *others]
    listed = f"Activations: {', '.join(ACTIVATIONS)}; or a function of x, as x * sigmoid(x)."
    raise ChoiceError(f"There is no activation '{name}'.", did_you_mean(name, known) or listed)


def _function_of_x(text: str) -> Function:
    expression = parse(text)
    function = Function(expression, ["x"])
    if "x" not in expression.names:
        hint = "Write a function of x: x * sigmoid(x)."
        raise ChoiceError(f"The activation '{text.strip()}' does not use its input x.", hint)
    return function
