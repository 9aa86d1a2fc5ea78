"""WebDataset's layout: tars in which the files of one example follow each other, KEY.SUFFIX."""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

BLOCK, RECORD = 512, 10_240


@dataclass
class Writer:
    """Writes a tar whose bytes depend on nothing but what is put in; hashes them on the way."""

    out: IO[bytes]
    size: int = 0
    total: Any = field(default_factory=hashlib.sha256)

    def put(self, name: str, content: bytes) -> int:
        """Add a file; return where its bytes begin."""
        info = tarfile.TarInfo(name)
        info.size, info.mode = len(content), 0o644
        self._write(info.tobuf(tarfile.USTAR_FORMAT))
        begin = self.size
        self._write(content)
        self._write(b"\0" * (-len(content) % BLOCK))
        return begin

    def end(self) -> str:
        """End the file as tar has it; return its SHA-256."""
        self._write(b"\0" * 2 * BLOCK)
        self._write(b"\0" * (-self.size % RECORD))
        return str(self.total.hexdigest())

    def _write(self, data: bytes) -> None:
        self.out.write(data)
        self.total.update(data)
        self.size += len(data)


@dataclass
class Found:
    """One example of a tar: its files by suffix, as (where, bytes)."""

    key: str
    files: dict[str, tuple[int, int]]


def examples_in(path: Path) -> Iterator[Found]:
    """Yield the examples of a tar in order, reading the headers alone.

    Raises `tarfile.TarError` or `EOFError` for a file that is none or is cut short.
    """
    now: Found | None = None
    end = path.stat().st_size
    with tarfile.open(path, "r:") as archive:
        for info in archive:
            if not info.isfile():
                continue
            if info.offset_data + info.size > end:
                raise EOFError(f"it is cut short in {info.name!r}")
            key, suffix = split_name(info.name)
            if now is None or key != now.key or suffix in now.files:
                if now is not None:
                    yield now
                now = Found(key, {})
            now.files[suffix] = (info.offset_data, info.size)
            # Else a list of all of them stays in memory.
            archive.members = []  # type: ignore[attr-defined]
    if now is not None:
        yield now


def split_name(name: str) -> tuple[str, str]:
    """Return key and suffix as WebDataset has them: the name ends at its first dot.

    >>> split_name("a.b/cat.seg.PNG")
    ('a.b/cat', '.seg.png')
    """
    folder, _, last = name.rpartition("/")
    stem, dot, suffix = last.partition(".")
    return (f"{folder}/{stem}" if folder else stem), (dot + suffix).lower()


def suffix_of(name: str) -> str:
    """Return the last suffix of a file's name, in lower case."""
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 - a Path is slow
