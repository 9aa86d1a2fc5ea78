"""Catalog -> Pictures: every file decoded once, at the working size, into a cache on disk.

The cache is uint8, ``N S S 3``, memory-mapped when read; it is keyed by the files and the decode
settings, so a second run starts at once. Decoding runs on all cores (Pillow works outside
Python's lock) and is written in order of its chunks, so memory stays flat at any size.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quickstudy.catalog import Catalog, LeftOut
from quickstudy.errors import ExampleError, SourceError
from quickstudy.folders import alive, disk_errors, trim_cache, write_whole
from quickstudy.kinds.image.decode import fit, open_picture, suffix_mismatch
from quickstudy.recipe import Recipe

_CHUNK = 256
_THUMB = 16
_FORMAT = 3  # of the cache: raise it when what is stored changes


@dataclass(frozen=True, eq=False)
class Pictures:
    """The decoded examples. Row `i` belongs to example `kept[i]` of the catalog.

    `digests` are content hashes ``N``, `thumbs` small copies ``N 16 16 3``.
    """

    size: int
    kept: NDArray[np.int64]
    digests: NDArray[np.uint64]
    thumbs: NDArray[np.uint8]
    left_out: tuple[LeftOut, ...]
    misnamed: tuple[LeftOut, ...]
    """Files that are used, though their name claims another format than they hold."""
    from_cache: bool
    _map: mmap.mmap

    def __len__(self) -> int:
        return len(self.kept)

    def rows(self, which: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return pictures ``len(which) S S 3``, copied out of the cache."""
        everything = np.frombuffer(self._map, np.uint8).reshape(-1, self.size, self.size, 3)
        return everything[which]

    def forget(self) -> None:
        """Let the system drop the mapped pages: they count as our memory until it does."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)


Each = Callable[[float], None]


def decode(catalog: Catalog, recipe: Recipe, cache: Path, cores: int, each: Each) -> Pictures:
    """Return all pictures of `catalog`, from the cache where it has them.

    `each` hears the share done. Raises `SourceError` when more than half cannot be read and
    `RunError` on a full disk.
    """
    size = cache_size(recipe)
    key = _key(catalog, size, recipe)
    folder = cache / "decoded" / key
    if not (folder / "index.json").is_file():
        with disk_errors("the cache of decoded pictures"):
            folder.mkdir(parents=True, exist_ok=True)
            trim_cache(cache / "decoded", folder)
            _fill(catalog, recipe, size, folder, cores, each)
        pictures = _open(folder, from_cache=False)
    else:
        pictures = _open(folder, from_cache=True)
    each(1.0)
    bad = len(catalog) - len(pictures)
    if bad * 2 > len(catalog):
        worst = ", ".join(f"{o.name}: {o.reason}" for o in pictures.left_out[:3])
        raise SourceError(
            f"{bad:,} of {len(catalog):,} pictures cannot be read ({worst}, ...).",
            "Check that the source is what you mean, and that the files arrived whole.",
        )
    return pictures


def cache_size(recipe: Recipe) -> int:
    """Return the side that pictures are kept at: a quarter more than trained at when cropping."""
    size = recipe.picture.size
    cropped = recipe.method == "scratch" and recipe.augment.crop < 0.6
    return round(size * 1.25 / 8) * 8 if cropped else size


def _key(catalog: Catalog, size: int, recipe: Recipe) -> str:
    how = recipe.picture
    what = f"{_FORMAT} {catalog.stamp} {size} {how.fit} {how.max_pixels}"
    return hashlib.blake2b(what.encode(), digest_size=16).hexdigest()


#: Example, pixels, thumbnail, digest, and the format a misnamed file really holds.
_Row = tuple[int, NDArray[np.uint8], NDArray[np.uint8], int, str | None]


def _fill(
    catalog: Catalog, recipe: Recipe, size: int, folder: Path, cores: int, each: Each
) -> None:
    kept: list[int] = []
    digests: list[int] = []
    left_out: list[LeftOut] = []
    misnamed: list[LeftOut] = []
    for stale in folder.glob("*.part"):
        if not alive(int(stale.stem.rpartition(".")[2])):
            stale.unlink(missing_ok=True)
    part = folder / f"pictures.{os.getpid()}.part"
    thumbs_part = folder / f"thumbs.{os.getpid()}.part"
    with part.open("wb") as out, thumbs_part.open("wb") as small:
        for row in _rows(catalog, recipe, size, cores, each):
            if isinstance(row, LeftOut):
                left_out.append(row)
                continue
            number, pixels, thumb, digest, really = row
            if really is not None:
                misnamed.append(LeftOut(str(catalog.names[number]), f"is {really}"))
            out.write(pixels.data)
            small.write(thumb.data)
            kept.append(number)
            digests.append(digest)
        if not kept:
            out.write(b"\0")  # an empty file cannot be mapped
    part.replace(folder / "pictures")
    thumbs_part.replace(folder / "thumbs")
    index = {
        "size": size,
        "kept": kept,
        "digests": digests,
        "left_out": [[o.name, o.reason] for o in left_out],
        "misnamed": [[o.name, o.reason] for o in misnamed],
    }
    write_whole(folder / "index.json", json.dumps(index))  # last: it says that all is there


def _rows(
    catalog: Catalog, recipe: Recipe, size: int, cores: int, each: Each
) -> Iterator[_Row | LeftOut]:
    def one(i: int) -> _Row | LeftOut:
        try:
            return _decode_one(catalog, i, size, recipe)
        except ExampleError as problem:
            return LeftOut(str(catalog.names[i]), problem.message)

    with ThreadPoolExecutor(cores) as pool:
        for start in range(0, len(catalog), _CHUNK):
            yield from pool.map(one, range(start, min(start + _CHUNK, len(catalog))))
            each(min(1.0, (start + _CHUNK) / len(catalog)))


def _decode_one(catalog: Catalog, i: int, size: int, recipe: Recipe) -> _Row:
    raw = catalog.read(i)
    picture = open_picture(raw, size=size, max_pixels=recipe.picture.max_pixels)
    pixels = np.ascontiguousarray(fit(picture, size, recipe.picture.fit))
    thumb = np.ascontiguousarray(fit(picture, _THUMB, "squash"))
    really = suffix_mismatch(raw) if isinstance(raw, Path) else None
    return i, pixels, thumb, _digest(raw), really


def _digest(raw: object) -> int:
    if isinstance(raw, Path):
        with raw.open("rb") as file:
            content = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=8))
        return int.from_bytes(content.digest(), "little")
    array = np.ascontiguousarray(np.asarray(raw))
    head = f"{array.shape}{array.dtype}".encode()
    return int.from_bytes(hashlib.blake2b(head + array.tobytes(), digest_size=8).digest(), "little")


def _open(folder: Path, *, from_cache: bool) -> Pictures:
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    folder.touch()  # last used now: the oldest caches are dropped first
    with (folder / "pictures").open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    thumbs = np.fromfile(folder / "thumbs", np.uint8).reshape(-1, _THUMB, _THUMB, 3)
    return Pictures(
        size=index["size"],
        kept=np.array(index["kept"], dtype=np.int64),
        digests=np.array(index["digests"], dtype=np.uint64),
        thumbs=thumbs,
        left_out=tuple(LeftOut(name, reason) for name, reason in index["left_out"]),
        misnamed=tuple(LeftOut(name, reason) for name, reason in index["misnamed"]),
        from_cache=from_cache,
        _map=mapped,
    )
