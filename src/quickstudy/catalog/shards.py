"""Shards, here or far away -> `Catalog`, from their index alone: nothing in them is opened.

Of shards that `quickstudy pack` made the index says all; those that others made are indexed once,
and the index is kept in the cache.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from quickstudy.catalog.draft import Asked, Draft
from quickstudy.catalog.finishing import finish
from quickstudy.catalog.kind import nouns
from quickstudy.catalog.packed import catalog_of_index
from quickstudy.catalog.patterns import Names as Patterns
from quickstudy.catalog.patterns import apply
from quickstudy.catalog.tables import GROUP_WORDS, LABEL_WORDS, SPLIT_WORDS, guess
from quickstudy.catalog.types import Catalog, Shards
from quickstudy.errors import ChoiceError, SourceError
from quickstudy.folders import write_whole
from quickstudy.shards import (
    INDEX,
    Index,
    Places,
    Store,
    index_parquet,
    index_tars,
    is_far,
    open_places,
    read_index,
)
from quickstudy.shards.index import SIDE
from quickstudy.shards.places import patiently

_SHARE = 0.25  # of the free disk: for shards from far away, unless somebody says otherwise
_TARS, _TABLES = (".tar",), (".parquet",)


def is_shards(source: Any) -> bool:
    """Whether a source is shards: an address, a folder of them, or tars named with braces."""
    if is_far(source):
        return True
    if not isinstance(source, (str, os.PathLike)):
        return False
    path = Path(source).expanduser()
    if path.name.endswith(_TARS) and "{" in path.name and ".." in path.name:
        return True
    try:
        if path.suffix == ".parquet" and path.is_file():
            return _has_bytes(path)
        if not path.is_dir():
            return False
        if (path / INDEX).is_file() and (path / SIDE).is_file():
            return True
        found = _inside(path)
    except OSError:
        return False
    if found == {"data/"}:
        return any(map(_has_bytes, path.glob("data/*.parquet")))
    return found == {".tar"} or (
        found == {".parquet"} and any(map(_has_bytes, path.glob("*.parquet")))
    )


def _inside(folder: Path) -> set[str]:
    """Return what is in a folder: endings of files, names of folders; not much of what is mixed."""
    found: set[str] = set()
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            ending = os.path.splitext(entry.name)[1]  # noqa: PTH122 - a Path is slow
            if entry.is_dir():
                found.add(f"{entry.name}/")
            elif ending not in ("", ".json", ".md", ".txt"):
                found.add(ending)
            if len(found) > 1:
                break
    return found


def _has_bytes(path: Path) -> bool:
    from quickstudy.shards.flat import bytes_column, parquet

    try:
        return bytes_column(parquet().read_schema(path)) is not None
    except (OSError, ValueError):
        return False


def scan_shards(
    source: str | os.PathLike[str],
    asked: Asked,
    patterns: Patterns | None,
    cache: Path,
    wanted: tuple[bool, str | None, Sequence[str]],
) -> Catalog:
    """Return the catalog of shards; `wanted` are `learnable`, `task` and `outputs`: see `scan`.

    Raises `SourceError` where there are none, `RunError` where they cannot be reached.
    """
    text, (learnable, task, outputs) = os.fspath(source), wanted
    here = open_places(text if is_far(text) else os.fspath(Path(text).expanduser()))
    packed = None if here.named else _packed(here, text)
    if packed is None:
        index = _indexed(here, text, asked, cache)
        found = _of_words(index, text, patterns, learnable=learnable, task=task, outputs=outputs)
    else:
        index = packed
        _refuse(index, text, asked, patterns, task)
        found = catalog_of_index(index, text, tuple(outputs), learnable=learnable)
    made, rows = found
    _there(index, here)
    store = Store(index, here, cache, _room(cache))
    contents = index.content[rows] if len(index.content) else None
    held = Shards(store.shard_of[rows], contents, store)
    return replace(made, read=lambda i: store.read(int(rows[i])), shards=held)


def _room(cache: Path) -> float:
    cache.mkdir(parents=True, exist_ok=True)
    return _SHARE * shutil.disk_usage(cache).free


def _packed(here: Places, source: str) -> Index | None:
    """Return the index that lies beside the shards, None where none does."""
    from quickstudy.errors import RunError

    try:
        head = patiently(f"{INDEX} of {source}", lambda: here.whole(INDEX))
    except RunError as problem:
        if isinstance(problem.__cause__, (FileNotFoundError, PermissionError)):
            return None
        raise
    side = patiently(f"{SIDE} of {source}", lambda: here.whole(SIDE))
    return read_index(head, side, source)


def _there(index: Index, here: Places) -> None:
    """Raise `SourceError` naming the first shard here that is missing or was changed."""
    for one in index.shards:
        path = here.path(one.name)
        if path is None:
            return
        if not path.is_file():
            raise SourceError(f"The shard {path} is not there.", "Put it back, or pack again.")
        if (size := path.stat().st_size) != one.bytes:
            raise SourceError(
                f"The shard {path} is not as it was indexed: {size:,} bytes, not {one.bytes:,}.",
                "Copy it again, or pack the source again.",
            )


def _refuse(
    index: Index, source: str, asked: Asked, patterns: Patterns | None, task: str | None
) -> None:
    """Raise `ChoiceError` for what was settled when the shards were packed."""
    if asked.columns.named() or patterns is not None:
        raise ChoiceError(
            f"{source} was packed with its labels, groups and parts: they cannot be others now.",
            "Leave these options out, or pack the source again with them.",
        )
    if asked.kind not in (None, index.kind):
        raise ChoiceError(
            f"{source} holds {nouns(index.kind)}, not {nouns(asked.kind)}.", "Leave the kind out."
        )
    if task not in (None, index.task):
        raise ChoiceError(
            f"{source} was packed for {index.task}, not for {task}.", "Pack the source again."
        )


def _indexed(here: Places, source: str, asked: Asked, cache: Path) -> Index:
    """Return the index of shards that others made, made now or at an earlier run."""
    names = patiently(f"{source}", here.names)
    tars = [name for name in names if name.endswith(_TARS)]
    tables = [name for name in names if name.endswith(_TABLES)]
    chosen = tars or tables
    if not chosen:
        raise SourceError(
            f"There are no shards in {source}: neither {INDEX} nor a .tar or .parquet file.",
            "Make some: quickstudy pack SOURCE FOLDER; or name them: .../train-{000..146}.tar.",
        )
    sizes = [
        patiently(f"The shard {name} of {source}", partial(here.size, name)) for name in chosen
    ]
    times = [path.stat().st_mtime_ns for name in chosen if (path := here.path(name)) is not None]
    about = repr((here.folder, chosen, sizes, times, asked.kind, asked.columns))
    key = hashlib.blake2b(about.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    folder = cache / "indices" / key
    try:
        return read_index((folder / INDEX).read_bytes(), (folder / SIDE).read_bytes(), str(folder))
    except (OSError, SourceError):
        index = _index(here, tars, tables, asked)
    folder.mkdir(parents=True, exist_ok=True)
    head, side = index.written()
    write_whole(folder / SIDE, side)
    write_whole(folder / INDEX, head)
    return index


def _index(here: Places, tars: list[str], tables: list[str], asked: Asked) -> Index:
    if tars:
        return index_tars(here, tars, asked.kind, _silent)
    use = asked.columns

    def choose(columns: Sequence[str]) -> tuple[str, str, str]:
        label = use.label if isinstance(use.label, str) else guess(columns, LABEL_WORDS)
        split = use.split or guess(columns, SPLIT_WORDS)
        group = use.group or guess(columns, GROUP_WORDS)
        lost = [name for name in (label, split, group) if name and name not in columns]
        if label is None or lost:
            what = f"no column {lost[0]!r}" if lost else "no column that is plainly the label"
            raise SourceError(
                f"{here.folder} has {what}; its columns: {', '.join(columns)}.",
                "Name it: --label-column NAME.",
            )
        return label, split or "", group or ""

    return index_parquet(here, tables, asked.kind, choose, _silent)


_silent: Callable[[float], None] = lambda share: None  # noqa: E731 - nobody listens here


def _of_words(
    index: Index,
    source: str,
    patterns: Patterns | None,
    *,
    learnable: bool,
    task: str | None,
    outputs: Sequence[str],
) -> tuple[Catalog, Any]:
    """Return the catalog of an index whose labels are words, and which of its examples it has."""
    names = list(index.names)
    words, groups = index.classes, ("", *index.group_names)
    draft = Draft(
        source=source,
        read=lambda row: (row,),
        stamp=index.stamp().encode(),
        names=names,
        labels=[words[label] for label in index.label.tolist()],
        given=index.given.tolist() if (index.given >= 0).any() else [],
        groups=[groups[g + 1] for g in index.group.tolist()] if index.group_names else [],
        kind=index.kind,
        task=None,
        paths=names,
    )
    if patterns is not None:
        apply(patterns, draft)
    made = finish(draft, learnable=learnable, task=task, outputs=outputs)
    rows: Any = np.array([made.read(i)[0] for i in range(len(made))], np.int64)  # type: ignore[index]
    return made, rows
