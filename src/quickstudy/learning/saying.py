"""What a run says of its examples: how many, which are left out, how they were divided."""

from __future__ import annotations

from collections import Counter

import numpy as np

from quickstudy import checking, facts
from quickstudy.catalog import Catalog
from quickstudy.checking import Duplicates, leaks
from quickstudy.decoding import Decoded
from quickstudy.errors import SourceError
from quickstudy.facts import Facts
from quickstudy.hardware import Hardware
from quickstudy.kinds import NOUNS
from quickstudy.learning.job import Job
from quickstudy.splitting import Split

_REASONS = 3  # for leaving examples out that are said, the commonest


def found(job: Job, catalog: Catalog, machine: Hardware, seen: Facts) -> None:
    """Say what was found and on what computer."""
    for line in facts.said(catalog):
        job.say(line)
    if catalog.left_out:
        reasons = Counter(one.reason for one in catalog.left_out).most_common(_REASONS)
        why = ", ".join(f"{reason} ({n:,})" for reason, n in reasons)
        job.say(f"  {len(catalog.left_out):,} left out: {why}; named in the report")
    for note in (*catalog.notes, *facts.remarks(seen)):
        job.say(f"  {note}")
    job.say(f"This computer: {machine.sentence()}")


def check_classes(catalog: Catalog, decoded: Decoded) -> None:
    """Raise one `SourceError` for all classes of which nothing is left."""
    if catalog.task != "classification":
        return
    left = np.bincount(catalog.labels[decoded.kept], minlength=len(catalog.classes))
    reasons = {one.name: one.reason for one in decoded.left_out}
    faults = []
    for number in np.flatnonzero(left == 0).tolist():
        names = [str(catalog.names[i]) for i in np.flatnonzero(catalog.labels == number).tolist()]
        if not names:  # there was no time to decode any of it
            faults.append(f"no example of class {catalog.classes[number]!r} fits the budget")
        else:
            why = f"all {len(names):,} are left out ({names[0]}: {reasons.get(names[0], '')})"
            faults.append(f"nothing of class {catalog.classes[number]!r} can be used: {why}")
    if faults:
        text = "; ".join(faults)
        raise SourceError(
            f"{text[:1].upper()}{text[1:]}.",
            "Mend the files, take the class away, or give a larger --budget.",
        )


def twins(catalog: Catalog, decoded: Decoded) -> Duplicates:
    """Return which examples are the same: of a table rows that are equal."""
    if catalog.kind == "table":
        return checking.same_rows(decoded.digests)
    return checking.duplicates(decoded.digests, decoded.thumbs, catalog.kind)


def parts_made(
    job: Job, catalog: Catalog, decoded: Decoded, twins: Duplicates, parts: Split
) -> None:
    """Say what was left out, which are duplicates, and how the examples were divided."""
    if decoded.remarks:
        first = decoded.remarks[0]
        one, many = NOUNS[catalog.kind]
        odd = f"{many} are odd, and were" if len(decoded.remarks) > 1 else f"{one} is odd, and was"
        note = (
            f"{len(decoded.remarks):,} {odd} used all the same "
            f"(first: {first.name!r}, {first.reason})"
        )
        job.notes.append(note)
        job.say(f"  {note}")
    if decoded.said:
        job.say(f"  {decoded.said}")
    if decoded.left_out:
        first = decoded.left_out[0]
        job.say(
            f"  {len(decoded.left_out):,} unreadable, left out "
            f"(first: {first.name!r}, {first.reason})"
        )
    if twins.identical and not (twins.group >= 0).any():
        job.say(f"  {twins.identical:,} are the same as another: few cases, which recur")
    elif twins.identical + twins.near:
        job.say(
            f"  {twins.identical + twins.near:,} are the same as another, or nearly "
            "(kept on one side of the split)"
        )
    leaked = len(leaks(twins.group, parts.part))
    if leaked:
        many = NOUNS[catalog.kind][1]
        note = f"{leaked:,} of the test {many} are also among those learnt from"
        job.notes.append(note)
        job.say(f"  {note}: the score flatters")
    job.say(
        f"  {len(parts.train):,} to learn from, {len(parts.val):,} to steer by, "
        f"{len(parts.test):,} to test on"
    )
    if len(parts.test) == 0:
        raise SourceError(
            "No examples are left to test on.", "Give more examples, or a test folder."
        )
