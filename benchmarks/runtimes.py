"""What an exported file brings where the model is used: how soon it answers, and what we add.

python benchmarks/runtimes.py cold MODEL FILE [MODEL FILE ...]      # `python` to the first answer
python benchmarks/runtimes.py overhead MODEL FILE [MODEL FILE ...]  # `predict`, the bare runtime

MODEL is a model's folder with exports (`quickstudy export MODEL --to onnx`), FILE one example.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import measuring
import quickstudy
from quickstudy.runtimes.exported import Exported

_FIRST = (
    "import sys, quickstudy; model = quickstudy.load(sys.argv[1], runtime=sys.argv[3] or None); "
    "model.predict(sys.argv[2]); assert ('torch' in sys.modules) == (sys.argv[3] == 'torch')"
)


def exports_of(model: Path) -> list[Path]:
    found = sorted(one.parent for one in model.glob("exports/*/export.json"))
    if not found:
        raise SystemExit(f"{model} has no exports: quickstudy export {model} --to onnx")
    return found


def cold(model: Path, file: Path, rounds: int = 11) -> list[dict[str, Any]]:
    """Wall-clock of fresh processes, one after the other in turn: A B A B."""
    ways = {f"{one.name}, without torch": (one, "") for one in exports_of(model)}
    ways["the model in torch"] = (model, "torch")
    took: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, (path, runtime) in ways.items():
            command = [sys.executable, "-c", _FIRST, str(path), str(file), runtime]
            began = time.perf_counter()
            subprocess.run(command, check=True, env={**os.environ, "QUICKSTUDY_CACHE": "/nowhere"})
            took[way].append(time.perf_counter() - began)
    return [
        {
            "first answer by": way,
            "s, median": f"{statistics.median(each):.2f}",
            "s, least": f"{min(each):.2f}",
            "s, most": f"{max(each):.2f}",
            "processes": rounds,
        }
        for way, each in took.items()
    ]


def overhead(model: Path, file: Path, rounds: int = 300) -> list[dict[str, Any]]:
    """`predict` of one file less its decoding, over the runtime alone on the same tensor."""
    rows = []
    for place in exports_of(model):
        found: Exported = quickstudy.load(place)  # type: ignore[assignment]
        how = found.preparation
        views = how.view(how.values(file), 0)[None]
        given = found.given(views)
        took: dict[str, list[float]] = {"predict": [], "decode": [], "bare": []}
        for number in range(rounds + 5):
            marks = [time.perf_counter()]
            found.predict(file)
            marks.append(time.perf_counter())
            how.values(file)  # before the runtime alone too: what it finds in the caches is alike
            marks.append(time.perf_counter())
            found.session.run(given)
            marks.append(time.perf_counter())
            for name, first, last in zip(took, marks, marks[1:], strict=False):
                if number >= 5:
                    took[name].append(1000 * (last - first))
        predict, decode, bare = (statistics.median(took[name]) for name in took)
        rows.append(
            {
                "runtime": found.runtime,
                "predict, ms": f"{predict:.2f}",
                "decoding, ms": f"{decode:.2f}",
                "bare runtime, ms": f"{bare:.2f}",
                "predict less decoding / bare": f"{(predict - decode) / bare:.3f}",
                "rounds": rounds,
            }
        )
    return rows


def main() -> None:
    name, words = sys.argv[1] if len(sys.argv) > 1 else "", sys.argv[2:]
    if name not in ("cold", "overhead") or not words or len(words) % 2:
        raise SystemExit(__doc__)
    rows = []
    for model, file in zip(map(Path, words[::2]), map(Path, words[1::2]), strict=True):
        found = cold(model, file) if name == "cold" else overhead(model, file)
        rows += [{"model": model.absolute().parent.name, **row} for row in found]
    titles = {"cold": "From Python's start to the first answer"}
    title = titles.get(name, "`predict` of one file against the bare runtime")
    measuring.keep(f"runtimes-{name}", title, rows)


if __name__ == "__main__":
    main()
