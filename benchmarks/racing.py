"""Racing on against off, from scratch: the same budget and seed, in turn.

python benchmarks/racing.py [cats_dogs|cifar10_small] [BUDGET] [SEEDS] [KEY=VALUE ...]
python benchmarks/racing.py every SOURCE [SECONDS] [SEED] [KEY=VALUE ...]

The second trains the plan and each contender alone to the end of its schedule, by a clock of
processor seconds that other work on the machine does not hurry: what a contender is worth, and
whether a short look would have told.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import measuring

SOURCES = {"cats_dogs": "cats_dogs", "cifar10_small": "cifar10_small.zip"}


def main() -> None:
    """Run what was asked for."""
    words = sys.argv[1:]
    if words[:1] == ["every"]:
        every(words[1], *words[2:4], pairs=words[4:])
        return
    name = words[0] if words else "cats_dogs"
    budget, seeds = (words[1:3] + ["10m", "3"][len(words[1:3]) :])[:2]
    rows = []
    for seed in range(int(seeds)):
        for racing in ("on", "off"):
            rows.append(_once(name, budget, seed, racing, words[3:]))
            print(rows[-1], file=sys.stderr, flush=True)
    for racing in ("on", "off"):
        scores = [float(row["test accuracy"].split()[0]) for row in rows if row["race"] == racing]
        mean = f"{statistics.mean(scores):.2f} %"
        rows.append(
            {**dict.fromkeys(rows[0], ""), "race": f"{racing}, mean", "test accuracy": mean}
        )
    measuring.keep(f"racing-{name}-{budget}", f"Racing on and off, {name}, {budget}", rows)


def _once(name: str, budget: str, seed: int, racing: str, pairs: list[str]) -> dict[str, Any]:
    source = measuring.SHARED / "data" / SOURCES[name]
    settings = [*pairs, *(["race=1"] if racing == "off" else [])]
    told, took, _ = measuring.learn(
        source, "--weights", "none", "--budget", budget, "--seed", str(seed),
        *(["--set", *settings] if settings else []),
    )  # fmt: skip
    race = told["race"] or {"contenders": [], "won": {}}
    return {
        "race": racing,
        "seed": seed,
        "test accuracy": f"{100 * told['test']['accuracy']:.1f} %",
        "log loss": f"{told['test']['log_loss']['value']:.3f}",
        "passes": f"{told['curves'][-1]['epoch']:.0f}",
        "raced": ", ".join(one["name"] for one in race["contenders"]) or "-",
        "won": race["won"].get("name", told["recipe"]["race"]["why"]),
        "seconds of the race": race["won"].get("took", 0),
        "seconds": f"{took:.0f}",
    }


def every(source: str, seconds: str = "60", seed: str = "0", *, pairs: list[str]) -> None:
    """Train the plan and each of its contenders alone."""
    import quickstudy as qs
    from quickstudy import clock
    from quickstudy.recipe import settings as read
    from quickstudy.training.contenders import PLAN, contenders

    clock.time = SimpleNamespace(perf_counter=time.process_time)  # type: ignore[assignment]
    own = {"compute.threads": 1, "data_curve": "never", "suspects": "keep", "race": 1}
    own |= read(pairs)
    rows: list[dict[str, Any]] = []
    waiting = [PLAN]
    while waiting:
        one = waiting.pop(0)
        with tempfile.TemporaryDirectory() as name:
            run = qs.learn(
                source, budget=float(seconds), seed=int(seed), weights="none",
                settings={**own, **one.changes}, out=Path(name) / "run",
                started=time.process_time(),
            )  # fmt: skip
        if one is PLAN:
            passes = run.facts["curves"][-1]["epoch"]
            waiting = contenders(run.recipe, set(read(pairs)), passes)
        rows.append(_alone(one.name, run.facts))
        print(rows[-1], file=sys.stderr, flush=True)
    measuring.keep(f"racing-every-{Path(source).stem}", f"Each alone, {seconds} s", rows)


def _alone(name: str, told: dict[str, Any]) -> dict[str, Any]:
    checks = [row["val_loss"] for row in told["curves"] if row["val_loss"] is not None]
    at = {f"val loss at {round(100 * s)} %": checks[round(s * (len(checks) - 1))] for s in
          (0.0, 0.1, 0.25, 0.5, 1.0)}  # fmt: skip
    return {
        "recipe": name,
        "test accuracy": f"{100 * told['test']['accuracy']:.1f} %",
        "passes": f"{told['curves'][-1]['epoch']:.0f}",
        **{key: f"{value:.3f}" for key, value in at.items()},
    }


if __name__ == "__main__":
    main()
