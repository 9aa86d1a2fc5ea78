"""Labels flipped at random: are they found, and what do they cost?

`flips`: through `quickstudy learn` itself with a minute's budget, on photographs with trained
weights. `seeds`: by the functions that `learn` calls, on features computed once, for more seeds.
`tables`: the same on scikit-learn's tables, with the suspects kept, and left out.
"""

from __future__ import annotations

import csv
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

import measuring

CATS = measuring.SHARED / "data" / "cats_dogs"
WEIGHTS = measuring.SHARED / "weights" / "squeezenet1_0.safetensors"
SHARE, TOP = 0.05, 0.06
BUDGET = "60s"
Bools, Ints = NDArray[np.bool_], NDArray[np.int64]


def flipped(n: int, seed: int) -> Bools:
    """Return which of `n` labels are flipped."""
    wrong = np.zeros(n, bool)
    wrong[np.random.default_rng(seed).permutation(n)[: round(SHARE * n)]] = True
    return wrong


def flips(numbers: tuple[int, ...] = (0, 1)) -> list[dict[str, Any]]:
    """Learn from cats and dogs with and without flips; a row for each seed and their means."""
    rows = []
    for seed in numbers:
        with tempfile.TemporaryDirectory() as name:
            row = _flips(Path(name), seed)
        rows.append(row)
        print(row, file=sys.stderr, flush=True)
    return [*map(_worded, rows), _mean(rows)]


def _flips(folder: Path, seed: int) -> dict[str, Any]:
    files = [(file, label) for label in ("cat", "dog") for file in _files("train", label)]
    wrong = flipped(len(files), seed)
    tested = [(file, label) for label in ("cat", "dog") for file in _files("test", label)]
    clean = _manifest(folder / "clean.csv", files, tested, np.zeros_like(wrong))
    noisy = _manifest(folder / "noisy.csv", files, tested, wrong)
    planted = {file.name for (file, _), flip in zip(files, wrong, strict=True) if flip}
    how = ("--weights", WEIGHTS, "--seed", str(seed), "--budget", BUDGET)
    right, _, _ = _learnt(folder / "a", clean, *how)
    found, took, listed = _learnt(folder / "b", noisy, *how)
    top = listed[: round(TOP * len(files))]
    out = [one for one in listed if one["left_out"] == "yes"]
    return {
        "seed": seed,
        "flips": len(planted),
        "of them in the top 6 %, %": 100 * _named(top, planted) / len(planted),
        "listed": len(listed),
        "left out": len(out),
        "of them flips, %": 100 * _named(out, planted) / max(1, len(out)),
        "clean labels, %": 100 * right["test"]["accuracy"],
        "flipped": 100 * found["test"]["accuracy"],
        "lost, points": 100 * (right["test"]["accuracy"] - found["test"]["accuracy"]),
        "doubting, s": found["seconds"].get("doubt", 0.0),
        "whole run, s": took,
    }


def _files(part: str, label: str) -> list[Path]:
    return sorted((CATS / part / label).iterdir())


def _manifest(
    path: Path, files: list[tuple[Path, str]], tested: list[tuple[Path, str]], wrong: Bools
) -> Path:
    with path.open("w", newline="") as text:
        out = csv.writer(text)
        out.writerow(("path", "label", "split"))
        for (file, label), flip in zip(files, wrong.tolist(), strict=True):
            other = "dog" if label == "cat" else "cat"
            out.writerow((file, other if flip else label, "train"))
        out.writerows((file, label, "test") for file, label in tested)
    return path


def _learnt(
    folder: Path, source: Path, *words: str | Path
) -> tuple[dict[str, Any], float, list[dict[str, str]]]:
    """Run `quickstudy learn`; return the report, wall-clock, and what its suspects.csv lists."""
    folder.mkdir()
    command = [sys.executable, "-m", "quickstudy", "learn", str(source), *map(str, words)]
    command += ["--json", "--out", str(folder / "run")]
    facts, took, _ = measuring.timed(command, folder.parent / "cache", folder)
    path = folder / "run" / "suspects.csv"
    listed: list[dict[str, str]] = []
    if path.is_file():
        with path.open(newline="") as text:
            listed = list(csv.DictReader(text))
    return facts, took, listed


def _named(listed: list[dict[str, str]], planted: set[str]) -> int:
    return sum(Path(one["name"]).name in planted for one in listed)


def _worded(row: dict[str, Any]) -> dict[str, str]:
    return {k: f"{v:.1f}" if isinstance(v, float) else str(v) for k, v in row.items()}


def _mean(rows: list[dict[str, Any]]) -> dict[str, str]:
    first = next(iter(rows[0]))
    found = {
        k: statistics.mean(r[k] for r in rows) if isinstance(rows[0][k], int | float) else ""
        for k in rows[0]
    }
    return _worded({**{k: float(v) if v != "" else v for k, v in found.items()}, first: "mean"})


@dataclass(frozen=True)
class Seen:
    """Features ``N D`` of pictures and of their mirror images, labels, what is the test's."""

    x: NDArray[np.float32]
    mirrored: NDArray[np.float32]
    y: Ints
    group: Ints
    test: Bools


def seen(source: Path, folder: Path) -> Seen:
    """Decode all pictures of a source and run the frozen body over them, as `learn` does."""
    from quickstudy import checking, decoding, hardware, kinds
    from quickstudy.catalog import TEST, scan
    from quickstudy.network import Spec, build, weights
    from quickstudy.training import head

    machine = hardware.quicken(hardware.survey())
    catalog = scan(source, cache=folder)
    how: dict[str, Any] = {"decode_size": 224, "size": 224, "fit": "squash", "mirror": True}
    how |= {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    prepared = kinds.restored("image", how)
    decoded = decoding.decode(catalog, prepared, folder, machine.cores, lambda _: None)
    network = build(Spec("squeezenet1_0", len(catalog.classes), 224))
    weights.put(network, weights.read(WEIGHTS), "squeezenet1_0")
    recipe: Any = SimpleNamespace(compute=SimpleNamespace(device="cpu", precision="float32"))
    rows = np.arange(len(decoded))
    views = [
        head.features(
            *(network, decoded, rows, recipe, folder / f"{mirrored}.f32"),
            mirrored=mirrored,
            each=lambda _: True,
        )
        for mirrored in (False, True)
    ]
    kept = decoded.kept
    twins = checking.duplicates(decoded.digests, decoded.thumbs)
    return Seen(*views, catalog.labels[kept], twins.group, catalog.given[kept] == TEST)


def taught(all_: Seen, given: Ints, seed: int) -> dict[str, Any]:
    """Learn from `given` labels; return the test's accuracy before and after, and the suspects."""
    from quickstudy.training.suspects import certain

    learn = np.flatnonzero(~all_.test)
    before, found = learnt(all_, given, learn, seed)
    out = certain(found, given[learn])
    after, _ = learnt(all_, given, learn[~out], seed)
    return {"before": before, "after": after, "found": found, "out": out}


def learnt(all_: Seen, given: Ints, rows: Ints, seed: int) -> tuple[float, Any]:
    """Return the accuracy on the test after learning from `rows`, and what is suspect of them."""
    import torch
    from torch.nn import functional as F

    from quickstudy.training import head
    from quickstudy.training.frozen import with_mirrors
    from quickstudy.training.suspects import out_of_fold, suspects

    classes = int(all_.y.max()) + 1
    x = np.concatenate([all_.x[rows], all_.mirrored[rows]])
    groups, y = with_mirrors(all_.group[rows]), np.tile(given[rows], 2)
    fitted = head.fit(x.copy(), torch.from_numpy(y), classes, F.cross_entropy, groups, seed)
    p = out_of_fold(x, y, classes, F.cross_entropy, groups, seed, fitted.strength, views=2)
    asked = torch.from_numpy(np.stack([all_.x[all_.test], all_.mirrored[all_.test]]))
    shares = (asked @ fitted.weight.T + fitted.bias).softmax(-1).mean(0)
    right = shares.argmax(1).numpy() == all_.y[all_.test]
    return float(right.mean()), suspects(given[rows], p)


def seeds(numbers: tuple[int, ...] = (0, 1, 2, 3, 4)) -> list[dict[str, Any]]:
    """Flip labels, find them, leave the most certain out; a row for each seed and their means."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        all_ = seen(CATS, Path(name))
    learn = np.flatnonzero(~all_.test)
    for seed in numbers:
        wrong = flipped(len(learn), seed)
        given = all_.y.copy()
        given[learn[wrong]] = 1 - given[learn[wrong]]
        clean, noisy = taught(all_, all_.y, seed), taught(all_, given, seed)
        top = noisy["found"].order[: round(TOP * len(learn))]
        rows.append(
            {
                "seed": seed,
                "flips in the top 6 %, %": 100 * wrong[top].sum() / wrong.sum(),
                "left out": int(noisy["out"].sum()),
                "of them flips, %": 100 * wrong[noisy["out"]].mean(),
                "left out of clean labels": int(clean["out"].sum()),
                "clean, %": 100 * clean["before"],
                "clean, suspects left out": 100 * clean["after"],
                "flipped, nothing done": 100 * noisy["before"],
                "flipped, suspects left out": 100 * noisy["after"],
                "lost, points": 100 * (clean["before"] - noisy["after"]),
            }
        )
        print(rows[-1], file=sys.stderr, flush=True)
    return [*map(_worded, rows), _mean(rows)]


def _tables() -> Iterator[tuple[str, NDArray[np.float64], Ints]]:
    from sklearn import datasets

    for name in ("iris", "wine", "breast_cancer", "digits"):
        yield name, *getattr(datasets, f"load_{name}")(return_X_y=True)
    how: dict[str, Any] = {"n_informative": 8, "n_redundant": 4, "n_classes": 3, "flip_y": 0}
    for name, apart in (("made, easy", 2.0), ("made, hard", 0.6)):
        made = datasets.make_classification(1_500, 20, class_sep=apart, random_state=0, **how)
        yield name, *made
    yield "two moons", *datasets.make_moons(800, noise=0.3, random_state=0)


def tables(numbers: tuple[int, ...] = (0, 1, 2)) -> list[dict[str, Any]]:
    """Flip labels of tables; what trees and a plain network then learn, with suspects and without.

    By the functions that `learn` calls; the learners are scikit-learn's, for they are quick.
    """
    rows = []
    for name, x, y in _tables():
        found = [_table(x, y, seed) for seed in numbers]
        row: dict[str, Any] = {"table": name, "rows": len(x)}
        row |= {key: statistics.fmean(one[key] for one in found) for key in found[0]}
        rows.append(row)
        print(row, file=sys.stderr, flush=True)
    return [*map(_worded, rows), _mean(rows)]


def _table(x: NDArray[np.float64], y: Ints, seed: int) -> dict[str, float]:
    from quickstudy.learning.suspects import of_rows
    from quickstudy.training.suspects import certain

    order = np.random.default_rng(seed).permutation(len(x))
    test, learn = order[: len(x) // 3], order[len(x) // 3 :]
    wrong, classes = flipped(len(learn), seed), int(y.max()) + 1
    away = np.random.default_rng([seed, 1]).integers(1, classes, len(learn))
    clean = y[learn]
    noisy = np.where(wrong, (clean + away) % classes, clean)
    began = time.process_time()
    found = of_rows(x[learn], noisy, seed=seed)
    took = time.process_time() - began
    out, of_clean = certain(found, noisy), certain(of_rows(x[learn], clean, seed=seed), clean)
    top = found.order[: max(1, round(TOP * len(learn)))]
    row = {
        "flips in the top 6 %, %": 100 * wrong[top].sum() / wrong.sum(),
        "doubted": float(found.doubted.sum()),
        "certain": float(out.sum()),
        "certain of clean labels": float(of_clean.sum()),
        "doubting, CPU s": took,
    }
    for name, fit in _learners(seed):
        for labels, words, gone in ((clean, "clean", of_clean), (noisy, "flipped", out)):
            for what, kept in (("all", np.ones_like(gone)), ("left out", ~gone)):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # that it might have learnt on
                    model = fit().fit(x[learn][kept], labels[kept])
                row[f"{name}, {words}, {what}"] = 100 * model.score(x[test], y[test])
    return row


def _learners(seed: int) -> Iterator[tuple[str, Callable[[], Any]]]:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    yield "trees", lambda: HistGradientBoostingClassifier(max_iter=40, random_state=seed)
    how: dict[str, Any] = {"max_iter": 200, "random_state": seed}
    yield "network", lambda: make_pipeline(StandardScaler(), MLPClassifier((64,), **how))
