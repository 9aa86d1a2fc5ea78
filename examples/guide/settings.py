"""What each hyper-parameter does: too low, right, too high (docs/guide/settings.md)."""

from __future__ import annotations

from functools import cache
from typing import Any

import quickstudy as qs
from drawing import Panel, save
from keeping import PLAIN, Watch, digits, elsewhere, keep

#: Few are learnt from, many are asked: the curves tell more, and the ranges are narrow.
FEW = PLAIN | {"test": 0.5, "val": 0.25}


def network(width: int) -> list[Any]:
    """Return a small stack for the digits; `width` is the channels of its first layer."""
    return [
        {"conv": width}, "norm", "relu",
        {"conv": {"channels": 2 * width, "stride": 2}}, "norm", "relu",
        "flatten", {"dense": "classes"},
    ]  # fmt: skip


@cache
def learn(
    rate: float = 0.05, batch: int = 32, passes: int = 12, width: int = 8, decay: float = 0.05
):
    """Learn the digits once, and watch."""
    watch, stack = Watch(passes), network(width)
    settings = FEW | watch.settings | {"optimizer.lr": rate, "batch": batch}
    settings |= {"optimizer.weight_decay": decay}
    run = qs.learn(digits(), network=stack, settings=settings, loss=watch.loss, listen=watch.hear)
    return watch, run.test


def compare(name: str, title: str, values: tuple[float, float, float]) -> dict[str, float]:
    """Draw the runs of one hyper-parameter side by side; return each one's score."""
    passes = int(values[2]) if name == "passes" else 12
    loss = Panel(f"{title}: training loss", (0, passes), (0, 2.5), "passes", "loss")
    score = Panel(f"{title}: correct on val", (0, passes), (0, 100), "passes", "%")
    told, scores = [], {}
    for look, word, value in zip("acb", ("low", "right", "high"), values, strict=True):
        watch, test = learn(**({} if word == "right" else {name: value}))
        loss.line(watch.losses(), look, f"{value:g}")
        score.line(watch.asked, look, f"{value:g}")
        scores |= {f"{name}_{word}": value, f"{name}_{word}_test": 100 * test.accuracy}
        scores |= {f"{name}_{word}_loss": watch.losses()[-1][1], "n": test.n}
        told.append(f"{value:g} ends at a loss of {watch.losses()[-1][1]:.2f}")
    save(f"settings-{name}", f"Two charts over the passes. {'; '.join(told)}", loss, score)
    return scores


def main() -> None:
    """Turn one knob at a time, three settings each; the middle one is always the same run."""
    numbers = compare("rate", "Learning rate", (0.0005, 0.05, 5.0))
    numbers |= compare("batch", "Batch", (2, 32, 449))
    numbers |= compare("passes", "Passes", (2, 12, 30))
    numbers |= compare("width", "Width", (1, 8, 32))
    numbers |= compare("decay", "Weight decay", (0.0, 0.05, 3.0))
    keep("settings", **numbers)


if __name__ == "__main__":
    with elsewhere():
        main()
