"""Comparing runs, slices, and the learning curve over data: do they keep what they promise?

`false_alarms`: how often two equally good models are called different, and how often an even model
has a slice that is called worse; at most 5 % is promised. `power`: how often a difference shows at
the number of test examples that `compare` asks for; 80 % is promised. `passes`: what smaller parts
of the examples score when they are learnt from for as many passes, or for as many steps, as the
whole: with fewer steps more data would look better than it is. `seconds`: what the curve costs.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Row = dict[str, Any]


def _shares(said: NDArray[Any], sure: float = 0.9) -> NDArray[np.float64]:
    return np.where(np.arange(2) == said[:, None], sure, 1 - sure)


def false_alarms(trials: int = 2000) -> list[Row]:
    """Compare models of equal merit, drawn at random; a row for each task and size of test."""
    from quickstudy.evaluation import compared

    def classes(rng: np.random.Generator, n: int) -> bool:
        truth = rng.integers(0, 2, n)
        easy = rng.random(n) < 0.7  # what both have right: models err on the same examples
        sides = (np.where(easy | (rng.random(n) < 0.6), truth, 1 - truth) for _ in range(2))
        return compared("classification", truth, *map(_shares, sides)).verdict != "unclear"

    def numbers(rng: np.random.Generator, n: int) -> bool:
        y = rng.normal(size=(n, 1))
        sides = (y + rng.standard_t(3, size=y.shape) * 0.5 for _ in range(2))
        return compared("regression", y, *sides).verdict != "unclear"

    def labels(rng: np.random.Generator, n: int) -> bool:
        y = (rng.random((n, 3)) < 0.3).astype(float)
        sides = (1 / (1 + np.exp(1 - 2 * y - rng.normal(size=y.shape))) for _ in range(2))
        return compared("multilabel", y, *sides).verdict != "unclear"

    asked: list[tuple[str, Callable[[np.random.Generator, int], bool], int, int]] = [
        *(("classes", classes, n, trials) for n in (50, 200, 600)),
        *(("numbers", numbers, n, trials // 2) for n in (50, 200)),
        ("labels", labels, 50, trials // 20),
        *(("slices", _uneven, n, trials) for n in (100, 600)),
    ]
    rows = []
    for name, ask, n, times in asked:
        called = sum(ask(np.random.default_rng([seed, n]), n) for seed in range(times))
        rows.append(
            {"what": name, "n": n, "trials": times, "called different": _percent(called, times)}
        )
    return rows


def _uneven(rng: np.random.Generator, n: int) -> bool:
    """Whether an even model has a slice that is called worse, of 16 by four things."""
    from quickstudy.evaluation import quarters, slices_of_shares

    right = rng.random(n) < 0.9
    parts = [one for name in "abcd" for one in quarters(rng.random(n), name, "low", "high")]
    return slices_of_shares(right, parts)[0].worse


def power(trials: int = 2000) -> list[Row]:
    """Compare models that differ, on as many examples as are asked for to show it."""
    from quickstudy.evaluation.paired import examples_for, mcnemar

    rows = []
    for worse, better in ((0.02, 0.04), (0.03, 0.07), (0.01, 0.06), (0.0, 0.02)):
        n = examples_for(better - worse, better + worse)
        drawn = np.random.default_rng(0).multinomial(n, [worse, better, 1 - worse - better], trials)
        shown = sum(mcnemar(one, two) <= 0.05 and two > one for one, two, _ in drawn.tolist())
        rows.append(
            {
                "only the one right": f"{100 * worse:g} %",
                "only the other": f"{100 * better:g} %",
                "examples asked for": n,
                "shown": _percent(shown, trials),
            }
        )
    return rows


def passes(seeds: int = 3) -> list[Row]:
    """Learn digits from scratch from a quarter, a half and all; passes or steps held the same."""
    from sklearn.datasets import load_digits

    import quickstudy as qs
    from quickstudy.splitting import split

    digits = load_digits()
    pictures, y = (digits.images * (255 / 16)).round().astype("uint8"), digits.target
    rows = []
    for share in (0.25, 0.5, 1.0):
        found: dict[str, list[float]] = {"passes": [], "steps": []}
        for seed in range(seeds):
            alone = np.full(len(y), -1)
            parts = split(y, given=alone.astype(np.int8), groups=alone, duplicates=alone, seed=seed)
            learnt = np.concatenate([parts.train, parts.val])
            some = np.random.default_rng(seed).permutation(learnt)[: round(share * len(learnt))]
            for name, times in (("passes", 8.0), ("steps", 8.0 / share)):
                if share == 1.0 and name == "steps":
                    found[name].append(found["passes"][-1])
                    continue
                how = {"epochs": times, "batch": 32, "network.width": 0.25, "optimizer.lr": 0.02}
                how |= {"picture.size": 16, "picture.start_size": 16, "compute.threads": 1}
                with tempfile.TemporaryDirectory() as folder:
                    run = qs.learn(
                        (pictures[some], y[some]),
                        test=(pictures[parts.test], y[parts.test]),
                        settings=how,
                        out=Path(folder) / "run",
                    )
                found[name].append(run.test.accuracy)
        row: Row = {"share": f"{100 * share:g} %"}
        row |= {f"as many {k}": f"{100 * statistics.mean(v):.1f} %" for k, v in found.items()}
        rows.append(row)
    return rows


def seconds() -> list[Row]:
    """Draw the curve of a last layer, on features made at random, and of trees: what it costs."""
    import torch
    from torch.nn import functional as F

    from quickstudy.clock import Clock, Stop
    from quickstudy.tasks import task_of
    from quickstudy.training.curve import of_features

    rows = []
    for n, width, classes in ((2_000, 512, 2), (2_000, 512, 10), (10_000, 1280, 10)):
        for budget in (60.0, 600.0):
            rng = np.random.default_rng(0)
            y = rng.integers(0, classes, n)
            x = rng.normal(size=(n, width)).astype(np.float32)
            x[np.arange(n), y] += 2
            clock = Clock(budget)
            lesson: Any = SimpleNamespace(
                recipe=SimpleNamespace(seed=0, epochs=None), clock=clock, stop=Stop(),
                task=task_of("classification", tuple(map(str, range(classes)))), truth=y,
                outputs=classes, families=np.arange(n), seconds_left=clock.left,
            )  # fmt: skip
            began = time.perf_counter()
            curve = of_features(lesson, np.arange(n), x, torch.from_numpy(y), F.cross_entropy, 1e-3)
            took = time.perf_counter() - began
            rows.append(
                {
                    "examples x features x classes": f"{n:,} x {width:,} x {classes}",
                    "budget": f"{budget:g} s",
                    "seconds": f"{took:.1f}",
                    "of the budget": f"{100 * took / budget:.1f} %",
                    "asked about": 0 if curve is None else f"{len(curve.truth):,}",
                }
            )
    return rows


def _percent(n: int, of: int) -> str:
    return f"{100 * n / of:.1f} %"
