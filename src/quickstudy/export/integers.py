"""The layers of an ONNX graph's network in 8-bit integers: QDQ, from ranges of real examples.

Weights have a scale a channel, and seven bits of the eight (`reduce_range`): products of two are
then summed without saturating by what processors without VNNI have for it (``vpmaddubsw``, 16 bits
for two products), so that a file answers the same wherever it runs. Sums have 32 bits.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quickstudy.errors import MissingExtra
from quickstudy.runtimes.quiet import quietly

_COMPUTING = ("Conv", "Gemm", "MatMul")
#: Between them: what has integers before and behind it need not leave them.
_PASSING = frozenset(
    (
        *("Add", "AveragePool", "Concat", "Flatten", "GlobalAveragePool", "MaxPool", "Relu"),
        *("Reshape", "Squeeze", "Transpose"),
    )
)
_OURS = "answering.network"
_NOT_LEARNT = "Spectra"  # the class of the sounds' front part
_AT_ONCE = 4  # examples whose values between layers are in memory together

Given = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Layer:
    """A learnt layer: once in the graph, or for the mirror image once more."""

    name: str
    nodes: tuple[str, ...]
    weights: int
    """Numbers in it."""


@dataclass(frozen=True, eq=False)
class Ranges:
    """Of each value between layers the least and the largest of each example, ``N``."""

    lowest: Mapping[str, NDArray[np.float32]]
    highest: Mapping[str, NDArray[np.float32]]

    def within(self, share: float) -> dict[str, tuple[np.float32, np.float32]]:
        """Return ranges that hold all of a `share` of the examples; 1: all of all."""
        found = {}
        for name, low in self.lowest.items():
            least = np.quantile(low, 1 - share) if share < 1 else low.min()
            most = self.highest[name]
            top = np.quantile(most, share) if share < 1 else most.max()
            found[name] = (np.float32(min(least, 0)), np.float32(max(top, 0)))
        return found


def opened(file: Path) -> Any:
    """Return an ONNX file as a ``ModelProto``; raises `MissingExtra` without onnx."""
    try:
        import onnx
    except ImportError as problem:
        raise MissingExtra("Quantising", "onnx") from problem
    return onnx.load(str(file))


def layers_of(model: Any) -> list[Layer]:
    """Return the learnt layers of the network, in order: convolutions and matrix products."""
    sizes = {one.name: int(np.prod(one.dims)) for one in model.graph.initializer}
    found: dict[str, list[str]] = {}
    weight: dict[str, str] = {}
    for node in model.graph.node:
        if node.op_type not in _COMPUTING or not _learnt(node) or node.input[1] not in sizes:
            continue
        found.setdefault(node.input[1], []).append(node.name)
        weight.setdefault(node.input[1], _layer_name(node))
    return [Layer(weight[one], tuple(nodes), sizes[one]) for one, nodes in found.items()]


def ranges_of(model: Any, examples: Iterable[Given], threads: int) -> Ranges:
    """Return the ranges of what goes into and out of the network's nodes, for real examples."""
    import onnx

    wanted = _values(model)
    asked = onnx.ModelProto()
    asked.CopyFrom(model)
    there = {one.name for one in asked.graph.output}
    asked.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        for name in wanted
        if name not in there
    )
    session = session_of(asked, threads)
    low: dict[str, list[NDArray[np.float32]]] = {name: [] for name in wanted}
    high: dict[str, list[NDArray[np.float32]]] = {name: [] for name in wanted}
    for one in examples:
        for name, value in zip(wanted, session.run(wanted, dict(one)), strict=True):
            low[name].append(value.min())
            high[name].append(value.max())
    return Ranges(
        {name: np.array(all_, np.float32) for name, all_ in low.items()},
        {name: np.array(all_, np.float32) for name, all_ in high.items()},
    )


def quantised(
    model: Any,
    ranges: Mapping[str, tuple[np.float32, np.float32]],
    layers: Sequence[Layer],
    passing: Collection[str] = _PASSING,
) -> Any:
    """Return a graph with these layers, and what lies between them, in 8-bit integers."""
    import onnx

    tools = quietly("onnxruntime.quantization")
    method = tools.CalibrationMethod.MinMax
    bounds = tools.TensorsData(method, dict(ranges))
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    nodes = {name for layer in layers for name in layer.nodes}
    nodes |= _between(model, nodes, passing)
    kinds = sorted({node.op_type for node in model.graph.node if node.name in nodes})
    maker = tools.QDQQuantizer(
        copy,
        per_channel=True,
        reduce_range=True,
        weight_qType=tools.QuantType.QInt8,
        activation_qType=tools.QuantType.QUInt8,
        tensors_range=bounds,
        nodes_to_quantize=sorted(nodes),
        nodes_to_exclude=[],
        op_types_to_quantize=kinds,
        extra_options={},
    )
    logger = logging.getLogger()
    before = logger.level
    logger.setLevel(logging.ERROR)  # it warns of what it leaves out, which is what was asked for
    try:
        return maker.quantize_model()
    finally:
        logger.setLevel(before)


def session_of(model: Any, threads: int) -> Any:
    """Return an onnxruntime session of a graph in memory."""
    runtime = quietly("onnxruntime")
    how = runtime.SessionOptions()
    how.intra_op_num_threads, how.inter_op_num_threads = threads, 1
    how.log_severity_level = 4
    how.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return runtime.InferenceSession(
        model.SerializeToString(), how, providers=["CPUExecutionProvider"]
    )


def _between(model: Any, nodes: Collection[str], passing: Collection[str]) -> set[str]:
    """Return what passes integers on: all that goes into it comes from integers."""
    integers: set[str] = set()
    found: set[str] = set()
    constant = {one.name for one in model.graph.initializer}
    for node in model.graph.node:
        if node.name in nodes:
            integers.update(node.output)
        elif node.op_type in passing and _learnt(node):
            given = [name for name in node.input if name and name not in constant]
            if given and integers.issuperset(given):
                integers.update(node.output)
                found.add(node.name)
    return found


def _values(model: Any) -> list[str]:
    """Return the names of the values that go into and out of nodes of the network."""
    import onnx

    constant = {one.name for one in model.graph.initializer}
    kinds = {
        one.name: one.type.tensor_type.elem_type
        for one in (*model.graph.value_info, *model.graph.output, *model.graph.input)
    }
    found: dict[str, None] = {}
    for node in model.graph.node:
        if _learnt(node) and (node.op_type in _COMPUTING or node.op_type in _PASSING):
            for name in (*node.input, *node.output):
                if name not in constant and kinds.get(name) == onnx.TensorProto.FLOAT:
                    found[name] = None
    return list(found)


def _told(node: Any, key: str) -> str:
    found = (one.value for one in node.metadata_props if one.key == f"pkg.torch.onnx.{key}")
    return str(next(found, ""))


def _learnt(node: Any) -> bool:
    """Whether a node is of the network, not of what stands before or behind it."""
    ours = f"'{_OURS}'" in _told(node, "name_scopes")
    return ours and _NOT_LEARNT not in _told(node, "class_hierarchy")


def _layer_name(node: Any) -> str:
    """Return the path of a layer in the network, as ``features.3.squeeze``."""
    import ast

    scopes = ast.literal_eval(_told(node, "name_scopes"))
    inside = [one for one in scopes if one.startswith(f"{_OURS}.")]
    return str(inside[-1].removeprefix(f"{_OURS}.") if inside else node.name)
