"""OpenVINO: quick on Intel's processors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

from torch import nn

from quickstudy.errors import ModelError
from quickstudy.export.contract import Making
from quickstudy.export.onnx import traced
from quickstudy.kinds.image.resizing import Fitted
from quickstudy.runtimes.quiet import quietly


class OpenVino:
    """``model.xml`` and ``model.bin``, in float32, by way of an ONNX graph."""

    name: ClassVar[str] = "openvino"
    file: ClassVar[str] = "model.xml"

    def write(self, made: Making, folder: Path) -> None:
        """Write; the metadata lies in ``rt_info``."""
        openvino = quietly("openvino")
        with TemporaryDirectory(dir=folder) as place, narrow(made.whole.module):
            graph = Path(place) / "graph.onnx"
            traced(replace(made)).save(str(graph))  # traced anew: other arithmetic than elsewhere
            found = openvino.convert_model(str(graph))
            _check_branchless(found, made)
            for port, output in zip(found.outputs, made.whole.outputs, strict=True):
                port.get_tensor().set_names({output})
            for name, text in made.metadata.items():
                found.set_rt_info(text, [name])
            openvino.save_model(found, str(folder / self.file), compress_to_fp16=False)
            del found, port  # they map the graph's file


def _check_branchless(graph: Any, made: Making) -> None:
    """Raise `ModelError` for a graph with branches, about which OpenVINO is wrong now and then.

    A convolution that follows an ``If`` whose output's shape is free is wrong in 2026.4.1 whenever
    an input needs more memory than any before: the first of a session, each larger batch. Asking
    something beforehand would hide the first alone.
    """
    if any(one.get_type_name() == "If" for one in graph.get_ops()):
        raise ModelError(
            f"The network {made.model.spec.name} has branches, about which OpenVINO's answers "
            "cannot be relied on.",
            "Take another format, as onnx.",
        )


@contextmanager
def narrow(module: nn.Module) -> Iterator[None]:
    """Let a graph be traced that computes the same with 32 bits, into which OpenVINO turns 64."""
    found = [one for one in module.modules() if isinstance(one, Fitted)]
    for one in found:
        one.narrow = True
    try:
        yield
    finally:
        for one in found:
            one.narrow = False
