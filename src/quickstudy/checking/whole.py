"""Every check of a catalog, and the examples that may stay after it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quickstudy.catalog import TEST, Catalog
from quickstudy.checking.balance import unbalanced
from quickstudy.checking.copies import CONTRADICTION, COPY, LEAK, copies
from quickstudy.checking.duplicates import Duplicates, duplicates, same_rows
from quickstudy.checking.findings import SERIOUS, WARNING, Finding
from quickstudy.checking.looking import Looked
from quickstudy.checking.names import alike_names
from quickstudy.checking.quality import odd_pictures, odd_sounds
from quickstudy.checking.shortcuts import shortcuts

_AGAIN = "Copy the file again from where it came from, or leave it out."
#: Sorts of findings whose example has nothing to learn from.
_EMPTY = ("blank", "silent", "unreadable")


def twins_of(catalog: Catalog, looked: Looked) -> Duplicates:
    """Return which of the examples looked at are the same: of a table rows that are equal."""
    if catalog.kind == "table":
        return same_rows(looked.digests)
    return duplicates(looked.digests, looked.thumbs, catalog.kind)


def check(catalog: Catalog, looked: Looked) -> list[Finding]:
    """Return everything that is found wrong with the examples, in no particular order."""
    names = [str(catalog.names[row]) for row in looked.rows]
    rows = np.array(looked.rows, np.int64)
    twins = twins_of(catalog, looked)
    found = list(_unusable(catalog, looked))
    if catalog.kind == "image":
        found += odd_pictures(names, looked.rows, looked.measures)
    elif catalog.kind == "sound":
        found += odd_sounds(names, looked.rows, looked.measures)
    told = truths(catalog)
    of_rows = [told[row] for row in looked.rows]
    found += copies(twins, looked.digests, of_rows, catalog.given[rows], names, looked.rows)
    if catalog.task != "regression":
        counts = catalog.counts()
        found += unbalanced(list(counts), list(counts.values()))
        found += alike_names(list(counts), list(counts.values()))
    if catalog.task == "classification" and looked.measures:
        traits = {
            name: [one.traits[name] for one in looked.measures]
            for name in looked.measures[0].traits
        }
        found += shortcuts(traits, catalog.labels[rows], catalog.classes, twins.group)
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
    told = truths(catalog)
    members: dict[int, list[int]] = {}
    for place, group in enumerate(twins.group.tolist()):
        if group >= 0:
            members.setdefault(group, []).append(place)
    for places in members.values():
        rows = [looked.rows[place] for place in places]
        tested = any(catalog.given[row] == TEST for row in rows)
        contradicts = len({told[row] for row in rows}) > 1
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
