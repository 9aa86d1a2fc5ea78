"""What a loss does: landscapes, the way down, and two ways of being wrong (docs/guide/loss.md)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch

import quickstudy as qs
from drawing import Panel, Span, save
from keeping import QUICK, elsewhere, keep
from neuron import spring

STEPS = QUICK | {"batch": 75, "averaging": 0, "schedule.shape": "constant", "schedule.warmup": 0}


class Watched(torch.optim.SGD):
    """Plain steps downhill that remember where they have been."""

    def __init__(self, parameters: Any, lr: float) -> None:
        super().__init__(parameters, lr=lr)
        self.path = [self.here()]
        Watched.last = self

    def here(self) -> list[float]:
        """Return the parameters as they are, in the order of the formula."""
        return [p.item() for group in self.param_groups for p in group["params"]]

    def step(self, closure: Any = None) -> None:
        """Make one step, and note where it led."""
        super().step(closure)
        self.path.append(self.here())


def walk(table: pd.DataFrame, network: str, rate: float, passes: int) -> np.ndarray:
    """Learn a formula step by step; return where the two parameters were, ``steps 2``."""
    settings = STEPS | {"epochs": passes, "optimizer.lr": rate}
    qs.learn(table, target="y", network=network, optimizer=Watched, settings=settings)
    return np.array(Watched.last.path)


def landscape(title: str, spans: tuple[Span, Span], names: tuple[str, str], loss: Any) -> Panel:
    """Return a map of the loss over two parameters; its darkness goes with the root."""
    first, second = (np.linspace(*span, 240) for span in spans)
    height = np.sqrt(loss(first[None, :], second[:, None]))
    panel = Panel(title, *spans, *names, height=290)
    return panel.surface((height - height.min()) / (height.max() - height.min()))


def main() -> None:
    """Draw two landscapes with the path that training took, and two answers to one outlier."""
    rng = np.random.default_rng(1)
    x = rng.uniform(-2, 3, 100)
    line = pd.DataFrame({"x": x, "y": 3 - 1.2 * x + rng.normal(0, 0.6, 100)})
    path = walk(line, "m*x + c", 0.05, 60)
    valley = landscape(
        "A valley: the line m·x + c", ((-3, 2), (-1, 5)), ("slope m", "start c"),
        lambda m, c: sum((m * a + c - b) ** 2 for a, b in line.to_numpy()) / len(line),
    )  # fmt: skip
    valley.line(path, "b").dots(path, "b", "a step", 2.5).note("start", 1.05, 1.2)

    x = np.linspace(-5, 5, 100)
    wave = pd.DataFrame({"x": x, "y": 1.7 * np.sin(2.3 * x)})
    stuck = walk(wave, "a*sin(f*x)", 0.03, 120)
    run = qs.learn(wave, target="y", network="a*sin(f*x)", settings=QUICK)
    best = {one["name"]: one["value"] for one in run.facts["learned"]}
    sign = np.sign(best["f"])  # sin(-u) = -sin(u): both signs turned is the same wave
    best = {"f": best["f"] * sign, "a": best["a"] * sign}
    hills = landscape(
        "Hills: the wave a·sin(f·x)", ((0, 3.5), (-0.5, 2.5)), ("frequency f", "height a"),
        lambda f, a: sum((a * np.sin(f * p) - q) ** 2 for p, q in wave.to_numpy()) / len(wave),
    )  # fmt: skip
    hills.line(stuck[:, ::-1], "b").dots(stuck[:, ::-1], "b", "a step", 2.5)
    hills.dots([(best["f"], best["a"])], "c", "found from 32 starts", 6).note("start", 1.08, 1.05)
    save("landscape", "Two maps of the loss. In the first the path runs down to the lowest place; "
         "in the second it ends in a hollow far from the lowest place", valley, hills)  # fmt: skip

    points = spring()
    points.loc[points["x"].idxmax(), "y"] = 150.0  # a comma forgotten
    points["split"] = "train"
    points.loc[::6, "split"] = "test"
    points.loc[points["x"].idxmax(), "split"] = "train"
    outlier(points, {"line_m": path[-1][0], "line_c": path[-1][1], "steps": len(path) - 1,
                     "stuck_f": stuck[-1][1], "stuck_a": stuck[-1][0], **best})  # fmt: skip


def outlier(points: pd.DataFrame, known: dict[str, float]) -> None:
    """Learn the spring again with one wrong number, by two losses."""
    panel = Panel("One number is wrong (150, far above)", (0, 10), (8, 32), "weight x", "length y")
    panel.dots(points.query("y < 100")[["x", "y"]].to_numpy(), "plain", "measured")
    for look, short, loss in (
        ("b", "mse", "mean_squared_error"),
        ("a", "mae", "mean_absolute_error"),
    ):
        run = qs.learn(points, target="y", network="m*x + c", loss=loss, settings=QUICK)
        m, c = (one["value"] for one in run.facts["learned"])
        known |= {
            f"{short}_m": m,
            f"{short}_c": c,
            f"{short}_off": run.test.per_target[0].mae.value,
        }
        panel.line([(0, c), (10, 10 * m + c)], look, loss.replace("_", " "))
    save("outlier", "Two lines through the dots: the one of the squared error is pulled up", panel)
    keep("loss", **known)


if __name__ == "__main__":
    with elsewhere():
        main()
