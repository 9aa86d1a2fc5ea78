"""How a process that runs for months keeps its memory flat, where its allocator is glibc's."""

from __future__ import annotations

import ctypes
import platform
import sys

_M_ARENA_MAX = -8  # malloc.h
_ARENAS = 2


def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux") or platform.libc_ver()[0] != "glibc":
        return None
    return ctypes.CDLL("libc.so.6")


def share_memory() -> None:
    """Let threads share what is free: else each keeps the most that it has ever used."""
    if libc := _glibc():
        libc.mallopt(_M_ARENA_MAX, _ARENAS)


def give_back() -> None:
    """Give what is free back to the system: after work that took far more than answers do."""
    if libc := _glibc():
        libc.malloc_trim(0)
