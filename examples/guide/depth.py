"""Why depth needs a way around: 34 layers with and without skips (docs/guide/depth.md)."""

from __future__ import annotations

from typing import Any

import torch

import quickstudy as qs
from drawing import Panel, save
from keeping import PLAIN, Watch, digits, elsewhere, keep

PASSES = 8

STACK = """
stack:
  - conv: {channels: 16, stride: 2}
  - norm
  - relu
  - repeat:
      times: TIMES
      of:
        - residual:
            - conv: 16
            - norm
            - relu
            - conv: 16
            - norm
        - relu
  - pool: average
  - dense: classes
"""


def stack(skip: bool, norm: bool = True, times: int = 16) -> str:
    """Return the text of a network of ``2 * times + 2`` layers, with or without skips and norms."""
    lines = STACK.replace("TIMES", str(times)).splitlines()
    if not norm:
        lines = [line for line in lines if "norm" not in line]
    if not skip:  # the same layers, one after the other
        lines = [line.removeprefix("    ") if line.startswith(" " * 12) else line for line in lines]
        lines = [line for line in lines if "residual" not in line]
    return "\n".join(lines)


class Felt(torch.optim.SGD):
    """The usual steps, noting how strongly each layer was pulled before the first one."""

    def __init__(self, parameters: Any, lr: float) -> None:
        super().__init__(parameters, lr=lr, momentum=0.9, nesterov=True)
        self.pulls: list[float] = []
        Felt.last = self

    def step(self, closure: Any = None) -> None:
        """Note the size of each convolution's gradient once, then step."""
        if not self.pulls:
            layers = (p for group in self.param_groups for p in group["params"] if p.ndim == 4)
            self.pulls = [float(layer.grad.norm()) for layer in layers]
        super().step(closure)


def learn(network: str) -> tuple[Watch, list[float], float]:
    """Learn the digits; return the curve, each layer's first pull, and per cent correct."""
    watch = Watch(PASSES)
    settings = PLAIN | watch.settings | {"batch": 64}
    how = {"settings": settings, "loss": watch.loss, "listen": watch.hear}
    run = qs.learn(digits(), network=network, optimizer=Felt, **how)
    return watch, Felt.last.pulls, 100 * run.test.accuracy


def main() -> None:
    """Learn the digits with stacks that differ in one thing each."""
    loss = Panel("Training loss", (0, PASSES), (0, 2.5), "passes", "loss")
    score = Panel("Correct on val", (0, PASSES), (0, 100), "passes", "%")
    pull = Panel("First pull on each layer", (1, 33), (0, 150), "layer", "times that on the last")
    numbers: dict[str, float] = {}
    for name, look, said, network in (
        ("skip34", "a", "34 layers with skips", stack(skip=True)),
        ("plain34", "b", "34 layers, plain", stack(skip=False)),
        ("plain10", "c", "10 layers, plain", stack(skip=False, times=4)),
        ("bare34", "", "", stack(skip=False, norm=False)),
        ("bareskip34", "", "", stack(skip=True, norm=False)),
    ):
        watch, pulls, numbers[name] = learn(network)
        numbers |= {f"{name}_loss": watch.losses()[-1][1], f"{name}_pull": pulls[0] / pulls[-1]}
        if look:
            loss.line(watch.losses(), look, said)
            score.line(watch.asked, look, said)
            pull.line([(n, p / pulls[-1]) for n, p in enumerate(pulls, 1)], look, said)
    keep("depth", **numbers)
    save("depth", f"Charts over {PASSES} passes: the plain stack of 34 layers falls behind, the "
         "one with skips and the plain one of 10 layers learn", loss, score)  # fmt: skip
    save("pull", "The pull on each of the layers at the first step", pull)


if __name__ == "__main__":
    with elsewhere():
        main()
