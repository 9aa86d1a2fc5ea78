"""How fast it really is: a test convolution, clocks, precision and layout."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING

from quickstudy.hardware.memory import keep_memory
from quickstudy.hardware.survey import Hardware

if TYPE_CHECKING:
    import torch
    from torch import nn


def quicken(hardware: Hardware) -> Hardware:
    """Set threads, then keep memory if a half-second measurement here says that it helps."""
    import torch

    torch.set_num_threads(hardware.cores)
    before = _convolution_speed(hardware.device)
    if hardware.device != "cpu" or not keep_memory():
        said = f"a test convolution runs at {before:.0f} GFLOP/s"
        return replace(hardware, gigaflops=before, measured=(said,))
    after = _convolution_speed(hardware.device)
    helps = after > before
    if not helps:
        keep_memory(False)
    said = (
        f"a test convolution runs at {after:.0f} GFLOP/s with memory kept, {before:.0f} with it "
        f"returned to the system each time: {'kept' if helps else 'not kept'}"
    )
    best = max(before, after)
    return replace(hardware, gigaflops=best, memory_kept=helps, measured=(said,))


def _convolution_speed(device: str) -> float:
    """Return GFLOP/s of convolution + ReLU on 16 pictures of 32 x 112 x 112: 26 MB a buffer."""
    import torch
    from torch.nn import functional as F

    x = torch.ones(16, 32, 112, 112, device=device).to(memory_format=torch.channels_last)
    w = torch.full((32, 32, 3, 3), 0.01, device=device).to(memory_format=torch.channels_last)

    def once() -> None:
        F.relu(F.conv2d(x, w, padding=1))
        settle(device)

    with torch.inference_mode():
        took = seconds_per_call(once, least=0.3)
    return 2 * w[0].numel() * x.numel() / took / 1e9


def seconds_per_call(
    call: Callable[[], object], *, least: float = 0.3, most_calls: int = 20
) -> float:
    """Return the quickest of the timed calls, seconds, after one call that is not counted."""
    call()
    best, spent, calls = float("inf"), 0.0, 0
    while (spent < least or calls < 2) and calls < most_calls:
        began = time.perf_counter()
        call()
        took = time.perf_counter() - began
        best, spent, calls = min(best, took), spent + took, calls + 1
    return best


def settle(device: str) -> None:
    """Wait until the device has done what it was given, so that a clock reads true."""
    import torch

    if device.startswith("cuda"):
        torch.cuda.synchronize()
    elif device.startswith("mps"):
        torch.mps.synchronize()


def autocast(device: str, precision: str) -> AbstractContextManager[object]:
    """Return the context in which the network computes in `precision`."""
    import torch

    kind = torch.device(device).type
    half = torch.float16 if precision == "float16" else torch.bfloat16
    return torch.autocast(kind, dtype=half, enabled=precision in ("bfloat16", "float16"))


def in_layout(x: torch.Tensor, layout: str) -> torch.Tensor:
    """Return a tensor in a memory format; one that is not of rank 4 as it is."""
    import torch

    last = layout == "channels_last"
    form = torch.channels_last if last else torch.contiguous_format
    return x.contiguous(memory_format=form) if x.ndim == 4 else x


def lay_out(network: nn.Module, layout: str) -> None:
    """Put a network's tensors in a memory format; `Module.to` fails where one is of rank 5."""
    for tensor in (*network.parameters(), *network.buffers()):
        tensor.data = in_layout(tensor.data, layout)
