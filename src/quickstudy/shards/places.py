"""Files in a folder here, or under an address that fsspec or HTTP opens, which is not trusted.

Whatever fails is tried a few times, a little later each time, then named in one sentence.
"""

from __future__ import annotations

import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, Any, TypeVar

from quickstudy.errors import MissingExtra, QuickstudyError, RunError, SourceError

TRIES = 4
#: Seconds: before the second, third and fourth try; for one answer of a server.
WAITS, PATIENCE = (0.2, 0.8, 2.0), 20.0
_CHUNK = 2**20
_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")
T = TypeVar("T")


def is_far(source: Any) -> bool:
    """Whether a source is an address, as ``s3://bucket/shards/``, and no path here."""
    return isinstance(source, str) and re.match(r"[a-z][a-z0-9+.-]*://", source) is not None


def expanded(name: str) -> list[str]:
    """Return the names that WebDataset's braces stand for.

    >>> expanded("a-{08..10}.tar")
    ['a-08.tar', 'a-09.tar', 'a-10.tar']
    """
    found = _BRACES.search(name)
    if found is None:
        return [name]
    first, last = found[1], found[2]
    numbers = (str(n).zfill(len(first)) for n in range(int(first), int(last) + 1))
    before, after = name[: found.start()], name[found.end() :]
    return [one for number in numbers for one in expanded(f"{before}{number}{after}")]


def open_places(source: str | os.PathLike[str]) -> Places:
    """Return the folder that a source names, or the one that the files it names are in."""
    text = os.fspath(source)
    if text.startswith("file://"):
        text = text[7:]
    single = text.endswith((".tar", ".parquet")) and not Path(text).is_dir()
    folder, _, last = text.rpartition("/") if single else (text.rstrip("/"), "", "")
    named = tuple(expanded(last)) if single else ()
    if not is_far(text):
        return Here(folder or (str(Path(text).parent) if single else text), named)
    return Web(folder, named) if text.startswith(("http://", "https://")) else Far(folder, named)


@dataclass
class Places:
    """Files beside each other. All raise `FileNotFoundError`, else `OSError` of some sort."""

    folder: str
    named: tuple[str, ...] = ()
    """The files that were asked for by name; empty: all that there are."""

    def path(self, name: str) -> Path | None:
        """Return where a file lies on this computer, None where it does not."""
        return None

    def names(self) -> list[str]:
        """Return the names of the files, those in folders inside it too, sorted."""
        raise NotImplementedError

    def size(self, name: str) -> int:
        """Return a file's bytes."""
        raise NotImplementedError

    def part(self, name: str, first: int, count: int) -> bytes:
        """Return some bytes of a file."""
        raise NotImplementedError

    def chunks(self, name: str) -> Iterator[bytes]:
        """Yield a file's bytes, a megabyte at a time."""
        raise NotImplementedError

    def whole(self, name: str) -> bytes:
        """Return all bytes of a file."""
        return b"".join(self.chunks(name))


class Here(Places):
    """A folder of this computer."""

    def path(self, name: str) -> Path | None:
        """Return where a file lies."""
        return Path(self.folder, name)

    def names(self) -> list[str]:
        """Return the names of the files, sorted."""
        if self.named:
            return sorted(self.named)
        found = (p for p in Path(self.folder).rglob("*") if p.is_file())
        return sorted(p.relative_to(self.folder).as_posix() for p in found)

    def size(self, name: str) -> int:
        """Return a file's bytes."""
        return Path(self.folder, name).stat().st_size

    def part(self, name: str, first: int, count: int) -> bytes:
        """Return some bytes of a file."""
        with Path(self.folder, name).open("rb") as file:
            file.seek(first)
            return file.read(count)

    def chunks(self, name: str) -> Iterator[bytes]:
        """Yield a file's bytes."""
        with Path(self.folder, name).open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk


class Web(Places):
    """Files of a web server, which lists none: they are in an index, or were named."""

    def names(self) -> list[str]:
        """Return the names that were given."""
        return sorted(self.named)

    def _open(self, name: str, headers: dict[str, str], method: str = "GET") -> Any:
        request = urllib.request.Request(f"{self.folder}/{name}", headers=headers, method=method)
        try:
            return urllib.request.urlopen(request, timeout=PATIENCE)
        except urllib.error.HTTPError as problem:
            problem.close()
            if problem.code in (404, 410):
                raise FileNotFoundError(f"HTTP {problem.code}") from problem
            if problem.code in (401, 403):
                raise PermissionError(f"HTTP {problem.code}: no permission") from problem
            raise OSError(f"HTTP {problem.code} {problem.reason}") from problem

    def size(self, name: str) -> int:
        """Return a file's bytes."""
        with self._open(name, {}, "HEAD") as answer:
            return int(answer.headers["Content-Length"])

    def part(self, name: str, first: int, count: int) -> bytes:
        """Return some bytes of a file, of a server that knows ranges; else it is read to there."""
        wanted = {"Range": f"bytes={first}-{first + count - 1}"}
        with self._open(name, wanted) as answer:
            if answer.status != 206:
                answer.read(first)
            return bytes(answer.read(count))

    def chunks(self, name: str) -> Iterator[bytes]:
        """Yield a file's bytes; raises `OSError` where the server stops in the middle."""
        with self._open(name, {}) as answer:
            wanted, got = answer.headers.get("Content-Length"), 0
            while chunk := answer.read(_CHUNK):
                got += len(chunk)
                yield chunk
        if wanted is not None and got != int(wanted):
            raise OSError(f"the server stopped after {got:,} of {int(wanted):,} bytes")


@dataclass
class Far(Places):
    """Files of any store that fsspec knows: s3, gs, hf, memory, ..."""

    _found: dict[str, int] = field(default_factory=dict)

    @cached_property
    def _store(self) -> tuple[Any, str]:
        os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
        try:
            import fsspec
        except ImportError as problem:
            raise MissingExtra(f"Reading {self.folder}", "stream") from problem
        try:
            return fsspec.core.url_to_fs(self.folder)  # type: ignore[no-any-return]
        except (ImportError, ValueError) as problem:
            first = str(problem).splitlines()[0]
            raise SourceError(
                f"{self.folder} cannot be opened: {first}",
                "fsspec needs a library for each sort of store: s3fs, gcsfs, huggingface_hub, ...",
            ) from problem

    def _at(self, name: str) -> str:
        return f"{self._store[1].rstrip('/')}/{name}"

    def names(self) -> list[str]:
        """Return the names of the files, sorted."""
        store, root = self._store
        if self.named:
            return sorted(self.named)
        listed = store.find(root, detail=True)
        start = root.strip("/") + "/"
        cut = {path.strip("/").removeprefix(start): info for path, info in listed.items()}
        self._found = {name: int(info["size"] or 0) for name, info in cut.items()}
        return sorted(cut)

    def size(self, name: str) -> int:
        """Return a file's bytes."""
        return self._found.get(name) or int(self._store[0].size(self._at(name)))

    def part(self, name: str, first: int, count: int) -> bytes:
        """Return some bytes of a file."""
        return bytes(self._store[0].cat_file(self._at(name), start=first, end=first + count))

    def chunks(self, name: str) -> Iterator[bytes]:
        """Yield a file's bytes."""
        file: IO[bytes]
        with self._store[0].open(self._at(name), "rb", cache_type="none") as file:
            while chunk := file.read(_CHUNK):
                yield chunk


def patiently(what: str, do: Callable[[], T], wait: Callable[[float], object] = time.sleep) -> T:
    """Return what `do` returns, tried `TRIES` times; `wait` is called with the seconds between.

    Raises `RunError` naming `what` when all failed; at once for what is not there, or not allowed.
    """
    for attempt in range(TRIES):
        try:
            return do()
        except QuickstudyError:
            raise
        except Exception as problem:  # stores raise errors of their own libraries
            final = isinstance(problem, (FileNotFoundError, PermissionError))
            if final or attempt == TRIES - 1:
                raise failed(what, problem, 1 if final else TRIES) from problem
            wait(WAITS[attempt])
    raise AssertionError("the last try returns or raises")


def failed(what: str, problem: Exception, tries: int) -> RunError:
    """Return the error for a file that could not be had."""
    if isinstance(problem, FileNotFoundError):
        return RunError(f"{what} is not there.", "Put it back, or pack the source again.")
    why = " ".join(str(problem).split()) or type(problem).__name__
    times = f" ({tries} tries)" if tries > 1 else ""
    return RunError(
        f"{what} cannot be read: {why}{times}.",
        "Check the address and the network; a run that had begun goes on with --resume.",
    )


@contextmanager
def told(what: str) -> Iterator[None]:
    """Turn any failure of a store into a `RunError` that names `what`."""
    try:
        yield
    except (QuickstudyError, GeneratorExit):
        raise
    except Exception as problem:
        raise failed(what, problem, 1) from problem
