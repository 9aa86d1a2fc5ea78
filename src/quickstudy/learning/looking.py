"""What is wrong with the data, found while learning from it: `checking` on what is decoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quickstudy.catalog import Catalog
from quickstudy.checking import NOTE, Duplicates, Looked, Unreadable, check, grouped
from quickstudy.checking.findings import Group
from quickstudy.decoding import Decoded
from quickstudy.errors import ExampleError
from quickstudy.kinds import measured, shown
from quickstudy.learning.job import Job

SHARE = 0.03
"""Of the budget, at most, for measuring light, sharpness, clipping and what tells the classes."""
MOST, FIXED = 2_000, 500
"""Examples measured at most; where the clock must decide nothing."""
_SAID = 5  # sorts of findings on the terminal: the report has all
_TOLD = 200  # findings of a sort in the report
_SHOWN = 2  # of a sort, as pictures: 12 kB each
#: Sorts that a run has said already, in words of its own.
_HEARD = frozenset({"left out", "unreadable", "silent", "leak"})


def looked(job: Job, catalog: Catalog, decoded: Decoded, twins: Duplicates) -> None:
    """Find what is wrong with the data, say the worst of it, and keep all for the report."""
    if not job.asks_test:
        return  # a trial of a search has no report
    with job.stage("check"):
        findings = check(catalog, _looked(job, catalog, decoded), twins)
        groups = grouped(findings)
        for line in _lines([one for one in groups if one.check not in _HEARD]):
            job.say(line)
        row_of = {str(catalog.names[row]): row for row in decoded.kept.tolist()}
        job.findings = [_told(job, catalog, row_of, group) for group in groups]


def _lines(groups: Sequence[Group]) -> list[str]:
    """Return what is said: the worst sorts, each with its fix.

    >>> _lines([])
    []
    """
    worth = [one for one in groups if one.severity != NOTE]
    said = []
    for one in worth[:_SAID]:
        said += [f"  {one.severity}: {one.said()}", f"           -> {one.fix}"]
    more = len(worth) - _SAID
    if more > 0:
        said.append(f"  and {more} more sort{'s' * (more > 1)} of findings, in the report")
    return said


def _looked(job: Job, catalog: Catalog, decoded: Decoded) -> Looked:
    """Return what is known of the examples from decoding, and measures of some at random."""
    gone = np.setdiff1d(np.arange(len(catalog)), decoded.kept).tolist()
    unreadable = [
        Unreadable(row, one.reason, "") for row, one in zip(gone, decoded.left_out, strict=True)
    ]
    places, measures = _measures(job, catalog, decoded)
    return Looked(
        rows=tuple(decoded.kept.tolist()),
        digests=decoded.digests,
        thumbs=decoded.thumbs,
        measures=tuple(measures),
        unreadable=tuple(unreadable),
        places=places,
        odd=decoded.remarks,
    )


def _measures(job: Job, catalog: Catalog, decoded: Decoded) -> tuple[NDArray[np.int64], list[Any]]:
    """Measure examples at random while the share of the budget lasts; rows of a table have none.

    Pictures are measured as they were decoded; of recordings a sample is opened again.
    """
    if catalog.kind == "table":
        return np.zeros(0, np.int64), []
    order = np.random.default_rng(job.seed).permutation(len(decoded))
    order = order[: FIXED if job.fixed_length else MOST]
    until = job.clock.spent() + SHARE * job.budget
    places, found = [], []
    for place in order.tolist():
        if job.stop.asked or (not job.fixed_length and job.clock.spent() > until):
            break
        seen = decoded.piece(place)[0] if catalog.kind == "image" else None
        try:
            raw = catalog.read(int(decoded.kept[place]))
            one = measured(catalog.kind, raw, job.max_pixels, seen)
        except ExampleError:  # gone since, or silent: decoding has said so
            continue
        places.append(place)
        found.append(replace(one, remark=""))  # decoding has told of every file
    return np.array(places, np.int64), found


def _told(job: Job, catalog: Catalog, row_of: Mapping[str, int], group: Group) -> dict[str, Any]:
    """Return a sort of findings for the report, the first with a look at it."""
    told = []
    for place, one in enumerate(group.findings[:_TOLD]):
        record: dict[str, Any] = {"file": one.name, "problem": one.problem, "other": one.other}
        if place < _SHOWN and group.severity != NOTE:
            record |= _seen(job, catalog, one.row, "")
            record |= _seen(job, catalog, row_of.get(one.other, -1), "other_")
        told.append(record)
    return {
        "check": group.check,
        "severity": group.severity,
        "said": group.said(),
        "fix": group.fix,
        "count": len(group.findings),
        "findings": told,
    }


def _seen(job: Job, catalog: Catalog, row: int, prefix: str) -> dict[str, Any]:
    if row < 0 or catalog.kind == "table":
        return {}
    try:
        found = shown(catalog.kind, catalog.read(row), job.max_pixels, catalog.columns)
    except ExampleError:
        return {}
    return {f"{prefix}{key}": value for key, value in found.items()}
