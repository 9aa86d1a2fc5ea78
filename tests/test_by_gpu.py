"""Pictures decoded by a GPU: which files it gets, how they are fitted, when it is taken.

torchvision's decoder for the CPU stands in its place."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from quickstudy import decoding
from quickstudy.catalog import scan
from quickstudy.decoding import by_gpu
from quickstudy.kinds.image import nvjpeg
from quickstudy.kinds.image.preparation import Preparation

HOW = Preparation(40, 40, "crop", (0.5,) * 3, (0.25,) * 3, True)


def jpeg(width: int, height: int, **how: Any) -> bytes:
    """A picture of soft colours, which no two decoders read much otherwise."""
    rng = np.random.default_rng(width)
    rough = Image.fromarray(rng.integers(0, 256, (5, 6, 3), np.uint8))
    picture = rough.resize((width, height), Image.Resampling.BICUBIC)
    out = io.BytesIO()
    picture.convert(how.pop("mode", "RGB")).save(out, "JPEG", quality=95, **how)
    return out.getvalue()


@pytest.fixture(autouse=True)
def few_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "WORTH_IT", 1)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many files were asked for at a time of what stands for a GPU."""
    import torchvision.io

    sizes: list[int] = []

    def read(files: list[Tensor], _: torch.device) -> list[Tensor]:
        sizes.append(len(files))
        return [torch.ops.image.decode_jpeg(one, 3, False) for one in files]

    assert torchvision.io
    monkeypatch.setattr(nvjpeg, "on_gpu", read)
    return sizes


@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
def test_fitted_as_all_pixels_are(fit: str, asked: list[int], tmp_path: Path) -> None:
    how = Preparation(40, 40, fit, (0.5,) * 3, (0.25,) * 3, True)
    raws: list[Any] = [jpeg(90, 61), jpeg(90, 61), jpeg(33, 70), jpeg(40, 40), b"GIF89a"]
    raws += [jpeg(120, 80, progressive=True)]
    odd = tmp_path / "named.png"
    odd.write_bytes(raws[0])
    raws.append(odd)
    files = [nvjpeg.taken(raw, how.max_pixels) for raw in raws]
    found = nvjpeg.decoded(raws, files, how, "cpu")
    assert asked == [6]
    for raw, piece in zip(raws, found, strict=True):
        if raw == b"GIF89a":
            assert piece is None
            continue
        assert piece is not None
        theirs = how.decode(raw)
        assert piece.values.dtype == np.uint8
        assert piece.values.shape == (1, 40, 40, 3)
        apart = np.abs(piece.values.astype(int) - how.values(raw))
        assert apart.max() <= 1  # of 255: the two may have other builds of the same library
        assert np.abs(piece.thumb.astype(int) - theirs.thumb).max() <= 1
        assert piece.remark == theirs.remark
    assert found[-1] is not None
    assert found[-1].remark == "is JPEG"


def test_what_might_be_read_otherwise_is_left_to_the_cores(tmp_path: Path) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    upright = Image.Exif()
    upright[0x0112] = 1
    whole = jpeg(50, 40)
    for data, takes in (
        *((whole, True), (whole + b"\0\0", True), (whole[:-40], False)),
        *((jpeg(50, 40, exif=turned), False), (jpeg(50, 40, exif=upright), True)),
        *((jpeg(50, 40, mode="L"), False), (jpeg(50, 40, mode="CMYK"), False)),
        *((jpeg(50, 40, keep_rgb=True), False), (b"", False), (b"no picture", False)),
    ):
        assert nvjpeg.taken(data, 10_000) == (data if takes else None)
    assert nvjpeg.taken(whole, 1_999) is None
    assert nvjpeg.taken(tmp_path / "missing.jpg", 10_000) is None
    assert nvjpeg.taken(np.zeros((4, 4, 3), np.uint8), 10_000) is None


def test_one_refused_file_does_not_keep_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    raws = [jpeg(50, 40), jpeg(60, 40), jpeg(70, 40)]

    def read(files: list[Tensor], _: torch.device) -> list[Tensor]:
        if any(len(one) == len(raws[1]) for one in files):
            raise RuntimeError("nvjpegDecode failed: 5")
        return [torch.ops.image.decode_jpeg(one, 3, False) for one in files]

    monkeypatch.setattr(nvjpeg, "on_gpu", read)
    found = nvjpeg.decoded(raws, raws, HOW, "cpu")
    assert [piece is None for piece in found] == [False, True, False]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for name in ("one", "two"):
        folder = tmp_path / "source" / name
        folder.mkdir(parents=True)
        for n in range(8):
            (folder / f"{n}.jpg").write_bytes(jpeg(50 + n, 40 + len(name) * n))
        Image.new("RGB", (30, 30), (200, 10, 10)).save(folder / "red.png")
        (folder / "cut.jpg").write_bytes(jpeg(50, 40)[:300])
    return tmp_path / "source"


@pytest.mark.parametrize(
    ("gpu", "taken", "words"),
    [
        (500.0, True, "500 decoded with the GPU, 100 by 1 threads; on average"),
        (102.0, False, "102 decoded with the GPU, 100 by 1 threads; on average"),
        (50.0, False, "50 decoded with the GPU"),
    ],
)
def test_taken_where_it_is_quicker(
    gpu: float,
    taken: bool,
    words: str,
    asked: list[int],
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    catalog = scan(source, cache=tmp_path / "archives")
    took = iter([len(catalog) / gpu, len(catalog) / 100.0])
    monkeypatch.setattr(by_gpu, "seconds_per_call", lambda *_, **__: next(took))
    plain = decoding.decode(catalog, HOW, tmp_path / "cpu", 1, lambda _: None)
    found = decoding.decode(catalog, HOW, tmp_path / "gpu", 1, lambda _: None, "cuda")
    assert words in found.said
    assert asked == [16] * (1 + taken)  # the trial, and what it was for
    assert found.left_out == plain.left_out
    assert np.array_equal(found.kept, plain.kept)
    assert np.array_equal(found.digests, plain.digests)
    for row in range(len(plain)):
        apart = found.piece(row).astype(int) - plain.piece(row)
        assert np.abs(apart).max() <= 1
    again = decoding.decode(catalog, HOW, tmp_path / "gpu", 1, lambda _: None, "cuda")
    assert again.from_cache
    assert (again.said, again.folder) == ("", found.folder)
    cores = decoding.decode(catalog, HOW, tmp_path / "gpu", 1, lambda _: None)
    assert cores.from_cache is not taken  # what the cores decode is a cache of its own


def test_refused_where_it_reads_otherwise(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(files: list[Tensor], _: torch.device) -> list[Tensor]:
        return [torch.ops.image.decode_jpeg(one, 3, False) // 2 for one in files]

    monkeypatch.setattr(nvjpeg, "on_gpu", read)
    monkeypatch.setattr(by_gpu, "seconds_per_call", lambda *_, **__: 1.0)
    found = decoding.decode(
        scan(source, cache=tmp_path / "archives"), HOW, tmp_path, 1, lambda _: None, "cuda"
    )
    assert found.said.endswith("levels of 255 at most: the GPU is refused")
    other = decoding.decode(
        scan(source, cache=tmp_path / "archives"), HOW, tmp_path, 1, lambda _: None
    )
    assert other.folder == found.folder


def test_without_memory_the_cores_decode(
    asked: list[int], source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> Any:
        raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr(nvjpeg, "decoded", full)
    catalog = scan(source, cache=tmp_path / "archives")
    gpu = by_gpu.ByGpu(catalog, HOW, 1, "cuda", lambda i: decoding._row(catalog, HOW, i))
    rows = [row for row in gpu.rows(lambda _: None) if isinstance(row, tuple)]
    assert len(rows) == 18
    assert not asked
