"""Pictures decoded by a GPU, where it is quicker than the cores and reads as they do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from quickstudy.catalog import Catalog, LeftOut
from quickstudy.catalog.digests import digest
from quickstudy.errors import ExampleError
from quickstudy.hardware import QUICKER, readers, seconds_per_call
from quickstudy.kinds import Piece

#: Example, what was decoded, digest.
Row: TypeAlias = tuple[int, Piece, int]

_TOGETHER = 64  # files that are decoded at once, and tried both ways
#: Pictures from which on that is tried: it decodes some hundreds.
WORTH_IT = 20 * _TOGETHER
_APART = 2.0  # levels of 255, on average over a picture: decoding at a fraction changes half of it


@dataclass(frozen=True)
class ByGpu:
    """Decodes the pictures of a catalog on a GPU, those it cannot read on the cores."""

    catalog: Catalog
    how: Any
    cores: int
    device: str
    by_cores: Callable[[int], Row | LeftOut]
    """Decodes one by its number."""

    def rows(self, each: Callable[[float], None]) -> Iterator[Row | LeftOut]:
        """Yield the examples in order."""
        n = len(self.catalog)
        with readers(self.cores) as pool:
            for start in range(0, n, _TOGETHER):
                each(start / n)
                yield from self._together(range(start, min(start + _TOGETHER, n)), pool)

    def _together(self, numbers: Sequence[int], pool: Executor) -> list[Row | LeftOut]:
        from quickstudy.kinds.image.nvjpeg import decoded

        raws, files = zip(*pool.map(self._read, numbers), strict=True)
        try:
            pieces = decoded(raws, files, self.how, self.device)
        except RuntimeError:  # its memory is too small
            pieces = [None] * len(raws)

        def row(i: int, file: bytes | None, piece: Piece | None) -> Row | LeftOut:
            return self.by_cores(i) if piece is None else (i, piece, digest(file))

        return list(pool.map(row, numbers, files, pieces))

    def _read(self, i: int) -> tuple[Any, bytes | None]:
        from quickstudy.kinds.image.nvjpeg import taken

        try:
            raw = self.catalog.read(i)
        except ExampleError:  # the cores say why
            return None, None
        return raw, taken(raw, self.how.max_pixels)

    def quicker(self) -> tuple[bool, str]:
        """Return whether it decodes some of the examples quicker than the cores, and why."""
        last = len(self.catalog) - 1
        some = np.unique(np.linspace(0, last, _TOGETHER).astype(int)).tolist()
        with readers(self.cores) as pool:
            if not any(file for _, file in pool.map(self._read, some)):
                return False, ""
            ways: list[Callable[[], list[Row | LeftOut]]] = [
                lambda: self._together(some, pool),
                lambda: list(pool.map(self.by_cores, some)),
            ]
            ours, theirs = (way() for way in ways)
            apart = max(map(_levels, ours, theirs))
            gpu, cores = (len(some) / seconds_per_call(way, least=0.2) for way in ways)
        said = (
            f"measured here, pictures/s: {gpu:.0f} decoded with the GPU, {cores:.0f} by "
            f"{self.cores} threads; on average over a picture they differ by {apart:.1f} levels of "
            "255 at most"
        )
        if apart > _APART:
            return False, f"{said}: the GPU is refused"
        return cores < QUICKER * gpu, said


def _levels(ours: Row | LeftOut, theirs: Row | LeftOut) -> float:
    """Return how far a picture decoded one way is from the other, on average over its pixels."""
    if isinstance(ours, LeftOut) or isinstance(theirs, LeftOut):
        return 0.0
    apart = ours[1].values.astype(np.int16) - theirs[1].values
    return float(np.abs(apart).mean())
