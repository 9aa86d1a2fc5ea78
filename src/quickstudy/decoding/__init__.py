"""Catalog -> Decoded: every file decoded once, as its kind prepares it, into a cache on disk.

The cache is one array after another, memory-mapped when read; it is keyed by the files and the
decode settings, so a second run starts at once. Decoding runs on all cores (decoders work outside
Python's lock; more threads than cores gain nothing) and is written in the order of the examples, so
memory stays flat at any size. JPEG files go to an NVIDIA GPU where it reads a few of them quicker,
and as the cores do.
"""

from __future__ import annotations

import hashlib
import json
import math
import mmap
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quickstudy.catalog import Catalog, LeftOut
from quickstudy.catalog.digests import digest
from quickstudy.decoding.by_gpu import WORTH_IT, ByGpu, Row
from quickstudy.errors import ExampleError, SourceError
from quickstudy.folders import alive, disk_errors, trim_cache, write_whole
from quickstudy.hardware import readers
from quickstudy.kinds import NOUNS, Preparation

_AHEAD = 1  # examples a core that are decoded before the first of them is written
_THUMB = 16
_TELL_EVERY = 64  # examples
_CHUNK = 4096  # rows of a table that are decoded at once
_FORMAT = 6  # of the cache: raise it when what is stored changes


@dataclass(frozen=True, eq=False)
class Decoded:
    """The decoded examples. Row `i` belongs to example `kept[i]` of the catalog.

    `digests` are content hashes ``N``, `thumbs` small copies ``N 16 16 3``.
    """

    how: Preparation
    kept: NDArray[np.int64]
    counts: NDArray[np.int64]
    """Items of each example, ``N``: 1 of a picture, else samples."""
    digests: NDArray[np.uint64]
    thumbs: NDArray[np.uint8]
    left_out: tuple[LeftOut, ...]
    remarks: tuple[LeftOut, ...]
    """Files that are used, though something about them is odd."""
    from_cache: bool
    _map: mmap.mmap
    _begins: NDArray[np.int64]
    folder: Path = Path()
    """Where the cache is: `opened` opens it again."""
    said: str = ""
    """Whether a GPU decoded it and by what figures; '' where that was no question."""

    def __len__(self) -> int:
        return len(self.kept)

    def piece(self, row: int) -> NDArray[Any]:
        """Return one example as its kind keeps it, a view into the cache."""
        everything = np.frombuffer(self._map, self.how.dtype)
        count = int(self.counts[row])
        size = math.prod(self.how.item)
        first = int(self._begins[row]) * size
        return everything[first : first + count * size].reshape(count, *self.how.item)

    @property
    def of_rows(self) -> bool:
        """Whether every example is one row of numbers, as those of a table."""
        return self.how.kind == "table"

    def pieces(self, rows: NDArray[np.int64]) -> Any:
        """Return `piece` of each, a list; of a table one array ``N 1 F``, gathered at once."""
        if not self.of_rows:
            return [self.piece(row) for row in rows.tolist()]
        return np.frombuffer(self._map, self.how.dtype).reshape(-1, 1, *self.how.item)[rows]

    def views(self, rows: NDArray[np.int64], most: int = 2**31) -> int:
        """Return how many views together show all of these examples, `most` of one."""
        counts, times = np.unique(self.counts[rows], return_counts=True)
        return sum(
            int(n) * min(most, len(self.how.starts(int(count))))
            for count, n in zip(counts, times, strict=True)
        )

    def forget(self) -> None:
        """Let the system drop the mapped pages: they count as our memory until it does."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)


Each = Callable[[float], None]


def decode(
    catalog: Catalog, how: Preparation, cache: Path, cores: int, each: Each, device: str = "cpu"
) -> Decoded:
    """Return all examples of `catalog` decoded, from the cache where it has them.

    `each` hears the share done; `device` may decode too. Raises `SourceError` when more than half
    cannot be read and `RunError` on a full disk.
    """
    folder, said = _folder(catalog, how, cache), ""
    found = partial(_rows, catalog, how, cores, each)
    pictures = len(catalog) if catalog.kind == "image" else 0
    if device.startswith("cuda") and pictures >= WORTH_IT and not _whole(folder):
        gpu = ByGpu(catalog, how, cores, device, partial(_row, catalog, how))
        other = _folder(catalog, how, cache, " nvjpeg")
        taken, said = (True, "") if _whole(other) else gpu.quicker()
        if taken:
            folder, found = other, partial(gpu.rows, each)
    elif catalog.kind == "table":
        found = partial(_table_rows, catalog, how, each)
    from_cache = _whole(folder)
    if not from_cache:
        with disk_errors("the cache of decoded examples"):
            folder.mkdir(parents=True, exist_ok=True)
            trim_cache(cache / "decoded", folder)
            _fill(catalog, folder, found())
    decoded = opened(folder, how, from_cache=from_cache)
    each(1.0)
    bad = len(catalog) - len(decoded)
    if bad * 2 > len(catalog):
        worst = ", ".join(f"{o.name}: {o.reason}" for o in decoded.left_out[:3])
        raise SourceError(
            f"{bad:,} of {len(catalog):,} {NOUNS[catalog.kind][1]} cannot be read ({worst}, ...).",
            "Check that the source is what you mean, and that the files arrived whole.",
        )
    return replace(decoded, said=said)


def _folder(catalog: Catalog, how: Preparation, cache: Path, by: str = "") -> Path:
    what = f"{_FORMAT} {catalog.kind} {catalog.stamp} {how.key}{by}"
    return cache / "decoded" / hashlib.blake2b(what.encode(), digest_size=16).hexdigest()


def _whole(folder: Path) -> bool:
    return (folder / "index.json").is_file()


def _fill(catalog: Catalog, folder: Path, found: Iterator[Row | LeftOut]) -> None:
    kept: list[int] = []
    counts: list[int] = []
    digests: list[int] = []
    left_out: list[LeftOut] = []
    remarks: list[LeftOut] = []
    for stale in folder.glob("*.part"):
        if not alive(int(stale.stem.rpartition(".")[2])):
            stale.unlink(missing_ok=True)
    part = folder / f"examples.{os.getpid()}.part"
    thumbs_part = folder / f"thumbs.{os.getpid()}.part"
    with part.open("wb") as out, thumbs_part.open("wb") as small:
        for row in found:
            if isinstance(row, LeftOut):
                left_out.append(row)
                continue
            number, piece, content = row
            if piece.remark:
                remarks.append(LeftOut(str(catalog.names[number]), piece.remark))
            out.write(np.ascontiguousarray(piece.values).data)
            if catalog.kind != "table":  # there is nothing to see in a row
                small.write(piece.thumb.data)
            kept.append(number)
            counts.append(len(piece.values))
            digests.append(content)
        if not kept:
            out.write(b"\0\0")  # an empty file cannot be mapped
    part.replace(folder / "examples")
    thumbs_part.replace(folder / "thumbs")
    index = {
        "kept": kept,
        "counts": counts,
        "digests": digests,
        "left_out": [[o.name, o.reason] for o in left_out],
        "remarks": [[o.name, o.reason] for o in remarks],
    }
    write_whole(folder / "index.json", json.dumps(index))  # last: it says that all is there


def _row(catalog: Catalog, how: Preparation, i: int) -> Row | LeftOut:
    try:
        raw = catalog.read(i)
        return i, how.decode(raw), digest(raw)
    except ExampleError as problem:
        return LeftOut(str(catalog.names[i]), problem.message)


def _rows(catalog: Catalog, how: Preparation, cores: int, each: Each) -> Iterator[Row | LeftOut]:
    """Yield the examples in order, decoded a few ahead on all cores."""
    waiting: deque[Future[Row | LeftOut]] = deque()
    with readers(cores) as pool:
        try:
            for i in range(len(catalog)):
                waiting.append(pool.submit(_row, catalog, how, i))
                if len(waiting) > _AHEAD * cores:
                    yield waiting.popleft().result()
                if i % _TELL_EVERY == 0:
                    each(i / len(catalog))
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _table_rows(catalog: Catalog, how: Any, each: Each) -> Iterator[Row | LeftOut]:
    """Yield the rows of a table in order, many at once: a row alone takes thirty times longer."""
    for start in range(0, len(catalog), _CHUNK):
        each(start / len(catalog))
        numbers = range(start, min(start + _CHUNK, len(catalog)))
        raws = [catalog.read(i) for i in numbers]
        for i, raw, piece in zip(numbers, raws, how.decode_many(raws), strict=True):
            if isinstance(piece, str):
                yield LeftOut(str(catalog.names[i]), piece)
            else:
                yield i, piece, digest(raw)


def opened(folder: Path, how: Preparation, *, from_cache: bool = True) -> Decoded:
    """Return what `decode` has left in a folder."""
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    folder.touch()  # last used now: the oldest caches are dropped first
    with (folder / "examples").open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    counts = np.array(index["counts"], dtype=np.int64)
    return Decoded(
        how=how,
        kept=np.array(index["kept"], dtype=np.int64),
        counts=counts,
        digests=np.array(index["digests"], dtype=np.uint64),
        thumbs=np.fromfile(folder / "thumbs", np.uint8).reshape(-1, _THUMB, _THUMB, 3),
        left_out=tuple(LeftOut(name, reason) for name, reason in index["left_out"]),
        remarks=tuple(LeftOut(name, reason) for name, reason in index["remarks"]),
        from_cache=from_cache,
        _map=mapped,
        _begins=np.cumsum(counts) - counts,
        folder=folder.absolute(),
    )
