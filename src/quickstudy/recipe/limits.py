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
    "patience": (1, 1e6),
    "race": (1, 16),
    "cache": (0.001, 1e6),
    "network.width": (0.05, 32),
    "network.channels": (1, 64),
    "optimizer.restarts": (1, 10_000),
    "table.members": (1, 1024),
    "table.bins": (1, 1024),
    "network.dropout": (0, 0.95),
    "rehearsal": (0, 0.6),
    "sound.rate": (2000, 192_000),
    "sound.window": (0.05, 60),
    "sound.long": (0.05, 1e6),
    "sound.span": (0.02, 60),
    "sound.fft": (16, 65536),
    "sound.hop": (1, 65536),
    "sound.mels": (4, 512),
    "sound.low": (0, 96_000),
    "sound.high": (20, 96_000),
    "picture.size": (8, 2048),
    "picture.start_size": (8, 2048),
    "picture.max_pixels": (1, 10**11),
    "augment.crop": (0.01, 1),
    "augment.rotate": (0, 180),
    "augment.colour": (0, 1),
    "augment.shift": (0, 1),
    "augment.speed": (0, 0.5),
    "augment.gain": (0, 60),
    "augment.noise": (0, 1),
    "augment.mask_time": (0, 0.9),
    "augment.mask_bands": (0, 0.9),
    "augment.mixup": (0, 10),
    "augment.cutmix": (0, 1),
    "optimizer.lr": (1e-12, 1e4),
    "optimizer.momentum": (0, 0.9999),
    "optimizer.weight_decay": (0, 10),
    "schedule.warmup": (0, 1),
    "loss.label_smoothing": (0, 0.9),
    "compute.threads": (1, 4096),
}
_MOST_SCALE = 1e6  # what is finite in 64 bits may not be in 32
_SCALES = ("picture.mean", "picture.std")


def check(values: Mapping[str, Any]) -> None:
    """Raise `ChoiceError` naming every value that is out of its limits, at once.

    `values` holds every dotted key of a recipe.
    """
    faults = [
        f"{key} = {values[key]} (from {least:g} to {most:g} is possible)"
        for key, (least, most) in LIMITS.items()
        if isinstance(values.get(key), int | float) and not least <= values[key] <= most
    ]
    if values["test"] + values["val"] > 0.9:
        faults.append("test + val leave under a tenth of the examples to learn from")
    of_kind = {"image": _pictures, "sound": _sounds}.get(values["kind"])
    faults += of_kind(values) if of_kind else []
    if faults:
        raise ChoiceError(
            "These settings cannot be: " + "; ".join(faults) + ".", "Change or leave them out."
        )


def _pictures(values: Mapping[str, Any]) -> list[str]:
    faults = []
    if len(values["picture.mean"]) != 3 or len(values["picture.std"]) != 3:
        faults.append("picture.mean and picture.std each take three numbers: red, green, blue")
    if values["picture.start_size"] > values["picture.size"]:
        faults.append("picture.start_size is above picture.size")
    if values["network.channels"] not in (1, 3):
        faults.append("network.channels is 3, or 1 to see pictures in grey")
    if not all(abs(one) <= _MOST_SCALE for key in _SCALES for one in values[key]):
        faults.append(f"picture.mean and picture.std lie from -{_MOST_SCALE:g} to {_MOST_SCALE:g}")
    if any(s < 1 / _MOST_SCALE for s in values["picture.std"]):
        faults.append(f"picture.std must be above 0, and at least {1 / _MOST_SCALE:g}")
    return faults


def _sounds(values: Mapping[str, Any]) -> list[str]:
    faults = []
    if not values["sound.low"] < values["sound.high"] <= values["sound.rate"] / 2:
        faults.append("sound.low, sound.high and half of sound.rate must rise in this order")
    window = round(values["sound.window"] * values["sound.rate"])
    if window < values["sound.fft"] or window < 8 * values["sound.hop"]:
        faults.append("sound.window must hold sound.fft samples, and 8 times sound.hop")
    if values["sound.span"] > values["sound.window"]:
        faults.append("sound.span is above sound.window")
    if values["sound.hop"] > values["sound.fft"]:
        faults.append("sound.hop is above sound.fft: samples would go unheard")
    return faults
