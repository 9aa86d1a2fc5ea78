"""What this computer has: processor, cores, memory, GPU."""

from __future__ import annotations

import functools
import os
import platform
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from quickstudy.errors import ChoiceError

if TYPE_CHECKING:
    import torch

_TOPOLOGY = Path("/sys/devices/system/cpu")


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
    float16: bool = False
    """The processor or GPU computes quicker in float16 than in float32, by what its maker says."""

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


def physical_cores() -> int:
    """Return how many of `usable_cores` are cores of their own, not second threads of one (SMT)."""
    cores = usable_cores()
    if not hasattr(os, "sched_getaffinity"):
        return cores
    own = set()
    for number in os.sched_getaffinity(0):
        beside = _TOPOLOGY / f"cpu{number}" / "topology" / "thread_siblings_list"
        own.add(beside.read_text().strip() if beside.is_file() else str(number))
    return max(1, min(cores, len(own)))


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
    gpu = gpu or ("Apple GPU" if family == "mps" else None)
    quick = bfloat16_is_quick(chosen)
    found = Hardware(_processor(), usable_cores(), usable_memory(), gpu, chosen, quick)
    return replace(found, float16=float16_is_quick(chosen))


@functools.cache
def bfloat16_is_quick(device: str | torch.device) -> bool:
    """Return whether a processor has instructions for bfloat16 that torch uses, or a GPU does."""
    import torch

    family = torch.device(device).type
    if family == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if family != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def float16_is_quick(device: str) -> bool:
    """Return whether a processor has instructions for float16, or a GPU tensor cores for it.

    Tensor cores came with compute capability 7.0 (CUDA C++ Programming Guide).
    """
    import torch

    family = torch.device(device).type
    if family == "cuda":
        return bool(torch.cuda.get_device_capability(torch.device(device)) >= (7, 0))
    if family != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    return bool(torch.ops.mkldnn._is_mkldnn_fp16_supported())


def _best_device() -> str:
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
