"""Batches depend on the seed and the step alone; augmentation does what its words say."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from quickstudy.batches import Batches
from quickstudy.kinds import restored
from quickstudy.kinds.image.augment import _colours, _grid, augment, blend, prepare
from quickstudy.tasks import Classification

STILL: Any = SimpleNamespace(mirror=False, crop=1.0, rotate=0.0, colour=0.0)


def batches(n: int = 50, batch: int = 8, seed: int = 3) -> Batches:
    pixels = np.random.default_rng(0).integers(0, 256, (n, 12, 12, 3), np.uint8)
    how = restored(
        "image",
        {
            **{"decode_size": 12, "size": 12, "fit": "squash", "mirror": True},
            **{"mean": (0.5,) * 3, "std": (0.25,) * 3},
        },
    )
    decoded: Any = SimpleNamespace(
        piece=lambda row: pixels[row : row + 1],
        pieces=lambda rows: [pixels[row : row + 1] for row in rows],
        of_rows=False,
        forget=lambda: None,
        how=how,
    )
    recipe: Any = SimpleNamespace(
        seed=seed,
        batch=batch,
        compute=SimpleNamespace(device="cpu"),
        augment=SimpleNamespace(
            mirror=True, crop=0.5, rotate=10.0, colour=0.2, mixup=0.2, cutmix=0.5
        ),
    )
    return Batches(decoded, np.arange(n), np.arange(n) % 4, Classification(tuple("abcd")), recipe)


def test_every_example_once_a_pass_in_another_order() -> None:
    made = batches()
    stream = np.concatenate([made.indices(step) for step in range(25)])
    passes = stream[:200].reshape(4, 50)
    for one in passes:
        assert sorted(one) == list(range(50))
    assert not (passes[0] == passes[1]).all()


def test_a_step_is_the_same_whatever_ran_before() -> None:
    with batches().reading(0) as ahead:
        made = [batches().take(ahead, 10) for _ in range(6)]
    with batches().reading(4) as ahead:
        again = batches().take(ahead, 10)
    torch.testing.assert_close(again[0], made[4][0], rtol=0, atol=0)
    torch.testing.assert_close(again[1], made[4][1], rtol=0, atol=0)


def test_a_bigger_data_set_than_the_batch_and_a_smaller_one() -> None:
    assert len(batches(n=5, batch=8).indices(0)) == 8
    assert set(batches(n=5, batch=8).indices(0)) == set(range(5))


def test_reading_errors_reach_the_loop() -> None:
    made = batches()

    def broken(_: Any) -> Any:
        raise OSError("the cache has gone")

    made.decoded.pieces = broken  # type: ignore[method-assign]
    with made.reading(0) as ahead, pytest.raises(OSError, match="has gone"):
        made.take(ahead, 8)


def test_prepare_against_torch() -> None:
    pixels = torch.randint(0, 256, (2, 12, 12, 3), dtype=torch.uint8)
    ours = prepare(pixels, 8, (0.1, 0.2, 0.3), (0.5, 0.6, 0.7))
    x = F.interpolate(pixels.permute(0, 3, 1, 2).float(), (8, 8), mode="bilinear", antialias=True)
    for c, (mean, std) in enumerate(zip((0.1, 0.2, 0.3), (0.5, 0.6, 0.7), strict=True)):
        torch.testing.assert_close(ours[:, c], (x[:, c] / 255 - mean) / std)


def test_no_augmentation_but_the_shift_keeps_the_middle() -> None:
    """With everything off only the small shift is left: a flat picture stays as it is."""
    pixels = torch.full((4, 16, 16, 3), 200, dtype=torch.uint8)
    out = augment(pixels, 16, (0.0,) * 3, (1.0,) * 3, STILL, torch.Generator().manual_seed(0))
    torch.testing.assert_close(out, torch.full_like(out, 200 / 255))


def test_mirror_swaps_left_and_right_half_of_the_time() -> None:
    pixels = torch.zeros((200, 16, 16, 3), dtype=torch.uint8)
    pixels[:, :, :8] = 255
    how: Any = SimpleNamespace(mirror=True, crop=1.0, rotate=0.0, colour=0.0)
    out = augment(pixels, 16, (0.0,) * 3, (1.0,) * 3, how, torch.Generator().manual_seed(0))
    left = (out[:, 0, :, 2].mean(1) > out[:, 0, :, -3].mean(1)).float().mean()
    assert 0.4 < left < 0.6


def test_crop_magnifies() -> None:
    """A chessboard's squares grow when a part of it fills the picture: fewer edges."""
    board = (np.indices((64, 64)).sum(0) // 4 % 2 * 255).astype(np.uint8)
    pixels = torch.from_numpy(np.repeat(board[None, :, :, None], 3, 3)).repeat(20, 1, 1, 1)
    edges = {}
    for crop in (1.0, 0.25):
        how: Any = SimpleNamespace(mirror=False, crop=crop, rotate=0.0, colour=0.0)
        out = augment(pixels, 64, (0.0,) * 3, (1.0,) * 3, how, torch.Generator().manual_seed(0))
        edges[crop] = (out.diff(dim=-1).abs() > 0.3).float().mean()
    assert edges[0.25] < 0.9 * edges[1.0]


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.2, 0.0), (0.0, 1.0), (0.0, 0.0)])
def test_blended_targets_are_the_share_of_each_picture(mixup: float, cutmix: float) -> None:
    x = torch.arange(4.0)[:, None, None, None].expand(4, 3, 16, 16).contiguous()
    target = torch.eye(4)
    generator = torch.Generator().manual_seed(1)
    mixed, shares = blend(x, target, mixup, cutmix, generator)
    torch.testing.assert_close(shares.sum(1), torch.ones(4))
    expected = shares @ torch.arange(4.0)  # the mean pixel is the share-weighted mean
    torch.testing.assert_close(mixed.mean((1, 2, 3)), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(x[1], torch.ones(3, 16, 16))  # what came in is not changed


def test_the_grid_against_torch() -> None:
    theta = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(0))
    theirs = F.affine_grid(theta, [5, 3, 16, 16], align_corners=False)
    torch.testing.assert_close(_grid(theta, 16), theirs)


def test_one_colour_matrix_is_contrast_brightness_saturation_tint_and_normalising() -> None:
    generator = torch.Generator().manual_seed(5)
    x = torch.randint(0, 256, (6, 3, 8, 8), generator=generator).float()
    mean, std, most = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25), 0.2
    mix, shift = _colours(x, mean, std, most, torch.Generator().manual_seed(9))
    ours = torch.baddbmm(shift, mix, x.reshape(6, 3, -1)).view_as(x)

    drawn = torch.Generator().manual_seed(9)
    bright, contrast, saturate = (
        1 + share * (2 * torch.rand(6, 1, generator=drawn) - 1) for share in (most, most, 2 * most)
    )
    tint = 1 + most / 2 * (2 * torch.rand(6, 3, generator=drawn) - 1)
    each = (slice(None), slice(None), None, None)
    step = x / 255
    level = step[:, :, ::4, ::4].mean((1, 2, 3))[:, None]
    step = (step - level[each]) * contrast[each] + level[each] * bright[each]
    grey = step.mean(1, keepdim=True)
    step = (grey + (step - grey) * saturate[each]) * tint[each]
    theirs = (step - torch.tensor(mean)[None, :, None, None]) / torch.tensor(std)[
        None, :, None, None
    ]
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
