"""Shards -> the bytes of one example, through a cache of whole shards that keeps to its limit.

Shards on this computer are read where they are, and never dropped. Of those far away a few bytes
are asked for where few are wanted, else all of a shard. A full cache drops what was used last and
is not open: in an order that takes each shard once an epoch, what waits longest comes next, and
dropping the longest unused would drop it just before it is wanted.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from quickstudy.errors import RunError
from quickstudy.folders import alive, disk_errors, trim_cache
from quickstudy.shards.files import Files
from quickstudy.shards.flat import ends_of, ends_path, flatten, is_flat
from quickstudy.shards.index import Index, Shard
from quickstudy.shards.places import Places, T, patiently

_SPARSE, _FEW = 0.1, 4  # share of a shard that is asked for in parts at most, of so many at least
_WAIT = 5.0  # seconds
_LONGER = 10  # times what others wait for a store that fails: days of learning may depend on it
_TOGETHER = 3  # shards that are fetched at the same time


class Store:
    """The examples of an index. `read` and `need` may be called from several threads."""

    def __init__(self, index: Index, places: Places, cache: Path, limit: float) -> None:
        self.index, self.places, self.limit = index, places, limit
        self.folder = cache / "shards" / index.stamp()
        self.shard_of = index.shard_of
        self._begins = np.cumsum([0, *(one.examples for one in index.shards)])
        self._files = Files()
        self._lock = threading.Lock()
        self._locks: defaultdict[int, threading.Lock] = defaultdict(threading.Lock)
        self._asked: defaultdict[int, list[int]] = defaultdict(lambda: [0, 0])
        """Shard -> how often some of it was asked for, and how many bytes."""
        self._used: dict[int, int] = {}
        """Shard in the cache -> when it was last used, as a number that grows."""
        self._pending: dict[int, int] = {}
        """Shard that is being fetched -> its bytes."""
        self._clock = 0
        self._wanted: frozenset[int] = frozenset()
        self._ended = threading.Event()
        self._pool: ThreadPoolExecutor | None = None
        self._coming: dict[int, Future[bool]] = {}
        self.fetched = 0
        """Bytes that came over the network, or out of Parquet."""
        self._number = {self._kept(s).name: s for s in range(len(index.shards))}
        self._find_kept()

    @property
    def largest(self) -> int:
        """Bytes of the largest shard; 0 where they need not be fetched."""
        far = [one.bytes for s, one in enumerate(self.index.shards) if not self._is_here(s)]
        return max(far, default=0)

    def read(self, number: int) -> bytes:
        """Return the bytes of an example; raises `RunError` naming a shard that cannot be read."""
        shard = int(self.shard_of[number])
        told = self.index.shards[shard]
        first, count = int(self.index.offset[number]), int(self.index.size[number])
        path = None if is_flat(told.name) else self.places.path(told.name)
        if path is not None:
            return self._from(path, told, first, count)
        for _ in range(2):  # another process may drop a shard between two lines
            if shard in self._used or (self._is_worth_it(shard, count) and self._have(shard)):
                try:
                    return self._from_cache(shard, number, first, count)
                except FileNotFoundError:
                    self._forget(shard)
        if is_flat(told.name):
            raise RunError(
                f"The cache of {self.limit / 1e9:.1f} GB has no room for {told.name}.",
                "Give it more: --set cache=GIGABYTES.",
            )
        found = self._patiently(told, lambda: self.places.part(told.name, first, count))
        self.fetched += len(found)
        return self._checked(found, count, told)

    def need(self, shards: Iterable[int], then: Iterable[int] = ()) -> None:
        """Have these shards fetched, and those that come after; wait for the first a few seconds.

        What is not here by then is read in parts: slower, but learning begins. Raises `RunError`
        for a shard that cannot be had.
        """
        now, later = list(shards), list(then)
        with self._lock:
            self._wanted = frozenset((*now, *later))
            self._fits(0)
        if not now or self._is_here(now[0]):
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_TOGETHER, "quickstudy-shards")
        self._clear()
        for shard in (*now, *later):
            if shard not in self._used and shard not in self._coming:
                self._coming[shard] = self._pool.submit(self._have, shard)
        until = time.monotonic() + _WAIT
        for coming in [self._coming[shard] for shard in now if shard in self._coming]:
            with contextlib.suppress(TimeoutError):
                coming.result(max(0.0, until - time.monotonic()))

    def _clear(self) -> None:
        """Forget what has come; what failed is tried again, and told, when it is needed."""
        for shard in [s for s, coming in self._coming.items() if coming.done()]:
            del self._coming[shard]

    def stop(self) -> None:
        """Have what is being fetched end soon, in the middle."""
        self._ended.set()

    def _patiently(self, told: Shard, do: Callable[[], T]) -> T:
        what = f"The shard {told.name} of {self.places.folder}"
        return patiently(what, do, lambda seconds: self._ended.wait(_LONGER * seconds))

    def close(self) -> None:
        """Fetch nothing more ahead; what is read later is fetched again."""
        self._ended.set()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None
        self._coming.clear()
        self._ended.clear()

    def _is_here(self, shard: int) -> bool:
        name = self.index.shards[shard].name
        return not is_flat(name) and self.places.path(name) is not None

    def _is_worth_it(self, shard: int, count: int) -> bool:
        """Whether so much of a shard was asked for that it had better be fetched whole."""
        told = self.index.shards[shard]
        if is_flat(told.name):
            return True
        asked = self._asked[shard]
        asked[0], asked[1] = asked[0] + 1, asked[1] + count
        return asked[0] > _FEW and asked[1] > _SPARSE * told.bytes

    def _kept(self, shard: int) -> Path:
        return self.folder / self.index.shards[shard].name.replace("/", "__")

    def _find_kept(self) -> None:
        """Learn what an earlier run has left, the longest unused first."""
        if not self.folder.is_dir():
            return
        for part in self.folder.glob("*.part"):
            if not alive(int(part.name.split(".")[-3])):
                part.unlink(missing_ok=True)
        for shard in self._on_disk():
            self._clock += 1
            self._used[shard] = self._clock

    def _on_disk(self) -> list[int]:
        """Return the shards that are there, others' too who learn from the same; oldest first."""
        if not self.folder.is_dir():
            return []
        found: list[tuple[float, int]] = []
        for entry in os.scandir(self.folder):
            shard = self._number.get(entry.name)
            with contextlib.suppress(FileNotFoundError):
                found += [(entry.stat().st_mtime, shard)] if shard is not None else []
        return [shard for _, shard in sorted(found)]

    def _from_cache(self, shard: int, number: int, first: int, count: int) -> bytes:
        self._clock += 1
        self._used[shard] = self._clock
        path = self._kept(shard)
        if not is_flat(self.index.shards[shard].name):
            return self._from(path, self.index.shards[shard], first, count)
        place = number - int(self._begins[shard])
        begin, end = ends_of(path, place)
        return self._files[path].part(begin, end - begin)

    def _from(self, path: Path, told: Shard, first: int, count: int) -> bytes:
        try:
            handle = self._files[path]
        except FileNotFoundError:
            if path.is_relative_to(self.folder):
                raise
            raise RunError(
                f"The shard {path} is not there.", "Put it back, or pack the source again."
            ) from None
        except OSError as problem:
            why = problem.strerror or str(problem)
            raise RunError(
                f"The shard {path} cannot be read: {why}.", "Check its permissions."
            ) from problem
        if handle.size != told.bytes:
            raise _changed(told, handle.size)
        return self._checked(handle.part(first, count), count, told)

    def _checked(self, found: bytes, count: int, told: Shard) -> bytes:
        if len(found) != count:
            raise _changed(told, len(found))
        return found

    def _have(self, shard: int) -> bool:
        """Fetch a shard unless it is here; return whether it now is: there may be no room."""
        with self._locks[shard]:
            if shard in self._used:
                return True
            told = self.index.shards[shard]
            if not self._make_room(shard, told.bytes):
                return False
            try:
                self._patiently(told, lambda: self._fetch(shard, told))
            finally:
                with self._lock:
                    self._pending.pop(shard, None)
            with self._lock:
                self._clock += 1
                self._used[shard] = self._clock
            return True

    def _fetch(self, shard: int, told: Shard) -> None:
        path = self._kept(shard)
        part = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}.part")
        total, size = hashlib.sha256(), 0
        with disk_errors("the cache of shards"):
            if not self.folder.is_dir():
                self.folder.mkdir(parents=True, exist_ok=True)
                trim_cache(self.folder.parent, self.folder)
            out = part.open("wb")
        try:
            with out:
                for chunk in self.places.chunks(told.name):
                    if self._ended.is_set():
                        raise RunError(f"Fetching {told.name} was stopped.")
                    total.update(chunk)
                    size += len(chunk)
                    with disk_errors("the cache of shards"):
                        out.write(chunk)
            self.fetched += size
            if size != told.bytes or (told.sha256 and told.sha256 != total.hexdigest()):
                raise OSError(
                    f"it came damaged: {size:,} of {told.bytes:,} bytes"
                    if size != told.bytes
                    else "it came damaged: its SHA-256 is not that of the index"
                )
            if is_flat(told.name):
                flatten(part, told.name)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    def _make_room(self, shard: int, size: int) -> bool:
        """Drop shards until one of `size` fits; return whether it does."""
        with self._lock:
            fits = self._fits(size)
            if fits:
                self._pending[shard] = size
            return fits

    def _fits(self, size: int) -> bool:
        """Drop shards until so many bytes more fit; return whether they do."""
        while True:
            there = self._on_disk()
            taken = sum(self.index.shards[s].bytes for s in there) + sum(self._pending.values())
            if taken + size <= self.limit:
                return True
            may = [s for s in sorted(self._used, key=self._used.__getitem__) if s in there]
            may = [s for s in may if s not in self._wanted]
            others = [s for s in there if s not in self._used]  # of another process: the last way
            if may:  # where nobody has said what is wanted, the newest two may still be read from
                self._drop(may[-1] if self._wanted else (may[:-2] or may[:1])[-1])
            elif others:
                self._drop(others[0])
            else:
                return False

    def _drop(self, shard: int) -> None:
        self._used.pop(shard, None)
        path = self._kept(shard)
        self._files.forget(path)
        for one in (path, ends_path(path)):
            one.unlink(missing_ok=True)

    def _forget(self, shard: int) -> None:
        with self._lock:
            self._used.pop(shard, None)
            self._files.forget(self._kept(shard))


def _changed(told: Shard, size: int) -> RunError:
    return RunError(
        f"The shard {told.name} is not as it was indexed: {size:,} bytes where {told.bytes:,} "
        "were, or cut short.",
        "Copy it again, or pack the source again.",
    )
