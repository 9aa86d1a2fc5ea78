"""Examples that are there more than once, as findings: harmless, contradicting, or leaking."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quickstudy.catalog import PARTS, TEST, TRAIN, VAL
from quickstudy.checking.duplicates import Duplicates
from quickstudy.checking.findings import NOTE, SERIOUS, WARNING, Finding
from quickstudy.checking.verifying import alike

Ints = NDArray[np.int64]

CONTRADICTION, LEAK, COPY = "contradiction", "leak", "copy"
MIRRORED = "mirrored, another label"
_CHUNK = 1024  # pairs told apart at once


@dataclass(frozen=True, eq=False)
class Known:
    """What is known of ``N`` examples."""

    truth: Sequence[str]
    given: NDArray[np.int8]
    """The part of the source each is in, -1 for none."""
    names: Sequence[str]
    rows: Sequence[int]


def copies(
    twins: Duplicates,
    digests: NDArray[np.uint64],
    known: Known,
    thumbs: NDArray[np.uint8] | None = None,
) -> list[Finding]:
    """Return one finding for each example that is the same as an earlier one, or nearly.

    The worst that is true of a pair is said: a contradiction (another truth), then a leak (learnt
    from and tested on, where the source itself says so), then a copy. `thumbs` of pictures,
    ``N 16 16 3``, tell mirror images from other copies.
    """
    order = np.argsort(twins.group, kind="stable")
    order = order[twins.group[order] >= 0]
    edges = np.flatnonzero(np.diff(twins.group[order])) + 1
    pairs = [
        pair
        for members in (np.split(order, edges) if len(order) else [])
        for pair in _pairs(members.tolist(), known.truth, known.given)
    ]
    mirrored = _mirrored(pairs, thumbs)
    found: list[Finding] = []
    for (other, one), turned in zip(pairs, mirrored, strict=True):
        how = "the same as" if digests[one] == digests[other] else "nearly the same as"
        said = _said(one, other, "the mirror image of" if turned else how, known, mirrored=turned)
        kind, severity, problem, fix = said
        named = known.names[other]
        row = known.rows[one]
        found.append(Finding(kind, known.names[one], problem, severity, fix, named, row=row))
    return found


def _mirrored(pairs: list[tuple[int, int]], thumbs: NDArray[np.uint8] | None) -> list[bool]:
    """Say for each pair whether only the mirror image of one is like the other."""
    found = np.zeros(len(pairs), bool)
    for at in range(0, len(pairs) if thumbs is not None else 0, _CHUNK):
        assert thumbs is not None
        one, two = (thumbs[list(side)] for side in zip(*pairs[at : at + _CHUNK], strict=True))
        found[at : at + _CHUNK] = ~alike(one, two) & alike(one, two[:, :, ::-1])
    return [bool(one) for one in found]


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
    one: int, other: int, how: str, known: Known, *, mirrored: bool
) -> tuple[str, str, str, str]:
    a, b = int(known.given[one]), int(known.given[other])
    here, there = known.truth[one], known.truth[other]
    if here != there:
        said = f"{how} another example, but {here!r} here and {there!r} there"
        if mirrored:  # b and d, an arrow to the left and to the right
            fix = (
                "Look at both: one label is wrong, or left and right tell the classes apart "
                "(then learn with --set augment.mirror=false)."
            )
            return MIRRORED, WARNING, said, fix
        fix = "Look at both: one label is wrong, or the classes overlap."
        return CONTRADICTION, SERIOUS, said, fix
    if leaking(a, b):
        inside, outside = (PARTS[p] if p >= 0 else "what is learnt from" for p in (a, b))
        said = f"in {inside}, and {how} an example in {outside}"
        fix = "Take it out of one of them: the score flatters."
        return LEAK, SERIOUS if TEST in (a, b) else WARNING, said, fix
    fix = "Nothing need be done: copies are kept on one side of the split."
    return COPY, NOTE, f"{how} another example", fix
