"""What a neuron is: a line with two numbers that are learnt (docs/guide/neuron.md)."""

from __future__ import annotations

import numpy as np
import pandas as pd

import quickstudy as qs
from drawing import Panel, save
from keeping import FIGURES, QUICK, elsewhere, keep


def spring() -> pd.DataFrame:
    """Return 60 measurements: how long (cm) a spring is with a weight (hundreds of grams) on it."""
    rng = np.random.default_rng(4)
    x = rng.uniform(0, 10, 60).round(1)
    y = (1.4 * x + 12 + rng.normal(0, 0.8, 60)).round(1)
    return pd.DataFrame({"x": x, "y": y, "split": ["train"] * 48 + ["test"] * 12})


def main() -> None:
    """Learn the line, and compare it with the one that school's formula gives."""
    spring().to_csv("points.csv", index=False)
    points = pd.read_csv("points.csv")
    run = qs.learn(points, target="y", network="m*x + c", settings=QUICK)
    learnt = {one["name"]: one["value"] for one in run.facts["learned"]}

    train = points[points["split"] == "train"]
    m, c = np.polyfit(train["x"], train["y"], 1)
    FIGURES.mkdir(parents=True, exist_ok=True)
    points.to_csv(FIGURES / "points.csv", index=False)
    keep(
        "neuron",
        **learnt,
        closed_m=m,
        closed_c=c,
        gap=max(abs(learnt["m"] - m), abs(learnt["c"] - c)),
        off=run.test.per_target[0].mae.value,
        guess_off=run.test.per_target[0].guess_mae,
        train=len(train),
        test=run.test.n,
        five=run.model.predict({"x": 5.0}).value,
    )
    panel = Panel("Weights on a spring", (0, 10), (10, 28), "weight x", "length y")
    both = {part: rows[["x", "y"]].to_numpy().tolist() for part, rows in points.groupby("split")}
    panel.dots(both["train"], "a", "learnt from").dots(both["test"], "b", "kept for the test")
    ends = [(x, learnt["m"] * x + learnt["c"]) for x in (0.0, 10.0)]
    panel.line(ends, "plain", "the line it found")
    said = f"Dots that rise to the right, and a line of slope {learnt['m']:.2f} through them"
    save("neuron", said, panel)


if __name__ == "__main__":
    with elsewhere():
        main()
