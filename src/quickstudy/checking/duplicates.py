"""Finds examples that are the same picture, byte for byte or nearly, and leaks between parts.

Three steps, each near-linear in the number of pictures ``N``:

1. equal bytes (by their hashes) and equal thumbnails are put together outright;
2. of the rest, pictures with nearly equal 64-bit perceptual hashes become candidate pairs;
3. every candidate pair is verified on its thumbnails: after removing brightness, contrast and the
   stretch of a light crop, what is left must be tiny, in grey levels and beside the contrast.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quickstudy.catalog.types import TEST, TRAIN, VAL

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

SIDE = 16
"""Pixels on a side of a thumbnail."""
PLAIN = 6.0
"""Standard deviation in grey levels (0 to 255) under which a picture is plain: equal or nothing."""
FAR = 0.35
"""Root mean square difference of two standardised thumbnails beyond which no crop explains it."""
RELATIVE = 0.12
"""Most mean difference left, beside the picture's own standard deviation."""
ABSOLUTE = 5.0
"""Most mean difference left, in grey levels."""
LOCAL = 0.25
"""Most mean difference left in any 4 x 4 patch, beside the standard deviation: a small thing that
is there in only one of the two pictures."""
SHIFT = 1.0
"""Most displacement, in thumbnail pixels (a sixteenth of the picture)."""

_BANDS, _BAND_BITS = 4, 16
_FLIPS = 3  # least certain bits of a band that are also looked up flipped
_NEIGHBOURS = 24  # compared per entry of a bucket: keeps huge buckets linear
_PATIENCE = 16  # failed verifications after which a picture no longer asks for one
_HAMMING = 16  # most differing bits of 64
_BATCH = 32768  # candidate pairs looked at together
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
    same = _equal_rows(digests.reshape(len(digests), -1))
    identical = int((np.bincount(same, minlength=len(same))[same] > 1).sum())
    if 2 * identical > len(digests):
        return Duplicates(np.full(len(digests), -1, np.int64), identical, 0)
    return Duplicates(_numbered(same), identical, 0)


def duplicates(digests: NDArray[np.uint64], thumbs: NDArray[np.uint8]) -> Duplicates:
    """Group examples that are the same picture: equal, resized, recompressed, brightened, cropped.

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
    near = _joined(thumbs if len(first) == n else thumbs[first])
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


def _joined(thumbs: NDArray[np.uint8]) -> Ints:
    """Return for each picture the first of those it is near to, through verified pairs.

    Pairs already joined are not verified again, nor those of two pictures that were often found
    unlike their neighbours: both keep a dense crowd of look-alikes near-linear.
    """
    hashes, values, spread = _described(thumbs)
    lively = np.flatnonzero(spread >= PLAIN)
    n = len(thumbs)
    root = np.arange(n, dtype=np.int64)
    unlike = np.zeros(n, np.int64)
    for one, two in _candidates(hashes[lively], values[lively]):
        a, b = lively[one], lively[two]
        open_ = (root[a] != root[b]) & (np.minimum(unlike[a], unlike[b]) < _PATIENCE)
        if not open_.any():
            continue
        a, b = np.divmod(np.unique(np.minimum(a, b)[open_] * n + np.maximum(a, b)[open_]), n)
        ok = np.concatenate(
            [
                alike(thumbs[a[i : i + _CHUNK]], thumbs[b[i : i + _CHUNK]])
                for i in range(0, len(a), _CHUNK)
            ]
        )
        np.add.at(unlike, np.concatenate([a[~ok], b[~ok]]), 1)
        if ok.any():
            root = components(n, np.arange(n), root, a[ok], b[ok])
    return root


def alike(ones: NDArray[np.uint8], twos: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Say for each pair of thumbnails (shape ``P 16 16 3`` twice) whether it is one picture.

    Brightness, contrast and the displacement and stretch of a light crop are taken out by one
    least-squares fit to first order (Lucas and Kanade 1981); see `RELATIVE`, `ABSOLUTE`, `LOCAL`
    and `SHIFT` for what may be left.
    """
    left, moved, spread = residuals(ones, twos)
    size = np.abs(left).reshape(-1, 4, SIDE // 4, 4, SIDE // 4 * 3)
    patches = size.mean(axis=(2, 4))
    mean = patches.mean(axis=(1, 2))
    ok: NDArray[np.bool_] = (mean <= RELATIVE) & (mean * spread <= ABSOLUTE) & (moved <= SHIFT)
    ok &= patches.max(axis=(1, 2)) <= LOCAL
    return ok


def residuals(ones: NDArray[np.uint8], twos: NDArray[np.uint8]) -> tuple[Floats, Floats, Floats]:
    """Return what differs after the fit (``P 16 48``), the displacement (pixels), the contrast."""
    one, spread_one = _standard(ones)
    two, spread_two = _standard(twos)
    middle = ((one + two) / 2).reshape(-1, SIDE, SIDE, 3)
    down, across = np.gradient(middle, axis=(1, 2))
    place = ((np.arange(SIDE, dtype=np.float32) + 0.5) * 2 / SIDE - 1)[:, None]
    terms = [np.ones_like(middle), middle, across, down, across * place, down * place[:, None]]
    inside = np.zeros((SIDE, SIDE, 3), np.float32)  # a crop brings nothing known to the border
    inside[1:-1, 1:-1] = 1
    basis = (np.stack(terms, axis=1) * inside).reshape(len(one), 6, -1)
    difference = ((two - one) * inside.ravel())[:, None]
    normal = basis @ basis.transpose(0, 2, 1) + np.eye(6, dtype=np.float32)
    fit = np.linalg.solve(normal, basis @ difference.transpose(0, 2, 1))
    left = (difference - fit.transpose(0, 2, 1) @ basis).reshape(-1, SIDE, SIDE * 3)
    move = np.abs(fit[:, 2:, 0])
    moved = np.maximum(move[:, 0] + move[:, 2], move[:, 1] + move[:, 3])
    left *= (SIDE / (SIDE - 2)) ** 2
    return left.astype(np.float32), moved, np.maximum(spread_one, spread_two)


def _standard(thumbs: NDArray[np.uint8]) -> tuple[Floats, Floats]:
    """Return pictures of mean 0 and deviation 1 (``P 768``), and the deviation in grey levels."""
    flat = thumbs.reshape(len(thumbs), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    spread = flat.std(axis=1)
    return flat / np.maximum(spread, 1e-3)[:, None], spread


def _waves() -> Floats:
    """Return the 64 lowest waves but the constant of the cosine transform, shape ``256 64``."""
    k, x = np.meshgrid(np.arange(SIDE), np.arange(SIDE), indexing="ij")
    wave = np.cos(np.pi * k * (2 * x + 1) / (2 * SIDE)) * np.sqrt(2 / SIDE)
    wave[0] /= np.sqrt(2)
    rows, columns = np.divmod(np.arange(1, SIDE * SIDE), SIDE)
    low = np.argsort(rows + columns, kind="stable")[:64]
    both = wave[rows[low], :, None] * wave[columns[low], None, :]
    waves: Floats = both.reshape(64, -1).T.astype(np.float32)
    return waves


def _described(
    thumbs: NDArray[np.uint8],
) -> tuple[NDArray[np.uint64], NDArray[np.float16], Floats]:
    """Return hash (``N``), low waves of the standardised grey picture (``N 64``), contrast.

    The hash is the signs of the waves (pHash: Zauner 2010).
    """
    waves = _waves()
    n = len(thumbs)
    values, spread = np.empty((n, 64), np.float16), np.empty(n, np.float32)
    for start in range(0, n, 8192):
        standard, spread[start : start + 8192] = _standard(thumbs[start : start + 8192])
        values[start : start + 8192] = standard.reshape(-1, SIDE * SIDE, 3).mean(axis=2) @ waves
    hashes = np.packbits(values > 0, axis=1).view(np.uint64)[:, 0]
    return hashes, values, spread


def _candidates(
    hashes: NDArray[np.uint64], values: NDArray[np.float16]
) -> Iterator[tuple[Ints, Ints]]:
    """Yield pairs whose hashes nearly agree, nearest in their buckets first.

    The 64 bits are cut into bands of 16; equal bands share a bucket. The least certain bits of a
    band are also looked up flipped, so that a bit or two may differ in every band.
    """
    if len(hashes) < 2:
        return
    for band in range(_BANDS):
        keys, owners = _entries(values[:, band::_BANDS])  # low and high waves in every band
        order = np.lexsort((values[owners, band], keys))
        yield from _neighbours(keys[order], owners[order], hashes, values)


def _entries(part: NDArray[np.float16]) -> tuple[NDArray[np.uint16], Ints]:
    """Return the bucket keys of a band (``N 16`` waves), plain and flipped, and whose they are."""
    bit = (1 << np.arange(_BAND_BITS)).astype(np.uint16)
    plain = ((part > 0) * bit).sum(axis=1, dtype=np.uint16)
    unsure = np.argpartition(np.abs(part), _FLIPS, axis=1)[:, :_FLIPS]
    keys = np.concatenate([plain, *(plain ^ bit[unsure[:, f]] for f in range(_FLIPS))])
    return keys, np.tile(np.arange(len(part)), 1 + _FLIPS)


def _neighbours(
    keys: NDArray[np.uint16],
    owners: Ints,
    hashes: NDArray[np.uint64],
    values: NDArray[np.float16],
) -> Iterator[tuple[Ints, Ints]]:
    """Yield pairs that share a bucket, stand near in it, and may be alike.

    By Parseval's theorem the distance of the low waves never exceeds that of the pictures.
    """
    for step in range(1, _NEIGHBOURS + 1):
        at = np.flatnonzero(keys[step:] == keys[:-step])
        one, two = owners[at], owners[at + step]
        few = (np.bitwise_count(hashes[one] ^ hashes[two]) <= _HAMMING) & (one != two)
        one, two = one[few], two[few]
        for start in range(0, len(one), _BATCH):
            a, b = one[start : start + _BATCH], two[start : start + _BATCH]
            gap = values[a].astype(np.float32) - values[b]
            near = np.einsum("pw,pw->p", gap, gap) <= (FAR * SIDE) ** 2
            yield a[near], b[near]


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
