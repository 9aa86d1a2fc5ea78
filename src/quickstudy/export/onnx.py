"""ONNX: what most runtimes read."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any, ClassVar

from quickstudy.errors import MissingExtra
from quickstudy.export.contract import Making

OPSET = 20
_ONE_FILE = 2**31 - 2**24  # bytes: what a protocol buffer holds, less what is not weights


class Onnx:
    """One file by torch.export and onnxscript, without what is particular to a runtime."""

    name: ClassVar[str] = "onnx"
    file: ClassVar[str] = "model.onnx"

    def write(self, made: Making, folder: Path) -> None:
        """Write ``model.onnx``; weights beyond 2 GB lie beside it in ``model.onnx.data``."""
        graph = made.kept(self.name, lambda: traced(made))  # a hub's folder asks for it again
        graph.model.metadata_props.update(made.metadata)
        size = sum(one.numel() * one.element_size() for one in made.program.state_dict.values())
        graph.save(str(folder / self.file), external_data=size > _ONE_FILE)


def traced(made: Making) -> Any:
    """Return the graph as an ``ONNXProgram``; raises `MissingExtra` without onnx or onnxscript."""
    import torch

    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as problem:
        raise MissingExtra("Exporting to ONNX", "onnx") from problem
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about its own workings
        found = torch.onnx.export(
            made.program,
            input_names=list(made.whole.inputs),
            output_names=list(made.whole.outputs),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    if found is None:
        raise RuntimeError("torch.onnx.export gave no program")
    return found
