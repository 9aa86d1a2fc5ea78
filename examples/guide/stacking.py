"""What stacking buys: XOR, which no single neuron can say (docs/guide/stacking.md)."""

from __future__ import annotations

import numpy as np
import pandas as pd

import quickstudy as qs
from drawing import Panel, save
from keeping import QUICK, elsewhere, keep

SIDE, LOW, HIGH = 61, -0.5, 1.5


def surface(run: qs.Run) -> np.ndarray:
    """Return how likely the model says yes, ``b a``, all over the plane."""
    places = np.linspace(LOW, HIGH, SIDE)
    rows = [{"a": float(a), "b": float(b)} for b in places for a in places]
    yes = [
        one.probability if one.label == "yes" else 1 - one.probability
        for one in run.model.predict(rows)
    ]
    return np.array(yes).reshape(SIDE, SIDE)


def drawn(title: str, run: qs.Run) -> Panel:
    """Return a panel of what the model says where, and the four rows on it."""
    panel = Panel(title, (LOW, HIGH), (LOW, HIGH), "a", "b", height=300)
    panel.surface(surface(run), both=True)
    panel.dots([(0, 0), (1, 1)], "a", "no", size=8).dots([(0, 1), (1, 0)], "b", "yes", size=8)
    return panel


def main() -> None:
    """Give XOR to one neuron, and to a stack of two layers."""
    rows = [(0, 0, "no"), (0, 1, "yes"), (1, 0, "yes"), (1, 1, "no")]
    table = pd.DataFrame(rows * 50, columns=["a", "b", "either"])
    one = qs.learn(table, target="either", network="u*a + v*b + c", settings=QUICK)
    stack = [{"dense": 2}, "tanh", {"dense": "classes"}]
    two = qs.learn(table, target="either", network=stack, settings=QUICK)

    keep(
        "stacking",
        one=100 * one.test.accuracy,
        one_low=100 * one.test.interval[0],
        one_high=100 * one.test.interval[1],
        said=next((line for line in one.lines if "cannot express" in line), ""),
        two=100 * two.test.accuracy,
        two_low=100 * two.test.interval[0],
        two_parameters=two.facts["network"]["parameters"],
    )
    said = (
        "Two maps over a and b with the four rows as dots. One neuron: the same pale colour all "
        "over. Two layers: a band of yes between two corners of no"
    )
    save("stacking", said, drawn("One neuron", one), drawn("A stack of two layers", two))


if __name__ == "__main__":
    with elsewhere():
        main()
