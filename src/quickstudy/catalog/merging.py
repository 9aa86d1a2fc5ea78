"""Two catalogs, one to learn from and one to test on -> one; and a part of one."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from quickstudy.catalog.draft import listed
from quickstudy.catalog.kind import nouns
from quickstudy.catalog.types import TEST, Catalog, LeftOut, Raw
from quickstudy.errors import SourceError, did_you_mean


def merge(train: Catalog, test: Catalog) -> Catalog:
    """Return `train` with every example of `test` added as `TEST`.

    What was `TEST` in `train` stays so. Classes that `train` does not know are left out, with a
    note. Where the groups of both come from words, equal words are one group (a speaker is one
    person, wherever the recordings lie); other groups of the two are numbered apart. Raises
    `SourceError` if no class is common, or the kinds differ.
    """
    _check(train, test)
    if train.values is not None:
        return _merged_values(train, test)
    number = {name: index for index, name in enumerate(train.classes)}
    # -1: unknown to train
    mapped = np.array([number.get(name, -1) for name in test.classes], dtype=np.int64)[test.labels]
    rows = np.flatnonzero(mapped >= 0)
    first = len(train)
    groups, words = _numbered(train, test, rows)
    known = set(train.names)
    names = [test.names[row] for row in rows.tolist()]

    def read(index: int) -> Raw:
        return train.read(index) if index < first else test.read(int(rows[index - first]))

    stamp = hashlib.blake2b(f"{train.stamp}+{test.stamp}".encode(), digest_size=16).hexdigest()
    return replace(
        train,
        names=[*train.names, *(f"{test.source}: {n}" if n in known else n for n in names)],
        labels=np.concatenate([train.labels, mapped[rows]]),
        given=np.concatenate([train.given, np.full(len(rows), TEST, dtype=np.int8)]),
        groups=np.concatenate([train.groups, groups]),
        read=read,
        stamp=stamp,
        left_out=(*train.left_out, *test.left_out, *_unknown(train, test)),
        notes=(*train.notes, *test.notes, *_notes(train, test)),
        group_names=words,
        shards=train.shards.beside(len(rows)) if train.shards is not None else None,
    )


def _merged_values(train: Catalog, test: Catalog) -> Catalog:
    """Put together catalogs of labels or numbers, which have the same outputs."""
    assert train.values is not None and test.values is not None  # `_check` compared the tasks
    first = len(train)
    groups, words = _numbered(train, test, np.arange(len(test)))
    stamp = hashlib.blake2b(f"{train.stamp}+{test.stamp}".encode(), digest_size=16).hexdigest()
    return replace(
        train,
        names=[*train.names, *(f"{test.source}: {name}" for name in test.names)],
        labels=np.concatenate([train.labels, test.labels]),
        given=np.concatenate([train.given, np.full(len(test), TEST, dtype=np.int8)]),
        groups=np.concatenate([train.groups, groups]),
        read=lambda index: train.read(index) if index < first else test.read(index - first),
        stamp=stamp,
        left_out=(*train.left_out, *test.left_out),
        notes=(*train.notes, *test.notes),
        group_names=words,
        values=np.concatenate([train.values, test.values]),
        shards=train.shards.beside(len(test)) if train.shards is not None else None,
    )


def _numbered(
    train: Catalog, test: Catalog, rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """The group of each of `rows` of `test` beside those of `train`, and the word of each."""
    groups = test.groups[rows]
    size = max(len(train.group_names), int(train.groups.max(initial=-1)) + 1)
    words = [*train.group_names, *[""] * (size - len(train.group_names))]
    number = {word: index for index, word in enumerate(words) if word}
    new = np.full(int(groups.max(initial=-1)) + 1, -1, dtype=np.int64)
    for old in np.unique(groups[groups >= 0]).tolist():
        word = test.group_names[old] if old < len(test.group_names) else ""
        new[old] = number.get(word, len(words))
        if new[old] == len(words):
            words.append(word)
    alone = groups < 0
    numbered = np.where(alone, -1, new[np.where(alone, 0, groups)]) if len(new) else groups
    return numbered, tuple(words) if any(words) else ()


def _check(train: Catalog, test: Catalog) -> None:
    if train.kind != test.kind:
        raise SourceError(
            f"{test.source} holds {nouns(test.kind)}, {train.source} {nouns(train.kind)}.",
            f"Test on {nouns(train.kind)}.",
        )
    if train.task != test.task or (train.values is not None and train.classes != test.classes):
        raise SourceError(
            f"{test.source} does not say what {train.source} asks for.",
            f"Its examples need: {listed(train.classes)}.",
        )
    if not set(train.classes) & set(test.classes):
        near = did_you_mean(test.classes[0], train.classes) if test.classes else ""
        raise SourceError(
            f"{test.source} has none of the classes of {train.source}: "
            f"{listed(map(repr, test.classes))}.",
            f"Name its classes as in training: {listed(map(repr, train.classes))}. {near}".strip(),
        )


def _unknown(train: Catalog, test: Catalog) -> list[LeftOut]:
    known = set(train.classes)
    strange = {index for index, name in enumerate(test.classes) if name not in known}
    return [
        LeftOut(test.names[row], f"class {test.classes[label]!r} is not learnt")
        for row, label in enumerate(test.labels.tolist())
        if label in strange
    ]


def _notes(train: Catalog, test: Catalog) -> list[str]:
    notes = []
    counts: Counter[str] = Counter(test.counts())
    strange = [f"{name!r} ({counts[name]})" for name in test.classes if name not in train.classes]
    missing = [repr(name) for name in train.classes if not counts[name]]
    if strange:
        notes.append(f"Classes of {test.source} that are not learnt, left out: {listed(strange)}.")
    if missing:
        notes.append(f"{test.source} has no examples of {listed(missing)}.")
    return notes


def part(catalog: Catalog, kept: NDArray[np.int64]) -> Catalog:
    """Return the catalog of some of its examples, by number."""
    chosen = hashlib.blake2b(kept.tobytes(), digest_size=8).hexdigest()
    return replace(
        catalog,
        names=[catalog.names[i] for i in kept],
        labels=catalog.labels[kept],
        values=catalog.values[kept] if catalog.values is not None else None,
        given=catalog.given[kept],
        groups=catalog.groups[kept],
        read=lambda i: catalog.read(int(kept[i])),
        stamp=f"{catalog.stamp}-{chosen}",
        shards=catalog.shards.part(kept) if catalog.shards is not None else None,
    )
