"""LiteRT (TensorFlow Lite): what phones and small devices run.

What converts needs other versions of other libraries than the rest does (litert-torch 0.10 takes
back torch and pydantic), so it lives in an environment of its own, made on request.
"""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import torch
from torch import nn

from quickstudy.errors import ModelError
from quickstudy.export import litert_tool
from quickstudy.export.contract import Making
from quickstudy.export.fixed import Fitting, fixed
from quickstudy.export.program import save
from quickstudy.export.unlike import NearestLearnt
from quickstudy.folders import cache_folder
from quickstudy.runtimes.quiet import quietly
from quickstudy.runtimes.sessions import Session

NEEDS = "litert-torch==0.10.*"


class LiteRt:
    """``model.tflite`` for one example, which the host has resized: shapes are fixed in it.

    The labels and what else the model says of itself are in a ZIP at its end, as is the custom.
    """

    name: ClassVar[str] = "litert"
    file: ClassVar[str] = "model.tflite"

    def shaped(self, made: Making) -> Making:
        """Return the same with a graph that takes one prepared example."""
        quietly("ai_edge_litert")  # or nothing could try what was written
        return replace(made, whole=fixed(made.whole, made.model))

    def asking(self, made: Making, session: Session) -> Session:
        """Return a session that resizes first."""
        return Fitting(made.whole, session)

    def write(self, made: Making, folder: Path) -> None:
        """Convert in the environment made for it; raises `ModelError` where there is none."""
        python = tools(made)
        with TemporaryDirectory(dir=folder) as place:
            graph = Path(place) / "graph.pt2"
            with sortless(made.whole.module), torch.no_grad():
                save(replace(made).program.run_decompositions(), graph, {})
            made.tell("converting: this takes a minute or more")
            names = [",".join(some) for some in (made.whole.inputs, made.whole.outputs)]
            command = [str(python), "-I", litert_tool.__file__, str(graph), *names]
            done = subprocess.run(
                [*command, str(folder / self.file)], capture_output=True, text=True, check=False
            )
        if done.returncode or not (folder / self.file).is_file():
            last = next(reversed(done.stderr.strip().splitlines()), "it did not say why")
            raise ModelError(
                f"litert-torch could not convert this network: {last[:300]}",
                "Take another format, as onnx.",
            )
        with zipfile.ZipFile(folder / self.file, "a") as end:
            end.writestr("labels.txt", "\n".join(made.model.classes))
            end.writestr("quickstudy.json", made.metadata["quickstudy"])


def tools(made: Making) -> Path:
    """Return the Python that has litert-torch; raises `ModelError` where none may be made."""
    place = cache_folder() / "tools" / "litert"
    python = place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    done = place / "installed"
    if done.is_file() and python.is_file():
        return python
    if not made.install_tools:
        raise ModelError(
            "Converting to LiteRT needs litert-torch, which does not go with the other libraries.",
            f"--install-tools installs it, with a PyTorch of its own (about 7 GB), in {place}.",
        )
    made.tell(f"installing litert-torch in {place}: about 7 GB")
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(place)],
        [str(python), "-m", "pip", "install", "--disable-pip-version-check", "-q", NEEDS],
    ):
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        if found.returncode:
            last = next(reversed(found.stderr.strip().splitlines()), "it did not say why")
            raise ModelError(
                f"litert-torch could not be installed: {last[:300]}", "Is the network there?"
            )
    done.touch()
    return python


@contextmanager
def sortless(module: nn.Module) -> Iterator[None]:
    """Let a graph be traced that does without sorting, which LiteRT has not."""
    found = [one for one in module.modules() if isinstance(one, NearestLearnt)]
    for one in found:
        one.sortless = True
    try:
        yield
    finally:
        for one in found:
            one.sortless = False
