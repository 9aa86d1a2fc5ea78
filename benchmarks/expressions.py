"""A training step with an activation as text against the hand-written torch module.

Both sides take their steps in turn (A B A B ...) in one process, eagerly and through torch.compile;
a third side, a second hand-written network, tells how much of a ratio is chance. With a learned
parameter too: `x * sigmoid(beta * x)`.

    python benchmarks/expressions.py [STEPS] [--print]
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import measuring
from quickstudy.functions import activation

BATCH, SIDE, CLASSES = 32, 32, 10


class Fixed(nn.Module):
    """x * sigmoid(1.702 * x), as one writes it by hand."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the activation."""
        return x * torch.sigmoid(1.702 * x)


class Learned(nn.Module):
    """x * sigmoid(beta * x) with a learned beta."""

    def __init__(self) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.tensor(1.0))

    def forward(self, x: Tensor) -> Tensor:
        """Return the activation."""
        return x * torch.sigmoid(self.beta * x)


CASES = {
    "x * sigmoid(1.702 * x)": Fixed,
    "x * sigmoid(beta * x), beta=learn(1.0)": Learned,
}


def network(make: Callable[[], nn.Module]) -> nn.Module:
    """Five convolutions, each with norm and activation: 0.3 million parameters."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    before = 3
    for width, stride in ((32, 1), (64, 2), (64, 1), (128, 2), (128, 1)):
        layers += [nn.Conv2d(before, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)]
        layers += [make()]
        before = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, CLASSES))


def stepper(make: Callable[[], nn.Module], compiled: bool) -> Callable[[], float]:
    """Return what takes one training step and tells the loss."""
    module = network(make)
    optimiser = torch.optim.SGD(module.parameters(), lr=0.01)
    run = torch.compile(module, fullgraph=True) if compiled else module
    x, y = torch.randn(BATCH, 3, SIDE, SIDE), torch.arange(BATCH) % CLASSES

    def step() -> float:
        optimiser.zero_grad()
        loss = F.cross_entropy(run(x), y)
        loss.backward()
        optimiser.step()
        return loss.item()

    return step


def compare(text: str, compiled: bool, steps: int) -> dict[str, str]:
    sides = {
        "by hand": stepper(CASES[text], compiled),
        "as text": stepper(lambda: activation(text), compiled),
        "by hand again": stepper(CASES[text], compiled),
    }
    losses = {name: [step() for _ in range(5)][-1] for name, step in sides.items()}
    assert max(losses.values()) - min(losses.values()) < 1e-4, losses  # the same network
    took: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(steps):
        for name, step in sides.items():
            began = time.perf_counter()
            step()
            took[name].append(time.perf_counter() - began)
    middle = {name: statistics.median(times) for name, times in took.items()}
    turns = [
        statistics.median(took["as text"][i::4]) / statistics.median(took["by hand"][i::4])
        for i in range(4)
    ]
    return {
        "activation": f"`{text}`",
        "how": "compiled" if compiled else "eager",
        "by hand, ms a step": f"{1e3 * middle['by hand']:.2f}",
        "as text, ms a step": f"{1e3 * middle['as text']:.2f}",
        "ratio of medians": f"{middle['as text'] / middle['by hand']:.3f}",
        "in quarters": f"{min(turns):.3f} to {max(turns):.3f}",
        "by hand again": f"{middle['by hand again'] / middle['by hand']:.3f}",
        "asked": "1.10" if compiled else "1.25",
    }


def main() -> None:
    words = [word for word in sys.argv[1:] if word != "--print"]
    steps = int(words[0]) if words else 200
    rows = [compare(text, compiled, steps) for compiled in (False, True) for text in CASES]
    if "--print" in sys.argv:
        print(*rows, sep="\n")
        return
    title = f"Activation as text, training step, batch {BATCH} at {SIDE} px, {steps} steps a side"
    measuring.keep("expressions", title, rows)


if __name__ == "__main__":
    main()
