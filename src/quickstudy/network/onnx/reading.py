"""An ONNX file -> a description of its graph as JSON data, and its tensors."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from torch import Tensor

from quickstudy.errors import ChoiceError, MissingExtra, WeightsError, did_you_mean
from quickstudy.network.onnx import rewriting
from quickstudy.network.onnx.node import plain
from quickstudy.network.onnx.operators import supported
from quickstudy.network.onnx.tensors import read_tensor

_LARGEST = 2**31  # bytes of the file itself: the most that protobuf can hold
_COPY = "Copy the file again from where it was made, or export the network anew."
_SCALARS = {1: "f", 2: "i", 6: "floats", 7: "ints"}  # AttributeProto.AttributeType -> field
_STRING, _TENSOR = 3, 4


def read_graph(path: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return what an ONNX file computes, as JSON data, and its tensors by their names there.

    Constants are evaluated, parts that no answer needs are left out, and a batch size that the
    exporter fixed is freed where that is proved safe. Raises `WeightsError` for a file that is
    damaged, `ChoiceError` naming every operator that is not supported, `MissingExtra`.
    """
    path = Path(path).expanduser()
    model = _parsed(path)
    opset = _opset(model, path)
    _refuse_unknown(model, path)
    try:
        description, tensors = _translated(model.graph, opset, path)
        producer = f"{model.producer_name} {model.producer_version}".strip()[:80]
        description, known = rewriting.folded({**description, "producer": producer}, tensors)
        description = rewriting.with_linear_layers(description, known)
        description, tensors = rewriting.in_place(description, known)
        return rewriting.free_batch(description, tensors), tensors
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as problem:
        raise WeightsError(  # a node without inputs, an attribute of the wrong type: many shapes
            f"{path} is damaged: {type(problem).__name__} {str(problem)[:200]}.", _COPY
        ) from problem


def _parsed(path: Path) -> Any:
    try:
        import onnx
    except ImportError as problem:
        raise MissingExtra(f"Reading {path.name}", "onnx") from problem
    from google.protobuf import message  # type: ignore[import-untyped]

    if not path.is_file():
        near = did_you_mean(path.name, (p.name for p in path.parent.glob("*.onnx")))
        raise WeightsError(f"There is no file {path}.", near or "Give the path of an ONNX file.")
    if path.stat().st_size >= _LARGEST:
        raise WeightsError(f"{path} is larger than an ONNX file can be (2 GiB).", _COPY)
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except (message.DecodeError, ValueError, OSError) as problem:
        raise WeightsError(f"{path} is not an ONNX file, or is cut short.", _COPY) from problem
    if not model.graph.node or not model.graph.output:
        raise WeightsError(f"{path} holds no network.", _COPY)
    return model


def _opset(model: Any, path: Path) -> int:
    import onnx

    versions = [o.version for o in model.opset_import if o.domain in ("", "ai.onnx")]
    opset = versions[0] if versions else 1 if model.ir_version < 3 else 0
    newest = onnx.defs.onnx_opset_version()
    if not 1 <= opset <= newest:
        raise WeightsError(
            f"{path} is written in opset {opset}; the library onnx here knows 1 to {newest}.",
            "Update it: pip install --upgrade onnx",
        )
    return int(opset)


def _refuse_unknown(model: Any, path: Path) -> None:
    """Raise `ChoiceError` with every operator that is not supported, however many there are."""
    unknown: Counter[str] = Counter()
    for node in _needed(model.graph):
        own = node.domain in ("", "ai.onnx")
        if not own or not supported(node.op_type):
            unknown[f"{'' if own else node.domain + '::'}{node.op_type}"[:80]] += 1
    if unknown:
        listed = ", ".join(f"{op} ({n})" if n > 1 else op for op, n in sorted(unknown.items()))
        raise ChoiceError(
            f"{path.name} uses operators that are not supported: {listed}.",
            "Export the network without them, or name a network: quickstudy networks.",
        )


def _needed(graph: Any) -> list[Any]:
    """Return the nodes that the graph's outputs need, in order."""
    wanted, kept = {o.name for o in graph.output}, []
    for node in reversed(graph.node):
        if wanted & set(node.output):
            kept.append(node)
            wanted |= set(node.input)
    return kept[::-1]


def _translated(graph: Any, opset: int, path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the graph with every name replaced by one of our own."""
    if graph.sparse_initializer or graph.quantization_annotation:
        raise ChoiceError(
            f"{path.name} has sparse or quantised tensors, which are not supported.",
            "Export the network with float32 weights.",
        )
    protos = {t.name: t for t in graph.initializer}
    if len(protos) != len(graph.initializer) or "" in protos:
        raise WeightsError(f"{path} has two tensors of one name.", _COPY)
    names = {name: f"t{i}" for i, name in enumerate(protos)} | {"": ""}
    shape = _input(graph, protos, names, path)
    tensors: dict[str, Tensor] = {}
    nodes: list[dict[str, Any]] = []
    folder = path.resolve().parent
    for node in _needed(graph):
        absent = [name for name in node.input if name not in names]
        if absent:
            raise WeightsError(
                f"{path}: {node.op_type} '{node.name[:80]}' needs '{absent[0][:80]}', which "
                "nothing before it makes.",
                _COPY,
            )
        for name in node.input:
            if name in protos and names[name] not in tensors:
                tensors[names[name]] = read_tensor(protos[name], folder)
        for name in node.output:
            if name and name in names:
                raise WeightsError(f"{path} makes '{name[:80]}' twice.", _COPY)
            names |= {name: f"v{len(names)}"} if name else {}
        attributes = _attributes(node, tensors, folder, f"a{len(nodes)}")
        nodes.append(
            {
                "op": node.op_type,
                "inputs": [names[name] for name in node.input],
                "outputs": [names[name] for name in node.output],
                "attributes": attributes,
                "name": node.name[:80],
            }
        )
    output = _output(graph, names, path)
    form = {"format": 1, "opset": opset, "input": {"shape": shape}, "output": output}
    return {**form, "nodes": nodes, "tensors": {}, "constants": {}}, tensors


def _input(graph: Any, protos: Any, names: dict[str, str], path: Path) -> list[int | None]:
    """Return the shape of the one input, None where it is free, and name it ``x``."""
    inputs = [i for i in graph.input if i.name not in protos]
    if len(inputs) != 1:
        said = ", ".join(f"'{i.name[:80]}'" for i in inputs) or "none"
        raise ChoiceError(
            f"{path.name} must have one input, the picture; it has {len(inputs)}: {said}.",
            "Cut it out: onnx.utils.extract_model(FILE, NEW, [INPUT], [OUTPUT])",
        )
    kind = inputs[0].type.tensor_type
    names[inputs[0].name] = "x"
    if not kind.HasField("shape"):
        return [None] * 4
    shape = [int(d.dim_value) if d.dim_value > 0 else None for d in kind.shape.dim]
    if len(shape) != 4 or any(size is not None and size > 2**16 for size in shape):
        raise ChoiceError(
            f"{path.name} takes tensors of the shape {shape}, not batches of pictures.",
            "Give a network for pictures: N C H W, or N H W C.",
        )
    return shape


def _output(graph: Any, names: dict[str, str], path: Path) -> str:
    outputs = [o.name for o in graph.output]
    if len(outputs) != 1:
        said = ", ".join(f"'{name[:80]}'" for name in outputs[:10])
        raise ChoiceError(
            f"{path.name} must have one output, the scores; it has {len(outputs)}: {said}.",
            "Cut it out: onnx.utils.extract_model(FILE, NEW, [INPUT], [OUTPUT])",
        )
    if outputs[0] not in names:
        raise WeightsError(f"{path}: nothing makes the output '{outputs[0][:80]}'.", _COPY)
    return names[outputs[0]]


def _attributes(node: Any, tensors: dict[str, Tensor], folder: Path, fresh: str) -> dict[str, Any]:
    """Return a node's attributes as JSON data; the tensor of a Constant goes to `tensors`."""
    found: dict[str, Any] = {}
    for one in node.attribute:
        name = one.name[:80]
        if one.type in _SCALARS:
            value = getattr(one, _SCALARS[one.type])
            found[name] = plain(list(value) if one.type in (6, 7) else value)
        elif one.type == _STRING:
            found[name] = one.s.decode("utf-8", "replace")[:80]
        elif one.type == _TENSOR:
            tensor = read_tensor(one.t, folder)
            if node.op_type == "ConstantOfShape" and tensor.numel() == 1:
                found[name] = plain(tensor.item())
                continue
            tensors[fresh], found[name] = tensor, fresh
        else:
            raise ChoiceError(
                f"{node.op_type} '{node.name[:80]}' has an attribute '{name}' of a type that is "
                "not supported.",
                "Export the network anew without it.",
            )
    return found
