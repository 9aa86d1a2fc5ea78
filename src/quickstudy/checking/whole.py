"""Every check of a catalog, and the examples that may stay after it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quickstudy.catalog import TEST, Catalog
from quickstudy.checking.balance import unbalanced
from quickstudy.checking.copies import CONTRADICTION, COPY, LEAK, Known, copies
from quickstudy.checking.duplicates import Duplicates, duplicates, same_rows
from quickstudy.checking.findings import NOTE, SERIOUS, WARNING, Finding
from quickstudy.checking.looking import Looked
from quickstudy.checking.names import alike_names
from quickstudy.checking.quality import NAMED, odd_pictures, odd_sounds
from quickstudy.checking.shortcuts import shortcuts

_AGAIN = "Copy the file again from where it came from, or leave it out."
#: Sorts of findings whose example has nothing to learn from.
_EMPTY = ("blank", "silent", "unreadable")


def twins_of(catalog: Catalog, looked: Looked) -> Duplicates:
    """Return which of the examples looked at are the same: of a table rows that are equal."""
    if catalog.kind == "table":
        return same_rows(looked.digests)
    return duplicates(looked.digests, looked.thumbs, catalog.kind)


def check(catalog: Catalog, looked: Looked, twins: Duplicates | None = None) -> list[Finding]:
    """Return everything that is found wrong with the examples, in no particular order.

    `twins` are those of `twins_of` where they are known.
    """
    names = [str(catalog.names[row]) for row in looked.rows]
    rows = np.array(looked.rows, np.int64)
    twins = twins_of(catalog, looked) if twins is None else twins
    found = list(_unusable(catalog, looked))
    some = [names[i] for i in looked.places.tolist()]
    of_some = [looked.rows[i] for i in looked.places.tolist()]
    if catalog.kind == "image":
        found += odd_pictures(some, of_some, looked.measures)
    elif catalog.kind == "sound":
        found += odd_sounds(some, of_some, looked.measures)
    told = truths(catalog)
    known = Known([told[row] for row in looked.rows], catalog.given[rows], names, looked.rows)
    turned = looked.thumbs if catalog.kind == "image" else None
    found += copies(twins, looked.digests, known, turned)
    if catalog.task != "regression":
        counts = catalog.counts()
        found += unbalanced(list(counts), list(counts.values()))
        found += alike_names(list(counts), list(counts.values()))
    if catalog.task == "classification" and looked.measures:
        traits = {
            name: [one.traits[name] for one in looked.measures]
            for name in looked.measures[0].traits
        }
        labels, group = catalog.labels[rows[looked.places]], twins.group[looked.places]
        found += shortcuts(traits, labels, catalog.classes, group)
    return found


def truths(catalog: Catalog) -> list[str]:
    """Return what is true of each example in words: its class, or its labels as ``a;b``.

    Of numbers nothing: of two copies they may well differ by what measuring them is worth.
    """
    if catalog.task == "regression":
        return [""] * len(catalog)
    if catalog.values is None:
        return [str(catalog.classes[label]) for label in catalog.labels.tolist()]
    return [
        ";".join(name for name, there in zip(catalog.classes, row, strict=True) if there)
        for row in catalog.values.tolist()
    ]


def _unusable(catalog: Catalog, looked: Looked) -> Iterator[Finding]:
    for left in catalog.left_out:
        fix = "Mend it, or ignore this: it is left out."
        yield Finding("left out", left.name, left.reason, WARNING, fix)
    for one in looked.unreadable:
        check = "silent" if one.reason.startswith("silent") else "unreadable"
        name = str(catalog.names[one.row])
        yield Finding(check, name, one.reason, SERIOUS, one.fix or _AGAIN, row=one.row)
    for odd in looked.odd:
        wrong = odd.reason.startswith("is ")
        said = f"wrong name: the file {odd.reason}" if wrong else odd.reason
        fix = NAMED if wrong else "It is used all the same; look at it."
        yield Finding("wrong name" if wrong else "odd file", odd.name, said, NOTE, fix)


@dataclass(frozen=True, eq=False)
class Cleaned:
    """The examples that may stay."""

    rows: NDArray[np.int64]
    """Their numbers in the catalog."""
    dropped: dict[str, int]
    """How many are left out, for each sort of finding."""


def cleaned(catalog: Catalog, looked: Looked, findings: list[Finding]) -> Cleaned:
    """Return the examples without those that are certainly useless or do harm.

    Left out are unreadable, blank and silent ones; contradictions, all of them, as nobody knows
    which is right; of exact copies in one part all but the first; and what is in the test as well
    as elsewhere is left in the test alone. Whatever needs eyes (dark, blurred, odd) stays.
    """
    reason: dict[int, str] = {one.row: one.check for one in findings if one.check in _EMPTY}
    twins = twins_of(catalog, looked)
    contradicted = {one.row for one in findings if one.check == CONTRADICTION}
    members: dict[int, list[int]] = {}
    for place, group in enumerate(twins.group.tolist()):
        if group >= 0:
            members.setdefault(group, []).append(place)
    for places in members.values():
        rows = [looked.rows[place] for place in places]
        tested = any(catalog.given[row] == TEST for row in rows)
        contradicts = not contradicted.isdisjoint(rows)
        seen: set[int] = set()
        for place, row in zip(places, rows, strict=True):
            same = int(looked.digests[place])
            if contradicts:
                reason.setdefault(row, CONTRADICTION)
            elif tested and catalog.given[row] != TEST:
                reason.setdefault(row, LEAK)
            elif same in seen:
                reason.setdefault(row, COPY)
            seen.add(same)
    dropped: dict[str, int] = {}
    for why in reason.values():
        dropped[why] = dropped.get(why, 0) + 1
    return Cleaned(np.array([r for r in looked.rows if r not in reason], np.int64), dropped)
