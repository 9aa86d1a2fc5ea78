"""Your own function, loss and network, each a step further in (docs/guide/own.md)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import quickstudy as qs
from drawing import Panel, save
from keeping import PLAIN, Watch, digits, elsewhere, keep

SETTINGS = PLAIN | Watch(8).settings | {
    "batch": 32, "optimizer.name": "adamw", "optimizer.lr": 0.005,
}  # fmt: skip


class Mine(nn.Module):
    """A network in Python: it takes pictures ``N 3 8 8`` and gives a score per class."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.first = nn.Linear(3 * 8 * 8, 100)
        self.last = nn.Linear(100, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Compute."""
        return self.last(torch.relu(self.first(x.flatten(1))))


def surprise(prediction: Tensor, target: Tensor) -> Tensor:
    """Return a loss of one's own: how surprised the network is by the truth."""
    return -(target * prediction.log_softmax(1)).sum(1).mean()


def main() -> None:
    """Learn the digits in three ways."""
    swish = "x * sigmoid(beta * x), beta=learn(1.0)"
    stack = [{"conv": 16}, "norm", swish, {"pool": {"kind": "max", "size": 2}}, "flatten"]
    stack += [{"dense": "classes"}]
    ways = {
        "name": {"network": "compact", "loss": "focal"},
        "data": {"network": stack, "loss": "mean(-(1 - p)**gamma * log(p)), gamma=2"},
        "python": {"network": Mine, "loss": surprise},
    }
    panel = Panel("Correct on val", (0, 8), (0, 100), "passes", "%")
    numbers = {}
    for look, (way, given) in zip("abc", ways.items(), strict=True):
        watch = Watch(8)
        narrow = {"network.width": 0.25} if way == "name" else {}
        run = qs.learn(digits(), settings=SETTINGS | narrow, listen=watch.hear, **given)
        numbers |= {way: 100 * run.test.accuracy, f"{way}_n": run.facts["network"]["parameters"]}
        for one in run.facts.get("learned") or []:
            numbers["beta"] = one["value"]
        said = {"name": "by name", "data": "as data", "python": "as Python"}[way]
        panel.line(watch.asked, look, said)
    keep("own", **numbers)
    save("own", "Three curves that rise: a network by name, as data, and as Python", panel)


if __name__ == "__main__":
    with elsewhere():
        main()
