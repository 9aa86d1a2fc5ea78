"""Why a test set: labels learnt by heart, and luck picked out of many (docs/guide/testing.md)."""

from __future__ import annotations

import numpy as np
import pandas as pd

import quickstudy as qs
from drawing import Panel, save
from keeping import QUICK, digits, elsewhere, keep

GUESSERS, ASKED = 200, 100
#: One start, to the very bottom of the loss: there everything is known by heart.
SETTINGS = QUICK | {"optimizer.restarts": 1}
STACK = [{"dense": 100}, "relu", {"dense": "classes"}]


def table(shuffled: bool) -> pd.DataFrame:
    """Return the digits as rows of 64 numbers; `shuffled`: each with the label of another one."""
    pictures, labels = digits()
    rng = np.random.default_rng(0)
    if shuffled:
        labels = rng.permutation(labels)
    rows = pd.DataFrame(pictures.reshape(len(pictures), 64), columns=[f"p{n}" for n in range(64)])
    parts = np.array(["train"] * 500 + ["test"] * 1297)
    return rows.assign(digit=[f"d{n}" for n in labels], split=rng.permutation(parts))


def by_heart(rows: pd.DataFrame) -> tuple[float, float]:
    """Learn rows; return per cent correct on those learnt from, and on the test."""
    run = qs.learn(rows, target="digit", network=STACK, settings=SETTINGS)
    known = rows[rows["split"] == "train"].drop(columns="split")
    return 100 * run.model.evaluate(known).accuracy, 100 * run.test.accuracy


def guessers() -> tuple[np.ndarray, float]:
    """Let many guess; return how many of the first questions each got, and the best one later."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 10, ASKED + 10_000)
    answers = rng.integers(0, 10, (GUESSERS, len(truth)))
    right = answers == truth
    first = 100 * right[:, :ASKED].mean(1)
    return first, 100 * right[first.argmax(), ASKED:].mean()


def main() -> None:
    """Learn true and shuffled labels alike; then choose the luckiest of many guessers."""
    true_known, true_test = by_heart(table(shuffled=False))
    known, test = by_heart(table(shuffled=True))
    numbers = {"true_known": true_known, "true_test": true_test, "known": known, "test": test}
    panels = []
    for title, on_known, on_test in (
        ("True labels", true_known, true_test),
        ("Shuffled labels", known, test),
    ):
        bars = Panel(title, (0.4, 2.6), (0, 110), "", "% correct", height=200)
        for place, look, value in ((1, "a", on_known), (2, "b", on_test)):
            bars.bars([(place, value)], 0.7, look, ("learnt from", "test")[place - 1])
            bars.note(f"{value:.0f} %", place, value + 3, "middle")
        panels.append(bars)
    numbers["learnt"] = int((table(shuffled=True)["split"] == "train").sum())

    scores, later = guessers()
    numbers |= {"best": scores.max(), "mean": scores.mean(), "later": later}
    counted = [(share, float((scores == share).sum())) for share in np.unique(scores)]
    luck = Panel("200 guessers, 100 questions each", (0, 25), (0, 32), "% correct", "guessers")
    luck.bars(counted, 0.8, "a").note("← the best", scores.max() + 0.7, 1.5)
    save("testing", f"True labels: {true_known:.0f} % on what was learnt, {true_test:.0f} % on the "
         f"test. Shuffled labels: {known:.0f} % and {test:.0f} %", *panels)  # fmt: skip
    save("guessers", f"Guessers about {scores.mean():.0f} %, the best {scores.max():.0f} %", luck)
    keep("testing", **numbers)


if __name__ == "__main__":
    with elsewhere():
        main()
