"""Copies planted among honest examples, and found: pictures, recordings, and very many pictures.

`pictures` and `small_pictures` plant one changed copy of every picture of one half of a source
beside all of it and ask `quickstudy.checking`, as `learn` and `check` do; `recordings` does the same
with spoken digits. Scored are the copies that stand in one group with what they were made from, and
the honest examples that stand in a group with another honest one. `many` makes 100,000 JPEG files
and runs the whole of `quickstudy check` on them.
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

import measuring

CATS = measuring.SHARED / "data" / "cats_dogs"
CIFAR = measuring.SHARED / "data" / "cifar10_small.zip"
DIGITS = measuring.SHARED / "data" / "spoken_digits"
CROP = 0.05
"""Of each side, cut off at a place taken at random."""
MANY, PLANTED = 100_000, 2_000
"""Pictures made, and how many of them are copies of others."""

Picture = Image.Image
Change = Callable[[Picture, np.random.Generator], Picture]


def cropped(picture: Picture, rng: np.random.Generator) -> Picture:
    """Cut `CROP` off width and height, somewhere."""
    width, height = picture.size
    off = [max(1, round(CROP * side)) for side in picture.size]
    left, top = (int(rng.integers(0, most + 1)) for most in off)
    return picture.crop((left, top, left + width - off[0], top + height - off[1]))


def half(picture: Picture, _: np.random.Generator) -> Picture:
    """Shrink to half the width and height."""
    return picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.BICUBIC)


CHANGES: dict[str, Change] = {
    "JPEG quality 30": lambda picture, _: picture,
    "half size": half,
    "5 % crop": cropped,
    "brightness +20 %": lambda picture, _: ImageEnhance.Brightness(picture).enhance(1.2),
    "brightness -20 %": lambda picture, _: ImageEnhance.Brightness(picture).enhance(0.8),
    "mirrored": lambda picture, _: ImageOps.mirror(picture),
    "mirrored, half size, quality 30": lambda picture, rng: half(ImageOps.mirror(picture), rng),
}
_ROUGH = ("JPEG quality 30", "mirrored, half size, quality 30")


def saved(picture: Picture, quality: int) -> bytes:
    """Return a picture as a JPEG file."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return file.getvalue()


def seen(files: list[bytes]) -> tuple[NDArray[np.uint64], NDArray[np.uint8]]:
    """Return content hashes and thumbnails of files, as `check` finds them."""
    from quickstudy.catalog.digests import digest
    from quickstudy.kinds import measured

    thumbs = [measured("image", file, 10**9).thumb for file in files]
    return np.array([digest(file) for file in files], np.uint64), np.stack(thumbs)


def scored(
    here: tuple[NDArray[np.uint64], NDArray[np.uint8]],
    copies: tuple[NDArray[np.uint64], NDArray[np.uint8]],
    of: NDArray[np.int64],
) -> tuple[int, int, int]:
    """Return copies found, honest examples accused, and copies put beside others' originals."""
    from quickstudy.checking import duplicates

    n = len(here[0])
    group = duplicates(np.concatenate([here[0], copies[0]]), np.concatenate([here[1], copies[1]]))
    honest, planted = group.group[:n], group.group[n:]
    hits = (planted >= 0) & (planted == honest[of])
    together = np.bincount(honest[honest >= 0], minlength=1)
    accused = (honest >= 0) & (together[honest] > 1)
    return int(hits.sum()), int(accused.sum()), int(((planted >= 0) & ~hits).sum())


def planted(files: list[bytes], title: str, quality: int = 95) -> list[dict[str, Any]]:
    """Plant a copy of every second picture, one change at a time; a row for each change."""
    here = seen(files)
    of = np.arange(0, len(files), 2)
    rows = [row(title, "exact", len(files), of, scored(here, tuple(a[of] for a in here), of))]
    for name, change in CHANGES.items():
        rng = np.random.default_rng(0)
        copies = []
        for i in of.tolist():
            picture = Image.open(io.BytesIO(files[i])).convert("RGB")
            copies.append(saved(change(picture, rng), 30 if name in _ROUGH else quality))
        rows.append(row(title, name, len(files), of, scored(here, seen(copies), of)))
    return rows


def row(
    title: str, change: str, n: int, of: NDArray[np.int64], found: tuple[int, int, int]
) -> dict[str, Any]:
    """Return a row of the table, and print it as it is made."""
    hits, accused, astray = found
    made = {
        "data": title,
        "copy": change,
        "planted": f"{len(of):,}",
        "found, %": f"{100 * hits / len(of):.1f}",
        "honest accused": f"{accused:,} of {n:,}",
        "honest accused, %": f"{100 * accused / n:.2f}",
        "copies of another": astray,
    }
    print(made, file=sys.stderr, flush=True)
    return made


def pictures() -> list[dict[str, Any]]:
    """Cats and dogs: 2,600 photographs, 1,300 copies for each change."""
    files = [path.read_bytes() for path in sorted(CATS.rglob("*.jpg"))]
    return planted(files, "cats and dogs")


def small_pictures() -> list[dict[str, Any]]:
    """CIFAR-10: 6,000 pictures of 32 x 32, of which half size leaves 16 x 16."""
    with zipfile.ZipFile(CIFAR) as archive:
        names = [name for name in sorted(archive.namelist()) if name.endswith(".jpg")]
        files = [archive.read(name) for name in names]
    return planted(files, "CIFAR-10, small")


def main() -> None:
    """Measure what is named, or pictures and recordings."""
    for name in sys.argv[1:] or ["pictures", "small_pictures", "recordings"]:
        measuring.keep(f"trust-copies-{name}", f"Copies found: {name}", globals()[name]())


if __name__ == "__main__":
    main()
