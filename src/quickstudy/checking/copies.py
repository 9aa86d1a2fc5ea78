"""Examples that are there more than once, as findings: harmless, contradicting, or leaking."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from quickstudy.catalog import PARTS, TEST, TRAIN, VAL
from quickstudy.checking.duplicates import Duplicates
from quickstudy.checking.findings import NOTE, SERIOUS, WARNING, Finding

Ints = NDArray[np.int64]

CONTRADICTION, LEAK, COPY = "contradiction", "leak", "copy"


def copies(
    twins: Duplicates,
    digests: NDArray[np.uint64],
    truth: Sequence[str],
    given: NDArray[np.int8],
    names: Sequence[str],
    rows: Sequence[int],
) -> list[Finding]:
    """Return one finding for each example that is the same as an earlier one, or nearly.

    The worst that is true of a pair is said: a contradiction (another label in `truth`), then a
    leak (learnt from and tested on, where the source itself says so in `given`), then a copy. All
    have length ``N``.
    """
    found: list[Finding] = []
    order = np.argsort(twins.group, kind="stable")
    order = order[twins.group[order] >= 0]
    edges = np.flatnonzero(np.diff(twins.group[order])) + 1
    for members in np.split(order, edges) if len(order) else []:
        for other, one in _pairs(members.tolist(), truth, given):
            exact = bool(digests[one] == digests[other])
            kind, severity, said, fix = _said(one, other, exact, truth, given)
            found.append(
                Finding(kind, names[one], said, severity, fix, names[other], row=rows[one])
            )
    return found


def _pairs(
    members: Sequence[int], truth: Sequence[str], given: NDArray[np.int8]
) -> Iterator[tuple[int, int]]:
    """Yield each member but the first with the earlier one that is worst to be the same as."""
    firsts: dict[tuple[str, int], int] = {}  # of each label and part: a crowd stays linear
    for one in members:
        if firsts:
            yield max(firsts.values(), key=lambda i: _badness(one, i, truth, given)), one
        firsts.setdefault((truth[one], int(given[one])), one)


def _badness(one: int, other: int, truth: Sequence[str], given: NDArray[np.int8]) -> int:
    return 2 * (truth[one] != truth[other]) + leaking(int(given[one]), int(given[other]))


def leaking(one: int, other: int) -> bool:
    """Whether two parts of a source may share no example: one tells how good the other made it.

    Of examples without a part some are learnt from, wherever there is a test.
    """
    return one != other and (TEST in (one, other) or {one, other} == {TRAIN, VAL})


def _said(
    one: int, other: int, exact: bool, truth: Sequence[str], given: NDArray[np.int8]
) -> tuple[str, str, str, str]:
    how = "the same as" if exact else "nearly the same as"
    a, b = int(given[one]), int(given[other])
    if truth[one] != truth[other]:
        said = f"{how} another example, but {truth[one]!r} here and {truth[other]!r} there"
        fix = "Look at both: one label is wrong, or the classes overlap."
        return CONTRADICTION, SERIOUS, said, fix
    if leaking(a, b):
        here, there = (PARTS[part] if part >= 0 else "what is learnt from" for part in (a, b))
        said = f"in {here}, and {how} an example in {there}"
        fix = "Take it out of one of them: the score flatters."
        return LEAK, SERIOUS if TEST in (a, b) else WARNING, said, fix
    fix = "Nothing need be done: copies are kept on one side of the split."
    return COPY, NOTE, f"{how} another example", fix
