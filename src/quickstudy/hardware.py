"""What this computer has and how fast it really is: measured, with reasons.

`survey` looks; `quicken` sets threads and memory, measuring; `fastest_training` times steps.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from quickstudy.errors import ChoiceError

if TYPE_CHECKING:
    import torch
    from torch import nn

# glibc's mallopt parameter numbers (malloc.h)
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEEP_MMAP, _KEEP_TRIM = 1 << 30, (1 << 31) - 1
_GLIBC_DEFAULT = 128 * 1024


@dataclass(frozen=True)
class Hardware:
    """What is there. `memory` in bytes; `measured` holds sentences with numbers from here."""

    processor: str
    cores: int
    memory: int
    gpu: str | None
    device: str
    """``cpu``, ``cuda`` or ``mps``: where the run trains."""
    bfloat16: bool
    """The processor or GPU has bfloat16 instructions (without them it is slower, not faster)."""
    gigaflops: float = 0.0
    """Billion operations a second in a float32 convolution, measured; 0 before `quicken`."""
    memory_kept: bool = False
    """The C library was told to keep large buffers instead of returning them to the system."""
    measured: tuple[str, ...] = ()

    def sentence(self) -> str:
        """Return e.g. ``2 cores, 23 GB, no GPU``."""
        cores = f"{self.cores} core{'s' if self.cores != 1 else ''}"
        return f"{cores}, {self.memory / 2**30:.0f} GB, {self.gpu or 'no GPU'}"

    def as_dict(self) -> dict[str, object]:
        """Return what `report.json` keeps."""
        return {
            "processor": self.processor,
            "cores": self.cores,
            "memory_gb": round(self.memory / 2**30, 1),
            "gpu": self.gpu,
            "device": self.device,
            "measured": list(self.measured),
        }


def usable_cores() -> int:
    """Return the cores this process may use: affinity and container quota, not what is built in."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quota = Path("/sys/fs/cgroup/cpu.max")
    if quota.is_file():
        limit, _, period = quota.read_text().strip().partition(" ")
        if limit.isdigit() and period.isdigit() and int(period):
            cores = min(cores or 1, max(1, round(int(limit) / int(period))))
    return max(1, cores or 1)


def usable_memory() -> int:
    """Return bytes of memory this process may use (machine's, or the container's limit)."""
    if sys.platform == "win32":
        return 8 * 2**30  # no portable call in the standard library; only shown and used for caps
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.is_file() and (text := limit.read_text().strip()).isdigit():
        total = min(total, int(text))
    return total


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def survey(device: str | None = None) -> Hardware:
    """Return what this computer has; `device` overrules where to train.

    Raises `ChoiceError` for a device that torch cannot use here.
    """
    import torch

    chosen = device or _best_device()
    try:
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as problem:
        first = str(problem).splitlines()[0]
        raise ChoiceError(
            f"The device '{chosen}' cannot be used here: {first}",
            "Leave --device out, or use --device cpu.",
        ) from problem
    family = torch.device(chosen).type
    gpu = torch.cuda.get_device_name(torch.device(chosen)) if family == "cuda" else None
    if family == "cuda":
        bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        bfloat16 = family == "cpu" and bfloat16_is_quick()
    gpu = gpu or ("Apple GPU" if family == "mps" else None)
    return Hardware(_processor(), usable_cores(), usable_memory(), gpu, chosen, bfloat16)


def bfloat16_is_quick() -> bool:
    """Return whether the processor has instructions for bfloat16, and torch uses them."""
    import torch

    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _best_device() -> str:
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def keep_memory(keep: bool = True) -> bool:
    """Tell glibc to keep large buffers (or, with False, its default); False where it is not glibc.

    glibc gives buffers over 128 KB back to the system after every operation, and on a virtual
    machine the page faults of the next one cost more than the arithmetic. See mallopt(3).
    """
    if not sys.platform.startswith("linux") or platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL("libc.so.6")
    if not keep:
        libc.mallopt(_M_MMAP_THRESHOLD, _GLIBC_DEFAULT)
        return bool(libc.mallopt(_M_TRIM_THRESHOLD, _GLIBC_DEFAULT))
    # older versions take 32 MB at most
    taken = any(libc.mallopt(_M_MMAP_THRESHOLD, most) for most in (_KEEP_MMAP, 1 << 25))
    return taken and bool(libc.mallopt(_M_TRIM_THRESHOLD, _KEEP_TRIM))


@contextmanager
def readers(cores: int) -> Iterator[ThreadPoolExecutor]:
    """Lend threads that read files; torch, if imported, computes in each by itself: quicker."""
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else 0
    alone = (lambda: torch.set_num_threads(1)) if torch else None
    try:
        with ThreadPoolExecutor(cores, initializer=alone) as pool:
            yield pool
    finally:
        if torch:
            torch.set_num_threads(before)


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
    return torch.autocast(kind, dtype=torch.bfloat16, enabled=precision == "bfloat16")


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


@dataclass(frozen=True)
class TrainingSpeed:
    """The quickest way found to train here, and how quick."""

    precision: str
    memory_format: str
    seconds_per_step: float
    why: str


def fastest_training(
    network: nn.Module,
    step: Callable[[nn.Module, str, str], object],
    hardware: Hardware,
    *,
    fixed_precision: str | None = None,
) -> TrainingSpeed:
    """Time one real training step per setting on a copy of nothing: `step` must leave no trace.

    `step(network, precision, memory_format)` runs forward and backward once.
    """
    layouts = ["channels_last"] if hardware.device == "cuda" else ["channels_last", "contiguous"]
    precisions = ["float32", *(["bfloat16"] if hardware.bfloat16 else [])]
    if fixed_precision is not None:
        precisions = [fixed_precision]
    timed: dict[tuple[str, str], float] = {}
    for layout in layouts:
        lay_out(network, layout)
        for precision in precisions:
            if layout == "contiguous" and len(timed) >= len(precisions) > 1:
                best_precision = min(timed, key=lambda k: timed[k])[0]
                if precision != best_precision:
                    continue  # the layout is compared at the better precision only: half the time

            def once(p: str = precision, m: str = layout) -> None:
                step(network, p, m)
                settle(hardware.device)

            timed[precision, layout] = seconds_per_call(once, least=0.2, most_calls=4)
    precision, layout = min(timed, key=lambda k: timed[k])
    why = "measured here, ms per step: " + ", ".join(
        f"{p} {m} {1000 * t:.0f}" for (p, m), t in timed.items()
    )
    return TrainingSpeed(precision, layout, timed[precision, layout], why)
