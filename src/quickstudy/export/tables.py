"""Rows as they are decoded -> answers: the part of an exported graph that is for tables.

What is known of the columns (middle, spread, edges, words) is part of the network already.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from quickstudy.functions.operations import compute_of

#: What onnxruntime 1.32 computes in single precision only.
_SINGLE = frozenset(
    compute_of(name)
    for name in (
        *("acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cosh", "elu", "erf", "erfc"),
        *("gelu", "hardsigmoid", "hardswish", "leaky_relu", "mish", "selu", "sinh", "softplus"),
        *("tan",),
    )
)


class Rows(nn.Module):
    """Takes ``rows`` ``N F`` float32: NaN where a cell is missing, words as codes."""

    def __init__(self, answering: nn.Module) -> None:
        super().__init__()
        self.answering: Any = answering

    def forward(self, rows: Tensor) -> tuple[Tensor, ...]:
        """Return answers ``N K``, and how unlike what was learnt from each is, ``N``."""
        with _Single():
            found = self.answering.ask(rows)
        told: tuple[Tensor, ...] = self.answering.told(found)
        return told


class _Single(TorchFunctionMode):
    """Computes a few functions of double precision in single, which every runtime has."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        double = func in _SINGLE and any(_is_double(one) for one in args)
        if not double:
            return func(*args, **(kwargs or {}))
        return func(*(one.float() if _is_double(one) else one for one in args)).double()


def _is_double(one: Any) -> bool:
    return isinstance(one, Tensor) and one.dtype == torch.float64
