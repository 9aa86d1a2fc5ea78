"""A catalog -> shards: tar files in WebDataset's layout, mixed by a seed, with an index.

Packing that was stopped goes on behind the last whole shard. The index is written last: while
there is none, the folder holds no shards.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from quickstudy.errors import ExampleError, RunError, SourceError
from quickstudy.folders import disk_errors, write_whole
from quickstudy.shards.content import content_of
from quickstudy.shards.index import INDEX, SIDE, Index, Names, Shard, read_index
from quickstudy.shards.tars import Writer

_JOURNAL = "packing.json"
_AHEAD = 64  # examples read before they are written
_PARTS = ("train", "val", "test")
_TOLD = 20  # examples that could not be read, by name


class Labelled(Protocol):
    """What is packed: a catalog."""

    @property
    def kind(self) -> str: ...  # noqa: D102
    @property
    def task(self) -> str: ...  # noqa: D102
    @property
    def task_why(self) -> str: ...  # noqa: D102
    @property
    def target(self) -> tuple[str, ...] | None: ...  # noqa: D102
    @property
    def classes(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def group_names(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def names(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def labels(self) -> NDArray[np.int64]: ...  # noqa: D102
    @property
    def given(self) -> NDArray[np.int8]: ...  # noqa: D102
    @property
    def groups(self) -> NDArray[np.int64]: ...  # noqa: D102
    @property
    def values(self) -> NDArray[np.float64] | None: ...  # noqa: D102
    @property
    def stamp(self) -> str: ...  # noqa: D102
    @property
    def read(self) -> Callable[[int], Any]: ...  # noqa: D102


@dataclass(frozen=True)
class Packed:
    """What packing has made."""

    index: Index
    left_out: tuple[tuple[str, str], ...]
    """Name and reason of the first that could not be read."""
    lost: int
    """How many could not be read."""
    resumed: int
    """Shards that were there from before."""


#: Rows of the source, and what the index says of each, of one shard.
_Piece = dict[str, NDArray[Any]]


def pack(
    source: Labelled, folder: Path, *, size: int, seed: int, each: Callable[[float], None]
) -> Packed:
    """Write the examples into shards of about `size` bytes, in an order that `seed` decides.

    Raises `RunError` where the folder holds something else, and on a full disk; `SourceError` where
    nothing could be read.
    """
    asked = {"stamp": source.stamp, "size": size, "seed": seed}
    mark = hashlib.blake2b(json.dumps(asked).encode(), digest_size=16).hexdigest()
    done = _begin(folder, mark)
    if done is not None:
        each(1.0)
        return Packed(done, (), 0, len(done.shards))
    order = np.random.default_rng([seed, 5]).permutation(len(source.names))
    shards, pieces = _done(folder)
    resumed = len(shards)
    start = int(pieces[-1]["upto"][0]) if pieces else 0
    lost: list[tuple[str, str]] = []
    found = _read(source, order[start:], start, each)
    while (made := _shard(source, found, folder, len(shards), size, lost)) is not None:
        shards.append(made[0])
        pieces.append(made[1])
    index = _index(source, shards, pieces, seed, mark)
    if not len(index):
        raise SourceError("None of the examples can be read.", f"{lost[0][0]}: {lost[0][1]}")
    head, side = index.written()
    write_whole(folder / SIDE, side)
    write_whole(folder / INDEX, head)  # last: it says that all is there
    for path in (*folder.glob(".shard-*.npz"), folder / _JOURNAL):
        path.unlink(missing_ok=True)
    each(1.0)
    missing = len(source.names) - len(index)
    return Packed(index, tuple(lost[:_TOLD]), missing, resumed)


def _begin(folder: Path, mark: str) -> Index | None:
    """Check that the folder is free, or was begun for the same; return what is whole already."""
    with disk_errors("the shards"):
        folder.mkdir(parents=True, exist_ok=True)
        there = {path.name for path in folder.iterdir()}
    other = RunError(f"{folder} holds other files already.", "Choose another folder.")
    if INDEX in there:
        try:
            index = read_index(
                (folder / INDEX).read_bytes(), (folder / SIDE).read_bytes(), str(folder)
            )
        except (OSError, SourceError) as problem:
            raise other from problem
        if index.source != mark:
            raise other
        return index
    journal = folder / _JOURNAL
    if _JOURNAL in there:
        try:
            if json.loads(journal.read_text(encoding="utf-8"))["mark"] != mark:
                raise other
        except (ValueError, LookupError, TypeError) as problem:
            raise other from problem
    elif there:
        raise other
    write_whole(journal, json.dumps({"mark": mark}))
    return None


def _done(folder: Path) -> tuple[list[Shard], list[_Piece]]:
    """Return the shards that are whole, from the first on, and what the index says of each."""
    shards: list[Shard] = []
    pieces: list[_Piece] = []
    while True:
        name = _name(len(shards))
        kept, tar = folder / f".{name}.npz", folder / name
        if not (kept.is_file() and tar.is_file()):
            return shards, pieces
        with np.load(kept, allow_pickle=False) as arrays:
            piece = {key: arrays[key] for key in arrays.files}
        sha = piece.pop("sha256").tobytes().hex()
        shards.append(Shard(name, len(piece["row"]), tar.stat().st_size, sha))
        pieces.append(piece)


def _name(number: int) -> str:
    return f"shard-{number:06d}.tar"


def _read(
    source: Labelled, order: NDArray[np.int64], start: int, each: Callable[[float], None]
) -> Iterator[tuple[int, int, str, bytes | str]]:
    """Yield place, row, suffix and bytes of each example; in place of the bytes why there are none.

    In the order given, some read ahead.
    """

    def one(row: int) -> tuple[str, bytes | str]:
        try:
            return content_of(source.read(row), source.kind)
        except ExampleError as problem:
            return "", problem.message
        except OSError as problem:
            return "", problem.strerror or str(problem)

    total = start + len(order)
    with ThreadPoolExecutor(4) as pool:
        for first in range(0, len(order), _AHEAD):
            rows = order[first : first + _AHEAD].tolist()
            each((start + first) / total)
            for place, (row, (suffix, raw)) in enumerate(
                zip(rows, pool.map(one, rows), strict=True), start + first
            ):
                yield place, row, suffix, raw


def _shard(
    source: Labelled,
    found: Iterator[tuple[int, int, str, bytes | str]],
    folder: Path,
    number: int,
    size: int,
    lost: list[tuple[str, str]],
) -> tuple[Shard, _Piece] | None:
    """Write the next shard, whole or not at all; None when nothing is left."""
    name, upto = _name(number), 0
    rows, offsets, sizes, contents = [], [], [], []
    part = folder / f".{name}.part"
    with disk_errors(f"the shard {name}"), part.open("wb") as out:
        tar = Writer(out)
        for place, row, suffix, raw in found:
            upto = place + 1
            if isinstance(raw, str):
                lost.append((source.names[row], raw))
                continue
            key = f"{place:09d}"
            rows.append(row)
            sizes.append(len(raw))
            contents.append(hashlib.blake2b(raw, digest_size=8).digest())
            offsets.append(tar.put(key + suffix, raw))
            for ending, text in _labels(source, row).items():
                tar.put(key + ending, text)
            if tar.size >= size:
                break
        sha = tar.end()
        out.flush()
        os.fsync(out.fileno())
    if not rows:
        part.unlink()
        return None
    piece: _Piece = {
        "row": np.array(rows, np.int64),
        "offset": np.array(offsets, np.int64),
        "size": np.array(sizes, np.int64),
        "content": np.frombuffer(b"".join(contents), "<u8"),
        "upto": np.array([upto], np.int64),
    }
    part.replace(folder / name)
    kept = io.BytesIO()
    arrays: dict[str, Any] = {"sha256": np.frombuffer(bytes.fromhex(sha), np.uint8), **piece}
    np.savez(kept, **arrays)
    write_whole(folder / f".{name}.npz", kept.getvalue())
    return Shard(name, len(rows), tar.size, sha), piece


def _labels(source: Labelled, row: int) -> Mapping[str, bytes]:
    """Return what stands beside an example: the class's number, and all that is known of it."""
    told: dict[str, Any] = {"name": source.names[row]}
    files: dict[str, bytes] = {}
    if source.values is None:
        files[".cls"] = str(int(source.labels[row])).encode()
        told["label"] = source.classes[int(source.labels[row])]
    elif source.task == "regression":
        told["values"] = source.values[row].tolist()
    else:
        there = source.values[row] > 0
        told["labels"] = [name for name, yes in zip(source.classes, there, strict=True) if yes]
    group = int(source.groups[row])
    if group >= 0:
        told["group"] = source.group_names[group] if source.group_names else str(group)
    if source.given[row] >= 0:
        told["split"] = _PARTS[int(source.given[row])]
    files[".json"] = json.dumps(told).encode()
    return files


def _index(
    source: Labelled, shards: list[Shard], pieces: list[_Piece], seed: int, mark: str
) -> Index:
    none = {key: np.zeros(0, np.int64) for key in ("row", "offset", "size", "content")}
    joined = {key: np.concatenate([p[key] for p in pieces] or [none[key]]) for key in none}
    rows = joined["row"]
    return Index(
        kind=source.kind,
        shards=tuple(shards),
        names=Names.of(source.names[row] for row in rows.tolist()),
        offset=joined["offset"],
        size=joined["size"],
        label=source.labels[rows].astype(np.int32),
        given=source.given[rows].astype(np.int8),
        group=source.groups[rows].astype(np.int32),
        content=joined["content"].astype(np.uint64),
        classes=source.classes,
        group_names=source.group_names,
        task=source.task,
        task_why=source.task_why,
        target=source.target or (),
        values=source.values[rows] if source.values is not None else np.zeros((0, 0)),
        seed=seed,
        source=mark,
    )
