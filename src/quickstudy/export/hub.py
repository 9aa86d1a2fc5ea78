"""A folder ready to be uploaded to a model hub: the model, its card, and an ONNX file."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import ClassVar

import yaml

from quickstudy.errors import MissingExtra, ModelError, QuickstudyError
from quickstudy.export.contract import Making
from quickstudy.export.onnx import Onnx
from quickstudy.export.parity import Parity, compared
from quickstudy.kinds import NOUNS
from quickstudy.model import Model, load
from quickstudy.network.standard import known
from quickstudy.runtimes.choosing import SUMS
from quickstudy.runtimes.sessions import open_session

_LARGE = ("*.safetensors", "*.onnx", "*.onnx.data")
_EXAMPLE = '''"""Ask this model: python example.py {noun}..."""

import sys

import quickstudy

model = quickstudy.load(".")
for answer in model.predictions(sys.argv[1:]):
    print(answer)
'''
_CARD = """
## Without PyTorch

`model.onnx` takes what you have, as it is, and answers as the model does ({parity}):

```sh
quickstudy predict model.onnx {file}
```

Any ONNX runtime runs it:

{sides}

Its metadata say what the answers are of (`labels`) and what they mean (`quickstudy`).
"""
_FILES = {"image": "photo.jpg", "sound": "sound.wav", "table": "rows.csv"}


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
        needed = extras("onnx", made.model)
        (folder / "requirements.txt").write_text(f"quickstudy[{needed}]\n", encoding="utf-8")
        if made.model.kind != "table":
            noun = NOUNS[made.model.kind][0].upper()
            (folder / "example.py").write_text(_EXAMPLE.format(noun=noun), encoding="utf-8")
        try:
            real = made.real
            Onnx().write(made, folder)
        except (MissingExtra, ModelError) as problem:
            made.tell(f"without an ONNX file: {problem.message}")
            return
        parity = compared(made.model, real, open_session(Onnx.name, folder / Onnx.file))
        parity.demand(Onnx.name)
        self._card(made, folder, parity)

    def _card(self, made: Making, folder: Path, parity: Parity) -> None:
        """Tell of the ONNX file in the card, before its last sections."""
        told = made.whole.told_inputs()
        sides = [
            f"- input `{name}`: {one['type']}, {' × '.join(map(str, one['shape'])) or 'one number'}"
            for name, one in told.items()
        ]
        sides += [f"- output `{name}`: float32" for name in made.whole.outputs]
        text = _CARD.format(
            parity=parity.sentence(),
            file=_FILES[made.model.kind],
            sides="\n".join(sides),
        )
        card = (folder / self.file).read_text(encoding="utf-8")
        before, limits, after = card.partition("\n## Limits\n")
        (folder / self.file).write_text(before + text + limits + after, encoding="utf-8")

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


def extras(first: str, model: Model) -> str:
    """Return which extras a model's own computer needs, e.g. ``onnx,models``."""
    try:
        timm = any(known(one.name) == "timm" for one in model.spec.members())
    except QuickstudyError:  # a stack, somebody's own network, a table's
        timm = False
    return f"{first},models" if timm else first
