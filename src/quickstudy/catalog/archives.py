"""A .zip, .tar, .tar.gz or .tgz, extracted safely into the cache once -> `Draft`.

Nothing here uses ``extractall``: each entry is checked and written as a plain file, links never
are, so no chain of links can lead out of the folder.
"""

from __future__ import annotations

import hashlib
import lzma
import os
import shutil
import stat
import struct
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import mkdtemp
from typing import IO, Literal

from quickstudy.catalog import tables
from quickstudy.catalog.draft import Asked, Columns, Draft
from quickstudy.catalog.folders import scan_folder, unwrapped
from quickstudy.catalog.rows import scan_opened
from quickstudy.errors import ChoiceError, QuickstudyError, SourceError
from quickstudy.kinds import TABLES

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")
#: A true archive of examples shrinks a little; one that grows so much and so large is an attack.
MOST_GROWTH, GROWTH_FROM = 200, 1_000_000_000

_STALE = 24 * 3600  # seconds after which a killed extraction's leavings are cleared
_CORRUPT = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, struct.error),
    *(OSError, ValueError, NotImplementedError, RuntimeError),
)


@dataclass(frozen=True)
class _Entry:
    """One entry of either sort of archive."""

    name: str
    sort: Literal["file", "folder", "link", "device"]
    size: int
    """Bytes once extracted."""
    target: str
    """Where a link points, relative to the archive's root; else empty."""
    open: Callable[[], IO[bytes] | None]


def is_archive(path: Path) -> bool:
    """Whether the name ends as an archive's does."""
    return path.name.lower().endswith(SUFFIXES)


def scan_archive(path: Path, source: str, asked: Asked, cache: Path) -> Draft:
    """Extract (or reuse the extraction) and return what the table or the folders inside hold.

    Raises `SourceError` if the archive is corrupt, encrypted, unsafe, or holds no examples.
    """
    whole = extract(path, source, cache)
    top = unwrapped(whole)
    table = _table_inside(top, asked.columns)
    if table is not None:
        opened = tables.open_table(table, source)
        return scan_opened(opened, table.parent, source, asked, inside=True)
    if asked.columns.named():
        raise ChoiceError(
            f"{source} holds no table, so no column can be chosen.",
            "Leave the column options out, or put one CSV at the archive's root.",
        )
    return scan_folder(top, source, asked, whole)


def extract(path: Path, source: str, cache: Path) -> Path:
    """Return the folder with the archive's whole content, extracted at most once.

    It is named after the archive's path, size and time, and appears by a rename when complete.
    """
    status = path.stat()
    text = f"{path.resolve()}\0{status.st_size}\0{status.st_mtime_ns}"
    key = hashlib.blake2b(os.fsencode(text), digest_size=16).hexdigest()
    home = cache / "archives"
    whole = home / key
    if whole.is_dir():
        return whole
    home.mkdir(parents=True, exist_ok=True)
    _clear_leavings(home)
    partial = Path(mkdtemp(prefix=f"{key}.partial-", dir=home))
    try:
        _extract_into(partial, path, source, status.st_size)
        _settle(partial, whole)
    except _CORRUPT as error:
        raise _unreadable(source, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return whole


def _settle(partial: Path, whole: Path) -> None:
    """Give a complete extraction its name, unless another process was quicker."""
    try:
        partial.rename(whole)
    except OSError:
        if not whole.is_dir():
            raise


def _clear_leavings(home: Path) -> None:
    for old in home.glob("*.partial-*"):
        if time.time() - old.stat().st_mtime > _STALE:
            shutil.rmtree(old, ignore_errors=True)


def _extract_into(folder: Path, path: Path, source: str, packed: int) -> None:
    room = _Room(source, packed, shutil.disk_usage(folder).free)
    with ExitStack() as files:
        entries = _zip_entries if path.suffix.lower() == ".zip" else _tar_entries
        for entry in entries(path, source, files):
            fault = _fault(entry)
            if fault:
                raise SourceError(
                    f"{source} is refused: its entry {entry.name!r} {fault}.",
                    "Make the archive again from the folder of examples alone.",
                )
            room.check(entry.size)
            _write(entry, folder, room)


@dataclass
class _Room:
    """How much an archive may still write; counts bytes as written, for headers may lie."""

    source: str
    packed: int
    free: int
    written: int = 0

    def check(self, more: int) -> None:
        """Raise `SourceError` if `more` bytes would fill the disk or betray a bomb."""
        total = self.written + more
        if total > self.free:
            raise SourceError(
                f"{self.source} does not fit: it unpacks to more than the free "
                f"{self.free / 1e9:.1f} GB.",
                "Make room, or choose another cache folder.",
            )
        if total > GROWTH_FROM and total > MOST_GROWTH * self.packed:
            raise SourceError(
                f"{self.source} is refused: it unpacks to more than {MOST_GROWTH} times its size.",
                "If you trust it, extract it yourself and give the folder.",
            )


def _fault(entry: _Entry) -> str:
    """Why an entry makes the whole archive unsafe, or the empty string."""
    if _leads_out(entry.name):
        return "would land outside its folder"
    if entry.sort == "link" and _leads_out(entry.target):
        return f"links to {entry.target!r}, outside its folder"
    return "is a device" if entry.sort == "device" else ""


def _leads_out(name: str) -> bool:
    """Whether a name is absolute (on any system) or climbs above the root."""
    parts = name.replace("\\", "/").split("/")
    depth = 0
    for part in parts:
        depth += -1 if part == ".." else part not in ("", ".")
        if depth < 0:
            return True
    return parts[0] == "" or ".." in parts[0] or parts[0][1:2] == ":"


def _write(entry: _Entry, folder: Path, room: _Room) -> None:
    """Write a folder or a file; a link to a file becomes a copy of it, other links nothing.

    A link to a folder adds no example: a folder scan reads each real folder once.
    """
    target = folder / PurePosixPath(entry.name)
    if entry.sort == "folder":
        target.mkdir(parents=True, exist_ok=True)
        return
    content = entry.open()
    if content is None:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with content, target.open("wb") as file:
        while chunk := content.read(1 << 20):
            room.check(len(chunk))
            room.written += file.write(chunk)


def _zip_entries(path: Path, source: str, files: ExitStack) -> Iterator[_Entry]:
    archive = files.enter_context(zipfile.ZipFile(path))
    for info in archive.infolist():
        if info.flag_bits & 1:
            raise SourceError(
                f"{source} is encrypted.", "Extract it with its password and give the folder."
            )
        mode = info.external_attr >> 16
        target = ""
        sort: Literal["file", "folder", "link"] = "folder" if info.is_dir() else "file"
        if stat.S_ISLNK(mode):
            sort = "link"
            target = _from_root(info.filename, _link_text(archive, info))
        yield _Entry(
            info.filename, sort, info.file_size, target, _zip_opener(archive, info, target)
        )


def _link_text(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> str:
    with archive.open(info) as content:
        return content.read(4096).decode("utf-8", "replace")


def _zip_opener(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, target: str
) -> Callable[[], IO[bytes] | None]:
    if not target:
        return lambda: archive.open(info)
    return lambda: archive.open(target) if target in archive.NameToInfo else None


def _tar_entries(path: Path, source: str, files: ExitStack) -> Iterator[_Entry]:
    archive = files.enter_context(tarfile.open(path))  # noqa: SIM115 - the stack closes it
    for info in archive:
        target = ""
        sort: Literal["file", "folder", "link", "device"] = "device"
        if info.isfile():
            sort = "file"
        elif info.isdir():
            sort = "folder"
        elif info.issym() or info.islnk():
            sort = "link"
            target = _from_root(info.name, info.linkname) if info.issym() else info.linkname
        yield _Entry(info.name, sort, info.size, target, _tar_opener(archive, info))


def _tar_opener(archive: tarfile.TarFile, info: tarfile.TarInfo) -> Callable[[], IO[bytes] | None]:
    def open_() -> IO[bytes] | None:
        try:
            return archive.extractfile(info)
        except KeyError:  # a link to an entry that is not there
            return None

    return open_


def _from_root(name: str, target: str) -> str:
    """A symbolic link's target seen from the archive's root; left as it is where absolute."""
    if target.startswith(("/", "\\")) or target[1:2] == ":":
        return target
    return os.path.normpath(f"{PurePosixPath(name).parent}/{target}").replace(os.sep, "/")


def _table_inside(top: Path, columns: Columns) -> Path | None:
    """The one table at the root, if its columns are right or the user named columns."""
    found = [one for one in sorted(top.iterdir()) if one.suffix.lower() in TABLES]
    if len(found) != 1:
        return None
    if columns.named() or not any(one.is_dir() for one in top.iterdir()):
        return found[0]
    try:
        tables.chosen(tables.open_table(found[0], found[0].name), found[0].name, columns)
    except QuickstudyError:
        return None  # some other table, such as a list of sources: the folders tell the classes
    return found[0]


def _unreadable(source: str, error: Exception) -> SourceError:
    if isinstance(error, OSError) and error.errno is not None:
        return SourceError(
            f"{source} cannot be extracted: {error.strerror}.", "Extract it and give the folder."
        )
    return SourceError(
        f"{source} is corrupt or cut short: {' '.join(str(error).split()) or repr(error)}.",
        "Download it again, and check that it opens elsewhere.",
    )
