"""Copies planted among honest examples, and found: pictures, recordings, and very many pictures.

`pictures` and `small_pictures` plant one changed copy of every picture of one half of a source
beside all of it and ask `quickstudy.checking`, as `learn` and `check` do; `recordings` does the
same with spoken digits. Scored are the copies that stand in one group with what they were made
from, and the honest examples that stand in a group with another honest one. `many` searches
100,000 pictures for copies, `whole` runs all of `quickstudy check` on files.
"""

from __future__ import annotations

import io
import resource
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
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
SIDE = 128
"""Pixels of a side of the pictures made."""

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


def photographs(n: int, rng: np.random.Generator) -> Iterator[Picture]:
    """Make `n` pictures of `SIDE` pixels: windows of two photographs, blended."""
    paths = sorted(CATS.rglob("*.jpg"))
    sources = []
    for path in paths:
        picture = Image.open(path)
        picture.draft("RGB", (200, 200))
        picture.thumbnail((240, 240))
        sources.append(picture.convert("RGB"))
    for _ in range(n):
        one, two = (window(sources[i], rng) for i in rng.integers(0, len(sources), 2))
        yield Image.blend(one, two, float(rng.choice([0, 0.15, 0.3])))


def window(picture: Picture, rng: np.random.Generator) -> Picture:
    """Return a part of a picture, upside down or not."""
    side = int(rng.uniform(0.4, 0.9) * min(picture.size))
    left, top = (int(rng.integers(0, most - side + 1)) for most in picture.size)
    part = picture.resize(
        (SIDE, SIDE), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side)
    )
    return ImageOps.flip(part) if rng.random() < 0.3 else part


def many_thumbs(n: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return thumbnails of `n` pictures, the last `PLANTED` copies of the first, and of which."""
    from quickstudy.kinds import measured
    from quickstudy.kinds.image.decode import fit

    rng = np.random.default_rng(0)
    thumbs, changes = np.empty((n, 16, 16, 3), np.uint8), list(CHANGES.items())
    honest = n - PLANTED
    for i, picture in enumerate(photographs(honest, rng)):
        thumbs[i] = fit(picture, 16, "squash")
        if i < PLANTED:
            name, change = changes[i % len(changes)]
            file = saved(change(picture, rng), 30 if name in _ROUGH else 95)
            thumbs[honest + i] = measured("image", file, 10**9).thumb
    return thumbs, np.arange(PLANTED)


def many() -> list[dict[str, Any]]:
    """Search 25,000, 50,000 and 100,000 pictures for copies: seconds, memory, what is found."""
    from quickstudy.checking import duplicates

    rows = []
    every, of = many_thumbs(MANY)
    for n in (MANY // 4, MANY // 2, MANY):
        thumbs = np.concatenate([every[: n - PLANTED], every[-PLANTED:]])
        before, began = peak(), time.process_time()
        wall = time.perf_counter()
        group = duplicates(np.arange(n, dtype=np.uint64), thumbs).group
        honest, planted_ = group[:-PLANTED], group[-PLANTED:]
        together = np.bincount(honest[honest >= 0], minlength=1)
        accused = (honest >= 0) & (together[honest] > 1)
        hits = (planted_ >= 0) & (planted_ == honest[of])
        rows.append(
            {
                "pictures": f"{n:,}",
                "processor seconds": f"{time.process_time() - began:.0f}",
                "seconds": f"{time.perf_counter() - wall:.0f}",
                "peak memory, MB": f"{peak():.0f} (before: {before:.0f})",
                "copies found, %": f"{100 * hits.mean():.1f}",
                "honest accused, %": f"{100 * accused.mean():.2f}",
            }
        )
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


def whole(n: int = 20_000) -> list[dict[str, Any]]:
    """Write `n` JPEG files and run the whole of `quickstudy check` on them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "data"
        for kind in ("one", "two"):
            (folder / kind).mkdir(parents=True)
        for i, picture in enumerate(photographs(n, np.random.default_rng(0))):
            (folder / ("one", "two")[i % 2] / f"{i}.jpg").write_bytes(saved(picture, 90))
        command = [sys.executable, "-m", "quickstudy", "check", str(folder), "--json"]
        command += ["--out", str(Path(name) / "checked")]
        _, took, memory = measuring.timed(command, Path(name) / "cache", Path(name))
    row = {"pictures": f"{n:,}", "seconds": f"{took:.0f}", "peak memory, MB": f"{memory:.0f}"}
    return [row | {"milliseconds each": f"{1000 * took / n:.1f}"}]


def peak() -> float:
    """Return the most memory that this process ever held, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


SOUNDS: dict[str, Callable[[NDArray[np.float32], int], tuple[NDArray[np.float32], int]]] = {
    "trimmed by 3 and 5 %": lambda wave, rate: (
        wave[round(0.03 * len(wave)) : len(wave) - round(0.05 * len(wave))],
        rate,
    ),
    "resampled to 16 kHz": lambda wave, rate: (resampled(wave, rate, 16_000), 16_000),
    "resampled to 6 kHz": lambda wave, rate: (resampled(wave, rate, 6_000), 6_000),
    "gain -20 dB": lambda wave, rate: (wave / 10, rate),
}


def resampled(wave: NDArray[np.float32], rate: int, to: int) -> NDArray[np.float32]:
    """Return a wave at another rate."""
    import torch

    from quickstudy.kinds.sound.frontend import resample

    return resample(torch.from_numpy(wave)[None], rate, to)[0].numpy()


def recordings() -> list[dict[str, Any]]:
    """Spoken digits: 3,000 recordings, 1,500 copies for each change."""
    import soundfile

    from quickstudy.checking import duplicates
    from quickstudy.kinds.sound.thumb import thumb

    files = [soundfile.read(path, dtype="float32") for path in sorted(DIGITS.rglob("*.flac"))]
    here, n = np.stack([thumb(*one) for one in files]), len(files)
    of, rows = np.arange(0, n, 2), []
    for name, change in SOUNDS.items():
        copies = np.stack([thumb(*change(*files[i])) for i in of.tolist()])
        digests = np.arange(n + len(of), dtype=np.uint64)
        group = duplicates(digests, np.concatenate([here, copies]), "sound").group
        honest, planted_ = group[:n], group[n:]
        hits = (planted_ >= 0) & (planted_ == honest[of])
        together = np.bincount(honest[honest >= 0], minlength=1)
        accused = int(((honest >= 0) & (together[honest] > 1)).sum())
        found = int(hits.sum()), accused, int(((planted_ >= 0) & ~hits).sum())
        rows.append(row("spoken digits", name, n, of, found))
    return rows
