"""Finds examples that are the same, byte for byte or nearly, and leaks between parts.

Three steps, each near-linear in the number of examples ``N``:

1. equal bytes (by their hashes) and equal thumbnails are put together outright;
2. of the rest, thumbnails with nearly equal perceptual hashes become candidate pairs (`buckets`),
   of pictures also one and the mirror image of the other;
3. every candidate pair is verified on its thumbnails (`verifying`, `hearing`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quickstudy.catalog.types import TEST, TRAIN, VAL
from quickstudy.checking.buckets import candidates, described
from quickstudy.checking.hearing import alike_sounds
from quickstudy.checking.verifying import SIDE, alike

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

PLAIN = 6.0
"""Standard deviation in grey levels (0 to 255) under which a picture is plain: equal or nothing."""

_PATIENCE = 16  # failed verifications after which a picture no longer asks for one
_CHUNK = 1024  # pairs verified at once: 768 x 6 float32 each, 19 MB


@dataclass(frozen=True, eq=False)
class Duplicates:
    """Which examples are the same picture.

    `group` has shape ``N``: equal numbers for examples that are the same or nearly the same
    picture, -1 when alone. `identical` counts the examples that have a twin equal byte for byte,
    `near` those that are in a group only because they look the same; the sum is all in groups.
    """

    group: Ints
    identical: int
    near: int


def same_rows(digests: NDArray[np.uint64]) -> Duplicates:
    """Group the rows of a table that are equal, by their content hashes ``N``.

    Where most have a twin there are few cases, and they recur: then nothing is put together.
    >>> same_rows(np.array([1, 2, 1, 3, 4], np.uint64)).group.tolist()
    [0, -1, 0, -1, -1]
    """
    if len(digests) == 0:
        return Duplicates(np.empty(0, np.int64), 0, 0)
    same = _equal_rows(digests.reshape(len(digests), -1))
    identical = int((np.bincount(same, minlength=len(same))[same] > 1).sum())
    if 2 * identical > len(digests):
        return Duplicates(np.full(len(digests), -1, np.int64), identical, 0)
    return Duplicates(_numbered(same), identical, 0)


def duplicates(
    digests: NDArray[np.uint64], thumbs: NDArray[np.uint8], kind: str = "image"
) -> Duplicates:
    """Group the same pictures: equal, resized, recompressed, brightened, cropped, mirrored.

    Recordings are the same when equal, trimmed, resampled, or of another gain.

    `digests` holds content hashes of the files, shape ``N`` or ``N 2``; `thumbs` holds small RGB
    pictures, shape ``N 16 16 3``. Pictures under `PLAIN` contrast are only near when their
    thumbnails are equal. Costs a few seconds and under 200 MB for 100,000 pictures.

    >>> one, two = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    >>> found = duplicates(np.array([1, 2, 1], np.uint64), np.stack([one, two, one]))
    >>> found.group.tolist(), found.identical, found.near
    ([0, -1, 0], 2, 0)
    """
    n = len(thumbs)
    if thumbs.shape != (n, SIDE, SIDE, 3) or len(digests) != n:
        raise ValueError(f"thumbs must be N {SIDE} {SIDE} 3 with one digest each")
    if n == 0:
        return Duplicates(np.empty(0, np.int64), 0, 0)
    here = np.arange(n)
    same = _equal_rows(digests.reshape(n, -1))
    shown = _equal_rows(np.ascontiguousarray(thumbs).reshape(n, -1).view(np.uint64))
    equal = components(n, here, same, here, shown)
    first = np.unique(equal)
    near = _joined(thumbs if len(first) == n else thumbs[first], kind)
    joined = components(n, here, equal, first, first[near])
    group = _numbered(joined)
    identical = np.bincount(same, minlength=n)[same] > 1
    return Duplicates(group, int(identical.sum()), int(((group >= 0) & ~identical).sum()))


def leaks(group: Ints, part: NDArray[np.int8]) -> Ints:
    """Return the indices of test examples whose `group` also has a member in train or val.

    Both have shape ``N``: `Duplicates.group` (-1: alone) and `TRAIN`, `VAL` or `TEST`.

    >>> leaks(np.array([0, 0, 1, 1, -1]), np.array([0, 2, 2, 2, 2], np.int8)).tolist()
    [1]
    """
    seen = np.unique(group[(group >= 0) & ((part == TRAIN) | (part == VAL))])
    return np.flatnonzero((part == TEST) & (group >= 0) & np.isin(group, seen)).astype(np.int64)


def components(n: int, *links: Ints) -> Ints:
    """Return for each of `n` things the smallest number it is linked to, directly or not.

    `links` are pairs of arrays, ``(from, to, from, to, ...)``. Union-find with all links hooked at
    once and paths halved (Shiloach and Vishkin 1982): a few vectorised rounds.

    >>> components(5, np.array([0, 3]), np.array([3, 4])).tolist()
    [0, 1, 2, 0, 0]
    """
    a, b = np.concatenate(links[::2]), np.concatenate(links[1::2])
    root = np.arange(n, dtype=np.int64)
    while len(a):
        one, two = root[a], root[b]
        apart = one != two
        a, b, one, two = a[apart], b[apart], one[apart], two[apart]
        np.minimum.at(root, np.maximum(one, two), np.minimum(one, two))
        while not np.array_equal(root, up := root[root]):
            root = up
    return root


def _joined(thumbs: NDArray[np.uint8], kind: str) -> Ints:
    """Return for each example the first of those it is near to, through verified pairs.

    Pairs already joined are not verified again, nor those of two examples that were often found
    unlike their neighbours: both keep a dense crowd of look-alikes near-linear.
    """
    every = described(thumbs if kind == "image" else thumbs[..., :2])
    lively = np.flatnonzero(every.spread >= PLAIN)
    n, some = len(thumbs), len(lively)
    every = every.of(lively)
    if kind == "image":
        every = every.with_mirrors()
    root = np.arange(n, dtype=np.int64)
    unlike = np.zeros(n, np.int64)
    for one, two in candidates(every, some):
        a, b, turned = lively[one], lively[two % some], two >= some
        open_ = (root[a] != root[b]) & (np.minimum(unlike[a], unlike[b]) < _PATIENCE)
        if not open_.any():
            continue
        a, b, turned = _once(a[open_], b[open_], turned[open_], n)
        ok = _verified(thumbs, a, b, turned, alike if kind == "image" else alike_sounds)
        np.add.at(unlike, np.concatenate([a[~ok], b[~ok]]), 1)
        if ok.any():
            root = components(n, np.arange(n), root, a[ok], b[ok])
    return root


def _once(a: Ints, b: Ints, turned: Bools, n: int) -> tuple[Ints, Ints, Bools]:
    """Return each pair once, the smaller number first."""
    pairs = np.unique((np.minimum(a, b) * n + np.maximum(a, b)) * 2 + turned)
    a, b = np.divmod(pairs // 2, n)
    return a, b, pairs % 2 == 1


def _verified(
    thumbs: NDArray[np.uint8],
    a: Ints,
    b: Ints,
    turned: Bools,
    same: Callable[[NDArray[np.uint8], NDArray[np.uint8]], Bools],
) -> Bools:
    """Say for each pair whether it is one; where `turned`, with the second mirrored."""
    found = []
    for at in range(0, len(a), _CHUNK):
        twos, over = thumbs[b[at : at + _CHUNK]], turned[at : at + _CHUNK]
        twos[over] = twos[over, :, ::-1]
        found.append(same(thumbs[a[at : at + _CHUNK]], twos))
    return np.concatenate(found)


def _equal_rows(rows: NDArray[np.uint64]) -> Ints:
    """Return for each row (``N W``) the number of the first row equal to it."""
    whole = np.ascontiguousarray(rows).view(np.dtype((np.void, rows.shape[1] * 8)))[:, 0]
    _, first, which = np.unique(whole, return_index=True, return_inverse=True)
    return first[which].astype(np.int64)


def _numbered(root: Ints) -> Ints:
    """Return groups numbered 0, 1, ... by first appearance, -1 for those alone."""
    size = np.bincount(root, minlength=len(root))
    number = np.cumsum(size > 1) - 1
    return np.where(size[root] > 1, number[root], -1).astype(np.int64)
