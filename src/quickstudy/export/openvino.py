"""OpenVINO: quick on Intel's processors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

from torch import nn

from quickstudy.export.contract import Making
from quickstudy.export.onnx import traced
from quickstudy.export.resizing import Fitted
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
            for name, text in made.metadata.items():
                found.set_rt_info(text, [name])
            openvino.save_model(found, str(folder / self.file), compress_to_fp16=False)
            del found  # it maps the graph's file


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
