"""What a run's folder tells: recipe, model, report, and the examples it kept."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quickstudy.errors import RunError
from quickstudy.learning.examples import TOLD

EXAMPLES = "examples.csv"
DECODED = "examples.npz"


@dataclass(frozen=True)
class Told:
    """All that a script is written from."""

    folder: Path
    recipe: Mapping[str, Any]
    """Dotted key -> value, as settled."""
    why: Mapping[str, str]
    model: Mapping[str, Any]
    """`model.json`."""
    report: Mapping[str, Any]
    rows: list[dict[str, str]] = field(repr=False)
    """What was learnt from, row by row: name, path, label, part."""
    width: int = len(TOLD)
    """Columns of the file that says so."""

    @property
    def kind(self) -> str:
        """``image`` or ``sound``."""
        return str(self.model["kind"])

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes in order."""
        return tuple(self.task["outputs"])

    @property
    def task(self) -> Mapping[str, Any]:
        """What is asked: name, outputs, temperature."""
        if "task" in self.model:
            return dict(self.model["task"])
        temperature = self.model["preparation"].get("temperature", 1.0)
        outputs = self.model["classes"]
        return {"name": "classification", "outputs": outputs, "temperature": temperature}

    @property
    def asks(self) -> str:
        """``classification``, ``multilabel`` or ``regression``."""
        return str(self.task["name"])

    @property
    def formula(self) -> bool:
        """Whether the network is a formula in the columns of a table."""
        return self.kind == "table" and self.recipe["network.name"] not in ("tabm", "stack")

    @property
    def cooled(self) -> str:
        """What scores are divided by before they become probabilities, as code."""
        temperature = float(self.task.get("temperature", 1.0))
        return "" if temperature == 1 else f" / {temperature:.6g}"

    @property
    def fits_head(self) -> bool:
        """Whether the last layer was learnt on the frozen body's features."""
        return bool(self.recipe["method"] != "scratch")

    @property
    def ships(self) -> str:
        """What ships of a search in which several networks were to be one; else nothing."""
        search = self.report.get("search") or {}
        return str((search.get("ensemble") or {}).get("ships", ""))

    @property
    def trains(self) -> bool:
        """Whether what ships went through the training loop."""
        chosen = next((one["name"] for one in self.report["candidates"] if one["chosen"]), "")
        return not (self.fits_head and "last layer" in chosen)

    @property
    def from_timms_hub(self) -> bool:
        """Whether timm fetched the starting weights; then it will again."""
        from quickstudy.network import standard

        fetched = str(self.recipe["network.weights"]).startswith("hub:")
        return fetched and standard.known(self.recipe["network.name"]) == "timm"

    @property
    def loads_body(self) -> bool:
        """Whether starting weights are to be copied into the body."""
        return self.recipe["network.weights"] != "none" and not self.from_timms_hub

    @property
    def decoded(self) -> bool:
        """Whether the examples were in memory, and the run kept them as it decoded them."""
        return (self.folder / DECODED).is_file()

    @property
    def has_cells(self) -> bool:
        """Whether the cells of a table were kept beside the run."""
        return self.width > len(TOLD)

    def paths(self) -> list[Path]:
        """Return the files of all examples, none where they were in memory."""
        return [Path(row["path"]) for row in self.rows if row["path"]]

    def part(self, name: str) -> list[dict[str, str]]:
        """Return the rows of a part."""
        return [row for row in self.rows if row["part"] == name]

    def event(self, pattern: str) -> re.Match[str] | None:
        """Return the last event of the run that matches."""
        found = [re.search(pattern, event["what"]) for event in self.report["events"]]
        return next((match for match in reversed(found) if match), None)


def told_by(folder: Path) -> Told:
    """Read a run's folder; raises `RunError`."""
    files = {"run.json": "run", "report.json": "ended run", "model/model.json": "model"}
    for name, what in files.items():
        if not (folder / name).is_file():
            raise RunError(f"{folder} holds no {what}: {name} is missing.", "Give a run's folder.")
    kept, report, model = (json.loads((folder / n).read_text(encoding="utf-8")) for n in files)
    recipe = {key: value for key, (value, _) in kept["recipe"].items()}
    why = {key: reason for key, (_, reason) in kept["recipe"].items()}
    return Told(folder, recipe, why, model, report, *_rows(folder))


def _rows(folder: Path) -> tuple[list[dict[str, str]], int]:
    path = folder / EXAMPLES
    if not path.is_file():
        raise RunError(
            f"{folder} does not say which examples it learnt from: it was made by an older "
            "Quickstudy.",
            "Learn again; its recipe.yaml gives the same choices: --recipe recipe.yaml",
        )
    text = path.read_bytes().decode("utf-8", "surrogateescape")
    head, *rows = csv.reader(io.StringIO(text, newline=""))
    return [dict(zip(TOLD, row, strict=False)) for row in rows], len(head)
