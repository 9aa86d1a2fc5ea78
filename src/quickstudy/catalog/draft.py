"""What a reader of one sort of source found, and the rules that make a `Catalog` of it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quickstudy.catalog.kind import misfit, nouns
from quickstudy.catalog.types import FREE, PARTS, TEST, TRAIN, VAL, Catalog, LeftOut, Raw
from quickstudy.errors import SourceError, did_you_mean
from quickstudy.kinds import NOUNS

#: Fewest examples of a class to learn from: three to train on, one to steer by, one to test on.
FEWEST = 5

_PART_WORDS = {
    "train": TRAIN, "training": TRAIN,
    "val": VAL, "valid": VAL, "validation": VAL, "dev": VAL,
    "test": TEST, "testing": TEST,
}  # fmt: skip


@dataclass(frozen=True)
class Columns:
    """The columns the user named, or None for those to be guessed."""

    path: str | None = None
    label: str | None = None
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


@dataclass
class Draft:
    """Examples as found: one entry per example in `names`, `labels` and, if any, the rest."""

    source: str
    read: Callable[[int], Raw]
    """Draft row -> `Raw`."""
    stamp: bytes
    """A digest of what the examples hold; labels and parts are added by `finish`."""
    names: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    given: list[int] = field(default_factory=list)
    """Parts, or empty: all `FREE`."""
    groups: list[str] = field(default_factory=list)
    """Group words ('' for alone), or empty: all alone."""
    classes: tuple[str, ...] = ()
    """Classes the source declares, with examples or not; their order is kept."""
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    kind: str = "image"
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
    """Return a label or group as text: stripped, ``3.0`` as ``3``, and '' for None and NaN."""
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


def finish(draft: Draft, *, learnable: bool = True) -> Catalog:
    """Number the classes, apply the rules about them, and return the catalog.

    Classes without an example to learn from (train or free) are dropped with a note. Raises one
    `SourceError` naming every fault: no examples, one class only, classes of fewer than `FEWEST`.
    With `learnable` false (a source that is only tested on) only an empty source is a fault.
    """
    if not draft.labels:
        raise _nothing_left(draft)
    given = np.array(draft.given or [FREE] * len(draft.labels), dtype=np.int8)
    classes = draft.classes + _in_order(set(draft.labels).difference(draft.classes))
    counts = Counter(
        label
        for label, part in zip(draft.labels, given.tolist(), strict=True)
        if part in (TRAIN, FREE) or not learnable
    )
    if learnable:
        _check_classes(draft.source, classes, counts)
    kept = tuple(name for name in classes if counts[name])
    rows = _rows_of_classes(draft, set(kept))
    number = {name: index for index, name in enumerate(kept)}
    labels = np.array([number[draft.labels[row]] for row in rows.tolist()], dtype=np.int64)
    parts = given[rows]
    groups, words = _group_numbers(draft.groups, rows)
    read = draft.read
    return Catalog(
        kind=draft.kind,
        source=draft.source,
        classes=kept,
        names=[draft.names[row] for row in rows.tolist()],
        labels=labels,
        given=parts,
        groups=groups,
        read=lambda index: read(int(rows[index])),
        stamp=_digest(draft.stamp, (*kept, *words), labels, parts, groups),
        left_out=tuple(draft.left_out),
        notes=(
            *draft.notes,
            *_kind_notes(draft),
            *_class_notes(classes, kept, learnable=learnable),
            *_part_notes(kept, labels, parts),
        ),
        group_names=words,
    )


def _nothing_left(draft: Draft) -> SourceError:
    """No example is left: say the commonest reasons, with one file each."""
    if not draft.left_out:
        return SourceError(
            f"There are no examples in {draft.source}.",
            "Put the examples of each class into a folder of its own.",
        )
    reasons = Counter(left.reason for left in draft.left_out)
    first = {left.reason: left.name for left in reversed(draft.left_out)}
    shown = [f"{reason} ({n}, such as {first[reason]!r})" for reason, n in reasons.most_common(4)]
    return SourceError(
        f"None of the {len(draft.left_out):,} examples in {draft.source} can be used.",
        f"Mend what is wrong with them: {'; '.join(shown)}.",
    )


def _check_classes(source: str, classes: tuple[str, ...], counts: Counter[str]) -> None:
    """Raise one `SourceError` that names every fault of the classes."""
    faults, hints = [], []
    held = [name for name in classes if counts[name]]
    empty = [name for name in classes if not counts[name]]
    if len(held) < 2:
        only = f"only one class, {held[0]!r}," if held else "no class"
        also = f" ({listed(map(repr, empty))} without any)" if empty else ""
        faults.append(f"{only} with examples to learn from{also}")
        hints.append("Add a second class: learning to tell apart takes at least two.")
    few = [f"{name!r} ({counts[name]})" for name in held if counts[name] < FEWEST]
    if few:
        faults.append(f"too few examples to learn from in {listed(few, most=20)}")
        hints.append(
            f"Give every class at least {FEWEST} examples, or take the small classes away."
        )
    if faults:
        raise SourceError(f"{source} has {', and '.join(faults)}.", " ".join(hints))


def _rows_of_classes(draft: Draft, kept: set[str]) -> NDArray[np.int64]:
    """Rows whose class is kept; the others are added to what is left out."""
    rows = []
    for row, label in enumerate(draft.labels):
        if label in kept:
            rows.append(row)
        else:
            reason = f"class {label!r} has no examples to learn from"
            draft.left_out.append(LeftOut(draft.names[row], reason))
    return np.array(rows, dtype=np.int64)


def _in_order(names: set[str]) -> tuple[str, ...]:
    """Sort class names, whole numbers by value."""
    numeric = all(name.isascii() and name.isdecimal() for name in names)
    return tuple(sorted(names, key=lambda name: (int(name) if numeric else 0, name)))


def _group_numbers(
    groups: Sequence[str], rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """The group number of each row, and the word of each number."""
    if not groups:
        return np.full(len(rows), -1, dtype=np.int64), ()
    words = [groups[row] for row in rows.tolist()]
    number = {text: index for index, text in enumerate(dict.fromkeys(filter(None, words)))}
    return np.array([number.get(text, -1) for text in words], dtype=np.int64), tuple(number)


def _kind_notes(draft: Draft) -> list[str]:
    """One note for each other kind whose examples were left out."""
    reasons = Counter(left.reason for left in draft.left_out)
    return [
        f"Only its {nouns(draft.kind)} are used: {n:,} {nouns(kind)} are left out."
        for kind in NOUNS
        if kind != draft.kind and (n := reasons[misfit(kind, draft.kind)])
    ]


def _class_notes(classes: tuple[str, ...], kept: tuple[str, ...], *, learnable: bool) -> list[str]:
    notes = []
    empty = [repr(name) for name in classes if name not in set(kept)]
    if empty and learnable:
        what = "Class" if len(empty) == 1 else "Classes"
        notes.append(f"{what} without examples to learn from, dropped: {listed(empty)}.")
    folded: dict[str, str] = {}
    for name in kept:
        twin = folded.setdefault(name.casefold(), name)
        if twin != name:
            notes.append(f"Classes {twin!r} and {name!r} differ only in case: are they one?")
    return notes


def _part_notes(
    classes: tuple[str, ...], labels: NDArray[np.int64], given: NDArray[np.int8]
) -> list[str]:
    """One note for each ready-made part that lacks classes."""
    notes = []
    for part, name in enumerate(PARTS):
        inside = np.bincount(labels[given == part], minlength=len(classes))
        if inside.any() and not inside.all():
            missing = [repr(one) for one, n in zip(classes, inside, strict=True) if not n]
            notes.append(f"The {name} part has no examples of {listed(missing)}.")
    return notes


def _digest(source: bytes, classes: tuple[str, ...], *columns: NDArray[np.integer[Any]]) -> str:
    total = hashlib.blake2b(source, digest_size=16)
    total.update("\0".join(classes).encode("utf-8", "surrogatepass"))
    for column in columns:
        total.update(np.ascontiguousarray(column).tobytes())
    return total.hexdigest()
