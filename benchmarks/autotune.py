"""A training step as Quickstudy settles it against plain PyTorch as installed, in turn (A B A B).

python benchmarks/autotune.py [--rounds N] [--compile] [--device D] [--batches] [NETWORK ...]

Each side is a process of its own, for what is set about memory and threads holds for a whole
process. The plain side is the loop that everybody writes first: float32, contiguous, eager, SGD
with momentum, the default allocator and threads. The other one is Quickstudy's: it measures with
an empty cache (the seconds are in the table), then does the steps of its own loop, with the same
optimiser on the same batch; clipping the gradient and averaging the weights, which the plain side
has not, are in its time. Each turn is one step that is not counted and two that are. The ratio is
of the medians, rounded down; "worst pair" is the least of the turns' own ratios; "of processor
time" is the ratio of the medians of what the processor did, which other programs change least.
Where all that was settled is the plain way, nothing is timed: it is 1.00 because it is the same.
`--compile` lets it try torch.compile as well, as in a run of some hours. `--device cuda` times a
network on a GPU instead. `--batches` measures how many examples a second batches do, as a run on a
GPU does before it chooses one.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

import measuring
from quickstudy.hardware import Way, settle
from quickstudy.network import Spec, build, main_and_auxiliary

STACKS = Path(__file__).resolve().parents[1] / "examples" / "stacks"
CLASSES = 10
SPECTRA = {"rate": 8000, "fft": 256, "hop": 80, "mels": 64, "low": 20.0, "high": 4000.0}
PLAIN_STACK = [
    *({"conv": 32}, "norm", "relu", {"conv": {"channels": 64, "stride": 2}}, "norm", "relu"),
    *({"conv": {"channels": 128, "stride": 2}}, "norm", "relu"),
    *({"pool": "average"}, {"dense": "classes"}),
]
#: Name -> what it is, size, batch.
NETWORKS: dict[str, tuple[str, int, int]] = {
    "resnet18": ("resnet18", 64, 64),
    "squeezenet1_0": ("squeezenet1_0", 224, 16),
    "resnet152": ("resnet152", 64, 16),
    "googlenet": ("googlenet", 96, 16),
    "mobilenet_v3_large": ("mobilenet_v3_large", 128, 16),
    "efficientnet_b0": ("efficientnet_b0", 128, 16),
    "convnext_tiny": ("convnext_tiny", 64, 16),
    "vit_tiny": ("vit_tiny_patch16_224", 224, 8),
    "compact": ("compact", 64, 64),
    "stack of resnet18": (str(STACKS / "resnet18.yaml"), 64, 32),
    "stack of three": ("three", 64, 64),
    "compact, sound": ("sound", 8000, 64),
}
#: The same on a GPU.
ON_GPU: dict[str, tuple[str, int, int]] = {
    "resnet50": ("resnet50", 224, 256),
    "small resnet18": ("resnet18", 32, 64),
}
SIZES = (16, 32, 64, 128, 256)
_AUXILIARY = 0.3  # weight of GoogLeNet's extra losses, on both sides


def made(name: str, device: str) -> tuple[Any, Tensor, Tensor, int]:
    """Return network, inputs, targets ``N K``, size: the same for both sides."""
    what, size, batch = {**NETWORKS, **ON_GPU}[name]
    torch.manual_seed(0)
    x = torch.randn(batch, size) / 8 if what == "sound" else _pictures(batch, size)
    if what == "sound":
        network = build(Spec("compact", CLASSES, size, sound=SPECTRA))
    elif what == "three" or what.endswith(".yaml"):
        from quickstudy.network.stack.reading import read_stack

        layers = PLAIN_STACK if what == "three" else read_stack(Path(what))
        network = build(Spec("stack", CLASSES, size, stack=layers))
    else:
        network = build(Spec(what, CLASSES, size))
    network.module.to(device)
    target = F.one_hot(torch.arange(batch) % CLASSES, CLASSES).float()
    return network, x.to(device), target.to(device), size


def _pictures(batch: int, size: int) -> Tensor:
    """Return blurred noise, each with the light of its class: noise alone has odd gradients."""
    rough = torch.randn(batch, 3, size // 8, size // 8)
    light = (torch.arange(batch) % CLASSES / CLASSES - 0.5).view(-1, 1, 1, 1)
    smooth = F.interpolate(rough, (size, size), mode="bicubic") + 2 * light
    return smooth + 0.1 * torch.randn(batch, 3, size, size)


def plain(name: str, device: str) -> tuple[Callable[[], None], dict[str, Any]]:
    """Return the step that everybody writes first."""
    network, x, target, _ = made(name, device)
    module = network.module.train()
    optimizer = torch.optim.SGD(module.parameters(), 1e-3, momentum=0.9, nesterov=True)

    def step() -> None:
        optimizer.zero_grad()
        main, auxiliary = main_and_auxiliary(module(x))
        loss = F.cross_entropy(main, target)
        for extra in auxiliary:
            loss = loss + _AUXILIARY * F.cross_entropy(extra, target)
        loss.backward()
        optimizer.step()
        settle(device)

    return step, {}


def lesson_on(name: str, device: str, hours: float) -> tuple[Any, Any]:
    """Return a lesson of so many hours, and its only batch."""
    from quickstudy import hardware
    from quickstudy.clock import Clock
    from quickstudy.training.crew import Crew

    machine = hardware.quicken(hardware.survey(device))
    network, x, target, size = made(name, device)
    lesson: Any = SimpleNamespace(network=network, hardware=machine, step_seconds=0.0)
    lesson.listen = lambda _: None
    lesson.crew, lesson.fixed, lesson.learnable = Crew(), frozenset({"batch"}), 5000
    lesson.recipe = planned(name, machine, size, len(x))
    lesson.criterion = lambda **_: torch.nn.CrossEntropyLoss()
    lesson.clock = Clock(budget=600.0)
    lesson.seconds_left = lambda: 3600 * hours

    def decide(key: str, value: Any, why: str) -> None:
        lesson.recipe = lesson.recipe.decided(key, value, why)

    lesson.decide = decide
    return lesson, OneBatch(x, target)


def tuned(name: str, device: str, compiles: bool) -> tuple[Callable[[], None], dict[str, Any]]:
    """Return a step of Quickstudy's own loop, settled by measuring."""
    from quickstudy.training.loop import step_once
    from quickstudy.training.state import new_loop
    from quickstudy.training.timing import settle_training

    installed = torch.get_num_threads()
    lesson, batches = lesson_on(name, device, 10.0 if compiles else 0.1)
    began = time.perf_counter()
    settle_training(lesson, batches)
    took = time.perf_counter() - began
    loop = new_loop(
        *(lesson.network, lesson.recipe, batches, torch.nn.CrossEntropyLoss()),
        *(lesson.clock, 600.0, None),
    )
    compute = lesson.recipe.compute
    words = [compute.precision, compute.memory_format, f"{compute.threads} threads"]
    words += [f"memory: {compute.allocator}"]
    words += {True: ["compiled"], False: []}.get(compute.compile, [compute.compile])
    why = {k: c.why for k, c in lesson.recipe.choices().items() if k.startswith("compute.")}
    way = Way(compute.allocator == "keep", *words[1::-1], compute.threads)
    same = way == Way(False, "contiguous", "float32", installed) and compute.compile is False

    def step() -> None:
        step_once(loop, None, 0.5)
        settle(device)

    return step, {"settled": ", ".join(words), "seconds": took, "why": why, "plain": same}


class OneBatch:
    """The same batch for ever, as `Batches` gives it."""

    own: tuple[int, ...] = ()

    def __init__(self, x: Tensor, target: Tensor) -> None:
        self.x, self.target = x, target

    def __len__(self) -> int:
        return 100 * len(self.x)

    @contextmanager
    def reading(self, _: int) -> Iterator[None]:
        """Lend nothing: there is nothing to read."""
        yield None

    def take(self, *_: Any, plain: bool) -> tuple[Tensor, Tensor]:
        """Return the batch."""
        return self.x, self.target


def planned(name: str, machine: Any, size: int, batch: int) -> Any:
    """Return a recipe for it, as `learn` plans one."""
    from quickstudy.facts import Facts
    from quickstudy.kinds.image.facts import PictureFacts
    from quickstudy.kinds.sound.facts import SoundFacts
    from quickstudy.recipe import plan

    seen: Any = PictureFacts(size, size, size, False, True, (0.5,) * 3, (0.25,) * 3)
    own: dict[str, Any] = {"picture.size": size, "picture.start_size": size}
    if name == "compact, sound":
        own = {"sound.rate": 8000, "sound.window": 1.0}
        seen = SoundFacts(
            rate=8000, highest_rate=8000, seconds=0.9, long=1.0, longest=1.0, channels=1
        )
    facts = Facts(5000, 5000, CLASSES, 500, 500, False, 8.0, seen)
    named = {**NETWORKS, **ON_GPU}[name][0]
    if named not in ("sound", "three", "compact") and not named.endswith(".yaml"):
        own |= {"network.name": named, "network.weights": "none"}
    own |= {"batch": batch, "optimizer.name": "sgd", "optimizer.momentum": 0.9}
    own |= {"optimizer.lr": 1e-3}
    return plan(facts, machine, 600.0, (), own={key: (value, "") for key, value in own.items()})


def serve(side: str, name: str, device: str, compiles: bool) -> None:
    """Be one of the two processes: tell what was settled, then do steps when asked."""
    step, told = plain(name, device) if side == "plain" else tuned(name, device, compiles)
    step()
    step()
    print(json.dumps(told), flush=True)
    for _ in sys.stdin:
        step()
        took = []
        for _ in range(2):
            began, computed = time.perf_counter(), time.process_time()
            step()
            took.append((time.perf_counter() - began, time.process_time() - computed))
        print(json.dumps(took), flush=True)


@contextmanager
def process(side: str, name: str, device: str, compiles: bool, cache: str) -> Iterator[Any]:
    """Lend a process that does steps."""
    command = [sys.executable, __file__, "--side", side, name, "--device", device]
    environment = {**os.environ, "QUICKSTUDY_CACHE": cache}
    environment.pop("OMP_NUM_THREADS", None)
    child = subprocess.Popen(
        [*command, *(["--compile"] * compiles)],
        **{"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": environment},
    )
    try:
        yield child
    finally:
        assert child.stdin is not None
        child.stdin.close()
        child.wait()


def compared(name: str, rounds: int, device: str, compiles: bool) -> dict[str, str]:
    """Return the row of one network."""
    took: dict[str, list[list[list[float]]]] = {"plain": [], "tuned": []}
    with (
        tempfile.TemporaryDirectory() as cache,
        process("plain", name, device, compiles, cache) as first,
    ):
        json.loads(first.stdout.readline())
        with process("tuned", name, device, compiles, cache) as second:
            told = json.loads(second.stdout.readline())
            for _ in range(0 if told["plain"] else rounds):
                for side, child in (("plain", first), ("tuned", second)):
                    child.stdin.write("go\n")
                    child.stdin.flush()
                    took[side].append(json.loads(child.stdout.readline()))
    for key, why in told["why"].items():
        print(f"  {key}: {why}", file=sys.stderr)
    _, size, batch = {**NETWORKS, **ON_GPU}[name]
    return {
        "network": f"{name}, {size}, batch {batch}",
        **(dict.fromkeys(FIGURES, "-") if told["plain"] else figures(took)),
        **({FIGURES[2]: "1.00 (the plain way was taken)"} if told["plain"] else {}),
        "settled": told["settled"],
        "measuring, s": f"{told['seconds']:.1f}",
    }


FIGURES = ("plain, ms", "tuned, ms", "times as quick", "worst pair", "of processor time")


def figures(took: dict[str, list[list[list[float]]]]) -> dict[str, str]:
    """Return what was measured, in words; ratios are rounded down."""
    ms = {s: statistics.median(t for turn in took[s] for t, _ in turn) for s in took}
    busy = {s: statistics.median(c for turn in took[s] for _, c in turn) for s in took}
    mean = {s: [statistics.fmean(t for t, _ in turn) for turn in took[s]] for s in took}
    worst = min(p / t for p, t in zip(mean["plain"], mean["tuned"], strict=True))
    ratios = [ms["plain"] / ms["tuned"], worst, busy["plain"] / busy["tuned"]]
    words = [f"{1000 * one:.1f}" for one in ms.values()]
    words += [f"{math.floor(100 * ratio) / 100:.2f}" for ratio in ratios]
    return dict(zip(FIGURES, words, strict=True))


def batches_of(name: str, device: str) -> dict[str, str]:
    """Return how many examples a second batches of several sizes do, as a row."""
    from quickstudy.training.trial import LessonTrial
    from quickstudy.training.tuned import examples_a_second, settle_way

    lesson, batch = lesson_on(name, device, 0.1)
    settle_way(lesson, batch)
    trial = LessonTrial.of(lesson, batch)
    turns = [examples_a_second(trial, SIZES) for _ in range(3)]
    rates = [max(turn) for turn in zip(*turns, strict=True)]
    row = {"network": f"{name}, {NETWORKS[name][1]}"}
    return row | {f"{size}, examples/s": f"{r:.0f}" for size, r in zip(SIZES, rates, strict=True)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("networks", nargs="*")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batches", action="store_true")
    parser.add_argument("--side", choices=["plain", "tuned"])
    words = parser.parse_args()
    if words.side:
        serve(words.side, words.networks[0], words.device, words.compile)
        return
    names = words.networks or (NETWORKS if words.device == "cpu" else ON_GPU)
    if words.batches:
        rows = [
            batches_of(name, words.device) for name in words.networks or ("compact", "resnet18")
        ]
        measuring.keep("batches", "Examples a second in training, by batch", rows)
        return
    rows = [compared(n, words.rounds, words.device, words.compile) for n in names]
    measuring.keep("autotune", "A training step, settled here against plain PyTorch", rows)


if __name__ == "__main__":
    main()
