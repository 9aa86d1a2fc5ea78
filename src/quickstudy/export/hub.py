"""A folder ready to be uploaded to a model hub: the model, its card, and an ONNX file."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import ClassVar

import yaml

from quickstudy.errors import MissingExtra, ModelError
from quickstudy.export.contract import Making
from quickstudy.export.onnx import Onnx
from quickstudy.kinds import NOUNS
from quickstudy.model import load
from quickstudy.runtimes.choosing import SUMS

_LARGE = ("*.safetensors", "*.onnx", "*.onnx.data")
_EXAMPLE = '''"""Ask this model: python example.py {noun}..."""

import sys

import quickstudy

model = quickstudy.load(".")
for answer in model.predictions(sys.argv[1:]):
    print(answer.label, answer.probabilities)
'''
_NUMBERS = '''"""Ask this model: python example.py {noun}..."""

import sys

import quickstudy

model = quickstudy.load(".")
for answer in model.predictions(sys.argv[1:]):
    print(answer.values)
'''


class Hub:
    """The model's folder with what a hub wants beside it; upload it with the hub's own tools."""

    name: ClassVar[str] = "hub"
    file: ClassVar[str] = "README.md"

    def write(self, made: Making, folder: Path) -> None:
        """Write; the ONNX file only where its libraries are installed and the graph traces."""
        lines = (made.folder / SUMS).read_text(encoding="utf-8").splitlines()
        for name in [SUMS, self.file, *(line.split(maxsplit=1)[1].lstrip("*") for line in lines)]:
            if (made.folder / name).is_file():
                shutil.copyfile(made.folder / name, folder / name)
        large = "".join(f"{one} filter=lfs diff=lfs merge=lfs -text\n" for one in _LARGE)
        (folder / ".gitattributes").write_text(large, encoding="utf-8")
        (folder / "requirements.txt").write_text("quickstudy\n", encoding="utf-8")
        if made.model.kind != "table":
            text = _NUMBERS if made.model.task.name == "regression" else _EXAMPLE
            noun = NOUNS[made.model.kind][0].upper()
            (folder / "example.py").write_text(text.format(noun=noun), encoding="utf-8")
        try:
            Onnx().write(made, folder)
        except (MissingExtra, ModelError) as problem:
            made.tell(f"without an ONNX file: {problem.message}")

    def check(self, made: Making, folder: Path) -> None:
        """Load it again; raises `ModelError` where it does not, or where its card has no head."""
        if load(folder, "cpu").classes != made.model.classes:
            raise ModelError("The copy answers with other labels.", "Export again.")
        head = (folder / self.file).read_text(encoding="utf-8").split("---\n", 2)
        if len(head) < 3 or not isinstance(yaml.safe_load(head[1]), dict):
            raise ModelError(
                f"{made.folder / self.file} has no front matter, which hubs want.",
                "Restore the card that the run wrote.",
            )
