"""The frame of a script: what run it is from, its constants, and what running it does."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

from quickstudy.script import asked
from quickstudy.script.told import Told
from quickstudy.script.writing import filled, number, quoted_text

WIDTH = 100
_FEWEST = 10  # looks at `val`, to tell where it was best

_HEADER = '''
"""What Quickstudy's run $title did, in plain PyTorch; --check tests the weights it left.
The run, of $date: $result
#: if notes
$notes
#: end
Made with $versions."""
'''

_CONSTANTS = """
RUN = $run
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
#: if named
$asked
#: end
#: if pictures
MEAN = torch.tensor([$mean], device=DEVICE).view(3, 1, 1)
STD = torch.tensor([$std], device=DEVICE).view(3, 1, 1)
#: end
#: if sound
RATE, WINDOW = $rate, $window  # Hz; samples heard at once
#: end
#: if trains
STEPS, BATCH = $steps, $batch$best
#: end
torch.manual_seed($seed)
"""

_MAIN = """
if __name__ == "__main__":
    if "--check" in sys.argv:
#: if rows
        for name, tensor in load_file(RUN / "model" / "weights.safetensors").items():
            KNOWN[re.sub(r"columns\\.(embedding|front)?\\.?", "", name)] = tensor.to(DEVICE)
        network.load_state_dict({name: KNOWN[name] for name in network.state_dict()})
#: end
#: if not rows
        network.load_state_dict(load_file(RUN / "model" / "weights.safetensors")$strict)
#: end
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
#: if trains and rows
        look(read("train")[0])
        train(*read("train"))
#: end
#: if trains and not rows
        train(*read("train"))
#: end
    examples, labels = read("test")
$score
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
    recipe, named = told.recipe, asked.constants(told)
    pictures, sound = told.kind == "image", told.kind == "sound"
    return filled(
        _CONSTANTS,
        {"named": named, "pictures": pictures, "sound": sound, "trains": told.trains},
        run=run_of(told, path),
        asked=named,
        mean=", ".join(map(number, recipe.get("picture.mean", ()))),
        std=", ".join(map(number, recipe.get("picture.std", ()))),
        rate=recipe.get("sound.rate"),
        window=round(recipe["sound.window"] * recipe["sound.rate"]) if sound else 0,
        steps=steps(told),
        best="  # val was best there" if best_step(told) else "",
        batch=recipe["batch"],
        seed=recipe["seed"],
    )


def run_of(told: Told, path: Path) -> str:
    """Return the run's folder as code, for a script that will lie at `path`."""
    if path.parent.resolve() == told.folder.resolve():
        return "Path(__file__).resolve().parent"
    return f"Path({quoted_text(str(told.folder.resolve()))})"


def why(told: Told, key: str, most: int) -> str:
    """Return a comment with the recipe's reason for a choice, or nothing where it is too long."""
    reason = re.split(r"[:;(]| - ", told.why.get(key, ""))[0].strip()
    return f"  # {reason}" if 0 < len(reason) <= most and reason.isprintable() else ""


def steps(told: Told) -> int:
    """Return the training steps that the run took."""
    if not told.trains:
        return 0
    if best := best_step(told):
        return best
    if told.report.get("steps"):
        return int(told.report["steps"])
    epochs, batch = told.recipe["epochs"], told.recipe["batch"]
    finished = told.report["outcome"]["status"] == "finished"
    if epochs is not None and finished:
        return max(1, round(float(epochs * len(told.part("train")) / batch)))
    curves = told.report["curves"]
    return max(1, int(curves[-1]["step"])) if curves else 1


def best_step(told: Told) -> int:
    """Return the step at which a run that waited for `val` was best, 0 where it did not wait."""
    asked_val = [point for point in told.report["curves"] if point["val_score"] is not None]
    if not told.recipe.get("patience") or len(asked_val) < _FEWEST:
        return 0
    return int(max(asked_val, key=lambda point: point["val_score"])["step"])


def main(told: Told) -> str:
    """Return what running the script does."""
    auxiliary = told.recipe["network.name"] in ("googlenet", "inception_v3")
    return filled(
        _MAIN,
        {
            "loads_body": told.loads_body,
            "fits_head": told.fits_head,
            "trains": told.trains,
            "rows": told.kind == "table",
        },
        strict=", strict=False" if auxiliary else "",
        score=asked.score(told),
    )
