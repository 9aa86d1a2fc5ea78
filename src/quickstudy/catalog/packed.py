"""The index of packed shards -> `Catalog`: numbers all along, for a million examples are many."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from quickstudy.catalog import truth
from quickstudy.catalog.draft import listed
from quickstudy.catalog.finishing import check_classes, class_notes, part_notes
from quickstudy.catalog.types import FREE, TRAIN, Catalog, LeftOut
from quickstudy.errors import SourceError
from quickstudy.shards import Index


def catalog_of_index(
    index: Index, source: str, known: tuple[str, ...], *, learnable: bool
) -> tuple[Catalog, NDArray[np.int64]]:
    """Return the catalog of packed shards, and which of their examples it has: numbers all along.

    The rules are those of `finish`. What is asked was settled when they were packed.
    """
    rows = np.arange(len(index), dtype=np.int64)
    classes, notes = index.classes, list[str]()
    labels, left = index.label.astype(np.int64), tuple[LeftOut, ...]()
    if index.task == "classification":
        learnt = np.isin(index.given, (TRAIN, FREE)) if learnable else rows >= 0
        counts = np.bincount(labels[learnt], minlength=len(classes)).tolist()
        if learnable:
            check_classes(source, classes, Counter(dict(zip(classes, counts, strict=True))))
        kept = known or tuple(c for c, n in zip(classes, counts, strict=True) if n)
        labels = truth.class_numbers(classes, kept)[labels]
        rows = np.flatnonzero(labels >= 0)
        notes = [*class_notes(classes, kept, learnable=learnable)]
        classes, labels = kept, labels[rows]
        notes += part_notes(classes, labels, index.given[rows])
        if gone := len(index) - len(rows):
            left = (LeftOut(f"{gone:,} examples", "their classes have none to learn from"),)
    elif known and known != classes:
        raise SourceError(
            f"{source} tells {listed(classes)}, not {listed(known)}.", "Pack what tells the same."
        )
    made = Catalog(
        kind=index.kind,
        source=source,
        classes=classes,
        names=index.names if len(rows) == len(index) else index.names.taken(rows),
        labels=labels,
        given=index.given[rows],
        groups=index.group[rows].astype(np.int64),
        read=lambda row: b"",  # whoever asked has the shards
        stamp=index.stamp(),
        left_out=left,
        notes=tuple(notes),
        group_names=index.group_names,
        task=index.task,
        task_why=index.task_why,
        values=index.values[rows] if index.task != "classification" else None,
        target=index.target or None,
    )
    return made, rows
