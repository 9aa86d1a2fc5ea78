"""Where things are kept: the cache, and files that are written whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from quickstudy.errors import RunError

_ROOM = 0.5  # of the free disk: for what one run decodes or fetches
_CACHE_SHARE = 0.2  # of the free disk: caches beyond that are dropped, oldest use first


def cache_folder() -> Path:
    """Return the cache's folder: ``$QUICKSTUDY_CACHE``, else the system's place for caches."""
    own = os.environ.get("QUICKSTUDY_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(own) if own else Path(base) / "quickstudy"


@contextmanager
def disk_errors(what: str) -> Iterator[None]:
    """Turn a full disk, a missing permission and the like into a `RunError` with the fix."""
    try:
        yield
    except OSError as problem:
        if problem.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RunError(
                f"The disk is full: {what} could not be written.",
                "Free some space, or choose another place with --out DIR "
                "(and QUICKSTUDY_CACHE for the cache).",
            ) from problem
        why = problem.strerror or str(problem)
        raise RunError(
            f"Could not write {what} at {problem.filename}: {why}.",
            "Choose another place with --out DIR (and QUICKSTUDY_CACHE for the cache).",
        ) from problem


def write_whole(path: Path, content: bytes | str) -> None:
    """Write a file under a new name, flush it to the disk, rename it: whole or not at all.

    Raises `RunError` on a full disk; what stood there before is then untouched.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    data = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
    with disk_errors(str(path)):
        try:
            with part.open("wb") as out:
                out.write(data)
                out.flush()
                os.fsync(out.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    if os.name == "posix":  # so that the rename itself outlives a power cut
        handle = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def alive(process: int) -> bool:
    """Return whether a process of that number runs; True where that cannot be asked."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def trim_cache(folder: Path, keep: Path) -> None:
    """Drop the caches longest unused until they take under a fifth of the free disk."""
    entries = []
    for entry in folder.iterdir() if folder.is_dir() else ():
        if entry.is_dir() and entry != keep:
            size = sum(f.stat().st_size for f in entry.rglob("*") if f.is_file())
            entries.append((entry.stat().st_mtime, size, entry))
    allowed = _CACHE_SHARE * shutil.disk_usage(folder).free if entries else 0
    total = sum(size for _, size, _ in entries)
    for _, size, entry in sorted(entries):
        if total <= allowed:
            break
        shutil.rmtree(entry, ignore_errors=True)  # another run may be dropping it too
        total -= size


def room(cache: Path) -> float:
    """Return the bytes of disk that examples may take in the cache: half of what is free."""
    with disk_errors("the cache"):
        cache.mkdir(parents=True, exist_ok=True)
        return _ROOM * shutil.disk_usage(cache).free


def new_folder(base: Path, name: str) -> Path:
    """Create and return ``base/name-1``, or the first number that is free."""
    with disk_errors("the run's folder"):
        base.mkdir(parents=True, exist_ok=True)
        number = 1
        while True:
            folder = base / f"{name}-{number}"
            try:
                folder.mkdir()
            except FileExistsError:
                number += 1
                continue
            return folder
