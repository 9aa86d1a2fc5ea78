"""A network as its stack of functions: shapes, parameters and FLOPs of every layer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from quickstudy.network import scores


def draw(network: nn.Module, example: Tensor) -> list[dict[str, Any]]:
    """Return a row per function in the order it runs, for one input ``1 ...`` of the network.

    FLOPs count a multiply and an add as two; only convolutions and linear layers are counted.
    """
    rows: list[dict[str, Any]] = []
    hooks = [
        layer.register_forward_hook(_recorder(rows, path, layer))
        for path, layer in network.named_modules()
        if not list(layer.children()) or list(layer.parameters(recurse=False))
    ]
    was_training = network.training
    device = next(network.parameters()).device
    try:
        network.eval()
        with torch.inference_mode():
            scores(network, example.to(device))
    finally:
        for hook in hooks:
            hook.remove()
        network.train(was_training)
    return rows


def _recorder(rows: list[dict[str, Any]], path: str, layer: nn.Module) -> Any:
    def record(_: nn.Module, __: tuple[Any, ...], output: Any) -> None:
        own = sum(p.numel() for p in layer.parameters(recurse=False))
        output = output[0] if isinstance(output, tuple) else output
        if isinstance(output, Tensor) and not isinstance(layer, nn.Identity):
            rows.append(
                {
                    "path": path,
                    "function": type(layer).__name__.replace("Head", "Linear"),
                    "detail": _detail(layer),
                    "output": list(output.shape[1:]),
                    "parameters": own,
                    "flops": _flops(layer, output),
                }
            )

    return record


def _detail(layer: nn.Module) -> str:
    if isinstance(layer, nn.Conv2d):
        side = "x".join(map(str, layer.kernel_size))
        extra = f", stride {layer.stride[0]}" if layer.stride[0] != 1 else ""
        extra += f", {layer.groups} groups" if layer.groups != 1 else ""
        return f"{layer.in_channels} -> {layer.out_channels}, {side}{extra}"
    if isinstance(layer, nn.Linear):
        return f"{layer.in_features} -> {layer.out_features}"
    return layer.extra_repr().split(", eps")[0][:60]


def _flops(layer: nn.Module, output: Tensor) -> int:
    if isinstance(layer, nn.Conv2d):
        each = layer.weight[0].numel()
    elif isinstance(layer, nn.Linear):
        each = layer.in_features
    else:
        return 0
    return 2 * each * output[0].numel()


def flops(network: nn.Module, example: Tensor) -> int:
    """Return forward FLOPs for one input ``1 ...``, as torch's own counter finds them."""
    from torch.utils.flop_counter import FlopCounterMode

    was_training = network.training
    device = next(network.parameters()).device
    counter = FlopCounterMode(display=False)
    network.eval()
    with torch.no_grad(), counter:
        scores(network, example.to(device))
    network.train(was_training)
    return int(counter.get_total_flops())
