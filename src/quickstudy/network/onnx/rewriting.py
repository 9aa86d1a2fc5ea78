"""A graph -> the same graph: constants evaluated, linear layers whole, batch free."""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from quickstudy.errors import ChoiceError
from quickstudy.network.onnx.layers import LEARNT
from quickstudy.network.onnx.network import GraphNetwork, refusing, state, tried
from quickstudy.network.onnx.node import Node, Value, needed, plain
from quickstudy.network.onnx.operators import OPERATORS
from quickstudy.network.onnx.shapes import as_host, as_tensor

Graph = dict[str, Any]
Tensors = dict[str, Tensor]
Known = dict[str, Value]

_MOST_FOLDED = 2**27  # cells of all evaluated constants together: 512 MiB
_MOST_TRIED = 2**26  # cells of the pictures that prove a batch free


def folded(graph: Graph, tensors: Mapping[str, Tensor]) -> tuple[Graph, Known]:
    """Return the graph without nodes whose inputs are all known, and all that is known then.

    ``Identity`` goes too, so that weights an exporter merged stay one.
    """
    known: Known = {name: as_host(tensor) for name, tensor in tensors.items()}
    alias: dict[str, str] = {}
    taken = {name for one in graph["nodes"] for name in one["inputs"]} | {graph["output"]}
    kept, cells = [], 0
    for one in graph["nodes"]:
        one = {**one, "inputs": [alias.get(name, name) for name in one["inputs"]]}
        node = Node.of(one, graph["opset"])
        if node.op == "Identity" or (node.op == "Dropout" and node.inputs[0] in known):
            alias[node.outputs[0]] = node.inputs[0]
        elif node.op == "Constant":
            known[node.outputs[0]] = _constant(node, known)
        elif all(name in known for name in node.inputs if name) and node.op in OPERATORS:
            inputs = [known[name] if name else None for name in node.inputs]
            for name, value in zip(node.outputs, _evaluated(node, inputs), strict=False):
                cells += value.numel() if isinstance(value, Tensor) else 0
                if cells > _MOST_FOLDED:
                    node.refuse(f"is the last of constants with {cells} cells")
                known[name] = as_host(value) if isinstance(value, Tensor) else value
        else:
            kept.append(_used_outputs(one, taken, graph["opset"]))
    output = str(alias.get(graph["output"], graph["output"]))
    if not any(output in one["outputs"] for one in kept):
        raise ChoiceError(
            "The network's answer does not depend on the picture.",
            "Give a network that classifies pictures.",
        )
    return {**graph, "nodes": needed(kept, output), "output": output}, known


def _constant(node: Node, known: Known) -> Value:
    name, value = next(iter(node.attributes.items()), ("", ""))
    if name == "value":
        return known[value]
    if name not in ("value_int", "value_ints", "value_float", "value_floats"):
        node.refuse("holds no number")
    return as_host(torch.tensor(value))


def _evaluated(node: Node, inputs: list[Value]) -> tuple[Value, ...]:
    """Return what a node makes of constants, once its size is known to be harmless."""
    with refusing(node):
        bare = [v.to("meta") if isinstance(v, Tensor) else v for v in inputs]
        for one in _several(OPERATORS[node.op](node, *bare)):
            if isinstance(one, Tensor) and one.numel() > _MOST_FOLDED:
                node.refuse(f"makes a constant of the shape {tuple(one.shape)}")
        return _several(OPERATORS[node.op](node, *inputs))
    raise AssertionError("what is refused is raised")


def _several(found: Any) -> tuple[Value, ...]:
    return found if isinstance(found, tuple) else (found,)


def _used_outputs(one: Graph, taken: set[str], opset: int) -> Graph:
    """Return a node without the outputs that nothing takes, as a dropout's mask."""
    outputs = one["outputs"]
    if one["op"] == "Split":
        return one
    if any(name in taken for name in outputs[1:]):
        Node.of(one, opset).refuse("has a second output that is used")
    return {**one, "outputs": outputs[:1]}


def with_linear_layers(graph: Graph, known: Known) -> Graph:
    """Return the graph with ``Linear`` for Gemm, and for MatMul with the Add after it."""
    shapes = {n: list(v.shape) for n, v in known.items() if isinstance(v, Tensor)}
    taken = Counter(name for node in graph["nodes"] for name in node["inputs"])
    taken[graph["output"]] += 1
    kept: list[Graph] = []
    made: dict[str, Graph] = {}  # what a MatMul makes -> its node, while a bias may follow
    for one in graph["nodes"]:
        inputs, attributes = one["inputs"], one["attributes"]
        wide = shapes.get(inputs[1]) if len(inputs) > 1 else None
        dense = wide is not None and len(wide) == 2 and inputs[0] not in known
        if one["op"] == "MatMul" and dense:
            one = {**one, "op": "Linear", "attributes": {}}
            made[one["outputs"][0]] = one
        elif one["op"] == "Gemm" and dense and not attributes.get("transA", 0):
            assert wide is not None  # as `dense` says
            outs = wide[0] if attributes.get("transB", 0) else wide[1]
            names = ("transB", "alpha", "beta")
            if len(inputs) < 3 or not inputs[2] or _is_bias(known.get(inputs[2]), outs):
                one = {**one, "op": "Linear"}
                one["attributes"] = {n: attributes[n] for n in names if n in attributes}
        elif one["op"] == "Add" and "axis" not in attributes:
            before = next((made[n] for n in inputs if n in made and taken[n] == 1), None)
            other = [n for n in inputs if before is None or n not in before["outputs"]]
            if before is not None and _is_bias(known.get(other[0]), shapes[before["inputs"][1]][1]):
                before["inputs"] = [*before["inputs"], other[0]]
                before["outputs"] = one["outputs"]
                continue
        kept.append(one)
    return {**graph, "nodes": kept}


def _is_bias(value: Value, outputs: int) -> bool:
    shape = list(as_tensor(value).shape) if value is not None else []
    return bool(shape) and shape[-1] == outputs and all(size == 1 for size in shape[:-1])


def in_place(graph: Graph, known: Known) -> tuple[Graph, Tensors]:
    """Return the graph with its small constants written in, and the tensors that remain."""
    tensors: Tensors = {}
    constants: dict[str, Any] = {}
    nodes = []
    for one in graph["nodes"]:
        names = []
        for at, name in enumerate(one["inputs"]):
            value = known.get(name)
            if isinstance(value, Tensor):
                tensors[name] = value.contiguous()
            elif value is not None and at in LEARNT.get(one["op"], ()):
                name = f"{name}w"  # a layer's only weight, kept as a number until now
                tensors[name] = as_tensor(value).float()
            elif value is not None:
                constants[name] = plain(value)
            names.append(name)
        nodes.append({**one, "inputs": names})
    forms = {
        name: {"shape": list(t.shape), "float": t.is_floating_point()}
        for name, t in tensors.items()
    }
    return {**graph, "nodes": nodes, "constants": constants, "tensors": forms}, tensors


def free_batch(graph: Graph, tensors: Tensors) -> Graph:
    """Return the graph for batches of any size, where the exporter fixed one.

    A reshape to the fixed size keeps its first axis instead. That this is right is not assumed:
    single answers and those to a larger batch are compared. Raises `ChoiceError` where they differ.
    """
    fixed = graph["input"]["shape"][0]
    if fixed is None:
        tried(graph, None, 2)
        return graph
    free = copy.deepcopy(graph)
    free["input"]["shape"][0] = None
    for one in free["nodes"]:
        target = one["attributes"].get("shape")
        target = free["constants"].get(one["inputs"][-1]) if target is None else target
        if one["op"] == "Reshape" and isinstance(target, list) and target[:1] == [fixed]:
            one["attributes"] = {"shape": [0, *target[1:]]}
            one["inputs"] = one["inputs"][:1]
    _, size = tried(graph, None, fixed)
    small = fixed * math.prod(size) <= _MOST_TRIED
    if not small or not _answers_alike(graph, free, tensors, fixed, size):
        raise ChoiceError(
            f"The file fixes the batch at {fixed} in a way that cannot be undone.",
            "Export it with a free batch: dynamic_shapes of torch.onnx.export, or the like.",
        )
    return free


def _answers_alike(
    graph: Graph, free: Graph, tensors: Tensors, fixed: int, size: list[int]
) -> bool:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2 * fixed, *size, generator=generator)
    answers = []
    for one, parts in ((graph, [x[:fixed], x[fixed:]]), (free, [x])):
        network = GraphNetwork(one).eval()
        network.load_state_dict(state(one, tensors))
        with torch.no_grad():
            try:
                answers.append(torch.cat([network(part) for part in parts]))
            except (RuntimeError, ChoiceError):  # a shape that only the fixed batch has
                return False
    scale = float(answers[0].abs().max()) + 1e-9
    same = answers[0].shape == answers[1].shape
    return same and float((answers[0] - answers[1]).abs().max()) <= 1e-4 * scale
