"""Memory kept by the C library, and threads that read."""

from __future__ import annotations

import ctypes
import platform
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

# glibc's mallopt parameter numbers (malloc.h)
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEEP_MMAP, _KEEP_TRIM = 1 << 30, (1 << 31) - 1
# where glibc's own moving thresholds come to once a program frees buffers that large (mallopt(3))
_RETURN_MMAP, _RETURN_TRIM = 32 << 20, 64 << 20


def keeps_memory() -> bool:
    """Return whether the C library can be told to keep memory: whether it is glibc."""
    return sys.platform.startswith("linux") and platform.libc_ver()[0] == "glibc"


def keep_memory(keep: bool = True) -> bool:
    """Tell glibc to keep large buffers (or, with False, its default); False where it is not glibc.

    glibc gives large buffers back to the system after every operation, and on a virtual machine
    the page faults of the next one cost more than the arithmetic. See mallopt(3).
    """
    if not keeps_memory():
        return False
    libc = ctypes.CDLL("libc.so.6")
    if not keep:
        libc.mallopt(_M_MMAP_THRESHOLD, _RETURN_MMAP)
        return bool(libc.mallopt(_M_TRIM_THRESHOLD, _RETURN_TRIM))
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
