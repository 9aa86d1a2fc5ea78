"""What a value may be at all, whatever its use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quickstudy.errors import ChoiceError

#: Key -> (least, most).
LIMITS: dict[str, tuple[float, float]] = {
    "budget": (5, 1e8),
    "seed": (0, 2**53),
    "epochs": (1e-6, 1e6),
    "batch": (1, 65536),
    "averaging": (0, 0.99999),
    "balance": (0, 1),
    "test": (0.01, 0.9),
    "val": (0.01, 0.9),
    "network.width": (0.05, 32),
    "network.dropout": (0, 0.95),
    "picture.size": (8, 2048),
    "picture.start_size": (8, 2048),
    "picture.max_pixels": (1, 10**11),
    "augment.crop": (0.01, 1),
    "augment.rotate": (0, 180),
    "augment.colour": (0, 1),
    "augment.mixup": (0, 10),
    "augment.cutmix": (0, 1),
    "optimizer.lr": (1e-12, 1e4),
    "optimizer.momentum": (0, 0.9999),
    "optimizer.weight_decay": (0, 10),
    "schedule.warmup": (0, 1),
    "loss.label_smoothing": (0, 0.9),
    "compute.threads": (1, 4096),
}


def check(values: Mapping[str, Any]) -> None:
    """Raise `ChoiceError` naming every value that is out of its limits, at once.

    `values` holds every dotted key of a recipe.
    """
    faults = [
        f"{key} = {values[key]} (from {least:g} to {most:g} is possible)"
        for key, (least, most) in LIMITS.items()
        if values[key] is not None and not least <= values[key] <= most
    ]
    if values["test"] + values["val"] > 0.9:
        faults.append("test + val leave under a tenth of the examples to learn from")
    if len(values["picture.mean"]) != 3 or len(values["picture.std"]) != 3:
        faults.append("picture.mean and picture.std each take three numbers: red, green, blue")
    if values["picture.start_size"] > values["picture.size"]:
        faults.append("picture.start_size is above picture.size")
    if any(s <= 0 for s in values["picture.std"]):
        faults.append("picture.std must be above 0")
    if faults:
        raise ChoiceError(
            "These settings cannot be: " + "; ".join(faults) + ".", "Change or leave them out."
        )
