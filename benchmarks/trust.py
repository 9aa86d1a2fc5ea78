"""What is wrong with the data, planted and found: labels flipped at random.

python benchmarks/trust.py [labels]

`labels`: 5 % of the labels that are learnt from are flipped. Scored are the share of the flips
among the top 6 % of suspects, and what the flips cost on the source's own test, before and after
suspects are left out; by the functions that `learn` calls, on the frozen SqueezeNet's features.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

import measuring

CATS = measuring.SHARED / "data" / "cats_dogs"
WEIGHTS = measuring.SHARED / "weights" / "squeezenet1_0.safetensors"
SEEDS = range(5)
SHARE, TOP = 0.05, 0.06


@dataclass(frozen=True)
class Seen:
    """Features ``N D`` of pictures and of their mirror images, labels, what is the test's."""

    x: NDArray[np.float32]
    mirrored: NDArray[np.float32]
    y: NDArray[np.int64]
    group: NDArray[np.int64]
    test: NDArray[np.bool_]


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


def taught(all_: Seen, given: NDArray[np.int64], seed: int) -> dict[str, Any]:
    """Learn from `given` labels; return the test's accuracy before and after, and the suspects."""
    from quickstudy.training.suspects import certain

    learn = np.flatnonzero(~all_.test)
    before, found = learnt(all_, given, learn, seed)
    out = certain(found, given[learn])
    after, _ = learnt(all_, given, learn[~out], seed)
    return {"before": before, "after": after, "found": found, "out": out}


def learnt(
    all_: Seen, given: NDArray[np.int64], rows: NDArray[np.int64], seed: int
) -> tuple[float, Any]:
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


def labels() -> list[dict[str, Any]]:
    """Flip labels, find them, leave the most certain out; a row for each seed and their means."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        all_ = seen(CATS, Path(name))
    learn = np.flatnonzero(~all_.test)
    for seed in SEEDS:
        wrong = np.zeros(len(learn), bool)
        wrong[np.random.default_rng(seed).permutation(len(learn))[: round(SHARE * len(learn))]] = 1
        given = all_.y.copy()
        given[learn[wrong]] = 1 - given[learn[wrong]]
        clean, noisy = taught(all_, all_.y, seed), taught(all_, given, seed)
        top = noisy["found"].order[: round(TOP * len(learn))]
        rows.append(
            {
                "seed": seed,
                "flips in the top 6 %": 100 * wrong[top].sum() / wrong.sum(),
                "left out": int(noisy["out"].sum()),
                "of them flips, %": 100 * wrong[noisy["out"]].mean(),
                "left out of clean labels": int(clean["out"].sum()),
                "clean, %": 100 * clean["before"],
                "clean, suspects left out": 100 * clean["after"],
                "flipped, nothing done": 100 * noisy["before"],
                "flipped, suspects left out": 100 * noisy["after"],
                "lost": 100 * (clean["before"] - noisy["after"]),
            }
        )
        print(rows[-1], file=sys.stderr, flush=True)
    mean = {key: statistics.mean(row[key] for row in rows) for key in rows[0]}
    return [{k: f"{v:.1f}" for k, v in r.items()} for r in [*rows, mean | {"seed": "mean"}]]


def main() -> None:
    names = sys.argv[1:] or ["labels"]
    if "labels" in names:
        measuring.keep("trust-labels", "Cats and dogs, 5 % of the labels flipped", labels())


if __name__ == "__main__":
    main()
