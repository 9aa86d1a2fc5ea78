"""What a model promises, and whether it holds: calibration error, and the coverage of sets.

`seeds`: cats and dogs cut anew for each seed into train, val and test, learnt on the frozen
SqueezeNet's features by the functions that `learn` calls: the last layer, answers by
cross-validation for temperature and sets, the last layer again with val. `runs`: the reports of
whole runs of `learn`, on the source's own test.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import measuring
import trust_labels
from trust_labels import CATS, WEIGHTS, Seen

DIGITS = measuring.SHARED / "data" / "spoken_digits"
ASKED = (0.9, 0.95)
SEEDS = 20
_TEST, _VAL = 600, 0.1  # examples; share of the others

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def scored(all_: Seen, seed: int) -> dict[str, NDArray[Any]]:
    """Learn from a part; return scores of two views ``2 N K`` and labels of val and of the test."""
    import torch
    from torch.nn import functional as F

    from quickstudy.splitting import split
    from quickstudy.training import head
    from quickstudy.training.frozen import with_mirrors

    free = np.full(len(all_.y), -1)
    parts = split(
        all_.y,
        given=free.astype(np.int8),
        groups=free,
        duplicates=all_.group,
        seed=seed,
        test=_TEST / len(all_.y),
        val=_VAL,
    )

    def fit(rows: Ints, known: Any = None) -> Any:
        x = np.concatenate([all_.x[rows], all_.mirrored[rows]])
        y = torch.from_numpy(np.tile(all_.y[rows], 2))
        classes = int(all_.y.max()) + 1
        return head.fit(x, y, classes, F.cross_entropy, with_mirrors(all_.group[rows]), seed, known)

    def across(rows: Ints, strength: float) -> NDArray[np.float32]:
        x = np.concatenate([all_.x[rows], all_.mirrored[rows]])
        y = torch.from_numpy(np.tile(all_.y[rows], 2))
        how = (int(all_.y.max()) + 1, F.cross_entropy, with_mirrors(all_.group[rows]), seed)
        found = head.across_folds(x, y, *how, strength, np.ones(len(y), bool))
        return np.asarray(found.reshape(2, len(rows), -1))

    def ask(fitted: Any, rows: Ints) -> NDArray[np.float32]:
        x = torch.from_numpy(np.stack([all_.x[rows], all_.mirrored[rows]]))
        return np.asarray(x @ fitted.weight.T + fitted.bias)

    first = fit(parts.train)
    val = ask(first, parts.val)
    whole = fit(np.concatenate([parts.train, parts.val]), first)
    held = np.concatenate([across(parts.train, first.strength), val], axis=1)
    rows = np.concatenate([parts.train, parts.val])
    labels = {"held_labels": all_.y[rows], "test_labels": all_.y[parts.test]}
    return {"held": held, "test": ask(whole, parts.test), **labels}


def promises(found: dict[str, NDArray[Any]], seed: int) -> dict[str, Any]:
    """Return how well calibrated answers to the test are, and what their sets hold."""
    import torch

    from quickstudy.calibration import ClassSets, covered_classes, of_classes
    from quickstudy.tasks import Classification

    k = found["held"].shape[-1]
    names = tuple(map(str, range(k)))
    owners = torch.arange(len(found["held_labels"])).repeat(2)
    flat = torch.from_numpy(found["held"]).reshape(-1, k)
    task = Classification(names).judged(flat, owners, found["held_labels"]).task

    def answers(scores: NDArray[Any]) -> Floats:
        said = task.answers(torch.from_numpy(scores).reshape(-1, k)).double()
        return np.asarray(said.reshape(len(scores), -1, k).mean(0).numpy(), np.float64)

    labels, p = found["test_labels"], answers(found["test"])
    held = answers(found["held"])
    sets = ClassSets.calibrated(found["held_labels"], held)
    error = of_classes(labels, p, seed=seed)
    row: dict[str, Any] = {
        "seed": seed,
        "accuracy, %": 100 * float((p.argmax(1) == labels).mean()),
        "ECE, %": 100 * error.ece.value,
    }
    for asked in ASKED:
        (one,) = covered_classes(labels, p, sets, asked)
        row |= _percents(asked, one.promised, one.share.value, one.size)
        row[f"{100 * asked:g}: held where sets may be empty"] = 100 * _plain(
            found["held_labels"], held, labels, p, asked
        )
    return row


def _percents(asked: float, promised: float, held: float, size: float) -> dict[str, float]:
    at = f"{100 * asked:g}"
    return {
        f"{at}: promised": 100 * promised,
        f"{at}: held": 100 * held,
        f"{at}: labels in a set": size,
    }


def _plain(truth: Ints, held: Floats, labels: Ints, p: Floats, asked: float) -> float:
    """Return how often sets hold the truth that may be empty: the textbook's, not `predict`'s."""
    from quickstudy.calibration.conformal import quantile

    limit = quantile(np.sort(1 - held[np.arange(len(truth)), truth]), asked)
    return float((1 - p[np.arange(len(labels)), labels] <= limit).mean())


def seeds(numbers: int = SEEDS) -> list[dict[str, Any]]:
    """Return a row for each seed, and their means."""
    with tempfile.TemporaryDirectory() as name:
        all_ = trust_labels.seen(CATS, Path(name))
    return table([promises(scored(all_, seed), seed) for seed in range(numbers)])


def table(rows: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Return rows and their means in words."""
    mean = {key: statistics.mean(row[key] for row in rows) for key in rows[0]}
    return [
        {key: str(value) if key == "seed" else f"{value:.2f}" for key, value in row.items()}
        for row in [*rows, mean | {"seed": "mean"}]
    ]


def runs(budgets: tuple[str, ...] = ("3m",), numbers: int = 2) -> list[dict[str, Any]]:
    """Return what the reports of whole runs say, cats and dogs and spoken digits."""
    rows = []
    for source, words in ((CATS, ("--weights", WEIGHTS)), (DIGITS, ())):
        for budget in budgets:
            for seed in range(numbers):
                facts, took, _ = measuring.learn(
                    source, *words, "--budget", budget, "--seed", str(seed)
                )
                rows.append(row_of(source.name, budget, seed, facts, took))
                print(rows[-1], file=sys.stderr, flush=True)
    return rows


def row_of(name: str, budget: str, seed: int, facts: dict[str, Any], took: float) -> dict[str, Any]:
    """Return what a report says of its promises, and of what they took."""
    told = facts["calibration"]
    ece, unknown = told["reliability"]["ece"], told["unknown"]
    low, high = (100 * end for end in ece["interval"])
    row = {
        "source": name,
        "budget": budget,
        "seed": str(seed),
        "tested on": str(told["reliability"]["n"]),
        "accuracy, %": f"{100 * facts['test']['accuracy']:.1f}",
        "ECE, %": f"{100 * ece['value']:.2f} ({low:.2f} to {high:.2f})",
    }
    for one in told["sets"]["measured"]:
        at, share = f"{100 * one['asked']:g}", one["share"]
        low, high = (100 * end for end in share["interval"])
        row[f"{at}: promised"] = f"{100 * one['promised']:.1f}"
        row[f"{at}: held"] = f"{100 * share['value']:.1f} ({low:.1f} to {high:.1f})"
    refused = unknown.get("test", {}).get("refused", {}).get("value")
    row["known refused, %"] = "-" if refused is None else f"{100 * refused:.1f}"
    row["seconds for 'none of these'"] = f"{facts['seconds'].get('know', 0):.1f}"
    row["whole run, s"] = f"{took:.0f}"
    return row
