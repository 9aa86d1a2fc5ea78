"""ResNet-18 as a stack against torchvision's: a step of training, in turn (A B A B).

python benchmarks/stacks.py [ROUNDS]

One process, one set of weights, 64 x 64 pixels, batches of 32, channels last. Each round times one
step of each, and changes who goes first. The ratio is of the medians; the interval beside it is
the 2.5th to 97.5th percentile of that ratio over 2,000 resamplings of the rounds; "of pairs" is the
median of the rounds' own ratios, which a machine that slows down and speeds up moves less; "of
processor time" is the ratio of the medians of what the processor did, which other programs on it
change least.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from random import Random

import torch
import torchvision
from torch import nn

import measuring
from quickstudy.network.stack import build_stack

STACK = Path(__file__).resolve().parents[1] / "examples" / "stacks" / "resnet18.yaml"
SIDE, BATCH, CLASSES, WARM = 64, 32, 10, 3


def step(
    network: nn.Module, optimizer: torch.optim.Optimizer, x: torch.Tensor
) -> tuple[float, float]:
    """Return the seconds of forward, backward and update, and those of the processor."""
    began, computed = time.perf_counter(), time.process_time()
    loss = nn.functional.cross_entropy(network(x), torch.arange(BATCH) % CLASSES)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return time.perf_counter() - began, time.process_time() - computed


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    torch.manual_seed(0)
    theirs = torchvision.models.resnet18(num_classes=CLASSES)
    ours, _ = build_stack(STACK, (3, SIDE, SIDE), CLASSES)
    ours.load_state_dict(dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True)))
    both = {"torchvision": theirs, "stack": ours}
    x = torch.randn(BATCH, 3, SIDE, SIDE).to(memory_format=torch.channels_last)
    optimizers = {}
    seconds: dict[str, list[float]] = {name: [] for name in both}
    computed: dict[str, list[float]] = {name: [] for name in both}
    for name, network in both.items():
        network.train().to(memory_format=torch.channels_last)
        optimizers[name] = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9)
    for turn in range(WARM + rounds):
        for name in sorted(both, reverse=bool(turn % 2)):
            took, busy = step(both[name], optimizers[name], x)
            if turn >= WARM:
                seconds[name].append(took)
                computed[name].append(busy)
    pairs = list(zip(seconds["stack"], seconds["torchvision"], strict=True))
    busy_pairs = list(zip(computed["stack"], computed["torchvision"], strict=True))
    draw = Random(0)
    ratios = sorted(_ratio(draw.choices(pairs, k=rounds)) for _ in range(2_000))
    paired = statistics.median(stack / torchvisions for stack, torchvisions in pairs)
    rows = [
        {
            "network": name,
            "median step": f"{1000 * statistics.median(took):.1f} ms",
            "ratio": "1" if name == "torchvision" else f"{_ratio(pairs):.3f}",
            "95 % of it": ""
            if name == "torchvision"
            else f"{ratios[49]:.3f} to {ratios[1949]:.3f}",
            "of pairs": "" if name == "torchvision" else f"{paired:.3f}",
            "of processor time": "" if name == "torchvision" else f"{_ratio(busy_pairs):.3f}",
            "rounds": rounds,
            "threads": torch.get_num_threads(),
        }
        for name, took in seconds.items()
    ]
    measuring.keep("stacks", "ResNet-18 as a stack against torchvision's, a training step", rows)


def _ratio(pairs: list[tuple[float, float]]) -> float:
    stack, torchvisions = zip(*pairs, strict=True)
    return statistics.median(stack) / statistics.median(torchvisions)


if __name__ == "__main__":
    main()
