"""One node of a graph as the network runs it, and the arguments it was given."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from torch import Tensor

from quickstudy.errors import ChoiceError

#: What a shape, an axis or a bound is: kept in Python, so that the batch stays free and no
#: accelerator is asked for it.
Host = int | float | bool | list[Any]
Value = Tensor | Host | None

#: No value of a network may have more cells than this (8 GiB of float32).
MOST_CELLS = 2**31


@dataclass(frozen=True)
class Node:
    """An operator, the names of what goes in and comes out, and its attributes."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    opset: int
    name: str

    @classmethod
    def of(cls, kept: Mapping[str, Any], opset: int) -> Node:
        """Return the node that a description keeps as JSON."""
        attributes = {name: number(value) for name, value in kept["attributes"].items()}
        return cls(
            kept["op"],
            tuple(kept["inputs"]),
            tuple(kept["outputs"]),
            attributes,
            opset,
            kept.get("name", ""),
        )

    def given(self, name: str, inputs: Sequence[Value], at: int, default: Any = None) -> Any:
        """Return an argument that is an attribute in some opsets and input number `at` in others.

        A number, or a list of them: never a tensor. Raises `ChoiceError` where it is computed.
        """
        if name in self.attributes:
            return self.attributes[name]
        value = inputs[at] if at < len(inputs) else None
        if isinstance(value, Tensor):
            if value.is_meta:
                self.refuse(f"computes its {name} from the picture")
            value = value.tolist()
        return default if value is None else value

    def refuse(self, why: str) -> NoReturn:
        """Raise `ChoiceError`: this node does what is not supported."""
        raise ChoiceError(
            f"The network's {self.title} {why}, which is not supported.",
            "Export the network anew without it, or name a network: quickstudy networks.",
        )

    @property
    def title(self) -> str:
        """Return the operator and the name that the file gives the node."""
        return f"{self.op} '{self.name}'" if self.name else self.op


def number(value: Any) -> Any:
    """Return an attribute as a description keeps it: ``"inf"`` is text in strict JSON."""
    if isinstance(value, list):
        return [number(one) for one in value]
    return float(value) if value in ("inf", "-inf", "nan") else value


def plain(value: Any) -> Any:
    """Return a number as strict JSON can keep it; the inverse of `number`."""
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def listed(value: Any) -> list[Any]:
    """Return a number or a list of numbers as a list."""
    return list(value) if isinstance(value, list | tuple) else [value]


def check_cells(shape: Sequence[int], node: Node) -> None:
    """Raise `ChoiceError` for a shape that no computer here could hold."""
    if math.prod(shape) > MOST_CELLS:
        node.refuse(f"makes a tensor of {' x '.join(map(str, shape))}")


def needed(nodes: list[dict[str, Any]], output: str) -> list[dict[str, Any]]:
    """Return the nodes of a description that `output` needs, in order."""
    wanted, kept = {output}, []
    for node in reversed(nodes):
        if wanted & set(node["outputs"]):
            kept.append(node)
            wanted |= set(node["inputs"])
    return kept[::-1]
