"""Splits a catalog into train, val and test: seeded, stratified, duplicates kept together.

Examples that must stay together (a group of the user's, near-duplicates, or both in a chain) form
one *union*; most unions are one example. Test is held out first, then val; train keeps the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quickstudy.catalog.types import FREE, TEST, TRAIN, VAL
from quickstudy.checking import components
from quickstudy.errors import SourceError

Ints = NDArray[np.int64]

MOST_TEST = 10_000
"""Examples held out for test at most: then a 95 % interval is within 1 % either way."""
MOST_VAL = 5_000
"""Examples held out for val at most: it is scored many times while learning."""


@dataclass(frozen=True, eq=False)
class Split:
    """The example numbers of each part, sorted; disjoint, and together every example."""

    train: Ints
    val: Ints
    test: Ints

    @property
    def part(self) -> NDArray[np.int8]:
        """`TRAIN`, `VAL` or `TEST` for each example, shape ``N``."""
        part = np.full(len(self.train) + len(self.val) + len(self.test), TRAIN, np.int8)
        part[self.val], part[self.test] = VAL, TEST
        return part


def split(
    labels: Ints,
    *,
    given: NDArray[np.int8],
    groups: Ints,
    duplicates: Ints,
    seed: int,
    test: float = 0.15,
    val: float = 0.1,
    most_test: int = MOST_TEST,
    most_val: int = MOST_VAL,
) -> Split:
    """Split examples with `labels` (shape ``N``) by class, never cutting a union in two.

    `given` (`TRAIN`, `VAL`, `TEST`, `FREE`), `groups` and `duplicates` (equal numbers stay
    together, -1 alone) have shape ``N``. A part that is given stays as it is; one that is given
    nowhere is held out of the free and the train examples; a free example whose union is given
    goes where that is. Where a given test has members of every group, val cuts groups in two.
    `test` and `val` are shares of what may be moved, at most `most_test` and `most_val` examples.
    A class has one union at least in train, then test, then val, even beyond those sizes.
    Raises `SourceError` when the given parts leave nothing to train on.

    >>> alone = np.full(20, -1)
    >>> parts = split(np.arange(20) % 2, given=alone.astype(np.int8), groups=alone,
    ...               duplicates=alone, seed=0)
    >>> len(parts.train), len(parts.val), len(parts.test)
    (15, 2, 3)
    """
    union = unions(groups, duplicates)
    part = _settled(given, union)
    rng = np.random.default_rng(seed)
    movable = {side: _movable(part, union, side) for side in (TEST, VAL)}
    if (part == TEST).any() and not (movable[VAL].any() or (part == VAL).any()):
        # The given test has members of every group: val must be, though it cuts them.
        union = unions(np.full_like(groups, -1), duplicates)
        movable[VAL] = _movable(part, union, VAL)
    room = {TEST: (test, most_test), VAL: (val, most_val)}
    for side, reserve in ((TEST, 1 if val else 0), (VAL, 0)):
        share, most = room[side]
        pool = movable[side] & ((part == FREE) | (part == TRAIN))
        wanted = _wanted(labels, movable[side], share, most)
        if share and pool.any():
            part[_Hold(labels, union, part, pool, side, reserve, wanted, rng).taken()] = side
    part[part == FREE] = TRAIN
    if len(part) and not (part == TRAIN).any():
        raise SourceError(
            "No example is left to train on: all of them are given as test or val.",
            "Add a train part, or drop the parts and let them be chosen.",
        )
    return Split(*(np.flatnonzero(part == side) for side in (TRAIN, VAL, TEST)))


def unions(groups: Ints, duplicates: Ints) -> Ints:
    """Return the union of each example, numbered 0, 1, ... without gaps."""
    links: list[Ints] = []
    for group in (groups, duplicates):
        member = np.flatnonzero(group >= 0)
        _, first, which = np.unique(group[member], return_index=True, return_inverse=True)
        links += [member, member[first[which]]]
    root = components(len(groups), *links)
    number = np.cumsum(root == np.arange(len(root))) - 1
    return number[root].astype(np.int64)


def _settled(given: NDArray[np.int8], union: Ints) -> NDArray[np.int8]:
    """Return `given` with the free members of a union that is given sent where it is."""
    part = given.astype(np.int8)
    count = int(union.max(initial=-1)) + 1
    for side in (TRAIN, TEST, VAL):  # train first: it makes no further test example a leak
        there = np.zeros(count, bool)
        there[union[given == side]] = True
        part[(part == FREE) & there[union]] = side
    return part


def _movable(part: NDArray[np.int8], union: Ints, side: int) -> NDArray[np.bool_]:
    """Say which examples may be held out for `side`: their whole union must be.

    None where the source itself gives that part.
    """
    if (part == side).any():
        return np.zeros(len(part), bool)
    may = (part == FREE) | (part == TRAIN)
    bound = np.zeros(int(union.max(initial=-1)) + 1, bool)
    bound[union[~may]] = True
    return ~bound[union]


def _wanted(
    labels: Ints, movable: NDArray[np.bool_], share: float, most: int
) -> NDArray[np.float64]:
    """Return how many examples of each class to hold out, not yet rounded, shape ``K``."""
    count = np.bincount(labels[movable], minlength=int(labels.max(initial=-1)) + 1)
    total = count.sum() * share
    return count * share * (min(1.0, most / total) if total else 0.0)


def _rounded(wanted: NDArray[np.float64], least: Ints) -> Ints:
    """Round to whole numbers of the same sum by largest remainder, but not under `least`."""
    whole = np.maximum(np.floor(wanted + 1e-9).astype(np.int64), least)
    missing = int(np.floor(wanted.sum() + 0.5)) - int(whole.sum())
    if missing > 0:
        whole[np.argsort(whole - wanted, kind="stable")[:missing]] += 1
    return whole


class _Hold:
    """Chooses the examples of `pool` to hold out for one side.

    Unions of several examples are offered in random order and taken while that brings the classes
    nearer to their share; single examples then fill every class up exactly.
    """

    def __init__(
        self,
        labels: Ints,
        union: Ints,
        part: NDArray[np.int8],
        pool: NDArray[np.bool_],
        side: int,
        reserve: int,
        wanted: NDArray[np.float64],
        rng: np.random.Generator,
    ) -> None:
        self.labels, self.union, self.rng = labels, union, rng
        k = len(wanted)
        size = np.bincount(union)
        self.single = np.flatnonzero(pool & (size[union] == 1))
        self.grouped = np.flatnonzero(pool & (size[union] > 1))
        learnable = np.flatnonzero((part == FREE) | (part == TRAIN))
        alone = size[union[learnable]] == 1
        left = np.bincount(labels[learnable[alone]], minlength=k)
        left += self._unions_of(learnable[~alone], k)
        has = np.bincount(labels[part == side], minlength=k) > 0
        has_val = np.bincount(labels[part == VAL], minlength=k) > 0
        keep = np.where(has_val, 0, reserve)
        #: How many unions of a class may go: one stays for train, one for val if there are enough.
        self.most = np.maximum(np.minimum(1, left - 1), left - 1 - keep).clip(0)
        self.least = np.where(has, 0, np.minimum(1, self.most))
        self.wanted = wanted
        self.out = np.zeros(k, np.int64)  # examples taken, by class
        self.gone = np.zeros(k, np.int64)  # unions taken, by class

    def _unions_of(self, members: Ints, k: int) -> Ints:
        """Return how many unions have a member of each class."""
        both = np.unique(self.union[members] * k + self.labels[members])
        return np.bincount(both % k, minlength=k).astype(np.int64)

    def taken(self) -> Ints:
        """Return the numbers of the examples to hold out."""
        chosen = self._grouped() if len(self.grouped) else []
        single = self._singles()
        return np.concatenate([*chosen, single]).astype(np.int64)

    def _singles(self) -> Ints:
        """Return single examples that fill up each class, at random within a class."""
        quota = np.minimum(_rounded(self.wanted, self.least) - self.out, self.most - self.gone)
        mixed = self.rng.permutation(self.single)
        label = self.labels[mixed]
        order = np.argsort(label, kind="stable")
        count = np.bincount(label, minlength=len(self.wanted))
        rank = np.arange(len(mixed)) - np.repeat(np.cumsum(count) - count, count)
        chosen: Ints = mixed[order[rank < quota[label[order]]]]
        return chosen

    def _grouped(self) -> list[Ints]:
        """Return the member numbers of each union of several examples to hold out."""
        members = self.grouped[np.argsort(self.union[self.grouped], kind="stable")]
        starts = np.flatnonzero(np.diff(self.union[members], prepend=-1))
        unions = np.split(members, starts[1:])
        singles = np.bincount(self.labels[self.single], minlength=len(self.wanted))
        groups = np.bincount(self.labels[members], minlength=len(self.wanted))
        share = self.wanted * groups / np.maximum(singles + groups, 1)
        counts = [np.unique(self.labels[each], return_counts=True) for each in unions]
        chosen = [
            i
            for i in self.rng.permutation(len(unions)).tolist()
            if self._nearer(share, *counts[i]) and self._take(*counts[i])
        ]
        lacking = (self.least > 0) & (self.out == 0) & (singles == 0) & (groups > 0)
        refused = sorted(set(range(len(unions))) - set(chosen), key=lambda i: len(unions[i]))
        for i in refused if lacking.any() else []:
            if (lacking & (self.out == 0))[counts[i][0]].any() and self._take(*counts[i]):
                chosen.append(i)
        return [unions[i] for i in chosen]

    def _nearer(self, share: NDArray[np.float64], classes: Ints, count: Ints) -> bool:
        """Say whether taking a union brings its classes nearer to their shares."""
        miss = self.out[classes] - share[classes]
        change = ((miss + count) ** 2 - miss**2) / np.maximum(share[classes], 1e-9)
        return float(change.sum()) < 0

    def _take(self, classes: Ints, count: Ints) -> bool:
        """Take a union if every class of it can spare one more; say whether it was taken."""
        if (self.gone[classes] >= self.most[classes]).any():
            return False
        self.out[classes] += count
        self.gone[classes] += 1
        return True
