"""What the last layer of a network is given: where examples that look alike to it lie together."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from quickstudy.network.tabular import Heads


def features(network: nn.Module, x: Tensor) -> Tensor | None:
    """Return what the last layer with weights is given of inputs ``N ...``: ``N D``.

    Nothing where no layer has weights of its own, as in a formula.
    """
    given: dict[str, Any] = {}

    def note(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        if inputs and isinstance(inputs[0], Tensor):
            given["layer"], given["x"] = layer, inputs[0]

    weighted = [m for m in network.modules() if _has_weights(m)]
    hooks = [layer.register_forward_pre_hook(note) for layer in weighted]
    network.eval()
    try:
        with torch.inference_mode():
            network(x)
    finally:
        for hook in hooks:
            hook.remove()
    if "x" not in given:
        return None
    found: Tensor = given["x"].float()
    if isinstance(given["layer"], Heads):
        found = found.mean(0)  # of the members
    elif found.ndim > 2 and isinstance(given["layer"], nn.Linear):
        found = found.flatten(1, -2).mean(1)
    elif found.ndim > 2:
        found = found.flatten(2).mean(2)
    return found if len(found) == len(x) else None


def _has_weights(layer: nn.Module) -> bool:
    return "weight" in dict(layer.named_parameters(recurse=False)) and hasattr(layer, "bias")
