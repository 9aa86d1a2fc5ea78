"""What a reader of one sort of source found, before it is a `Catalog`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from quickstudy.catalog.types import TEST, TRAIN, VAL, LeftOut, Raw
from quickstudy.errors import did_you_mean

#: A label as it was written: a word, or one word for each of several columns.
Label = str | tuple[str, ...]

_PART_WORDS = {
    "train": TRAIN, "training": TRAIN,
    "val": VAL, "valid": VAL, "validation": VAL, "dev": VAL,
    "test": TEST, "testing": TEST,
}  # fmt: skip


@dataclass(frozen=True)
class Columns:
    """The columns the user named, or None for those to be guessed."""

    path: str | None = None
    label: str | tuple[str, ...] | None = None
    """One, or several: as they are, or with commas between them."""
    split: str | None = None
    group: str | None = None

    def named(self) -> bool:
        """Whether the user named any."""
        return any((self.path, self.label, self.split, self.group))


@dataclass(frozen=True)
class Asked:
    """What the user said about a source; the rest is to be found out."""

    columns: Columns = field(default_factory=Columns)
    kind: str | None = None
    labelled: bool = True
    """Whether the source tells the labels; else the names of its files will."""
    named: bool = False
    """Whether the names of its files tell anything."""
    targeted: bool = True
    """Whether a table of rows must tell what is true of each; else it is only answered about."""
    guessing: bool = True
    """Whether columns with the usual names are taken for the split and the group."""
    known: Mapping[str, bool] = field(default_factory=dict)
    """The columns of what a model learnt from, in its order, and whether it needs them."""


@dataclass
class Draft:
    """Examples as found: one entry per example in `names`, `labels` and, if any, the rest."""

    source: str
    read: Callable[[int], Raw]
    """Draft row -> `Raw`."""
    stamp: bytes
    """A digest of what the examples hold; labels and parts are added by `finish`."""
    names: list[str] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    """'' for none."""
    given: list[int] = field(default_factory=list)
    """Parts, or empty: all `FREE`."""
    groups: list[str] = field(default_factory=list)
    """Group words ('' for alone), or empty: all alone."""
    classes: tuple[str, ...] = ()
    """Classes the source declares, with examples or not; their order is kept."""
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    kind: str = "image"
    task: str | None = "classification"
    """What is asked; None: the labels tell."""
    label_names: tuple[str, ...] = ()
    """The columns that the labels stand in, where there are columns."""
    named: bool = True
    """Whether `label_names` are the source's own; else only their order tells."""
    columns: tuple[str, ...] = ()
    """Of a table whose rows are the examples: the columns learnt from, as `read` gives them."""
    paths: Sequence[str] = ()
    """What patterns of file names look at ('' for no file), or empty: no files at all."""

    def keep(self, rows: Sequence[int]) -> None:
        """Keep these rows alone; the stamp follows."""
        if len(rows) == len(self.names):
            return
        self.names = [self.names[row] for row in rows]
        self.labels = [self.labels[row] for row in rows]
        self.given = [self.given[row] for row in rows] if self.given else []
        self.groups = [self.groups[row] for row in rows] if self.groups else []
        self.paths = [self.paths[row] for row in rows] if self.paths else ()
        read, kept = self.read, tuple(rows)
        self.read = lambda row: read(kept[row])
        digest = hashlib.blake2b(self.stamp, digest_size=16)
        digest.update(np.array(kept, dtype=np.int64).tobytes())
        self.stamp = digest.digest()


def part_of(word: str) -> int | None:
    """Return `TRAIN`, `VAL` or `TEST` for the usual words of any case, None for another."""
    return _PART_WORDS.get(word.strip().casefold())


def word(value: object) -> str:
    """Return a label or group as text: stripped, ``3.0`` as ``3``, and '' for None and NaN.

    Several labels become ``a;b``.
    """
    if isinstance(value, (list, tuple)):
        return ";".join(word(one) for one in value)
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    text = "" if value is None else str(value).strip()
    missing = text in ("<NA>", "NaT") or (text == "nan" and not isinstance(value, str))
    return "" if missing else text


def listed(items: Iterable[str], most: int = 8) -> str:
    """Return ``a, b and 3 more``: at most `most` items by name."""
    every = list(items)
    tail = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + tail


def suggest(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """Return ``Did you mean ...?`` and `otherwise`, joined."""
    return " ".join(part for part in (did_you_mean(name, known), otherwise) if part)
