"""A folder with a sub-folder per class, perhaps inside train/, val/ and test/ -> `Draft`.

100,000 files take about a second: one `os.scandir` pass, names kept as strings.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from quickstudy.catalog.draft import Asked, Draft, listed, part_of
from quickstudy.catalog.kind import commonest, kind_of, misfit, nouns
from quickstudy.catalog.types import FREE, TRAIN, LeftOut
from quickstudy.errors import SourceError
from quickstudy.kinds import NOUNS, SUFFIXES

#: Left by operating systems and tools; nobody means them as examples. Compared in lower case.
CLUTTER = frozenset({"thumbs.db", "desktop.ini", "__macosx"})
_ARRANGE = "Make a folder per class, such as {0}/cat and {0}/dog, and move the {1} into them."
_LOOSE = "lies in no class folder"


@dataclass
class _Walk:
    """The state of one scan: what was found, and the folders already read."""

    root: str
    found: Draft
    labelled: bool
    """Whether the folders are the classes; else every file counts, wherever it lies."""
    seen: set[tuple[int, int]] = field(default_factory=set)
    kinds: list[str] = field(default_factory=list)
    """The kind of each example found."""
    sizes: list[tuple[int, int]] = field(default_factory=list)
    """Bytes and time of each example found."""
    loose: Counter[str] = field(default_factory=Counter)
    """Files of each kind that lie in no class folder."""
    strange: dict[int, str] = field(default_factory=dict)
    """Place in what is left out -> suffix of a file of no kind."""
    folders: int = 0

    def relative(self, entry: os.DirEntry[str]) -> str:
        return entry.path[len(self.root) :].lstrip(os.sep)

    def leave_out(self, entry: os.DirEntry[str], reason: str) -> None:
        self.found.left_out.append(LeftOut(self.relative(entry), reason))


def scan_folder(root: Path, source: str, asked: Asked, above: Path | None = None) -> Draft:
    """Return what the folder holds; the first level under it (or under train/ ...) is the class.

    Links are followed and each real folder is read once. Of several kinds the commonest is kept.
    The paths that patterns look at begin at `above`, else at `root`. Raises `SourceError` if the
    folder is empty, cannot be read, holds no examples, or holds examples but no class folders.
    """
    top = unwrapped(root)
    entries = _entries(str(top), source)
    if not entries:
        raise SourceError(f"{source} is empty.", _ARRANGE.format(root.name, nouns(asked.kind)))
    found = Draft(source=source, read=lambda row: top / names[row], stamp=b"")
    if top != root:
        found.notes.append(f"Read {top.relative_to(root)}, the only folder inside {source}.")
    walk = _Walk(str(top), found, asked.labelled, {_key(top)})
    parts = _parts(entries, asked.labelled)
    if parts:
        _scan_parts(walk, entries, parts)
    else:
        _scan_classes(walk, entries, FREE)
    _keep_kind(walk, asked.kind)
    if not found.labels:
        raise _no_examples(walk, source, root.name, asked.kind)
    found.classes = tuple(sorted(set(found.classes).difference(found.labels)))
    names = found.names
    inner = os.fspath(top.relative_to(above or root))
    found.paths = names if inner == "." else [f"{inner}{os.sep}{name}" for name in names]
    return found


def _keep_kind(walk: _Walk, forced: str | None) -> None:
    """Settle the kind, leave out examples of another, and make the stamp of the rest."""
    found = walk.found
    kind = found.kind = forced or commonest(walk.kinds or walk.loose.elements())
    rows = [row for row, one in enumerate(walk.kinds) if one == kind]
    found.left_out += [
        LeftOut(found.names[row], misfit(one, kind))
        for row, one in enumerate(walk.kinds)
        if one != kind
    ]
    for place, suffix in walk.strange.items():
        left = found.left_out[place]
        found.left_out[place] = LeftOut(left.name, f"not a {NOUNS[kind][0]}: {suffix}")
    # In place of Draft.keep: the stamp shall not follow the files of another kind.
    found.names = [found.names[row] for row in rows]
    found.labels = [found.labels[row] for row in rows]
    found.given = [found.given[row] for row in rows]
    sums = hashlib.blake2b(digest_size=16)
    for name, row in zip(found.names, rows, strict=True):
        sums.update(os.fsencode(name))
        sums.update(b"\0%d\0%d\0" % walk.sizes[row])
    found.stamp = sums.digest()


def unwrapped(root: Path) -> Path:
    """Return the folder inside the single wrapper folders that archives like to have."""
    seen = set()
    while (key := _key(root)) not in seen:
        seen.add(key)
        entries = _entries(str(root), str(root))
        folders = [entry for entry in entries if entry.is_dir()]
        if len(folders) != 1 or any(_is_example(entry) for entry in entries):
            break
        inside = _entries_or_none(folders[0].path) or []
        if not any(entry.is_dir() for entry in inside) or any(map(_is_example, inside)):
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


def _is_example(entry: os.DirEntry[str]) -> bool:
    return kind_of(entry.name) is not None and not entry.is_dir()


def _key(folder: Path | os.DirEntry[str]) -> tuple[int, int]:
    """What tells one real folder from another, whatever links lead there."""
    # DirEntry.stat() has no device and inode on Windows; Path.stat() has.
    status = folder.stat() if isinstance(folder, Path) else Path(folder.path).stat()
    return status.st_dev, status.st_ino


def _parts(entries: list[os.DirEntry[str]], labelled: bool) -> dict[str, int]:
    """Folder name -> part, if these are ready-made parts: train/ with folders in it, and another.

    A class that happens to be called "train" holds examples, not folders.
    """
    named = {one.name: part_of(one.name) for one in entries if one.is_dir()}
    parts = {name: part for name, part in named.items() if part is not None}
    if TRAIN not in parts.values() or len(set(parts.values())) < 2:
        return {}
    for one in entries:
        if labelled and parts.get(one.name) == TRAIN:
            inside = _entries_or_none(one.path) or []
            if any(map(_is_example, inside)) or not any(sub.is_dir() for sub in inside):
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
    """Read each folder among `entries` as a class, or all of them for file names to label."""
    for one in entries:
        if one.is_dir() and not one.is_symlink():
            walk.seen.add(_key(one))  # so that a link elsewhere does not take its files first
    for one in entries:
        if not one.is_dir():
            _add_loose(walk, one, part)
        elif one.is_symlink() and not _is_new(walk, one):
            walk.leave_out(one, "links to a folder already read")
        elif walk.labelled:
            walk.found.classes += (one.name,)
            _scan_class(walk, one, one.name, part)
        else:
            _scan_class(walk, one, "", part)


def _add_loose(walk: _Walk, entry: os.DirEntry[str], part: int) -> None:
    """Add a file beside the class folders, where it needs none."""
    kind = kind_of(entry.name)
    if kind is None or not walk.labelled:
        _add_file(walk, entry, "", part)
    else:
        walk.loose[kind] += 1
        walk.leave_out(entry, _LOOSE)


def _is_new(walk: _Walk, folder: os.DirEntry[str]) -> bool:
    key = _key(folder)
    new = key not in walk.seen
    walk.seen.add(key)
    return new


def _scan_class(walk: _Walk, folder: os.DirEntry[str], label: str, part: int) -> None:
    """Add every example below `folder`, depth first, in the order of names."""
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
    kind = kind_of(entry.name)
    if not entry.is_file():
        gone = entry.is_symlink() and not Path(entry.path).exists()
        walk.leave_out(entry, "broken link" if gone else "not a file")
        return
    if kind is None:
        suffix = os.path.splitext(entry.name)[1].lower()  # noqa: PTH122 - a Path is slow
        walk.strange[len(walk.found.left_out)] = suffix or "no suffix"
        walk.leave_out(entry, "")  # the reason follows when the kind is settled
        return
    status = entry.stat()
    walk.found.names.append(walk.relative(entry))
    walk.found.labels.append(label)
    walk.found.given.append(part)
    walk.kinds.append(kind)
    walk.sizes.append((status.st_size, status.st_mtime_ns))


def _no_examples(walk: _Walk, source: str, name: str, forced: str | None) -> SourceError:
    """Say whether the examples lie in the wrong place or there are none."""
    kind = walk.found.kind
    if loose := walk.loose[kind]:
        return SourceError(
            f"{source} holds {loose:,} {nouns(kind)} but no class folders: nothing says what "
            "each one is.",
            f"{_ARRANGE.format(name, nouns(kind))} Or give a CSV table with columns path and "
            "label, or say how the file names tell the labels: --label-from '{label}_{n}'.",
        )
    others = Counter(map(nouns, walk.kinds)) + Counter(map(nouns, walk.loose.elements()))
    met = others + Counter(walk.strange.values())
    instead = f" Found instead: {listed(what for what, _ in met.most_common())}." if met else ""
    ends = [
        f"{nouns(one).capitalize()} end in {', '.join(sorted(SUFFIXES[one]))}."
        for one in ([forced] if forced else SUFFIXES)
    ]
    return SourceError(
        f"There are no {nouns(forced)} in {source}; looked through {walk.folders:,} folders.",
        f"{' '.join(ends)}{instead}",
    )
