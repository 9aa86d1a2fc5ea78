"""The fixed list of operations an expression may use: name -> torch, and how it is written."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

#: The largest number of float32, and so the largest in an expression.
LARGEST = torch.finfo(torch.float32).max
#: The largest of float16: torch refuses plain bounds and exponents beyond the type of x.
LARGEST_HALF = torch.finfo(torch.float16).max

#: Takes tensors and Python numbers, at least one of them a tensor.
Compute = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation: `usage` as it is written, and whether each element is computed alone."""

    usage: str
    compute: Compute
    elementwise: bool = True

    @property
    def arity(self) -> int:
        """How many arguments it takes."""
        return self.usage.count(",") + 1


def at_least(x: Tensor, bound: float) -> Tensor:
    """max(x, bound) with a plain number; at a tie the gradient goes to x, as torch.clamp has it."""
    return torch.clamp(x, min=bound)


def at_most(x: Tensor, bound: float) -> Tensor:
    """min(x, bound) with a plain number; at a tie the gradient goes to x."""
    return torch.clamp(x, max=bound)


def constant_like(x: Tensor, value: float) -> Tensor:
    """Return a number as a tensor without axes, of the type and on the device of x.

    Beyond what the type holds it is infinite.
    """
    return x.new_full((), value)


def spread(value: Tensor | float, *inputs: Tensor) -> Tensor:
    """Return what depends on no input in the shape to which the inputs broadcast."""
    shape = torch.broadcast_shapes(*[i.shape for i in inputs])  # type: ignore[no-untyped-call]
    if isinstance(value, Tensor):
        return value.expand(shape)
    return inputs[0].new_full(shape, value)


def last_softmax(x: Tensor) -> Tensor:
    """Softmax over the last axis; of a single number it is 1."""
    return torch.softmax(x, dim=-1)


def last_log_softmax(x: Tensor) -> Tensor:
    """Logarithm of the softmax over the last axis."""
    return torch.log_softmax(x, dim=-1)


#: Comparisons: only as the condition of `where`.
COMPARISONS: dict[str, Compute] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

#: Signs, by what they are called in a tree.
ARITHMETIC: dict[str, Compute] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "pow": operator.pow,
    "neg": operator.neg,
}

_OF_X: dict[str, Compute] = {
    "abs": torch.abs,
    "acos": torch.acos,
    "acosh": torch.acosh,
    "asin": torch.asin,
    "asinh": torch.asinh,
    "atan": torch.atan,
    "atanh": torch.atanh,
    "ceil": torch.ceil,
    "cos": torch.cos,
    "cosh": torch.cosh,
    "elu": F.elu,
    "erf": torch.erf,
    "erfc": torch.erfc,
    "exp": torch.exp,
    "exp2": torch.exp2,
    "expm1": torch.expm1,
    "floor": torch.floor,
    "gelu": F.gelu,
    "hardsigmoid": F.hardsigmoid,
    "hardswish": F.hardswish,
    "leaky_relu": F.leaky_relu,
    "log": torch.log,
    "log10": torch.log10,
    "log1p": torch.log1p,
    "log2": torch.log2,
    "logsigmoid": F.logsigmoid,
    "mish": F.mish,
    "relu": torch.relu,
    "round": torch.round,
    "selu": torch.selu,
    "sigmoid": torch.sigmoid,
    "sign": torch.sign,
    "silu": F.silu,
    "sin": torch.sin,
    "sinh": torch.sinh,
    "softplus": F.softplus,
    "sqrt": torch.sqrt,
    "square": torch.square,
    "tan": torch.tan,
    "tanh": torch.tanh,
}

#: Every function that may be called in an expression.
FUNCTIONS: dict[str, Operation] = {
    **{name: Operation(f"{name}(x)", compute) for name, compute in _OF_X.items()},
    "atan2": Operation("atan2(y, x)", torch.atan2),
    "clamp": Operation("clamp(x, low, high)", torch.clamp),
    "max": Operation("max(x, y)", torch.maximum),
    "maximum": Operation("maximum(x, y)", torch.maximum),
    "min": Operation("min(x, y)", torch.minimum),
    "minimum": Operation("minimum(x, y)", torch.minimum),
    "pow": Operation("pow(x, y)", operator.pow),
    "where": Operation("where(x > 0, y, z)", torch.where),
    "mean": Operation("mean(x)", torch.mean, elementwise=False),
    "sum": Operation("sum(x)", torch.sum, elementwise=False),
    "softmax": Operation("softmax(x)", last_softmax, elementwise=False),
    "log_softmax": Operation("log_softmax(x)", last_log_softmax, elementwise=False),
}

#: Two names for one operation -> the one kept in a tree.
SAME = {"max": "maximum", "min": "minimum"}

#: What others call it -> what it is called here.
SYNONYMS = {
    **{f"arc{name}": f"a{name}" for name in ("cos", "cosh", "sin", "sinh", "tan", "tanh", "tan2")},
    "average": "mean",
    "clip": "clamp",
    "expit": "sigmoid",
    "fabs": "abs",
    "if": "where",
    "ln": "log",
    "logistic": "sigmoid",
    "power": "pow",
    "sgn": "sign",
    "sqr": "square",
    "swish": "silu",
    "switch": "where",
}


def compute_of(name: str) -> Compute:
    """Return what computes an operation of a tree: a sign, a comparison or a function."""
    if name in ARITHMETIC:
        return ARITHMETIC[name]
    return COMPARISONS[name] if name in COMPARISONS else FUNCTIONS[name].compute


def on_numbers(name: str, arguments: list[float]) -> float:
    """Compute an operation on plain numbers in float64; it may come to infinity or no number."""
    tensors = [torch.tensor(a, dtype=torch.float64, device="cpu") for a in arguments]
    return float(compute_of(name)(*tensors))
