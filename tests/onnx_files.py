"""ONNX files for the tests: written by hand, exported from torchvision; what onnxruntime says."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

FRAMEWORKS = Path(__file__).parent / "from_frameworks"

Array = np.ndarray[Any, Any]
Step = tuple[Any, ...]  # operator, inputs, output, attributes


def numbers(*shape: int, seed: int = 0, low: float | None = None) -> Array:
    """Normal numbers, or uniform ones from `low` to `low` + 1."""
    rng = np.random.default_rng([seed, *shape])
    found = rng.normal(size=shape) if low is None else rng.uniform(low, low + 1, shape)
    return found.astype(np.float32)


def write(
    path: Path,
    steps: Sequence[Step],
    tensors: dict[str, Array] | None = None,
    *,
    opset: int = 17,
    shape: Sequence[int | str] = ("n", 3, 8, 8),
    outputs: Sequence[str] = ("y",),
    inputs: Sequence[str] = ("x",),
    listed: bool = False,
) -> Path:
    """Write a graph; `listed` names the tensors among the inputs, as old files do."""
    nodes = [
        helper.make_node(
            op, ins.split(",") if ins else [], outs.split(","), f"{op}_{i}", **(more or {})
        )
        for i, (op, ins, outs, more) in enumerate(steps)
    ]
    kept = [numpy_helper.from_array(np.asarray(v), k) for k, v in (tensors or {}).items()]
    taken = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in inputs]
    if listed:
        taken += [helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in kept]
    given = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs]
    graph = helper.make_graph(nodes, "graph", taken, given, kept)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.save(model, str(path))
    return path


def answers(path: Path, x: Array) -> Array:
    """What onnxruntime says; one by one where the file takes no more."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    runtime = pytest.importorskip("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    taken = session.get_inputs()[0]
    step = taken.shape[0] if isinstance(taken.shape[0], int) else len(x)
    parts = [session.run(None, {taken.name: x[i : i + step]})[0] for i in range(0, len(x), step)]
    return np.concatenate(parts)


def close(found: Tensor, expected: Array | Tensor, part: float = 1e-4) -> None:
    """Equal but for rounding, measured against the largest number."""
    found, expected = found.detach(), torch.as_tensor(expected).detach()
    assert found.shape == expected.shape
    assert torch.isfinite(expected).all()
    scale = float(expected.abs().max())
    torch.testing.assert_close(found, expected.to(found.dtype), rtol=0, atol=part * scale)


def lively(network: nn.Module) -> nn.Module:
    """Normalisations as after some training, so that every answer depends on the picture."""
    generator = torch.Generator().manual_seed(0)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d) and layer.bias is not None:
            layer.bias.data.normal_(0, 0.1, generator=generator)  # exporters leave zeros out
        if isinstance(layer, nn.BatchNorm2d):
            for kept in (layer.weight, layer.running_var):
                kept.data.uniform_(0.5, 1.5, generator=generator)
            for kept in (layer.bias, layer.running_mean):
                kept.data.normal_(0, 0.2, generator=generator)
    return network.eval()


def torchvision_network(name: str) -> nn.Module:
    """A network of torchvision with fresh weights and 10 classes."""
    import torchvision

    torch.manual_seed(0)
    more = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    return lively(torchvision.models.get_model(name, weights=None, num_classes=10, **more))


def export(network: nn.Module, path: Path, *, dynamo: bool, free: bool, side: int = 64) -> Path:
    """Export with one of torch's two exporters; their own warnings are theirs."""
    x = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(1))
    more: dict[str, Any] = {"dynamo": dynamo, "input_names": ["x"]}
    if free and dynamo:
        more["dynamic_shapes"] = ({0: torch.export.Dim("n")},)
    elif free:
        more["dynamic_axes"] = {"x": {0: "n"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network, (x,), str(path), verbose=False, **more)
    return path
