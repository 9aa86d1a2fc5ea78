"""The nodes of a graph that are layers of torch, and which tensor of the file each parameter is."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quickstudy.network.onnx.node import Node, Value, listed, number
from quickstudy.network.onnx.spatial import pair, sides
from quickstudy.network.standard import Head

#: Operators and their inputs that are learnt, where the file gives numbers for them.
LEARNT = {
    "BatchNormalization": (1, 2, 3, 4), "Conv": (1, 2), "Gemm": (1, 2),
    "GroupNormalization": (1, 2),
    "Head": (1, 2), "InstanceNormalization": (1, 2), "LayerNormalization": (1, 2),
    "Linear": (1, 2), "MatMul": (0, 1), "PRelu": (1,),
}  # fmt: skip
#: Learnt too where a vector meets what a layer made; before the first layer they prepare pictures.
ARITHMETIC = frozenset({"Add", "Sub", "Mul", "Div", "Sum"})
_NAMES = {"Conv": "conv", "BatchNormalization": "norm", "Linear": "linear", "Dropout": "dropout"}


class Conv(nn.Conv2d):
    """A convolution with the padding of its node, which may differ from side to side."""

    def __init__(self, node: Node, shape: list[int], bias: bool) -> None:
        if len(shape) != 4:
            node.refuse(f"has weights of the shape {shape}, not those of pictures")
        attributes, groups = node.attributes, int(node.attributes.get("group", 1))
        around = sides(attributes, shape[2:], None)
        even = around is not None and around[0] == around[1] and around[2] == around[3]
        super().__init__(
            shape[1] * groups,
            shape[0],
            (shape[2], shape[3]),
            pair(attributes, "strides"),
            (around[2], around[0]) if even and around is not None else 0,
            pair(attributes, "dilations"),
            groups,
            bias,
        )
        self.node, self.around, self.uneven = node, around, not even

    def forward(self, x: Tensor) -> Tensor:
        """Compute."""
        if self.uneven:
            around = self.around or sides(self.node.attributes, self.kernel_size, x.shape)
            x = F.pad(x, around or (0,))
        return super().forward(x)


class Norm(nn.BatchNorm2d):
    """Batch normalisation of ``N C`` or ``N C H W``."""

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim < 2:
            raise ValueError(f"batch normalisation of the shape {tuple(input.shape)}")


@dataclass
class Plan:
    """What a network is made of: its layers' nodes, and where each loose tensor comes from."""

    nodes: list[Node] = field(default_factory=list)
    layer: dict[int, str] = field(default_factory=dict)
    """Node by number -> the name of its layer."""
    loose: dict[tuple[int, int], str] = field(default_factory=dict)
    """(node, input) -> the name of a parameter or buffer that its function takes."""
    learnt: dict[str, str] = field(default_factory=dict)
    """Parameter -> tensor."""
    fixed: dict[str, str] = field(default_factory=dict)
    """Buffer -> tensor."""


def planned(description: Mapping[str, Any]) -> Plan:
    """Return which nodes are layers and which tensors are learnt.

    A matrix that several nodes use is one parameter. Vectors are each node's own: exporters merge
    all that happen to be equal, as fresh biases are.
    """
    plan = Plan([Node.of(kept, description["opset"]) for kept in description["nodes"]])
    shapes = {name: kept["shape"] for name, kept in description["tensors"].items()}
    shared, counts, raw = _shared(plan.nodes, shapes), Counter[str](), {"x"}
    for at, node in enumerate(plan.nodes):
        given = [(i, name) for i, name in enumerate(node.inputs) if name in shapes]
        learnt = {i for i, _ in given if i in LEARNT.get(node.op, ())}
        before = {n for n in node.inputs if n and n not in shapes} - set(description["constants"])
        if not learnt and before <= raw and node.op != "Conv":
            raw |= set(node.outputs)
        elif node.op in ARITHMETIC:
            learnt |= {i for i, name in given if math.prod(shapes[name]) > 1}
        if _is_layer(node, shapes, shared):
            kind = _NAMES.get(node.op, "head")
            counts[kind] += 1
            plan.layer[at] = "head" if kind == "head" else f"{kind}{counts[kind]}"
            continue
        if node.op == "BatchNormalization":
            node.refuse("computes its statistics")
        for i, name in given:
            is_learnt = i in learnt and description["tensors"][name]["float"]
            kind = node.op.lower()
            counts[kind] += is_learnt and name not in shared
            key = f"shared_{name}" if name in shared else f"{kind}_{counts[kind]}"
            key = key if is_learnt else f"constant_{name}"
            plan.loose[at, i] = key
            (plan.learnt if is_learnt else plan.fixed)[key] = name
    return plan


def _shared(nodes: list[Node], shapes: Mapping[str, list[int]]) -> set[str]:
    uses = Counter(name for node in nodes for name in node.inputs)
    matrices = {name for name, shape in shapes.items() if sum(size > 1 for size in shape) > 1}
    return {name for name in matrices if uses[name] > 1}


def _is_layer(node: Node, shapes: Mapping[str, list[int]], shared: set[str]) -> bool:
    given = [name for name in node.inputs[1:] if name]
    if node.op in ("Dropout", "Head"):
        return True
    own = all(name in shapes and name not in shared for name in given)
    return node.op in _NAMES and own and node.inputs[0] not in shapes


def made(
    node: Node,
    shapes: Mapping[str, list[int]],
    hosts: Mapping[str, Value],
    classes: int | None,
    dropout: float,
) -> nn.Module:
    """Return the layer of a node with fresh weights; `classes` and `dropout` are for the head."""
    if node.op == "Dropout":
        ratio = node.given("ratio", [None, *(hosts.get(n) for n in node.inputs[1:])], 1, 0.5)
        return nn.Dropout(float(listed(number(ratio))[0]))
    shape, bias = shapes[node.inputs[1]], len(node.inputs) > 2 and bool(node.inputs[2])
    if node.op == "Conv":
        return Conv(node, shape, bias)
    if node.op == "BatchNormalization":
        if len(shape) != 1:
            node.refuse("keeps statistics for every position")
        kept = float(node.attributes.get("momentum", 0.9))
        new = 1 - kept if 0 < kept < 1 else 0.1  # ONNX counts what is kept, torch what is new
        return Norm(shape[0], float(node.attributes.get("epsilon", 1e-5)), new)
    ins, outs = features(node, shape)
    if node.op == "Head":
        return Head(ins, outs if classes is None else classes, dropout)
    return nn.Linear(ins, outs, bias)


def features(node: Node, shape: list[int]) -> tuple[int, int]:
    """Return features in and out of a linear layer, or of a 1 x 1 convolution that is one."""
    turned = node.op == "Conv" or node.attributes.get("transB", 0)
    return (shape[1], shape[0]) if turned else (shape[0], shape[1])


def filled(node: Node, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a node's layer, by the names that torch has for them."""
    if node.op == "Dropout":
        return {}
    given = [tensors[name] if name else None for name in node.inputs[1:]]
    if node.op == "BatchNormalization":
        names = ("weight", "bias", "running_mean", "running_var")
        found = {name: t for name, t in zip(names, given, strict=True) if t is not None}
        return found | {"num_batches_tracked": torch.tensor(0)}
    weight, bias = given[0], given[1] if len(given) > 1 else None
    assert weight is not None  # a layer has one
    if node.op in ("Linear", "Head"):
        weight = weight.flatten(1) if node.attributes.get("transB", 0) else weight.t()
        weight = weight * float(node.attributes.get("alpha", 1.0))
        bias = None if bias is None else bias.flatten() * float(node.attributes.get("beta", 1.0))
        if bias is None and node.op == "Head":
            bias = torch.zeros(len(weight))
    named = {"weight": weight.contiguous()}
    return named if bias is None else named | {"bias": bias.contiguous()}
