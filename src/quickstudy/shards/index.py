"""What is in shards without opening one: a small index.json, and arrays in a file beside it.

A million examples take some 60 MB here, in arrays; as Python objects they would take ten times
that.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from quickstudy.errors import SourceError

INDEX = "index.json"
SIDE = "index.npz"
_FORMAT = 1
_WHAT = "quickstudy shards"
_ARRAYS = ("offset", "size", "label", "given", "group", "content", "values")


class Names(Sequence[str]):
    """A million names in one block of bytes, UTF-8: a list of them takes five times as much."""

    def __init__(self, text: NDArray[np.uint8], ends: NDArray[np.int64]) -> None:
        self.text, self.ends = text, ends

    @classmethod
    def of(cls, names: Iterable[str]) -> Names:
        """Put names together; what is no Unicode in them is kept as it is."""
        raw = [name.encode("utf-8", "surrogateescape") for name in names]
        ends = np.cumsum([len(one) for one in raw], dtype=np.int64)
        return cls(np.frombuffer(b"".join(raw), np.uint8), ends)

    def __len__(self) -> int:
        return len(self.ends)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    def __getitem__(self, place: int | slice) -> str | list[str]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        place = int(place) + (len(self) if place < 0 else 0)
        if not 0 <= place < len(self):
            raise IndexError(place)
        first = int(self.ends[place - 1]) if place else 0
        raw = self.text[first : int(self.ends[place])].tobytes()
        return raw.decode("utf-8", "surrogateescape")

    def taken(self, rows: NDArray[np.int64]) -> Names:
        """Return some of the names."""
        return Names.of(self[row] for row in rows.tolist())


@dataclass(frozen=True)
class Shard:
    """One file of examples."""

    name: str
    examples: int
    bytes: int
    sha256: str = ""
    """Empty where nobody has computed it: of shards that others made."""


@dataclass(eq=False)
class Index:
    """All examples of the shards, in the order of the shards. Arrays have shape ``N``."""

    kind: str
    shards: tuple[Shard, ...]
    names: Names
    offset: NDArray[np.int64]
    """Where in its shard an example's bytes begin; in Parquet its row."""
    size: NDArray[np.int64]
    """Bytes; 0 in Parquet."""
    label: NDArray[np.int32]
    """Number in `classes`, or of examples that are alike; -1: no label."""
    given: NDArray[np.int8]
    group: NDArray[np.int32]
    content: NDArray[np.uint64]
    """A digest of the bytes; empty where nobody has read them."""
    classes: tuple[str, ...] = ()
    group_names: tuple[str, ...] = ()
    task: str = ""
    """Empty: the labels tell."""
    task_why: str = ""
    target: tuple[str, ...] = ()
    values: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))
    """Labels or numbers, ``N K``; empty where there are classes."""
    seed: int = 0
    source: str = ""
    """What was packed: a digest of it, so that packing can go on where it was."""

    def __len__(self) -> int:
        return len(self.offset)

    @property
    def shard_of(self) -> NDArray[np.int32]:
        """The shard of each example, ``N``."""
        counts = [one.examples for one in self.shards]
        return np.repeat(np.arange(len(counts), dtype=np.int32), counts)

    def stamp(self) -> str:
        """Return a fingerprint: equal for equal examples, labels and parts."""
        total = hashlib.blake2b(repr(self.shards).encode(), digest_size=16)
        for name in _ARRAYS:
            total.update(np.ascontiguousarray(getattr(self, name)).tobytes())
        total.update("\0".join((*self.classes, *self.group_names)).encode("utf-8", "replace"))
        return total.hexdigest()

    def written(self) -> tuple[bytes, bytes]:
        """Return what index.json and the file beside it hold."""
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        out = io.BytesIO()
        np.savez_compressed(out, text=self.names.text, ends=self.names.ends, **arrays)
        side = out.getvalue()
        told: dict[str, Any] = {
            "what": _WHAT,
            "format": _FORMAT,
            "kind": self.kind,
            "task": self.task,
            "task_why": self.task_why,
            "target": list(self.target),
            "examples": len(self),
            "bytes": sum(one.bytes for one in self.shards),
            "seed": self.seed,
            "source": self.source,
            "side": {"name": SIDE, "sha256": hashlib.sha256(side).hexdigest()},
            "classes": list(self.classes),
            "group_names": list(self.group_names),
            "shards": [asdict(one) for one in self.shards],
        }
        return json.dumps(told, indent=1).encode(), side


def read_index(head: bytes, side: bytes, where: str) -> Index:
    """Return the index that `Index.written` wrote; raises `SourceError` for another or half one."""
    try:
        told = json.loads(head)
        if told["what"] != _WHAT or told["format"] != _FORMAT:
            raise ValueError(f"it is {told['what']!r}, format {told['format']!r}")
        if hashlib.sha256(side).hexdigest() != told["side"]["sha256"]:
            raise ValueError(f"{SIDE} is not the one that belongs to it")
        with np.load(io.BytesIO(side), allow_pickle=False) as kept:
            arrays: dict[str, Any] = {name: kept[name] for name in _ARRAYS}
            names = Names(kept["text"], kept["ends"])
        shards = tuple(Shard(**one) for one in told["shards"])
        counts = {len(array) for name, array in arrays.items() if name not in ("content", "values")}
        if counts != {told["examples"]} or sum(s.examples for s in shards) != told["examples"]:
            raise ValueError("its parts do not agree on how many examples there are")
        words = ("kind", "task", "task_why", "seed", "source")
        plain: dict[str, Any] = {key: told[key] for key in words}
        plain |= {key: tuple(told[key]) for key in ("classes", "group_names", "target")}
        return Index(shards=shards, names=names, **arrays, **plain)
    except (LookupError, TypeError, ValueError, OSError, EOFError, zipfile.BadZipFile) as problem:
        raise SourceError(
            f"The index in {where} is not what `quickstudy pack` writes: {problem}.",
            "It was altered or cut short: pack the source again.",
        ) from problem
