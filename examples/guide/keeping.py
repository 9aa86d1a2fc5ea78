"""What every script of the guide needs: a place to run in, where numbers go, the digits."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn import functional

from quickstudy import Progress

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guide"
FIGURES, NUMBERS = GUIDE / "figures", GUIDE / "numbers"

#: For tables. One thread: with other programs at work, two mostly wait for each other.
QUICK: dict[str, Any] = {"table.trees": False, "compute.threads": 1}

#: The digits as they are, in plain steps: nothing measured here, nothing varied, nothing averaged.
#: What the learning rate, the batch and the passes do is then all there is to see.
PLAIN: dict[str, Any] = {
    "optimizer.name": "sgd", "optimizer.lr": 0.05, "schedule.shape": "constant",
    "schedule.warmup": 0, "averaging": 0, "loss.label_smoothing": 0,
    "picture.size": 8, "picture.start_size": 8,
    "augment.crop": 1, "augment.rotate": 0, "augment.colour": 0, "augment.mixup": 0,
    "augment.cutmix": 0,
    "compute.precision": "float32", "compute.memory_format": "contiguous", "compute.threads": 1,
}  # fmt: skip


@contextlib.contextmanager
def elsewhere() -> Iterator[None]:
    """Run in an empty folder that is deleted afterwards, with a cache of its own."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        before = os.environ.get("QUICKSTUDY_CACHE")
        os.environ["QUICKSTUDY_CACHE"] = str(Path(folder) / "cache")
        try:
            with contextlib.chdir(folder):
                yield
        finally:
            del os.environ["QUICKSTUDY_CACHE"]
            if before is not None:
                os.environ["QUICKSTUDY_CACHE"] = before


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Return the 1,797 pictures ``N 8 8`` (0 to 255) and which digit each shows."""
    found = load_digits()
    return (found.images * (255 / 16)).round().astype(np.uint8), found.target


class Watch:
    """Hears a run, and is its loss too: keeps the loss of every step, and each score on `val`."""

    def __init__(self, passes: int) -> None:
        self.passes = passes
        self.each: list[float] = []
        self.asked: list[tuple[float, float]] = []

    @property
    def settings(self) -> dict[str, Any]:
        """What has `val` asked after every pass, the last one too."""
        return {"epochs": self.passes + 0.05, "patience": self.passes + 1}

    def hear(self, progress: Progress) -> None:
        """Hear one record; those with a forecast come between the questions to `val`."""
        if progress.stage == "train" and progress.left is None and progress.val is not None:
            self.asked.append((progress.fraction * self.passes, 100 * progress.val))

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the cross entropy, and remember it."""
        found = functional.cross_entropy(prediction, target)
        self.each.append(found.item())
        return found

    def losses(self) -> list[tuple[float, float]]:
        """Return (passes, mean loss of that pass)."""
        each = np.array_split(self.each, self.passes)
        return [(n, float(one.mean())) for n, one in enumerate(each, 1)]


def keep(page: str, **numbers: Any) -> None:
    """Write the numbers that a page shows."""
    NUMBERS.mkdir(parents=True, exist_ok=True)
    (NUMBERS / f"{page}.json").write_text(json.dumps(numbers, indent=1), encoding="utf-8")
