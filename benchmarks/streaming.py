"""Streaming from shards against the local cache: pictures a second; memory at a million examples.

python benchmarks/streaming.py speed [PICTURES] [NETWORK] [SIDE] [SECONDS]
python benchmarks/streaming.py memory [EXAMPLES] [STEPS]

`speed` packs generated photographs, then trains on them in turn from the cache of decoded pictures
and from the shards (A B A B ...), the same network and steps; with `batches` as the network nothing
is trained: batches alone. `memory` packs small generated pictures from a pool, opens the catalog,
divides it, and streams batches from the shards; it samples the resident memory on the way.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image

import measuring
from quickstudy import facts
from quickstudy.batches import Batches
from quickstudy.catalog import Catalog, scan
from quickstudy.decoding import decode
from quickstudy.hardware import usable_cores
from quickstudy.kinds import restored
from quickstudy.learning import streaming
from quickstudy.shards import Order, pack
from quickstudy.shards.order import window_of
from quickstudy.shards.stream import Stream
from quickstudy.tasks import Classification

CLASSES = 1000
_TURNS = 3
AUGMENT = SimpleNamespace(mirror=True, crop=0.6, rotate=10.0, colour=0.2, mixup=0.0, cutmix=0.0)


@dataclass
class Generated:
    """A catalog of pictures from a pool, made as they are asked for."""

    pool: list[bytes]
    labels: np.ndarray
    kind = "image"
    task = "classification"
    task_why = "one label an example"
    target = None
    group_names = ()
    values = None

    def __post_init__(self) -> None:
        n = len(self.labels)
        self.classes = tuple(f"class_{i:03d}" for i in range(CLASSES))
        self.given = np.full(n, -1, np.int8)
        self.groups = np.full(n, -1, np.int64)
        self.names = _Names(self.labels)
        self.stamp = f"generated {n} {len(self.pool)}"

    def read(self, row: int) -> bytes:
        """Return the bytes of a picture."""
        return self.pool[row % len(self.pool)]


class _Names:
    def __init__(self, labels: np.ndarray) -> None:
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> str:
        return f"train/class_{self.labels[row]:03d}/picture_{row:08d}.jpg"


def pool(number: int, side: int, seed: int = 0) -> list[bytes]:
    """Return the bytes of `number` JPEGs with some structure, of `side` pixels."""
    made = []
    for i in range(number):
        rng = np.random.default_rng([seed, i])
        small = rng.integers(0, 256, (max(2, side // 12), max(2, side // 12), 3), np.uint8)
        picture = Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC)
        out = BytesIO()
        picture.save(out, "JPEG", quality=85)
        made.append(out.getvalue())
    return made


def written(root: Path, examples: int, side: int, distinct: int, size: int) -> Catalog:
    """Pack generated pictures and return the catalog of their shards."""
    labels = np.random.default_rng(1).integers(0, CLASSES, examples)
    source: Any = Generated(pool(distinct, side), labels)
    pack(source, root / "shards", size=size, seed=0, each=lambda share: None)
    return scan(str(root / "shards"), cache=root / "cache", learnable=False)


def preparation(size: int) -> Any:
    kept = {"decode_size": size, "size": size, "fit": "crop", "mirror": True}
    return restored("image", {**kept, "mean": (0.485,) * 3, "std": (0.225,) * 3})


def recipe(batch: int, device: str) -> Any:
    return SimpleNamespace(
        seed=0, batch=batch, compute=SimpleNamespace(device=device), augment=AUGMENT
    )


def stream_of(catalog: Catalog, how: Any) -> Stream:
    assert catalog.shards is not None
    there, counts = np.unique(catalog.shards.of, return_counts=True)
    order = Order(counts, window_of(counts), 0)
    return Stream(
        np.arange(len(catalog)),
        catalog.labels,
        there.astype(np.int64),
        order,
        catalog.read,
        how,
        usable_cores(),
        catalog.shards.holder,
    )


def speed(pictures: int, name: str, side: int, seconds: float) -> dict[str, Any]:
    """Train in turn from the cache and from the shards; return pictures a second of each."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    how, batch = preparation(side), 256 if device == "cuda" else 64
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        # As large as ImageNet's for 224 px: about twice the side that is looked at.
        catalog = written(root, pictures, 2 * side, min(pictures, 512), 64_000_000)
        decoded = decode(catalog, how, root / "cache", usable_cores(), lambda share: None)
        rows = np.arange(len(decoded))
        task = Classification(catalog.classes)
        told = recipe(batch, device)
        cached = Batches(decoded, rows, catalog.labels, task, told)
        streamed = Batches(
            decoded, rows, catalog.labels, task, told, stream=stream_of(catalog, how)
        )
        step = _trainer(name, device, len(catalog.classes))
        found: dict[str, list[float]] = {"cache": [], "shards": []}
        _measured(cached, step, side, 2.0, device)  # warms up
        for _ in range(_TURNS):
            for what, batches in (("cache", cached), ("shards", streamed)):
                found[what].append(_measured(batches, step, side, seconds, device))
                print(what, round(found[what][-1], 1), file=sys.stderr, flush=True)
    ratios = [s / c for s, c in zip(found["shards"], found["cache"], strict=True)]
    return {
        **{"what": "speed", "network": name, "side": side, "pictures": pictures, "batch": batch},
        **{f"{k} pictures/s": [round(v, 1) for v in found[k]] for k in found},
        **{"ratio": round(float(np.median(ratios)), 3), "load": os.getloadavg()[0]},
    }


def _trainer(name: str, device: str, classes: int) -> Any:
    """Return what learns from a batch; `batches` learns nothing."""
    if name == "batches":
        return lambda x, target: None
    from torchvision import models

    network = models.get_model(name, num_classes=classes).to(device).train()
    network = network.to(memory_format=torch.channels_last)
    mover = torch.optim.SGD(network.parameters(), 0.001)

    def step(x: torch.Tensor, target: torch.Tensor) -> None:
        x = x.to(memory_format=torch.channels_last)
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            loss = torch.nn.functional.cross_entropy(network(x), target)
        loss.backward()
        mover.step()
        mover.zero_grad()

    return step


def _measured(batches: Batches, step: Any, side: int, seconds: float, device: str) -> float:
    with batches.reading(0) as ahead:
        for _ in range(2):
            step(*batches.take(ahead, side))
        began, steps = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            step(*batches.take(ahead, side))
            steps += 1
        if device == "cuda":
            torch.cuda.synchronize()
        took = time.perf_counter() - began
    return steps * batches.recipe.batch / took


def memory(examples: int, steps: int) -> dict[str, Any]:
    """Return the resident memory (MB) of opening, dividing and streaming so many examples."""
    side, how = 32, preparation(32)
    found: dict[str, Any] = {"what": "memory", "examples": examples, "steps": steps}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        began = time.perf_counter()
        if os.fork() == 0:  # what packing takes shall not count
            written(root, examples, side, 256, 32_000_000)
            os._exit(0)
        os.wait()
        found["packing, s"] = round(time.perf_counter() - began, 1)
        found["shards, MB"] = round(
            sum(f.stat().st_size for f in (root / "shards").iterdir()) / 1e6
        )
        found["before, MB"] = _resident()
        began = time.perf_counter()
        catalog = scan(str(root / "shards"), cache=root / "cache", learnable=False)
        found["catalog, s"] = round(time.perf_counter() - began, 2)
        found["catalog, MB"] = _resident()
        found |= _divided(catalog, how, root / "cache")
        stream = found.pop("stream")
        decoded: Any = SimpleNamespace(how=how, forget=lambda: None, of_rows=False)
        task = Classification(catalog.classes)
        none = np.zeros(0, np.int64)
        batches = Batches(decoded, none, none, task, recipe(64, "cpu"), stream=stream)
        with batches.reading(0) as ahead:
            began = time.perf_counter()
            for number in range(steps):
                batches.take(ahead, side)
                if number in (steps // 10, steps // 2, steps - 1):
                    found[f"step {number}, MB"] = _resident()
            took = time.perf_counter() - began
        found["pictures/s"] = round(steps * 64 / took)
        found["peak, MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        shutil.rmtree(root / "shards")
    return found


def _divided(catalog: Catalog, how: Any, cache: Path) -> dict[str, Any]:
    """Look at a sample and divide the catalog, as `learn` does."""
    began = time.perf_counter()
    facts.survey(catalog, cores=usable_cores(), max_pixels=10**6)
    looked = time.perf_counter()
    job: Any = SimpleNamespace(
        code={}, cache=cache, seconds_each=1.0, notes=[], say=lambda line: None, stream=None
    )
    asked: Any = SimpleNamespace(
        stream=True, cache=1.0, seed=0, test=0.15, val=0.1, optimizer=SimpleNamespace(name="muon")
    )
    part = streaming.divided(job, catalog, asked, how, usable_cores())
    return {
        **{"looking, s": round(looked - began, 2)},
        **{"dividing, s": round(time.perf_counter() - looked, 2), "beforehand": len(part)},
        **{"divided, MB": _resident(), "stream": job.stream},
    }


def _resident() -> int:
    status = Path("/proc/self/status").read_text()
    return next(int(x.split()[1]) // 1024 for x in status.splitlines() if x.startswith("VmRSS"))


def main() -> None:
    words = sys.argv[1:] or ["speed"]
    if words[0] == "memory":
        numbers = [int(word.replace("_", "")) for word in words[1:]]
        result = memory(*(numbers + [1_000_000, 400][len(numbers) :]))
    else:
        given = words[1:] + ["4000", "resnet18", "64", "10"][len(words) - 1 :]
        result = speed(int(given[0]), given[1], int(given[2]), float(given[3]))
    print(json.dumps({**result, "machine": measuring.machine()}, indent=1))


if __name__ == "__main__":
    main()
