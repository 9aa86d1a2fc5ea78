"""The network for tables against gradient-boosted trees, both at their defaults.

python benchmarks/tables.py [SEEDS]

Five data sets that come with scikit-learn, and made ones with what tables are feared for. Each is
split 75/25 by five seeds; the trees (scikit-learn's HistGradientBoosting) learn from all of the
75 %, the network from 85 % of them and stops by the rest. Accuracy, or R2 where a number is asked.
"""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn import datasets
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional as F

import measuring
from quickstudy.network.tabular import Tabular

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


def mixed() -> Table:
    """Numbers and categories whose effects depend on each other."""
    rng = np.random.default_rng(3)
    n = 2_000
    x = rng.normal(size=(n, 4))
    codes = np.stack([rng.integers(0, words, n) for words in (3, 8, 20)], 1)
    effects = [rng.normal(size=words) for words in (3, 8, 20)]
    y = effects[0][codes[:, 0]] * x[:, 0] * 2 + effects[1][codes[:, 1]] + effects[2][codes[:, 2]]
    y += np.abs(x[:, 1]) + 0.5 * rng.normal(size=n)
    return np.hstack([x, codes]), y, [0] * 4 + [3, 8, 20]


SHIPPED = {
    "iris": lambda: sklearn_table(datasets.load_iris),
    "wine": lambda: sklearn_table(datasets.load_wine),
    "breast_cancer": lambda: sklearn_table(datasets.load_breast_cancer),
    "digits": lambda: sklearn_table(datasets.load_digits),
    "diabetes": lambda: sklearn_table(datasets.load_diabetes),
}
MADE = {"friedman1": friedman, "wild scales": wild, "missing cells": gaps, "mixed": mixed}


def trees(x: NDArray[Any], y: NDArray[Any], ask: NDArray[Any], words: list[int], seed: int) -> Any:
    kind = HistGradientBoostingRegressor if y.dtype.kind == "f" else HistGradientBoostingClassifier
    return kind(random_state=seed, categorical_features=np.array(words) > 0).fit(x, y).predict(ask)


SETTINGS: dict[str, Any] = {
    "width": 128, "blocks": 2, "members": 16, "dropout": 0.1, "bins": 16, "lr": 2e-3,
    "weight_decay": 3e-4, "epochs": 200, "steps": 600, "batch": 0, "patience": 40, "decay": 0.98,
}  # fmt: skip


def network(
    x: NDArray[Any], y: NDArray[Any], ask: NDArray[Any], words: list[int], seed: int, **given: Any
) -> NDArray[Any]:
    """Learn from rows ``N F`` and answers ``N``; return the answers to rows `ask`."""
    how = {**SETTINGS, **given}
    torch.manual_seed(seed)
    numeric = y.dtype.kind == "f"
    middle, spread = (y.mean(), y.std()) if numeric else (0, 1)
    target = torch.tensor((y - middle) / spread).float() if numeric else torch.tensor(y)
    rows = torch.tensor(x, dtype=torch.float32)
    learn, val = train_test_split(
        np.arange(len(x)), test_size=0.15, random_state=seed, stratify=None if numeric else y
    )
    missing = np.isnan(x).any(0).tolist()
    net = Tabular(
        words, missing, 1 if numeric else int(y.max()) + 1,
        **{name: how[name] for name in ("width", "blocks", "members", "dropout", "bins")},
    )  # fmt: skip
    net.fit_statistics(rows[learn].numpy())
    best = fitted(net, rows[learn], target[learn], rows[val], target[val], how)
    with torch.inference_mode():
        scores = best(torch.tensor(ask, dtype=torch.float32))
    if numeric:
        return scores.mean(1)[:, 0].double().numpy() * spread + middle
    return scores.softmax(2).mean(1).argmax(1).numpy()


def fitted(
    net: nn.Module, x: Tensor, y: Tensor, val_x: Tensor, val_y: Tensor, how: dict[str, Any]
) -> nn.Module:
    """Learn by AdamW with a cosine; return the averaged weights that were best on `val`."""
    batch = how["batch"] or int(np.clip(2 ** round(np.log2(len(x) / 8)), 32, 256))
    epoch = -(-len(x) // batch)
    steps = min(how["epochs"] * epoch, max(how["steps"], 30 * epoch))
    decayed = [p for p in net.parameters() if p.ndim > 1]
    plain = [p for p in net.parameters() if p.ndim <= 1]
    groups = [{"params": decayed}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=how["lr"], weight_decay=how["weight_decay"])
    average = copy.deepcopy(net).eval()
    best, best_loss, best_at = average, np.inf, 0
    order = torch.empty(0, dtype=torch.long)
    for step in range(steps):
        share = step / steps
        rate = how["lr"] * min(1.0, (step + 1) / 20) * (0.5 + 0.5 * np.cos(np.pi * share))
        for group in optimizer.param_groups:
            group["lr"] = rate
        if len(order) < batch:
            order = torch.cat([order, torch.randperm(len(x))])
        picked, order = order[:batch], order[batch:]
        optimizer.zero_grad()
        loss_of(net.train()(x[picked]), y[picked]).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimizer.step()
        keep = min(how["decay"], (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(list(average.parameters()), list(net.parameters()), 1 - keep)
        if (step + 1) % max(epoch, 10) == 0 or step == steps - 1:
            with torch.inference_mode():
                loss = float(answer_loss(average(val_x), val_y))
            if loss < best_loss:
                best, best_loss, best_at = copy.deepcopy(average), loss, step
            elif step - best_at > how["patience"] * max(epoch, 10):
                break
    return best


def loss_of(scores: Tensor, y: Tensor) -> Tensor:
    """Mean over rows and members ``N M K`` of each one's own loss."""
    if y.dtype == torch.float32:
        return (scores[..., 0] - y[:, None]).square().mean()
    return F.cross_entropy(scores.flatten(0, 1), y.repeat_interleave(scores.shape[1]))


def answer_loss(scores: Tensor, y: Tensor) -> Tensor:
    """Loss of the mean answer."""
    if y.dtype == torch.float32:
        return (scores[..., 0].mean(1) - y).square().mean()
    return F.nll_loss(scores.softmax(2).mean(1).log(), y)


def score(y: NDArray[Any], found: NDArray[Any]) -> float:
    """Return accuracy, or R2 of numbers."""
    return float((r2_score if y.dtype.kind == "f" else accuracy_score)(y, found))


def compare(name: str, table: Table, seeds: int) -> dict[str, Any]:
    """Return a line of the result."""
    x, y, words = table
    scores: dict[str, list[float]] = {"network": [], "trees": []}
    seconds = dict.fromkeys(scores, 0.0)
    for seed in range(seeds):
        stratify = None if y.dtype.kind == "f" else y
        x1, x2, y1, y2 = train_test_split(x, y, random_state=seed, stratify=stratify)
        for who, learn in (("network", network), ("trees", trees)):
            began = time.perf_counter()
            scores[who].append(score(y2, learn(x1, y1, x2, words, seed)))
            seconds[who] += time.perf_counter() - began
    ours, theirs = np.array(scores["network"]), np.array(scores["trees"])
    rank = 1.5 + 0.5 * np.sign(theirs - ours)
    return {
        "table": name,
        "rows x columns": f"{x.shape[0]} x {x.shape[1]}",
        "score": "R2" if y.dtype.kind == "f" else "accuracy",
        "network": f"{ours.mean():.4f} ± {ours.std(ddof=1):.4f}",
        "trees": f"{theirs.mean():.4f} ± {theirs.std(ddof=1):.4f}",
        "won / even / lost": f"{(rank < 1.5).sum()} / {(rank == 1.5).sum()} / {(rank > 1.5).sum()}",
        "mean rank (1 best)": f"{rank.mean():.2f}",
        "seconds": f"{seconds['network'] / seeds:.1f} / {seconds['trees'] / seeds:.1f}",
    }


def main() -> None:
    torch.set_num_threads(1)
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    rows = []
    for tables in (SHIPPED, MADE):
        for name, make in tables.items():
            rows.append(compare(name, make(), seeds))
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
