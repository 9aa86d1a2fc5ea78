"""What there is to choose from: every network's size, cost, and whether weights are at hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from quickstudy.errors import QuickstudyError
from quickstudy.network import Spec, build, hub, parameters, standard
from quickstudy.network.drawing import flops

IMAGENET_CLASSES = 1000


def describe(wanted: Sequence[str], *, count: bool) -> list[dict[str, Any]]:
    """Return name, parameters, FLOPs (at `size` pixels, 1,000 classes) and weights of each.

    Published figures are used where there are some; the rest is counted on a network without
    memory behind it if `count`, else None.
    """
    return [_row(name, count) for name in wanted]


def _row(name: str, count: bool) -> dict[str, Any]:
    size = 64 if name == "compact" else hub.described(name).size
    number, cost = _published(name)
    if number is None and count:
        number, cost = _counted(name, size)
    cached = hub.cached(name)
    have = "none: learns from scratch" if name == "compact" else "on the hub"
    if cached is not None:
        have = f"at hand: {cached}"
    elif name != "compact" and not hub.published(name):
        have = "nobody publishes any"
    return {"name": name, "parameters": number, "flops": cost, "size": size, "weights": have}


def _published(name: str) -> tuple[int | None, float | None]:
    if standard.known(name) != "torchvision":
        return None, None
    import torchvision

    entries = torchvision.models.get_model_weights(name)
    if not hasattr(entries, "DEFAULT"):
        return None, None
    return int(entries.DEFAULT.meta["num_params"]), hub.described(name).flops


def _counted(name: str, size: int) -> tuple[int | None, float | None]:
    try:
        with torch.device("meta"):
            module = build(Spec(name, IMAGENET_CLASSES, size)).module
            return parameters(module), float(flops(module, torch.zeros(1, 3, size, size)))
    except (QuickstudyError, RuntimeError, NotImplementedError, ValueError, TypeError):
        return None, None  # some of timm's compute with numbers, which `meta` has not
