"""A training step eagerly and through torch.compile, in turn (A B A B), and what compiling costs.

python benchmarks/compiling.py [ROUNDS] [NETWORK ...]

For each network one process, one set of weights a side, real layers and a real loss; compiling is
timed with an empty cache of its own: forward and backward, and the first step; "of a core" is the
processor time that it took, which other programs change less. "Pays after" is the training time
from which the seconds saved are more than those of compiling.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import measuring
from quickstudy.network import Spec, build
from quickstudy.training.compiling import compiled_form

CLASSES = 10
#: Name -> spec, batch, whether the size grows in training.
NETWORKS = {
    "compact, 64 px, grows": (Spec("compact", CLASSES, 64), 64, True),
    "compact, 32 px": (Spec("compact", CLASSES, 32), 64, False),
    "resnet18, 64 px": (Spec("resnet18", CLASSES, 64), 32, False),
    "tabm, 10 columns": (
        Spec(
            "tabm",
            CLASSES,
            1,
            table={"words": [0] * 10, "gaps": [False] * 10, "members": 16, "bins": 16},
        ),
        256,
        False,
    ),
}


def stepper(module: nn.Module, run: Callable[[Tensor], Tensor], x: Tensor) -> Callable[[], float]:
    """Return what takes a training step and tells its seconds."""
    target = torch.arange(len(x)) % CLASSES
    optimizer = torch.optim.SGD(module.parameters(), 0.01)
    module.train()

    def step() -> float:
        began = time.perf_counter()
        out = run(x)
        out = out if out.ndim == 2 else out.mean(1)
        optimizer.zero_grad()
        F.cross_entropy(out, target).backward()
        optimizer.step()
        return time.perf_counter() - began

    return step


def measured(name: str, rounds: int) -> dict[str, str]:
    spec, batch, grows = NETWORKS[name]
    torch.manual_seed(0)
    sides = [build(spec).module for _ in range(3)]
    x = torch.randn(batch, 10) if spec.table else torch.randn(batch, 3, spec.size, spec.size)
    for module in sides:
        module.load_state_dict(sides[0].state_dict())
        if spec.table:
            module.fit_statistics(x.numpy())
        else:
            module.to(memory_format=torch.channels_last)
    x = x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x
    runs = [sides[0], compiled_form(sides[1], grows=grows), sides[2]]
    steps = [stepper(m, run, x) for m, run in zip(sides, runs, strict=True)]
    began, computed = time.perf_counter(), sum(os.times()[:4])
    steps[1]()
    compiling, computed = time.perf_counter() - began, sum(os.times()[:4]) - computed
    for step in steps:
        step()
    took: list[list[float]] = [[], [], []]
    for _ in range(rounds):
        for seconds, step in zip(took, steps, strict=True):
            seconds.append(step())
    eager, compiled, again = (statistics.median(seconds) for seconds in took)
    ratio = compiled / eager
    pays = f"{compiling / (1 - ratio):.0f} s" if ratio < 1 else "never"
    return {
        "network": name,
        "batch": str(batch),
        "eager, ms a step": f"{1e3 * eager:.1f}",
        "compiled, ms a step": f"{1e3 * compiled:.1f}",
        "ratio": f"{ratio:.3f}",
        "eager again": f"{again / eager:.3f}",
        "layers": str(sum(1 for m in sides[0].modules() if not [*m.children()])),
        "compiling, s": f"{compiling:.1f}",
        "of a core, s": f"{computed:.1f}",
        "pays after": pays,
    }


def main() -> None:
    words = sys.argv[1:]
    rounds = int(words[0]) if words else 30
    if words[1:2] == ["--one"]:
        print(json.dumps(measured(words[2], rounds)))
        return
    rows = []
    for name in words[1:] or NETWORKS:
        with tempfile.TemporaryDirectory() as cache:
            command = [sys.executable, __file__, str(rounds), "--one", name]
            environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": cache}
            environment["TORCHINDUCTOR_COMPILE_THREADS"] = "1"  # so that its time is counted
            done = subprocess.run(command, capture_output=True, text=True, env=environment)
        if done.returncode:
            raise SystemExit(done.stderr)
        rows.append(json.loads(done.stdout.strip().splitlines()[-1]))
    measuring.keep("compiling", "A training step eagerly and compiled", rows)


if __name__ == "__main__":
    main()
