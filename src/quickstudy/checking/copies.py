"""Examples that are there more than once, as findings: harmless, contradicting, or leaking."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quickstudy.catalog import PARTS, TEST, TRAIN, VAL
from quickstudy.checking.duplicates import Duplicates
from quickstudy.checking.findings import NOTE, SERIOUS, WARNING, Finding
from quickstudy.checking.hearing import alike_sounds
from quickstudy.checking.verifying import alike

Bools = NDArray[np.bool_]

CONTRADICTION, LEAK, COPY = "contradiction", "leak", "copy"
MIRRORED = "mirrored, another label"
_SAME, _NEAR, _TURNED = "the same as", "nearly the same as", "the mirror image of"
_LINKED = "through others that are nearly the same linked to"
_CHUNK = 1024  # pairs told apart at once
_ASKED, _LATEST = 8, 3  # labels and parts, and latest examples of each, that one is held against


@dataclass(frozen=True, eq=False)
class Known:
    """What is known of ``N`` examples."""

    truth: Sequence[str]
    given: NDArray[np.int8]
    """The part of the source each is in, -1 for none."""
    names: Sequence[str]
    rows: Sequence[int]


@dataclass(frozen=True, eq=False)
class Contents:
    """What ``N`` examples hold, and whether two of them are the same outright.

    `digests` have shape ``N`` or ``N 2``, `thumbs` ``N 16 16 3`` (None of a table, where only equal
    rows are the same).
    """

    digests: NDArray[np.uint64]
    thumbs: NDArray[np.uint8] | None = None
    kind: str = "image"

    def equal(self, one: int, two: int) -> bool:
        """Whether two are the same byte for byte."""
        return bool((self.digests[one] == self.digests[two]).all())

    def same(self, ones: Sequence[int], twos: Sequence[int]) -> tuple[Bools, Bools]:
        """Say for each pair whether it is one example, and whether the mirror image of one."""
        a, b = np.minimum(ones, twos).astype(np.int64), np.maximum(ones, twos).astype(np.int64)
        straight = (self.digests[a] == self.digests[b]).reshape(len(a), -1).all(axis=1)
        turned = np.zeros(len(a), bool)
        if self.thumbs is None:
            return straight, turned
        for at in range(0, len(a), _CHUNK):
            part = slice(at, at + _CHUNK)
            one, two = self.thumbs[a[part]], self.thumbs[b[part]]
            equal = (one == two).all(axis=(1, 2, 3))  # plain ones are never `alike`
            straight[part] |= equal
            open_ = np.flatnonzero(~straight[part])
            if not len(open_):
                continue
            one, two = one[open_], two[open_]
            if self.kind == "image":
                found = alike(one, two)
                turned[at + open_] = ~found & alike(one, two[:, :, ::-1])
            else:
                found = alike_sounds(one, two)
            straight[at + open_] = found
        return straight, turned


def copies(twins: Duplicates, contents: Contents, known: Known) -> list[Finding]:
    """Return one finding for each example that is the same as an earlier one, or nearly.

    The worst that is true of a pair is said: a contradiction (another truth), then a leak (learnt
    from and tested on, where the source itself says so), then a copy. Of pictures mirror images
    count too, though one of another label may well be right. An example that only a chain of others
    links to the earlier ones is no proof of anything: that is a warning at most.
    """
    order = np.argsort(twins.group, kind="stable")
    order = order[twins.group[order] >= 0]
    edges = np.flatnonzero(np.diff(twins.group[order])) + 1
    asked: dict[int, list[int]] = {}
    for members in np.split(order, edges) if len(order) else []:
        asked.update(_candidates(members.tolist(), known.truth, known.given))
    found: list[Finding] = []
    for one, (other, how) in _chosen(asked, contents, known).items():
        kind, severity, problem, fix = _said(one, other, how, known)
        if how == _LINKED and severity == SERIOUS:
            severity = WARNING
        named = known.names[other]
        row = known.rows[one]
        found.append(Finding(kind, known.names[one], problem, severity, fix, named, row=row))
    return found


def _candidates(
    members: Sequence[int], truth: Sequence[str], given: NDArray[np.int8]
) -> Iterator[tuple[int, list[int]]]:
    """Yield each member but the first with earlier ones, the worst to be the same as first."""
    seen: dict[tuple[str, int], list[int]] = {}  # of each label and part: a crowd stays linear
    for one in members:
        if seen:
            worst = sorted(seen.values(), key=lambda some: -_badness(one, some[0], truth, given))
            yield one, [other for some in worst[:_ASKED] for other in some]
        mine = seen.setdefault((truth[one], int(given[one])), [])
        mine.append(one)
        del mine[1:-_LATEST]  # the first, and the latest: frames of one scene follow one another


def _chosen(
    asked: dict[int, list[int]], contents: Contents, known: Known
) -> dict[int, tuple[int, str]]:
    """Return for each example the one it is the same as, and how: the first that it truly is.

    A mirror image of another label gives way to a leak, which is worse.
    """
    chosen: dict[int, tuple[int, str]] = {}
    mirrored: dict[int, tuple[int, str]] = {}
    waiting = dict.fromkeys(asked, 0)
    while waiting:
        ones = list(waiting)
        others = [asked[one][at] for one, at in waiting.items()]
        straight, turned = contents.same(others, ones)
        for one, other, is_same, is_turned in zip(ones, others, straight, turned, strict=True):
            if is_turned and known.truth[one] != known.truth[other]:
                mirrored.setdefault(one, (other, _TURNED))
            elif is_same or is_turned:
                near = _SAME if contents.equal(one, other) else _NEAR
                chosen[one] = other, _TURNED if is_turned else near
            waiting[one] += 1
            if one in chosen or waiting[one] == len(asked[one]):
                del waiting[one]
    for one, pair in mirrored.items():
        if one not in chosen or not _badness(one, chosen[one][0], known.truth, known.given):
            chosen[one] = pair
    return {one: chosen.get(one, (others[0], _LINKED)) for one, others in asked.items()}


def _badness(one: int, other: int, truth: Sequence[str], given: NDArray[np.int8]) -> int:
    return 2 * (truth[one] != truth[other]) + leaking(int(given[one]), int(given[other]))


def leaking(one: int, other: int) -> bool:
    """Whether two parts of a source may share no example: one tells how good the other made it.

    Of examples without a part some are learnt from, wherever there is a test.
    """
    return one != other and (TEST in (one, other) or {one, other} == {TRAIN, VAL})


def _said(one: int, other: int, how: str, known: Known) -> tuple[str, str, str, str]:
    a, b = int(known.given[one]), int(known.given[other])
    here, there = known.truth[one], known.truth[other]
    if here != there:
        said = f"{how} another example, but {here!r} here and {there!r} there"
        if how == _TURNED:  # b and d, an arrow to the left and to the right
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
