from __future__ import annotations

import io
import time

import numpy as np
import pytest
from PIL import Image, ImageOps
from sklearn.datasets import load_digits, load_sample_images

from quickstudy.catalog.types import TEST, TRAIN, VAL
from quickstudy.checking import alike, components, duplicates, leaks
from quickstudy.checking.hearing import alike_sounds


def thumb(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture.convert("RGB").resize((16, 16), Image.Resampling.BOX))


def distinct(n: int) -> np.ndarray:
    return np.arange(n, dtype=np.uint64)


def scenes(n: int, seed: int = 0) -> list[Image.Image]:
    """Distinct photos: windows cut out of scikit-learn's two sample photos, well apart."""
    rng = np.random.default_rng(seed)
    found = []
    for photo in load_sample_images().images:
        for top in range(0, 427 - 120, 60):
            for left in range(0, 640 - 160, 80):
                found.append(Image.fromarray(photo[top : top + 120, left : left + 160]))
    return [found[i] for i in rng.permutation(len(found))[:n]]


def recompressed(picture: Image.Image) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=60)
    return Image.open(io.BytesIO(file.getvalue()))


CHANGES = {
    "half size": lambda p: p.resize((p.width // 2, p.height // 2)),
    "recompressed": recompressed,
    "brighter": lambda p: p.point(lambda v: min(255, v * 1.1)),
    "cropped": lambda p: p.crop((2, 2, p.width - 2, p.height - 2)),
    "cropped at a corner": lambda p: p.crop((8, 0, p.width, p.height - 6)),
    "darker": lambda p: p.point(lambda v: v * 0.8),
    "mirrored": ImageOps.mirror,
    "mirrored and recompressed": lambda p: recompressed(ImageOps.mirror(p)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_copies_are_found_and_different_pictures_not(change):
    pictures = scenes(60)
    thumbs = [thumb(p) for p in pictures] + [thumb(CHANGES[change](p)) for p in pictures]
    found = duplicates(distinct(120), np.stack(thumbs))
    twin = (found.group[:60] == found.group[60:]) & (found.group[:60] >= 0)
    assert twin.mean() >= 0.85  # windows of sky: cut off at white, or plain but for an edge
    assert np.bincount(found.group[found.group >= 0]).max() == 2
    assert found.near == (found.group >= 0).sum() and found.identical == 0


def test_handwritten_digits_do_not_collapse():
    digits = [thumb(Image.fromarray((d * 15.9).astype(np.uint8))) for d in load_digits().images]
    found = duplicates(distinct(len(digits)), np.stack(digits))
    assert found.near <= 2


def test_symmetric_pictures_are_not_one_another() -> None:
    left = np.stack([thumb(p) for p in scenes(30)])
    both = (left.astype(int) + left[:, :, ::-1]) // 2
    assert (duplicates(distinct(30), both.astype(np.uint8)).group == -1).all()


def test_of_recordings_nothing_is_turned_round() -> None:
    waves = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    turned = np.concatenate([waves, waves[:, :, ::-1]])
    assert duplicates(distinct(4), turned).group.tolist() == [0, 1, 0, 1]
    assert (duplicates(distinct(4), turned, "sound").group == -1).all()


def test_a_moved_picture_is_no_crop() -> None:
    """A crop lies inside the picture; what is moved without being larger shows something new."""
    wide = scenes(1)[0].resize((170, 130))
    moved = [thumb(wide.crop((x, 0, x + 160, 130))) for x in (0, 10)]
    cropped = [thumb(wide.crop(box)) for box in ((0, 0, 160, 130), (8, 0, 160, 124))]
    assert not alike(*(one[None] for one in moved)).any()
    assert alike(*(one[None] for one in cropped)).all()


def test_recordings_must_agree_in_all_bands() -> None:
    one = np.random.default_rng(0).integers(60, 200, (1, 16, 16, 3), dtype=np.uint8)
    cut, other, low = one.copy(), one.copy(), one.copy()
    cut[:, :5, :, 2] = 0  # the first frames were trimmed off
    low[:, :, 14:, 2] = 0  # the last bands were lost to a lower rate
    other[:, :8, :, 2] = 255 - other[:, :8, :, 2] // 2  # another word before the loudest moment
    found = [alike_sounds(one, two).item() for two in (one, cut, low, other)]
    assert found == [True, True, True, False]
    late = np.roll(one[..., :2].transpose(0, 3, 1, 2).reshape(-1), 3).reshape(2, 16, 16)
    shifted = np.concatenate([late, one[0, :, :, 2][None]]).transpose(1, 2, 0)[None]
    assert alike_sounds(one, shifted).all()


def test_identical_and_near_are_counted_apart():
    one, two, three, _ = (thumb(p) for p in scenes(4))
    thumbs = np.stack([one, two, one, np.clip(one.astype(int) + 2, 0, 255).astype(np.uint8), three])
    for digests in ([7, 8, 7, 9, 10], [[7, 1], [7, 2], [7, 1], [9, 1], [7, 3]]):
        found = duplicates(np.array(digests, np.uint64), thumbs)
        assert found.group.tolist() == [0, -1, 0, 0, -1]
        assert (found.identical, found.near) == (2, 1)


def test_plain_pictures_are_near_only_when_equal():
    rng = np.random.default_rng(0)
    thumbs = rng.integers(100, 104, (20, 16, 16, 3), dtype=np.uint8)
    thumbs[3] = thumbs[5]
    assert np.flatnonzero(duplicates(distinct(20), thumbs).group >= 0).tolist() == [3, 5]


def test_a_small_thing_in_one_of_two_pictures_makes_them_different():
    background = np.asarray(thumb(scenes(1)[0])).copy()
    other = background.copy()
    other[6:10, 6:10] = 255 - other[6:10, 6:10] // 2
    assert duplicates(distinct(2), np.stack([background, other])).near == 0


def test_huge_crowds_stay_linear():
    rng = np.random.default_rng(0)
    blank = np.full((20_000, 16, 16, 3), 250, np.uint8)
    noisy = rng.integers(248, 252, (20_000, 16, 16, 3), dtype=np.uint8)
    began = time.process_time()
    found = duplicates(distinct(40_000), np.concatenate([blank, noisy]))
    assert found.near == 20_000 and time.process_time() - began < 10


def test_a_crowd_of_frames_is_joined():
    rng = np.random.default_rng(0)
    base = thumb(scenes(1)[0]).astype(int)
    frames = np.clip(base + rng.integers(-3, 4, (500, 16, 16, 3)), 0, 255).astype(np.uint8)
    found = duplicates(distinct(500), frames)
    assert (found.group == 0).all() and found.near == 500


def test_nothing_and_one():
    none = duplicates(distinct(0), np.empty((0, 16, 16, 3), np.uint8))
    assert len(none.group) == 0 and none.near == none.identical == 0
    assert duplicates(distinct(1), np.zeros((1, 16, 16, 3), np.uint8)).group.tolist() == [-1]
    with pytest.raises(ValueError, match="16 16 3"):
        duplicates(distinct(1), np.zeros((1, 8, 8, 3), np.uint8))


def test_leaks_are_test_examples_seen_before():
    group = np.array([0, 0, 1, 1, 2, 2, -1, -1])
    part = np.array([TRAIN, TEST, VAL, TEST, TEST, TEST, TRAIN, TEST], np.int8)
    assert leaks(group, part).tolist() == [1, 3]


def test_components_agree_with_a_slow_search():
    rng = np.random.default_rng(0)
    for n in (1, 5, 60):
        a, b = rng.integers(0, n, (2, n // 2))
        root = list(range(n))
        for _ in range(n):
            for i, j in zip(a, b, strict=True):
                root[i] = root[j] = min(root[i], root[j])
        assert components(n, a, b).tolist() == root
    assert (components(1000, np.arange(999), np.arange(1, 1000)) == 0).all()
