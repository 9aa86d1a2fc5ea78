"""The frame of a script: what run it is from, its constants, and what running it does."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path

from quickstudy.script.told import Told
from quickstudy.script.writing import filled, number, quoted_text

WIDTH = 100

_HEADER = '''
"""What Quickstudy's run $title did, in plain PyTorch; --check tests the weights it left.
The run, of $date: $result
Made with $versions.
#: if notes
$notes
#: end
"""
'''

_CONSTANTS = """
RUN = $run
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
CLASSES = $classes
#: if pictures
MEAN = torch.tensor([$mean], device=DEVICE).view(3, 1, 1)
STD = torch.tensor([$std], device=DEVICE).view(3, 1, 1)
#: end
#: if sound
RATE, WINDOW = $rate, $window  # Hz; samples heard at once
#: end
#: if trains
STEPS, BATCH = $steps, $batch
#: end
torch.manual_seed($seed)
"""

_MAIN = """
if __name__ == "__main__":
    if "--check" in sys.argv:
        network.load_state_dict(load_file(RUN / "model" / "weights.safetensors")$strict)
    else:
#: if loads_body
        load_body()
#: end
#: if fits_head and trains
        fit_head(*read("train"))
#: end
#: if fits_head and not trains
        fit_head(*read("train", "val"))
#: end
#: if trains
        train(*read("train"))
#: end
    examples, labels = read("test")
    right = int((probabilities(examples).argmax(1) == labels).sum())
    print(f"{right} of {len(labels)} right: {right / len(labels):.1%}; the run: $accuracy %")
"""


def header(told: Told) -> str:
    """Return the script's docstring."""
    versions = {**told.report["versions"]}
    named = ("quickstudy", "torch", "torchvision", "numpy", "python")
    notes = textwrap.fill(_notes(told), WIDTH, break_on_hyphens=False)
    return filled(
        _HEADER,
        {"notes": bool(notes)},
        title=textwrap.shorten(_harmless(told.report["title"]), 30, placeholder="..."),
        date=str(told.report["made"])[:10],
        result=textwrap.shorten(_harmless(told.model["facts"].get("result", "")), 76),
        versions=", ".join(f"{name} {versions[name]}" for name in named if name in versions),
        notes=notes,
    )


def _notes(told: Told) -> str:
    """Return what happened in the run that the script does not repeat."""
    events = [str(event["what"]) for event in told.report["events"]] if told.trains else []
    words = ("went back", "were best on val", "stopped", "explode")
    not_repeated = [what for what in events if any(word in what for word in words)]
    if not not_repeated:
        return ""
    return f"Not repeated here: {_harmless('; '.join(dict.fromkeys(not_repeated))[:170])}."


def _harmless(text: str) -> str:
    """Return text that cannot end a docstring."""
    plain = "".join(c if c.isprintable() else "?" for c in text)
    return plain.replace("\\", "/").replace('"', "'")


def constants(told: Told, path: Path) -> str:
    """Return the constants."""
    recipe, pictures = told.recipe, told.kind == "image"
    inside = path.parent.resolve() == told.folder.resolve()
    where = f"Path({quoted_text(str(told.folder.resolve()))})"
    if inside:
        where = "Path(__file__).resolve().parent"
    return filled(
        _CONSTANTS,
        {"pictures": pictures, "sound": not pictures, "trains": told.trains},
        run=where,
        classes=_classes(told),
        mean=", ".join(map(number, recipe.get("picture.mean", ()))),
        std=", ".join(map(number, recipe.get("picture.std", ()))),
        rate=recipe.get("sound.rate"),
        window=0 if pictures else round(recipe["sound.window"] * recipe["sound.rate"]),
        steps=steps(told),
        batch=recipe["batch"],
        seed=recipe["seed"],
    )


def _classes(told: Told) -> str:
    """Return the classes as a list; many are read from the model instead."""
    names = json.dumps(list(told.classes), ensure_ascii=False)
    if len(f"CLASSES = {names}") <= WIDTH and names.isprintable():
        return names
    kept = '["task"]["outputs"]' if "task" in told.model else '["classes"]'
    return f'json.loads((RUN / "model" / "model.json").read_bytes()){kept}'


def why(told: Told, key: str, most: int) -> str:
    """Return a comment with the recipe's reason for a choice, or nothing where it is too long."""
    reason = re.split(r"[:;(]| - ", told.why.get(key, ""))[0].strip()
    return f"  # {reason}" if 0 < len(reason) <= most and reason.isprintable() else ""


def steps(told: Told) -> int:
    """Return the training steps that the run took."""
    if not told.trains:
        return 0
    if told.report.get("steps"):
        return int(told.report["steps"])
    epochs, batch = told.recipe["epochs"], told.recipe["batch"]
    finished = told.report["outcome"]["status"] == "finished"
    if epochs is not None and finished:
        return max(1, round(float(epochs * len(told.part("train")) / batch)))
    curves = told.report["curves"]
    return max(1, int(curves[-1]["step"])) if curves else 1


def main(told: Told) -> str:
    """Return what running the script does."""
    auxiliary = told.recipe["network.name"] in ("googlenet", "inception_v3")
    return filled(
        _MAIN,
        {"loads_body": told.loads_body, "fits_head": told.fits_head, "trains": told.trains},
        strict=", strict=False" if auxiliary else "",
        accuracy=number(100 * told.report["test"]["accuracy"]),
    )
