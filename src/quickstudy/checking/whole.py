"""Every check of a catalog, and the examples that may stay after it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quickstudy.catalog import TEST, Catalog
from quickstudy.checking.balance import unbalanced
from quickstudy.checking.copies import CONTRADICTION, COPY, LEAK, Contents, Known, copies
from quickstudy.checking.duplicates import Duplicates, duplicates, same_rows
from quickstudy.checking.findings import NOTE, SERIOUS, WARNING, Finding
from quickstudy.checking.looking import Looked
from quickstudy.checking.names import alike_names
from quickstudy.checking.quality import NAMED, odd_pictures, odd_sounds
from quickstudy.checking.shortcuts import shortcuts

_AGAIN = "Copy the file again from where it came from, or leave it out."
#: Sorts of findings whose example has nothing to learn from.
_EMPTY = ("blank", "silent", "unreadable")
_HELD = 64  # examples of a group that each other one is held against


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
    found += copies(twins, _contents(catalog, looked), known)
    if catalog.task != "regression":
        counts = catalog.counts()
        several = catalog.task == "multilabel"
        found += unbalanced(list(counts), list(counts.values()), several=several)
        found += alike_names(list(counts), list(counts.values()))
    if catalog.task == "classification" and looked.measures:
        traits = {
            name: [one.traits[name] for one in looked.measures]
            for name in looked.measures[0].traits
        }
        labels, group = catalog.labels[rows[looked.places]], twins.group[looked.places]
        found += shortcuts(traits, labels, catalog.classes, group)
    return found


def _contents(catalog: Catalog, looked: Looked) -> Contents:
    thumbs = None if catalog.kind == "table" else looked.thumbs
    return Contents(looked.digests, thumbs, catalog.kind)


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


def cleaned(
    catalog: Catalog, looked: Looked, findings: list[Finding], twins: Duplicates | None = None
) -> Cleaned:
    """Return the examples without those that are certainly useless or do harm.

    Left out are unreadable, blank and silent ones; contradictions, both sides and what is the same
    as one of them, as nobody knows which is right; of exact copies in one part all but the first;
    and what is in the test as well as elsewhere is left in the test alone. Whatever needs eyes
    (dark, blurred, odd, mirrored with another label, linked through others) stays. `twins` are
    those of `twins_of` where they are known.
    """
    reason: dict[int, str] = {one.row: one.check for one in findings if one.check in _EMPTY}
    twins = twins_of(catalog, looked) if twins is None else twins
    contents, truth = _contents(catalog, looked), truths(catalog)
    told = [truth[row] for row in looked.rows]
    accused = _contradicted(catalog, looked, findings)
    members: dict[int, list[int]] = {}
    for place, group in enumerate(twins.group.tolist()):
        if group >= 0:
            members.setdefault(group, []).append(place)
    for places in members.values():
        row_of = {place: looked.rows[place] for place in places}
        against = [place for place in places if row_of[place] in accused]
        tests = [place for place in places if catalog.given[row_of[place]] == TEST]
        learnt = [place for place in places if catalog.given[row_of[place]] != TEST]
        harmful = _like(places, against, contents)
        leaking = _like(learnt, tests, contents, told)
        seen: set[bytes] = set()
        for place, row in row_of.items():
            same = looked.digests[place].tobytes()
            if place in harmful:
                reason.setdefault(row, CONTRADICTION)
            elif place in leaking:
                reason.setdefault(row, LEAK)
            elif same in seen:
                reason.setdefault(row, COPY)
            if row not in reason:
                seen.add(same)
    dropped: dict[str, int] = {}
    for why in reason.values():
        dropped[why] = dropped.get(why, 0) + 1
    return Cleaned(np.array([r for r in looked.rows if r not in reason], np.int64), dropped)


def _contradicted(catalog: Catalog, looked: Looked, findings: list[Finding]) -> set[int]:
    """Return the rows of both sides of each contradiction that is certain."""
    sides = [one for one in findings if one.check == CONTRADICTION and one.severity == SERIOUS]
    others = {one.other for one in sides}
    named = {row for row in looked.rows if str(catalog.names[row]) in others} if others else set()
    return {one.row for one in sides} | named


def _like(
    places: list[int], these: list[int], contents: Contents, told: list[str] | None = None
) -> set[int]:
    """Return those of `places` that are among `these` or the same as one of them, not by a chain.

    With `told`, what is true of each place, mirror images count too, but only equal truths.
    """
    found = set(places) & set(these)
    waiting = [place for place in places if place not in found] if these else []
    for this in these[:_HELD]:
        if not waiting:
            break
        same, turned = contents.same(waiting, [this] * len(waiting))
        if told is not None:
            same = (same | turned) & np.array([told[place] == told[this] for place in waiting])
        found.update(place for place, is_same in zip(waiting, same, strict=True) if is_same)
        waiting = [place for place in waiting if place not in found]
    equal = {contents.digests[place].tobytes() for place in these}
    found.update(place for place in waiting if contents.digests[place].tobytes() in equal)
    return found
