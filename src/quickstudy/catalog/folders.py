"""A folder with a sub-folder per class, perhaps inside train/, val/ and test/ -> `Draft`.

100,000 files take about a second: one `os.scandir` pass, names kept as strings.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from quickstudy.catalog.draft import Draft, listed, part_of
from quickstudy.catalog.types import FREE, TRAIN, LeftOut
from quickstudy.errors import SourceError
from quickstudy.kinds.image.decode import SUFFIXES

#: Left by operating systems and tools; nobody means them as examples. Compared in lower case.
CLUTTER = frozenset({"thumbs.db", "desktop.ini", "__macosx"})
_ARRANGE = "Make a folder per class, such as {0}/cat and {0}/dog, and move the pictures into them."


@dataclass
class _Walk:
    """The state of one scan: what was found, and the folders already read."""

    root: str
    found: Draft
    seen: set[tuple[int, int]] = field(default_factory=set)
    sums: hashlib.blake2b = field(default_factory=lambda: hashlib.blake2b(digest_size=16))
    folders: int = 0

    def relative(self, entry: os.DirEntry[str]) -> str:
        return entry.path[len(self.root) :].lstrip(os.sep)

    def leave_out(self, entry: os.DirEntry[str], reason: str) -> None:
        self.found.left_out.append(LeftOut(self.relative(entry), reason))


def scan_folder(root: Path, source: str) -> Draft:
    """Return what the folder holds; the first level under it (or under train/ ...) is the class.

    Links are followed and each real folder is read once. Raises `SourceError` if the folder is
    empty, cannot be read, holds no pictures, or holds pictures but no class folders.
    """
    top = unwrapped(root)
    entries = _entries(str(top), source)
    if not entries:
        raise SourceError(f"{source} is empty.", _ARRANGE.format(root.name))
    found = Draft(source=source, read=lambda row: top / found.names[row], stamp=b"")
    if top != root:
        found.notes.append(f"Read {top.relative_to(root)}, the only folder inside {source}.")
    walk = _Walk(str(top), found, {_key(top)})
    parts = _parts(entries)
    if parts:
        _scan_parts(walk, entries, parts)
    else:
        _scan_classes(walk, entries, FREE)
    if not found.labels:
        raise _no_pictures(walk, source, root.name)
    found.stamp = walk.sums.digest()
    found.classes = tuple(sorted(set(found.classes).difference(found.labels)))
    return found


def unwrapped(root: Path) -> Path:
    """Return the folder inside the single wrapper folders that archives like to have."""
    seen = set()
    while (key := _key(root)) not in seen:
        seen.add(key)
        entries = _entries(str(root), str(root))
        folders = [entry for entry in entries if entry.is_dir()]
        if len(folders) != 1 or any(_is_picture(entry) for entry in entries):
            break
        inside = _entries_or_none(folders[0].path) or []
        if not any(entry.is_dir() for entry in inside) or any(map(_is_picture, inside)):
            break
        root = Path(folders[0].path)
    return root


def _entries(folder: str, source: str) -> list[os.DirEntry[str]]:
    """The visible entries, real ones before links, each sorted by name."""
    try:
        with os.scandir(folder) as listing:
            visible = [one for one in listing if not _is_clutter(one.name)]
    except OSError as error:
        reason = error.strerror or str(error)
        raise SourceError(
            f"{source} cannot be read: {reason}.", "Change its permissions, or copy it elsewhere."
        ) from error
    return sorted(visible, key=lambda one: (one.is_symlink(), one.name))


def _entries_or_none(folder: str) -> list[os.DirEntry[str]] | None:
    try:
        return _entries(folder, folder)
    except SourceError:
        return None


def _is_clutter(name: str) -> bool:
    return name.startswith(".") or name.lower() in CLUTTER


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 - a Path for each file is slow


def _is_picture(entry: os.DirEntry[str]) -> bool:
    return _suffix(entry.name) in SUFFIXES and not entry.is_dir()


def _key(folder: Path | os.DirEntry[str]) -> tuple[int, int]:
    """What tells one real folder from another, whatever links lead there."""
    # DirEntry.stat() has no device and inode on Windows; Path.stat() has.
    status = folder.stat() if isinstance(folder, Path) else Path(folder.path).stat()
    return status.st_dev, status.st_ino


def _parts(entries: list[os.DirEntry[str]]) -> dict[str, int]:
    """Folder name -> part, if these are ready-made parts: train/ with folders in it, and another.

    A class that happens to be called "train" holds pictures, not folders.
    """
    named = {one.name: part_of(one.name) for one in entries if one.is_dir()}
    parts = {name: part for name, part in named.items() if part is not None}
    if TRAIN not in parts.values() or len(set(parts.values())) < 2:
        return {}
    for one in entries:
        if parts.get(one.name) == TRAIN:
            inside = _entries_or_none(one.path) or []
            if any(map(_is_picture, inside)) or not any(sub.is_dir() for sub in inside):
                return {}
    return parts


def _scan_parts(walk: _Walk, entries: list[os.DirEntry[str]], parts: dict[str, int]) -> None:
    walk.seen.update(_key(one) for one in entries if one.name in parts)
    for one in entries:
        if one.name not in parts:
            walk.leave_out(one, f"lies outside {listed(name + '/' for name in parts)}")
            continue
        inside = _entries_or_none(one.path)
        if inside is None:
            walk.leave_out(one, "no permission to open this folder")
        else:
            _scan_classes(walk, inside, parts[one.name])


def _scan_classes(walk: _Walk, entries: list[os.DirEntry[str]], part: int) -> None:
    """Read each folder among `entries` as a class."""
    for one in entries:
        if one.is_dir() and not one.is_symlink():
            walk.seen.add(_key(one))  # so that a link elsewhere does not take its pictures first
    for one in entries:
        if not one.is_dir():
            reason = "lies in no class folder" if _is_picture(one) else _why_not_picture(one)
            walk.leave_out(one, reason)
        elif one.is_symlink() and not _is_new(walk, one):
            walk.leave_out(one, "links to a folder already read")
        else:
            walk.found.classes += (one.name,)
            _scan_class(walk, one, one.name, part)


def _is_new(walk: _Walk, folder: os.DirEntry[str]) -> bool:
    key = _key(folder)
    new = key not in walk.seen
    walk.seen.add(key)
    return new


def _scan_class(walk: _Walk, folder: os.DirEntry[str], label: str, part: int) -> None:
    """Add every picture below `folder`, depth first, in the order of names."""
    pending = [folder]
    while pending:
        current = pending.pop()
        walk.folders += 1
        entries = _entries_or_none(current.path)
        if entries is None:
            walk.leave_out(current, "no permission to open this folder")
            continue
        below = []
        for one in entries:
            if not one.is_dir():
                _add_file(walk, one, label, part)
            elif _is_new(walk, one):
                below.append(one)
            else:
                walk.leave_out(one, "links to a folder already read")
        pending += reversed(below)


def _add_file(walk: _Walk, entry: os.DirEntry[str], label: str, part: int) -> None:
    if _suffix(entry.name) not in SUFFIXES or not entry.is_file():
        walk.leave_out(entry, _why_not_picture(entry))
        return
    status = entry.stat()
    name = walk.relative(entry)
    walk.found.names.append(name)
    walk.found.labels.append(label)
    walk.found.given.append(part)
    walk.sums.update(os.fsencode(name))
    walk.sums.update(b"\0%d\0%d\0" % (status.st_size, status.st_mtime_ns))


def _why_not_picture(entry: os.DirEntry[str]) -> str:
    if entry.is_symlink() and not Path(entry.path).exists():
        return "broken link"
    if not entry.is_file():
        return "not a file"
    return f"not a picture: {_suffix(entry.name) or 'no suffix'}"


def _no_pictures(walk: _Walk, source: str, name: str) -> SourceError:
    """Say whether the pictures lie in the wrong place or there are none."""
    left = walk.found.left_out
    loose = sum(one.reason == "lies in no class folder" for one in left)
    if loose:
        return SourceError(
            f"{source} holds {loose:,} pictures but no class folders: nothing says what they show.",
            _ARRANGE.format(name) + " Or give a CSV table with columns path and label.",
        )
    kinds = Counter(one.reason for one in left if one.reason.startswith("not a picture"))
    met = (
        f" Found instead: {listed(kind[15:] for kind, _ in kinds.most_common())}." if kinds else ""
    )
    return SourceError(
        f"There are no pictures in {source}; looked through {walk.folders:,} folders.",
        f"Pictures end in {', '.join(sorted(SUFFIXES))}.{met}",
    )
