"""Exports for tests: written by hand, whose answers NumPy computes too, and of a small run."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from onnx import TensorProto, helper, numpy_helper, save_model
from sklearn.datasets import load_digits

WEIGHTS = np.array([[4.0, -4.0], [1.0, -1.0], [-2.0, 2.0]], np.float32)  # of red, green, blue
LIMIT = 0.6  # brighter on average: none of these
IMAGE = {
    **{"decode_size": 8, "size": 8, "fit": "squash", "mean": [0.5] * 3, "std": [0.25] * 3},
    **{"mirror": False, "max_pixels": 1_000_000, "channels": 3},
}
SOUND = {"rate": 8000, "size": 800, "span": 400, "long": 4000}
COLUMN = {"name": "", "type": "number", "words": [], "rare": 0, "gaps": False, "origin": 0.0}


def pictures_of(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Answers and unlikeness of pictures ``N H W 3``, as `picture_graph` computes them."""
    mean = values.astype(np.float64).mean((1, 2)) / 255
    return _softmax(mean @ WEIGHTS), mean.mean(1)


def sounds_of(values: np.ndarray) -> np.ndarray:
    """Answers about samples ``N T C``: loud or quiet."""
    level = 10 * np.abs(values.astype(np.float64)).mean((1, 2))
    return _softmax(np.stack([level, 1 - level], 1))


def _softmax(scores: np.ndarray) -> np.ndarray:
    shares = np.exp(scores - scores.max(1, keepdims=True))
    return shares / shares.sum(1, keepdims=True)


def picture_graph(*, unlike: bool = True) -> Any:
    nodes = [
        helper.make_node("Cast", ["pictures"], ["levels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["levels", "across"], ["sums"], keepdims=0),
        helper.make_node("Div", ["sums", "most"], ["mean"]),
        helper.make_node("MatMul", ["mean", "weights"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["answers"], axis=1),
    ]
    outputs = [("answers", ["N", 2])]
    if unlike:
        nodes.append(helper.make_node("ReduceMean", ["mean", "one"], ["unlike"], keepdims=0))
        outputs.append(("unlike", ["N"]))
    kept = {"across": np.array([1, 2]), "most": np.float32(255), "weights": WEIGHTS}
    kept["one"] = np.array([1])
    inputs = [("pictures", TensorProto.UINT8, ["N", "H", "W", 3])]
    return _graph(nodes, inputs, outputs, kept)


def sound_graph() -> Any:
    nodes = [
        helper.make_node("Abs", ["samples"], ["size"]),
        helper.make_node("ReduceMean", ["size", "across"], ["mean"], keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "one"], ["column"]),
        helper.make_node("Mul", ["column", "tens"], ["parts"]),
        helper.make_node("Add", ["parts", "ends"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["answers"], axis=1),
        helper.make_node("Identity", ["mean"], ["unlike"]),
    ]
    kept = {"across": np.array([1, 2]), "one": np.array([1])}
    kept["tens"] = np.array([[10.0, -10.0]], np.float32)
    kept["ends"] = np.array([[0.0, 1.0]], np.float32)
    inputs = [("samples", TensorProto.FLOAT, ["N", "T", "C"]), ("rate", TensorProto.INT64, [])]
    return _graph(nodes, inputs, [("answers", ["N", 2]), ("unlike", ["N"])], kept)


def row_graph() -> Any:
    nodes = [helper.make_node("MatMul", ["rows", "weights"], ["answers"])]
    kept = {"weights": np.array([[2.0], [3.0]], np.float32)}
    inputs = [("rows", TensorProto.FLOAT, ["N", 2])]
    return _graph(nodes, inputs, [("answers", ["N", 1])], kept)


def _graph(nodes: Any, inputs: Any, outputs: Any, kept: dict[str, Any]) -> Any:
    graph = helper.make_graph(
        nodes,
        "handmade",
        [helper.make_tensor_value_info(*one) for one in inputs],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, at) for name, at in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in kept.items()],
    )
    opset = helper.make_opsetid("", 18)
    return helper.make_model(graph, opset_imports=[opset], ir_version=9)


def described(kind: str, **changed: Any) -> dict[str, Any]:
    """What ``export.json`` says of a kind's graph."""
    task: dict[str, Any] = {"name": "classification", "outputs": ["warm", "cold"]}
    how: dict[str, Any] = IMAGE
    if kind == "sound":
        task, how = {"name": "classification", "outputs": ["loud", "quiet"]}, SOUND
    if kind == "table":
        task = {"name": "regression", "outputs": ["price"]}
        more = {"unit": 1.0, "form": "", "hours": False, "why": ""}
        how = {"columns": [{**COLUMN, **more, "name": name} for name in ("rooms", "area")]}
    sets = {"method": "lac", "ordered": np.linspace(0.01, 0.9, 40).tolist()}
    unknown = {"measure": "neighbours", "layer": "head", "threshold": LIMIT}
    if kind == "table":
        sets, unknown = {"method": "split", "ordered": [[x / 4] for x in range(40)]}, None
    found = {
        **{"kind": kind, "task": task, "preparation": how, "facts": {"result": "by hand"}},
        "calibration": {"sets": sets, "unknown": unknown},
    }
    return {**found, **changed}


def write_export(
    folder: Path, graph: Any, told: dict[str, Any], *, model: str = "", passed: bool = True
) -> Path:
    """Write an export's folder; return it."""
    folder.mkdir(parents=True, exist_ok=True)
    save_model(graph, folder / "model.onnx")
    digest = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    inputs = {
        one.name: {"shape": [d.dim_param or d.dim_value for d in one.type.tensor_type.shape.dim]}
        for one in graph.graph.input
    }
    about = {
        **{"format": 1, "to": "onnx", "model": model, "described": told, "inputs": inputs},
        **{"parity": {"passed": passed}, "measured": {}, "sha256": {"model.onnx": digest}},
    }
    (folder / "export.json").write_text(json.dumps(about))
    return folder


SIZE = 16
PARTS = {"train": slice(0, 500), "val": slice(500, 700), "test": slice(700, 900)}


def digits_run(folder: Path) -> None:
    """Write a run on handwritten digits, its network taught for seconds; as ONNX, and in int8."""
    from quickstudy.export import export
    from quickstudy.model import untrained

    digits = load_digits()
    pictures = (digits.images.repeat(2, 1).repeat(2, 2) * (255 / 16)).round().astype(np.uint8)
    pictures = np.repeat(pictures[:900, :, :, None], 3, axis=3)
    torch.manual_seed(0)
    model = untrained(tuple(str(number) for number in range(10)), size=SIZE)
    x = model.preparation.prepare(torch.from_numpy(pictures[PARTS["train"]]))
    y = torch.from_numpy(digits.target[PARTS["train"]])
    how = torch.optim.AdamW(model.network.parameters(), 3e-3)
    model.network.train()
    for _ in range(10):
        for rows in torch.randperm(len(x)).split(50):
            how.zero_grad()
            torch.nn.functional.cross_entropy(model.network(x[rows]), y[rows]).backward()
            how.step()
    model.network.eval()
    model.save(folder / "model")
    counts = np.ones(len(pictures), np.int64)
    np.savez(folder / "examples.npz", examples=pictures, counts=counts)
    with (folder / "examples.csv").open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["name", "path", "label", "part"])
        for part, rows in PARTS.items():
            for row in range(rows.start, rows.stop):
                lines.writerow([f"row {row}", "", digits.target[row], part])
    found = export(folder / "model", "onnx", int8=True, max_loss=2)
    assert [one.folder.name for one in found] == ["onnx", "onnx-int8"]
