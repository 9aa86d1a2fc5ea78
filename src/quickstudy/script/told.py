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

from quickstudy.errors import ChoiceError, RunError

EXAMPLES = "examples.csv"
DECODED = "examples.npz"
#: Keys of a recipe that say how fast, how long or on what, not what is learnt; or that the script
#: reads from elsewhere.
_NO_MATTER = frozenset(
    {
        *("kind", "budget", "test", "val", "rehearsal", "epochs"),
        *("compute.device", "compute.memory_format", "compute.threads"),
        *("picture.max_pixels", "sound.long", "sound.span", "optimizer.restarts"),
    }
)
#: Keys that the pieces write out whatever their value.
_WRITTEN = frozenset(
    {
        *("seed", "method", "batch", "averaging", "balance", "network.name", "network.weights"),
        *("network.width", "network.depth", "network.dropout", "optimizer.lr"),
        *("optimizer.momentum", "optimizer.weight_decay", "schedule.warmup"),
        *("loss.label_smoothing", "compute.precision"),
        *(f"picture.{key}" for key in ("size", "start_size", "fit", "mean", "std")),
        *(f"sound.{key}" for key in ("rate", "window", "fft", "hop", "mels", "low", "high")),
        *(f"augment.{key}" for key in ("mirror", "crop", "rotate", "colour", "mixup", "cutmix")),
        *(f"augment.{key}" for key in ("shift", "speed", "gain", "noise")),
        *("augment.mask_time", "augment.mask_bands"),
    }
)
#: Keys of which only some values can be written.
_SOME: dict[str, tuple[Any, ...]] = {
    "task": ("classification",),
    "network.stem": ("usual", ""),
    "network.channels": (3,),
    "optimizer.name": ("sgd", "adamw", "muon"),
    "schedule.shape": ("cosine", "linear", "constant"),
    "loss.name": ("cross_entropy", "focal", "binary_cross_entropy", "mean_squared_error"),
}


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
    def cooled(self) -> str:
        """What scores are divided by before they become probabilities, as code."""
        temperature = float(self.task.get("temperature", 1.0))
        return "" if temperature == 1 else f" / {temperature:.6g}"

    @property
    def fits_head(self) -> bool:
        """Whether the last layer was learnt on the frozen body's features."""
        return bool(self.recipe["method"] != "scratch")

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
    """Read a run's folder; raises `RunError`, and `ChoiceError` for what no script can say yet."""
    files = {"run.json": "run", "report.json": "ended run", "model/model.json": "model"}
    for name, what in files.items():
        if not (folder / name).is_file():
            raise RunError(f"{folder} holds no {what}: {name} is missing.", "Give a run's folder.")
    kept, report, model = (json.loads((folder / n).read_text(encoding="utf-8")) for n in files)
    recipe = {key: value for key, (value, _) in kept["recipe"].items()}
    why = {key: reason for key, (_, reason) in kept["recipe"].items()}
    told = Told(folder, recipe, why, model, report, _rows(folder))
    _refuse(told)
    return told


def _rows(folder: Path) -> list[dict[str, str]]:
    path = folder / EXAMPLES
    if not path.is_file():
        raise RunError(
            f"{folder} does not say which examples it learnt from: it was made by an older "
            "Quickstudy.",
            "Learn again; its recipe.yaml gives the same choices: --recipe recipe.yaml",
        )
    text = path.read_bytes().decode("utf-8", "surrogateescape")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def _refuse(told: Told) -> None:
    """Raise one `ChoiceError` for all that the pieces cannot write out."""
    faults = []
    name = str(told.recipe["network.name"])
    if name in ("stack", "tabm") or name.lower().endswith(".onnx") or ":" in name:
        faults.append(f"network.name = {name}")
    if told.kind not in ("image", "sound"):
        faults.append(f"the kind '{told.kind}'")
    for key, value in told.recipe.items():
        if key in _SOME:
            fine = value in _SOME[key]
        else:
            fine = key in _NO_MATTER or key in _WRITTEN or not value
        if not fine:
            faults.append(f"{key} = {value}")
    if told.task["name"] != "classification" and "task" not in told.recipe:
        faults.append(f"the task '{told.task['name']}'")
    if faults:
        raise ChoiceError(
            f"A script cannot say this yet: {'; '.join(faults)}.",
            "The model itself runs anywhere that Quickstudy does; learn without that for a script.",
        )
    if not told.decoded and not all(row["path"] for row in told.rows):
        raise ChoiceError(
            "That run learnt from a Python object too large to keep beside it.",
            "Learn from files (a folder or a table) for a script.",
        )
    gone = next((path for path in told.paths() if not path.is_file()), None)
    if gone is not None:
        raise RunError(
            f"The run's examples have gone: {gone} is not there.", "Put them back where they were."
        )
