"""The frame of a script: what run it is from, its constants, and what running it does."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path

from quickstudy.script.told import Told
from quickstudy.script.writing import filled, number

_WIDTH = 100
_MOST_CLASSES = _WIDTH - len("CLASSES = ")

_HEADER = '''
"""Learns what Quickstudy's run $title learnt, in plain PyTorch, on the same examples.

The run, of $date: $result
Made with $versions.
#: if notes
$notes
#: end
    python $file            learns anew and tests
    python $file --check    tests the weights that the run left
"""
'''

_CONSTANTS = """
RUN = $run
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
CLASSES = $classes
#: if pictures
MEAN = torch.tensor([$mean], device=DEVICE).view(3, 1, 1)  # $why_mean
STD = torch.tensor([$std], device=DEVICE).view(3, 1, 1)
#: end
#: if sound
RATE, WINDOW = $rate, $window  # samples a second; heard at once: $why_window
#: end
#: if trains
STEPS, BATCH = $steps, $batch  # $why_batch
#: end
torch.manual_seed($seed)
"""

_MAIN = """
if __name__ == "__main__":
    if "--check" in sys.argv:
        network.load_state_dict(load_file(RUN / "model" / "weights.safetensors")$strict)
    else:
#: if weights
        load_body()
#: end
#: if fits_head and trains
        fit_head("train")
#: end
#: if fits_head and not trains
        fit_head("train", "val")
#: end
#: if trains
        train()
#: end
    examples, labels = read("test")
    right = int((probabilities(examples).argmax(1) == labels).sum())
    print(f"{right} of {len(labels)} right: {right / len(labels):.1%}; the run: $accuracy %")
"""


def header(told: Told, path: Path) -> str:
    """Return the script's docstring."""
    versions = {**told.report["versions"]}
    named = ("quickstudy", "torch", "torchvision", "numpy", "python")
    notes = textwrap.fill(_notes(told), _WIDTH, break_on_hyphens=False)
    return filled(
        _HEADER,
        {"notes": bool(notes)},
        title=_harmless(told.report["title"]),
        date=str(told.report["made"])[:10],
        result=_harmless(told.model["facts"].get("result", "")),
        versions=", ".join(f"{name} {versions[name]}" for name in named if name in versions),
        notes=notes,
        file=_harmless(path.name),
    )


def _notes(told: Told) -> str:
    """Return what happened in the run that the script does not repeat."""
    events = [str(event["what"]) for event in told.report["events"]] if told.trains else []
    words = ("went back", "were best on val", "stopped", "explode")
    not_repeated = [what for what in events if any(word in what for word in words)]
    if not not_repeated:
        return ""
    return f"Not repeated here: {_harmless('; '.join(dict.fromkeys(not_repeated))[:240])}."


def _harmless(text: str) -> str:
    """Return text that cannot end a docstring."""
    plain = "".join(c if c.isprintable() else "?" for c in text)
    return plain.replace("\\", "/").replace('"', "'")


def constants(told: Told, path: Path) -> str:
    """Return the constants."""
    recipe, pictures = told.recipe, told.kind == "image"
    inside = path.parent.resolve() == told.folder.resolve()
    where = "Path(__file__).resolve().parent" if inside else f"Path({_quoted(told.folder)})"
    window = round(recipe["sound.window"] * recipe["sound.rate"]) if not pictures else 0
    names = json.dumps(list(told.classes), ensure_ascii=False)
    if len(names) > _MOST_CLASSES or not names.isprintable():
        where_from = '(RUN / "model" / "model.json").read_text(encoding="utf-8")'
        inner = '["task"]["outputs"]' if "task" in told.model else '["classes"]'
        names = f"json.loads({where_from}){inner}"
    return filled(
        _CONSTANTS,
        {"pictures": pictures, "sound": not pictures, "trains": told.trains},
        run=where,
        classes=names,
        mean=", ".join(map(number, recipe.get("picture.mean", ()))),
        std=", ".join(map(number, recipe.get("picture.std", ()))),
        why_mean=why(told, "picture.mean", 30),
        rate=recipe.get("sound.rate"),
        window=window,
        why_window=why(told, "sound.window", 40),
        steps=steps(told),
        batch=recipe["batch"],
        why_batch=f"as the run; {why(told, 'batch', 50)}",
        seed=recipe["seed"],
    )


def _quoted(path: Path) -> str:
    return json.dumps(str(path.resolve()), ensure_ascii=False)


def why(told: Told, key: str, most: int) -> str:
    """Return the recipe's reason for a choice on one line of at most so many characters."""
    reason = re.split(r"[:;(]| - ", told.why.get(key, ""))[0]
    return textwrap.shorten(reason, most, placeholder=" ...")


def steps(told: Told) -> int:
    """Return the training steps that the run took."""
    if not told.trains:
        return 0
    if told.report.get("steps"):
        return int(told.report["steps"])
    epochs, batch = told.recipe["epochs"], told.recipe["batch"]
    finished = told.report["outcome"]["status"] == "finished"
    if epochs is not None and finished:
        return max(1, round(epochs * len(told.part("train")) / batch))
    curves = told.report["curves"]
    return max(1, int(curves[-1]["step"])) if curves else 1


def main(told: Told) -> str:
    """Return what running the script does."""
    auxiliary = told.recipe["network.name"] in ("googlenet", "inception_v3")
    return filled(
        _MAIN,
        {
            "weights": told.loads_body,
            "fits_head": told.fits_head,
            "trains": told.trains,
        },
        strict=", strict=False" if auxiliary else "",
        accuracy=number(100 * told.report["test"]["accuracy"]),
    )
