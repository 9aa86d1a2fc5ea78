"""Files of this computer that many threads read from at once, opened when first asked for."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import OrderedDict
from pathlib import Path

_OPEN = 128  # at once


class Handle:
    """A file open to be read anywhere; closed when nobody reads it any more."""

    def __init__(self, path: Path) -> None:
        self.number = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self.size = os.fstat(self.number).st_size
        self.lock = threading.Lock()

    def part(self, first: int, count: int) -> bytes:
        """Return some bytes, fewer at the file's end."""
        if hasattr(os, "pread"):
            return os.pread(self.number, count, first)
        with self.lock:
            os.lseek(self.number, first, os.SEEK_SET)
            return os.read(self.number, count)

    def __del__(self) -> None:
        with contextlib.suppress(OSError, AttributeError):
            os.close(self.number)


class Files:
    """The files that are open: the longest unused are closed."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, Handle] = OrderedDict()
        self._lock = threading.Lock()

    def __getitem__(self, path: Path) -> Handle:
        name = str(path)
        with self._lock:
            handle = self._open.get(name)
            if handle is None:
                handle = self._open[name] = Handle(path)
                while len(self._open) > _OPEN:
                    self._open.popitem(last=False)
            else:
                self._open.move_to_end(name)
        return handle

    def forget(self, path: Path) -> None:
        """Close a file when it is no longer read."""
        with self._lock:
            self._open.pop(str(path), None)
