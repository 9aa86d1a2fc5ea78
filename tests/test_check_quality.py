"""Odd pictures and recordings are found, ordinary ones are left in peace."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image, ImageFilter

from quickstudy.checking import Finding
from quickstudy.checking.outliers import modified_z
from quickstudy.checking.quality import odd_pictures, odd_sounds
from quickstudy.errors import ExampleError
from quickstudy.kinds import measured
from quickstudy.kinds.image.measured import blur, laplacian_variance

MOST = 10**8


def scene(seed: int, width: int = 320, height: int = 240) -> Image.Image:
    """Shapes with sharp edges on soft light, and a camera's noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    pixels = 90 + 60 * np.sin(x / rng.uniform(40, 90))[..., None] * rng.uniform(0.3, 1, 3)
    for _ in range(25):
        cx, cy, r = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(8, 40)
        pixels[(x - cx) ** 2 + (y - cy) ** 2 < r * r] = rng.uniform(0, 255, 3)
    pixels += rng.normal(0, 2, pixels.shape)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def pictures(*odd: Image.Image, ordinary: int = 30) -> list[Finding]:
    raws = [scene(seed) for seed in range(ordinary)] + list(odd)
    seen = [measured("image", raw, MOST) for raw in raws]
    names = [str(i) for i in range(ordinary)] + [f"odd{i}" for i in range(len(odd))]
    return odd_pictures(names, range(len(raws)), seen)


def test_ordinary_pictures_are_left_in_peace() -> None:
    assert pictures(ordinary=60) == []


@pytest.mark.parametrize(
    ("check", "severity", "made"),
    [
        ("blank", "serious", Image.new("RGB", (320, 240), (200, 10, 90))),
        ("dark", "warning", scene(99).point(lambda v: v // 8)),
        ("low contrast", "note", scene(99).point(lambda v: 120 + v // 10)),
        ("blurred", "warning", scene(99).filter(ImageFilter.GaussianBlur(4))),
        ("odd shape", "warning", scene(99, 1600, 100)),
        ("tiny", "warning", scene(99).resize((40, 30))),
        ("huge", "note", scene(99).resize((3200, 2400))),
    ],
)
def test_each_sort_of_odd_picture_is_found(check: str, severity: str, made: Image.Image) -> None:
    found = pictures(made)
    assert [(one.check, one.severity, one.name) for one in found] == [(check, severity, "odd0")]
    assert found[0].fix and found[0].row == 30


def test_what_all_are_like_is_no_fault() -> None:
    """X-rays are dark, drawings flat, a strip of film narrow: it is the data's own way."""
    for alter in (
        lambda one: one.point(lambda v: v // 8),
        lambda one: one.point(lambda v: 120 + v // 10),
        lambda one: one.filter(ImageFilter.GaussianBlur(3)),
        lambda one: one.resize((1600, 100)),
    ):
        seen = [measured("image", alter(scene(seed)), MOST) for seed in range(20)]
        assert odd_pictures([str(i) for i in range(20)], range(20), seen) == []


def test_the_worst_come_first() -> None:
    found = pictures(*(scene(99).point(lambda v, by=by: v // by) for by in (8, 16, 12)))
    assert [one.name for one in found] == ["odd1", "odd2", "odd0"]


def test_a_wrong_name_is_said_and_hides_nothing(tmp_path: Path) -> None:
    Image.new("RGB", (50, 50)).save(tmp_path / "a.jpg", "PNG")
    seen = measured("image", tmp_path / "a.jpg", MOST)
    found = odd_pictures(["a.jpg"], [7], [seen])
    assert [(one.check, one.row) for one in found] == [("wrong name", 7), ("blank", 7)]
    assert found[0].problem == "wrong name: the file is PNG"


def test_variance_of_the_laplacian_is_torchs() -> None:
    light = np.random.default_rng(0).uniform(0, 255, (33, 21)).astype(np.float32)
    kernel = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])[None, None]
    oracle = torch.nn.functional.conv2d(torch.from_numpy(light)[None, None], kernel)
    assert laplacian_variance(light) == pytest.approx(float(oracle.var(correction=0)), rel=1e-5)
    assert laplacian_variance(light[:2]) == 0.0


def test_blur_grows_with_the_radius_and_not_with_contrast() -> None:
    def of(picture: Image.Image) -> float:
        return blur(np.asarray(picture.convert("L"), np.float32))

    sharp = scene(5)
    by_radius = [of(sharp.filter(ImageFilter.GaussianBlur(r))) for r in (0, 1, 2, 4)]
    assert by_radius == sorted(by_radius) and by_radius[0] < 0.5 < 0.7 < by_radius[3]
    light = np.asarray(sharp.convert("L"), np.float32)
    assert blur(light / 3 + 40) == pytest.approx(blur(light), rel=1e-3)
    assert blur(light.T) == pytest.approx(blur(light))
    assert blur(light[:18]) == 0.0


def test_modified_z_is_the_normal_distributions() -> None:
    values = np.random.default_rng(0).normal(3, 2, 100_001)
    z = modified_z(values)
    assert z.std() == pytest.approx(1, abs=0.02) and np.median(z) == 0
    spoilt = np.append(values, np.full(20_000, 1e6))  # a sixth of them: little changes
    assert abs(modified_z(spoilt)[:1000] - z[:1000]).max() < 1.5
    assert modified_z(np.array([5.0, 5, 5, 5, 5.001]), least=0.1).max() == pytest.approx(0.01)
    assert modified_z(np.empty(0)).shape == (0,)


def tone(seconds: float, seed: int, rate: int = 8000) -> np.ndarray:
    rng = np.random.default_rng(seed)
    t = np.arange(round(rate * seconds)) / rate
    wave = np.sin(2 * np.pi * rng.uniform(200, 900) * t) + 0.3 * rng.standard_normal(len(t))
    return (0.4 * wave / np.abs(wave).max()).astype(np.float32)


def sounds(*odd: Any) -> list[Finding]:
    rng = np.random.default_rng(1)
    raws = [(tone(rng.uniform(0.8, 1.3), seed), 8000) for seed in range(20)] + list(odd)
    seen = [measured("sound", raw, MOST) for raw in raws]
    names = [str(i) for i in range(20)] + [f"odd{i}" for i in range(len(odd))]
    return odd_sounds(names, range(len(raws)), seen)


def test_ordinary_recordings_are_left_in_peace() -> None:
    assert sounds() == []


@pytest.mark.parametrize(
    ("check", "severity", "made"),
    [
        ("silent", "serious", tone(1, 50) * np.float32(1e-3)),
        ("clipped", "warning", (9 * tone(1, 50)).clip(-1, 1)),
        ("clipped", "warning", (9 * tone(1, 50)).clip(-1, 1) * np.float32(0.25)),  # gain after
        ("short", "warning", tone(0.1, 50)),
        ("long", "note", tone(9, 50)),
    ],
)
def test_each_sort_of_odd_recording_is_found(check: str, severity: str, made: np.ndarray) -> None:
    found = sounds((made, 8000))
    assert [(one.check, one.severity, one.name) for one in found] == [(check, severity, "odd0")]


def test_clipping_counts_both_ends_in_sixteen_bits_and_over_blocks() -> None:
    wave = np.zeros(700_000)  # three blocks
    wave[1000:1010], wave[500_000:500_010] = 32767, -32768
    wave[600_000] = 32767  # alone: a peak as any wave has it
    seen = measured("sound", (wave.astype(np.int16), 8000), MOST)
    assert seen.clipped == pytest.approx(20 / 700_000)
    assert seen.seconds == 87.5 and seen.peak == 1.0


def test_a_quiet_recording_in_eight_bits_is_not_clipped() -> None:
    """Spoken digits are so: the peak is 19 steps high, and three samples in a row stand there."""
    wave = np.repeat((256 * (30 * tone(1, 3)).round()).astype(np.int16), 3)
    assert 2000 < abs(wave).max() < 4000
    assert measured("sound", (wave, 8000), MOST).clipped == 0
    fine = wave + np.random.default_rng(0).integers(0, 2, len(wave), np.int16) * (wave == 0)
    assert measured("sound", (fine, 8000), MOST).clipped > 0


def test_a_full_sine_is_not_clipped() -> None:
    for pitch in (50, 440, 3000):
        wave = np.sin(2 * np.pi * pitch * np.arange(48_000) / 48_000)
        for raw in (wave.astype(np.float32), (32767 * wave).round().astype(np.int16)):
            assert measured("sound", (raw, 48_000), MOST).clipped < 0.001


def test_what_stands_in_a_file_is_measured(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Canon\0", "EOS 5D"
    scene(1, 300, 200).save(tmp_path / "a.jpg", exif=exif)
    seen = measured("image", tmp_path / "a.jpg", MOST)
    assert (seen.camera, seen.format, seen.width, seen.height) == ("Canon EOS 5D", "JPEG", 300, 200)
    assert seen.bytes == (tmp_path / "a.jpg").stat().st_size
    framed = np.full((100, 100, 3), 120, np.uint8)
    framed[3:-3, 3:-3] = np.asarray(scene(2, 94, 94))
    assert measured("image", framed, MOST).border == (120, 120, 120, 0)
    soundfile.write(tmp_path / "a.wav", np.stack([tone(0.5, 1)] * 2, 1), 8000)
    heard = measured("sound", tmp_path / "a.wav", MOST)
    assert (heard.channels, heard.rate, heard.format, heard.seconds) == (2, 8000, "WAV", 0.5)
    assert replace(heard, bytes=5000.0).traits["file size a second"] == 10_000
    with pytest.raises(ExampleError, match="silent"):
        measured("sound", (np.zeros(4000, np.float32), 8000), MOST)
