"""Pairs of thumbnails that may be one picture, in time near-linear in the number of pictures.

Each picture has a 64-bit perceptual hash, the signs of its lowest waves (pHash: Zauner 2010), of
which bands are drawn; pictures that share a band share a bucket (Indyk and Motwani 1998), and only
neighbours in a bucket become pairs. Of the mirror image every odd wave has the other sign: it needs
no picture of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quickstudy.checking.verifying import SIDE

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

FAR = 0.5
"""Root mean square difference of two standardised thumbnails beyond which no crop explains it."""

_BANDS, _LOW = 8, 40  # bands, each of waves drawn from so many of the lowest
_FEWEST_BITS, _MOST_BITS = 12, 16  # of a band: the more pictures, the smaller the buckets
_FLIPS = 3  # least certain bits of a band that are also looked up flipped
_NEIGHBOURS = 32  # compared per entry of a bucket: keeps huge buckets linear
_HAMMING = 22  # most differing bits of 64
_SORTED_BY = 1  # in a bucket: the lowest wave downwards, the same in the mirror image
_BATCH = 32768  # candidate pairs looked at together


@dataclass(frozen=True, eq=False)
class Described:
    """Hash (``N``), low waves of the standardised grey picture (``N 64``), contrast (``N``)."""

    hashes: NDArray[np.uint64]
    values: NDArray[np.float16]
    spread: Floats

    def of(self, rows: Ints) -> Described:
        """Return some of them."""
        return Described(self.hashes[rows], self.values[rows], self.spread[rows])

    def with_mirrors(self) -> Described:
        """Return them, and after them their mirror images: ``2 N``."""
        values = self.values * np.where(_across() % 2, -1, 1).astype(np.float16)
        return Described(
            np.concatenate([self.hashes, _hashes(values)]),
            np.concatenate([self.values, values]),
            np.concatenate([self.spread, self.spread]),
        )


def described(thumbs: NDArray[np.uint8]) -> Described:
    """Describe thumbnails ``N 16 16 C``; some 200 bytes each."""
    waves = _waves()
    n, layers = len(thumbs), thumbs.shape[3]
    values, spread = np.empty((n, 64), np.float16), np.empty(n, np.float32)
    for start in range(0, n, 8192):
        flat = thumbs[start : start + 8192].reshape(-1, SIDE * SIDE * layers).astype(np.float32)
        flat -= flat.mean(axis=1, keepdims=True)
        spread[start : start + 8192] = flat.std(axis=1)
        flat /= np.maximum(spread[start : start + 8192], 1e-3)[:, None]
        values[start : start + 8192] = flat.reshape(-1, SIDE * SIDE, layers).mean(axis=2) @ waves
    return Described(_hashes(values), values, spread)


def candidates(all_: Described, plain: int) -> Iterator[tuple[Ints, Ints]]:
    """Yield pairs whose hashes nearly agree, nearest in their buckets first.

    Bits of equal bands share a bucket. The least certain bits of a band are also looked up
    flipped, so that a bit or two may differ in every band. Those from `plain` on are mirror
    images: of a pair one at most is one, the second.
    """
    if plain < 2:
        return
    bits = int(np.clip(np.log2(plain) + 2, _FEWEST_BITS, _MOST_BITS))
    rng = np.random.default_rng(0)
    for _ in range(_BANDS):
        band = rng.permutation(_LOW)[:bits]
        keys, owners = _entries(all_.values[:, band])
        order = np.lexsort((all_.values[owners, _SORTED_BY], keys))
        yield from _neighbours(keys[order], owners[order], all_, plain)


def _hashes(values: NDArray[np.float16]) -> NDArray[np.uint64]:
    found: NDArray[np.uint64] = np.packbits(values > 0, axis=1).view(np.uint64)[:, 0]
    return found


def _lowest() -> tuple[Ints, Ints]:
    """Return rows and columns of the 64 lowest waves but the constant, lowest first."""
    rows, columns = np.divmod(np.arange(1, SIDE * SIDE), SIDE)
    low = np.argsort(rows + columns, kind="stable")[:64]
    return rows[low], columns[low]


def _across() -> Ints:
    return _lowest()[1]


def _waves() -> Floats:
    """Return the 64 lowest waves but the constant of the cosine transform, shape ``256 64``."""
    k, x = np.meshgrid(np.arange(SIDE), np.arange(SIDE), indexing="ij")
    wave = np.cos(np.pi * k * (2 * x + 1) / (2 * SIDE)) * np.sqrt(2 / SIDE)
    wave[0] /= np.sqrt(2)
    rows, columns = _lowest()
    both = wave[rows, :, None] * wave[columns, None, :]
    waves: Floats = both.reshape(64, -1).T.astype(np.float32)
    return waves


def _entries(part: NDArray[np.float16]) -> tuple[NDArray[np.uint16], Ints]:
    """Return the bucket keys of a band (``N B`` waves), plain and flipped, and whose they are."""
    bit = (1 << np.arange(part.shape[1])).astype(np.uint16)
    plain = ((part > 0) * bit).sum(axis=1, dtype=np.uint16)
    unsure = np.argpartition(np.abs(part), _FLIPS, axis=1)[:, :_FLIPS]
    keys = np.concatenate([plain, *(plain ^ bit[unsure[:, f]] for f in range(_FLIPS))])
    return keys, np.tile(np.arange(len(part)), 1 + _FLIPS)


def _neighbours(
    keys: NDArray[np.uint16], owners: Ints, all_: Described, plain: int
) -> Iterator[tuple[Ints, Ints]]:
    """Yield pairs that share a bucket, stand near in it, and may be alike.

    By Parseval's theorem the distance of the low waves never exceeds that of the pictures.
    """
    hashes, values = all_.hashes, all_.values
    for step in range(1, _NEIGHBOURS + 1):
        at = np.flatnonzero(keys[step:] == keys[:-step])
        one, two = owners[at], owners[at + step]
        one, two = np.minimum(one, two), np.maximum(one, two)
        few = (np.bitwise_count(hashes[one] ^ hashes[two]) <= _HAMMING) & (one < plain)
        few &= (one != two) & (two - one != plain)  # a symmetric picture is its own mirror image
        one, two = one[few], two[few]
        for start in range(0, len(one), _BATCH):
            a, b = one[start : start + _BATCH], two[start : start + _BATCH]
            gap = values[a].astype(np.float32) - values[b]
            near = np.einsum("pw,pw->p", gap, gap) <= (FAR * SIDE) ** 2
            yield a[near], b[near]
