"""Quickstudy on tables against gradient-boosted trees, both at their defaults.

python benchmarks/tables.py [SPLITS [NAME ...]]

The five data sets that come with scikit-learn, and made ones with what tables are feared for. Each
is split 75/25 by so many seeds (5). `quickstudy.learn` gets the 75 % as a data frame and a minute,
holds back what it steers by itself, and ends when it sees fit; scikit-learn's HistGradientBoosting
learns from all of the 75 %. Accuracy of both on the 25 %, or R2 where a number is asked. The
interval of the difference is Nadeau and Bengio's (2003): splits of the same rows are no independent
samples.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from sklearn import datasets
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import train_test_split

import measuring
import quickstudy

_BUDGET = 60  # seconds
_TEST = 0.25

Table = tuple[NDArray[np.float64], NDArray[Any], list[int]]
"""Rows ``N F``, answers ``N``, and for each column how many words it has (0: a number)."""


def sklearn_table(load: Callable[..., Any]) -> Table:
    x, y = load(return_X_y=True)
    return x, y, [0] * x.shape[1]


def friedman() -> Table:
    x, y = datasets.make_friedman1(1_000, 10, noise=1.0, random_state=0)
    return x, y, [0] * x.shape[1]


def wild() -> Table:
    """Friedman's function of columns from 1e-12 to 1e12, each bent, and with outliers."""
    x, y, words = friedman()
    rng = np.random.default_rng(1)
    bent = np.where(np.arange(10) % 2, np.exp(8 * x), x) * 10.0 ** np.linspace(-12, 12, 10)
    far = rng.random(bent.shape) < 0.005
    return np.where(far, bent * 1e6, bent), y, words


def gaps() -> Table:
    """Three classes; a fifth of the cells is missing, more often where the value is high."""
    x, y = datasets.make_classification(
        1_500, 12, n_informative=8, n_redundant=2, n_classes=3, random_state=0
    )
    rng = np.random.default_rng(2)
    ranks = x.argsort(0).argsort(0) / len(x)
    return np.where(rng.random(x.shape) < 0.4 * ranks, np.nan, x), y, [0] * 12


def mixed(n: int = 2_000) -> Table:
    """Numbers and categories whose effects depend on each other."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(n, 4))
    codes = np.stack([rng.integers(0, words, n) for words in (3, 8, 20)], 1)
    effects = [rng.normal(size=words) for words in (3, 8, 20)]
    y = effects[0][codes[:, 0]] * x[:, 0] * 2 + effects[1][codes[:, 1]] + effects[2][codes[:, 2]]
    y += np.abs(x[:, 1]) + 0.5 * rng.normal(size=n)
    return np.hstack([x, codes]), y, [0] * 4 + [3, 8, 20]


def steps() -> Table:
    """Four classes with borders parallel to the axes, a tenth at random: made for trees."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(1_200, 12))
    y = (x[:, 0] > 0.3) + 2 * ((x[:, 1] > -0.2) & (x[:, 2] < 0.8))
    return x, np.where(rng.random(1_200) < 0.1, rng.integers(0, 4, 1_200), y), [0] * 12


SHIPPED: dict[str, Callable[[], Table]] = {
    "iris": lambda: sklearn_table(datasets.load_iris),
    "wine": lambda: sklearn_table(datasets.load_wine),
    "breast_cancer": lambda: sklearn_table(datasets.load_breast_cancer),
    "digits": lambda: sklearn_table(datasets.load_digits),
    "diabetes": lambda: sklearn_table(datasets.load_diabetes),
}
MADE: dict[str, Callable[[], Table]] = {
    "friedman1": friedman,
    "wild scales": wild,
    "missing cells": gaps,
    "mixed": mixed,
    "steps": steps,
    "mixed, large": lambda: mixed(20_000),
}


def trees(x: NDArray[Any], y: NDArray[Any], ask: NDArray[Any], words: list[int], seed: int) -> Any:
    kind = HistGradientBoostingRegressor if y.dtype.kind == "f" else HistGradientBoostingClassifier
    return kind(random_state=seed, categorical_features=np.array(words) > 0).fit(x, y).predict(ask)


def frame(x: NDArray[Any], words: list[int]) -> pd.DataFrame:
    """Return rows as a user would have them: categories are words."""
    columns = {}
    for place, count in enumerate(words):
        cells = x[:, place]
        columns[f"x{place}"] = [f"w{code:.0f}" for code in cells] if count else cells
    return pd.DataFrame(columns)


def network(
    x: NDArray[Any], y: NDArray[Any], ask: NDArray[Any], truth: NDArray[Any], words: list[int],
    seed: int,
) -> NDArray[Any]:  # fmt: skip
    """Learn from rows ``N F`` and answers ``N``; return the answers to rows `ask`.

    `truth` goes to the run's own test, so that it holds nothing more back.
    """
    numeric = y.dtype.kind == "f"
    rows, asked = frame(x, words), frame(ask, words)
    answers = y if numeric else [f"class {code}" for code in y]
    told = truth if numeric else [f"class {code}" for code in truth]
    with tempfile.TemporaryDirectory() as name:
        os.environ["QUICKSTUDY_CACHE"] = str(Path(name) / "cache")
        run = quickstudy.learn(
            rows.assign(answer=answers),
            test=asked.assign(answer=told),
            target="answer",
            budget=_BUDGET,
            seed=seed,
            settings={"table.trees": False},  # they are fitted here
            out=Path(name) / "run",
        )
    found = run.model.predict(asked)
    if numeric:
        return np.array([one.values["answer"] for one in found])
    return np.array([int(one.label.removeprefix("class ")) for one in found])


def score(y: NDArray[Any], found: NDArray[Any]) -> float:
    """Return accuracy, or R2 of numbers."""
    return float((r2_score if y.dtype.kind == "f" else accuracy_score)(y, found))


def margin(differences: NDArray[np.float64]) -> float:
    """Return half the 95 % interval of the mean of differences over splits (Nadeau and Bengio)."""
    k = len(differences)
    if k < 2:
        return float("nan")
    spread = differences.var(ddof=1) * (1 / k + _TEST / (1 - _TEST))
    return float(stats.t.ppf(0.975, k - 1) * np.sqrt(spread))


def compare(name: str, table: Table, splits: int) -> dict[str, Any]:
    """Return a line of the result."""
    x, y, words = table
    ours, theirs, seconds = [], [], np.zeros(2)
    for seed in range(splits):
        stratify = None if y.dtype.kind == "f" else y
        x1, x2, y1, y2 = train_test_split(
            x, y, test_size=_TEST, random_state=seed, stratify=stratify
        )
        began = time.perf_counter()
        ours.append(score(y2, network(x1, y1, x2, y2, words, seed)))
        between = time.perf_counter()
        theirs.append(score(y2, trees(x1, y1, x2, words, seed)))
        seconds += between - began, time.perf_counter() - between
    a, b = np.array(ours), np.array(theirs)
    rank = 1.5 + 0.5 * np.sign(b - a)
    return {
        "table": name,
        "rows x columns": f"{x.shape[0]} x {x.shape[1]}",
        "score": "R2" if y.dtype.kind == "f" else "accuracy",
        "network": f"{a.mean():.4f}",
        "trees": f"{b.mean():.4f}",
        "difference (95 %)": f"{(a - b).mean():+.4f} ± {margin(a - b):.4f}",
        "won / even / lost": f"{(rank < 1.5).sum()} / {(rank == 1.5).sum()} / {(rank > 1.5).sum()}",
        "mean rank (1 best)": f"{rank.mean():.2f}",
        "seconds": f"{seconds[0] / splits:.1f} / {seconds[1] / splits:.1f}",
    }


def main() -> None:
    splits = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    wanted = sys.argv[2:] or [*SHIPPED, *MADE]
    rows = []
    for name, make in {**SHIPPED, **MADE}.items():
        if name in wanted:
            few = min(splits, 2) if "large" in name else splits
            rows.append(compare(name, make(), few))
            print(rows[-1], file=sys.stderr, flush=True)
    means = [
        np.mean([float(row["mean rank (1 best)"]) for row in rows if row["table"] in tables])
        for tables in (SHIPPED, MADE)
    ]
    title = (
        f"Tables: mean rank of the network {means[0]:.2f} on the five that come with "
        f"scikit-learn, {means[1]:.2f} on the made ones (the trees have 3 minus that)"
    )
    measuring.keep("tables", title, rows)


if __name__ == "__main__":
    main()
