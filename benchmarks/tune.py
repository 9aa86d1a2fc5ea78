"""`tune` against `learn` with the same budget in all: scikit-learn's digits and spoken digits.

python benchmarks/tune.py [BUDGET] [SEEDS] [DATA ...]

BUDGET for either (default 20m), SEEDS how many (default 1), DATA of `digits` and `spoken` (default
both). In turn, learn first with one seed, tune first with the next; a seed has the same split in
both, and each begins with an empty cache.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import measuring


def digits(folder: Path) -> Path:
    """Write scikit-learn's digits as somebody would have them: a folder per class."""
    from PIL import Image
    from sklearn.datasets import load_digits

    found = load_digits()
    pictures = (found.images * (255 / 16)).round().astype("uint8")
    for number, (picture, label) in enumerate(zip(pictures, found.target, strict=True)):
        (folder / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / str(label) / f"{number:04d}.png")
    return folder


def run(command: str, source: Path, *words: str) -> tuple[dict[str, Any], float]:
    """Run `learn` or `tune` with a cache of its own; return its report and its seconds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        said = [sys.executable, "-m", "quickstudy", command, str(source), *words, "--json"]
        said += ["--out", str(folder / "run")]
        told, took, _ = measuring.timed(said, folder / "cache", folder)
        return told, took


def main() -> None:
    budget = sys.argv[1] if len(sys.argv) > 1 else "20m"
    seeds = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    wanted = sys.argv[3:] or ["digits", "spoken"]
    rows = []
    with tempfile.TemporaryDirectory() as name:
        sources: dict[str, tuple[Path, list[str]]] = {}
        if "digits" in wanted:
            sources["digits"] = (digits(Path(name) / "digits"), [])
        if "spoken" in wanted:
            sources["spoken"] = (measuring.SHARED / "data" / "spoken_digits", [])
        for seed in range(seeds):
            for data, (source, words) in sources.items():
                for command in ("learn", "tune") if seed % 2 == 0 else ("tune", "learn"):
                    how = ["--budget", budget, "--seed", str(seed), *words]
                    told, took = run(command, source, *how)
                    rows.append(_row(data, command, seed, told, took))
                    print(rows[-1], file=sys.stderr, flush=True)
    measuring.keep("tune", f"tune and learn, {budget} each", rows)


def _row(data: str, command: str, seed: int, told: dict[str, Any], took: float) -> dict[str, Any]:
    low, high = told["test"]["interval"]
    search = told.get("search") or {"board": [], "winner": None, "plan": None}
    states = [row["state"] for row in search["board"]]
    by_number = {row["number"]: row for row in search["board"]}
    best, plan = by_number.get(search["winner"]), by_number.get(search["plan"])
    won = "the plan's own" if best and best["plan"] else f"trial {best['number']}" if best else ""
    return {
        "data": data,
        "command": command,
        "seed": seed,
        "test": f"{100 * told['test']['accuracy']:.1f} % ({100 * low:.1f} to {100 * high:.1f})",
        "n": told["test"]["n"],
        "val": f"{100 * told['val']['score']:.1f} %",
        "trials": ", ".join(f"{states.count(s)} {s}" for s in dict.fromkeys(states)) or "-",
        "chosen": won or "-",
        "its val, the plan's": f"{100 * best['val_score']:.1f}, {100 * plan['val_score']:.1f} %"
        if best and plan
        else "-",
        "seconds": f"{took:.0f}",
    }


if __name__ == "__main__":
    main()
