"""torch's own formats: the traced program, and the same compiled for this machine."""

from __future__ import annotations

import os
import shutil
import sys
import warnings
from pathlib import Path
from typing import ClassVar

import torch

from quickstudy.errors import ModelError
from quickstudy.export.contract import Making

_COMPILERS = ("c++", "g++", "clang++", "cl")


class Program:
    """What ``torch.export.load`` reads."""

    name: ClassVar[str] = "pt2"
    file: ClassVar[str] = "model.pt2"

    def write(self, made: Making, folder: Path) -> None:
        """Write ``model.pt2``; the metadata are extra files in it."""
        save(made.program, folder / self.file, made.metadata)


class Native:
    """Machine code for this machine's processor, by AOTInductor."""

    name: ClassVar[str] = "native"
    file: ClassVar[str] = "model.pt2"

    def write(self, made: Making, folder: Path) -> None:
        """Compile to ``model.pt2``; raises `ModelError` without a C++ compiler."""
        own = os.environ.get("CXX")
        if not any(shutil.which(one) for one in ((own,) if own else _COMPILERS)):
            how = "xcode-select --install" if sys.platform == "darwin" else "apt install g++"
            raise ModelError(
                "Compiling for this machine needs a C++ compiler, and there is none.",
                f"Install one ({how}), or take another format, as onnx.",
            )
        made.tell("compiling: this takes a minute or more")
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # about its own workings
            torch._inductor.aoti_compile_and_package(
                made.program,
                package_path=str(folder / self.file),
                inductor_configs={
                    "aot_inductor.metadata": made.metadata,
                    "emulate_precision_casts": True,  # rounding to float16 is meant where it is
                },
            )


def save(program: torch.export.ExportedProgram, file: Path, told: dict[str, str]) -> None:
    """Write a program with texts beside it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # views that share a tensor are saved as such
        torch.export.save(program, file, extra_files=told)
