"""Augmentation of sound does what its words say: measured on what comes out."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from quickstudy.kinds.sound.augment import add_noise, augment, mix, place

pytestmark = pytest.mark.usefixtures("one_thread")

RATE = 8_000


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(*shape: int, seed: int = 5) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(seed))


def tones(n: int, length: int, hertz: float = 500.0) -> torch.Tensor:
    return torch.sin(2 * math.pi * hertz * torch.arange(length) / RATE).repeat(n, 1)


def ones(lengths: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of samples 1 up to their length, then the padding."""
    x = torch.zeros(len(lengths), max(lengths))
    for row, length in zip(x, lengths, strict=True):
        row[:length] = 1
    return x, torch.tensor(lengths)


def how(**strengths: float) -> Any:
    return SimpleNamespace(**{"shift": 0.0, "speed": 0.0, "gain": 0.0, "noise": 0.0, **strengths})


# Place and speed


def test_without_shift_and_speed_a_row_lies_in_the_middle_as_it_is() -> None:
    lengths = [1, 2, 500, 998, 1_000]
    x = noise(5, 1_000)
    out = place(x, torch.tensor(lengths), 1_000, 0.0, 0.0, generator())
    assert out.shape == (5, 1_000)
    for row, source, length in zip(out, x, lengths, strict=True):
        inside = torch.nonzero(row)[:, 0]
        first, last = int(inside[0]), int(inside[-1])
        assert last - first == length - 1
        assert abs(first - (999 - last)) <= 1
        assert torch.equal(row[first : last + 1], source[:length])


def test_of_what_is_longer_the_middle_is_cut_out() -> None:
    out = place(torch.arange(2_000.0)[None], torch.tensor([2_000]), 1_000, 0.0, 0.0, generator())
    assert torch.equal(out[0], torch.arange(500.0, 1_500.0))


def test_a_shift_of_1_reaches_both_ends_and_cuts_nothing_of_what_is_shorter() -> None:
    x, lengths = ones([300] * 2_000)
    out = place(x, lengths, 1_000, 1.0, 0.0, generator())
    assert torch.equal(out.sum(1), torch.full((2_000,), 300.0))
    firsts = out.argmax(1).numpy()
    assert firsts.min() <= 3 and firsts.max() >= 697  # of 0 to 700
    shares = np.histogram(firsts, bins=7, range=(0, 700))[0] / 2_000
    assert np.abs(shares - 1 / 7).max() < 0.04  # everywhere alike
    assert ((np.diff(out.numpy(), axis=1) != 0).sum(1) <= 2).all()  # in one piece


@pytest.mark.parametrize("shift", [0.25, 0.5])
def test_a_smaller_shift_moves_by_its_share_of_the_room(shift: float) -> None:
    x, lengths = ones([200] * 1_000)
    firsts = place(x, lengths, 1_000, shift, 0.0, generator()).argmax(1)
    assert firsts.min() >= 400 - 400 * shift and firsts.max() <= 400 + 400 * shift
    assert firsts.min() < 400 - 390 * shift and firsts.max() > 400 + 390 * shift


def test_a_longer_one_is_cut_out_of_everywhere() -> None:
    x = torch.arange(3_000.0).repeat(2_000, 1)
    out = place(x, torch.full((2_000,), 3_000), 1_000, 1.0, 0.0, generator())
    assert (out.diff(dim=1) == 1).all()
    firsts = out[:, 0].numpy()
    assert firsts.min() <= 6 and firsts.max() >= 1_994  # of 0 to 2,000
    assert np.abs(np.histogram(firsts, bins=5, range=(0, 2_000))[0] / 2_000 - 0.2).max() < 0.04


@given(
    length=st.integers(1, 400),
    window=st.integers(1, 400),
    speed=st.sampled_from([0.0, 0.1, 0.3]),
    seed=st.integers(0, 9),
)
def test_nothing_is_lost_or_made_up_at_any_speed(
    length: int, window: int, speed: float, seed: int
) -> None:
    """The padding behind a row is never heard; a shorter row is whole but for its last sample."""
    x = torch.full((4, length + 50), 1e6)
    x[:, :length] = torch.arange(1.0, length + 1)
    out = place(x, torch.full((4,), length), window, 1.0, speed, generator(seed))
    assert out.shape == (4, window)
    assert out.min() >= 0 and out.max() <= length
    if length <= window * (1 - speed):
        assert (out.max(1).values > length - 2 - speed).all()
        heard = torch.where(out > 0, out, torch.inf).min(1).values
        assert (heard < 2 + speed).all()


@pytest.mark.parametrize("length", [8_000, 40_000])
def test_a_tone_played_quicker_is_higher(length: int) -> None:
    """The pitches measured spread over 0.8 to 1.2, and each is as short as it is high."""
    out = place(
        tones(200, length), torch.full((200,), length), 16_000, 1.0, 0.2, generator(1)
    ).numpy()
    spectra = np.abs(np.fft.rfft(out * np.hanning(16_000), n=2**17, axis=1))
    measured = spectra.argmax(1) * RATE / 2**17 / 500
    assert 0.8 * 0.995 <= measured.min() < 0.81 and 1.19 < measured.max() <= 1.2 * 1.005
    assert abs(np.histogram(measured, bins=2, range=(0.8, 1.2))[0][0] - 100) < 30
    if length < 16_000 * 0.8:
        held = np.array([np.ptp(np.flatnonzero(row)) + 1 for row in out])
        assert np.abs(held * measured / length - 1).max() < 0.005


def test_between_two_samples_lies_what_is_between_them() -> None:
    """A straight line stays one, as steep as it is played quickly."""
    line = torch.arange(3_000.0).repeat(50, 1)
    out = place(line, torch.full((50,), 3_000), 1_000, 1.0, 0.2, generator())
    steps = out[:, 2:-2].diff(dim=1)
    assert (steps.amax(1) - steps.amin(1)).max() < 2e-3
    assert 0.8 <= steps.min() < 0.85 and 1.15 < steps.max() < 1.201


def test_each_row_by_its_own_draw_whatever_stands_beside_it() -> None:
    x = noise(8, 900)
    out = place(x, torch.full((8,), 900), 1_000, 1.0, 0.1, generator())
    firsts = {int(torch.nonzero(row)[0]) for row in out}
    assert len(firsts) >= 6
    wider = torch.cat([x, noise(8, 300)], 1)  # more padding, and not even zeros
    assert torch.equal(place(wider, torch.full((8,), 900), 1_000, 1.0, 0.1, generator()), out)


# Noise


def added(x: torch.Tensor, share: float, seed: int = 0) -> torch.Tensor:
    return (add_noise(x, share, generator(seed)) - x).double()


def test_noise_is_10_to_40_decibels_under_the_recording() -> None:
    x = tones(400, 8_000) * torch.logspace(-3, 0, 400)[:, None]
    ratio = x.double().square().mean(1) / added(x, 1.0).square().mean(1)
    decibels = 10 * ratio.log10()
    assert 9 < decibels.min() < 12 and 38 < decibels.max() < 41
    assert abs(decibels.mean() - 25) < 2


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_share_of_the_rows_gets_noise_and_the_others_stay(share: float) -> None:
    x = noise(1_000, 64)
    out = add_noise(x, share, generator())
    chosen = (out != x).any(1)
    assert chosen.float().mean() == pytest.approx(share, abs=0.05)
    assert torch.equal(out[~chosen], x[~chosen])
    assert ((out != x).float().mean(1)[chosen] > 0.95).all()


def test_the_level_of_noise_does_not_follow_its_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quickstudy.kinds.sound.augment._NOISE_DB", (20.0, 20.0))
    x = tones(300, 8_000)
    ratio = x.double().square().mean(1) / added(x, 1.0).square().mean(1)
    assert (10 * ratio.log10() - 20).abs().max() < 0.5


def test_noise_is_white_to_brownish() -> None:
    x = tones(300, 4_096)
    rest = added(x, 1.0)
    rest /= rest.square().mean(1, keepdim=True).sqrt()
    neighbours = (rest[:, 1:] * rest[:, :-1]).mean(1)  # c / (1 + c²), c from 0 to 0.9
    assert -0.06 < neighbours.min() < 0.06 and 0.44 < neighbours.max() < 0.56
    power = torch.fft.rfft(rest).abs().square()
    assert (power[:, :400].mean(1) > 0.6 * power[:, -400:].mean(1)).all()
    assert abs(rest.mean(1)).max() < 0.15


def test_silence_gets_no_noise() -> None:
    assert not add_noise(torch.zeros(3, 100), 1.0, generator()).any()


# Gain


def ramps(gain: float, n: int = 500, window: int = 256) -> torch.Tensor:
    out = augment(
        torch.ones(n, window), torch.full((n,), window), window, how(gain=gain), generator()
    )
    return 20 * out.double().log10()


@pytest.mark.parametrize("gain", [3.0, 12.0])
def test_the_level_rises_or_falls_in_a_line_within_its_bounds(gain: float) -> None:
    decibels = ramps(gain)
    assert decibels.abs().max() <= gain + 1e-3
    assert decibels.max() > 0.95 * gain and decibels.min() < -0.95 * gain
    assert decibels.diff(n=2, dim=1).abs().max() < 1e-4 * gain
    slope = decibels[:, -1] - decibels[:, 0]
    assert (slope > gain / 2).any() and (slope < -gain / 2).any()
    assert abs(decibels.mean()) < 0.1 * gain


def test_no_gain_changes_nothing() -> None:
    assert torch.equal(ramps(0.0), torch.zeros(500, 256).double())


# Mixing


def shares(x: torch.Tensor, parts: torch.Tensor) -> torch.Tensor:
    """Return how much of each of `parts` is in each row, by least squares."""
    return torch.linalg.lstsq(parts.double().T, x.double().T).solution.T


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_both_come_to_one_level_and_labels_mix_as_they_do(alpha: float) -> None:
    x = noise(6, 4_000) * torch.tensor([1.0, 0.01, 100.0, 1.0, 1e-4, 3.0])[:, None]
    target = torch.eye(6)
    even = x / x.square().mean(1, keepdim=True).sqrt()
    kept = []
    for seed in range(30):
        mixed, labels = mix(x, target, alpha, generator(seed))
        torch.testing.assert_close(labels.sum(1), torch.ones(6))
        torch.testing.assert_close(shares(mixed, even).float(), labels, rtol=0, atol=1e-3)
        kept.append(float(labels.diagonal().min()))
        assert (labels.diagonal() >= 0.5 - 1e-6).all()  # itself first
    assert min(kept) < 0.9 and len(set(kept)) > 20


def test_mixing_follows_beta() -> None:
    """With alpha 1 the larger share is even over 0.5 to 1: its mean is three quarters."""
    x, target = noise(2, 16), torch.eye(2)
    kept = []
    for seed in range(600):
        labels = mix(x, target, 1.0, generator(seed))[1]
        if labels[0, 1] or labels[1, 0]:  # not each with itself
            kept.append(float(labels[0, 0]))
    assert len(kept) == pytest.approx(300, abs=50)
    assert np.mean(kept) == pytest.approx(0.75, abs=0.03)


def test_no_mixing_at_0_and_silence_stays_finite() -> None:
    x, target = noise(4, 100), torch.eye(4)
    mixed, labels = mix(x, target, 0.0, generator())
    assert torch.equal(mixed, x) and torch.equal(labels, target)
    mixed, _ = mix(torch.zeros(4, 100), target, 1.0, generator())
    assert not mixed.any()


# All of it


Step = Callable[[torch.Tensor, torch.Generator], torch.Tensor]
STEPS: dict[str, Step] = {
    "place": lambda x, g: place(x, torch.full((len(x),), 700), 1_000, 1.0, 0.1, g),
    "add_noise": lambda x, g: add_noise(x, 0.5, g),
    "mix": lambda x, g: mix(x, torch.eye(len(x), device=x.device), 0.4, g)[0],
    "augment": lambda x, g: augment(
        x,
        torch.full((len(x),), 700),
        1_000,
        how(shift=1.0, speed=0.1, gain=6.0, noise=0.5),
        g,
    ),
}


@pytest.mark.parametrize("step", sorted(STEPS))
def test_the_seed_alone_decides(step: str) -> None:
    x = noise(6, 900)
    before = x.clone()
    first = STEPS[step](x, generator(3))
    assert torch.equal(x, before)  # what came in is not changed
    assert torch.equal(first, STEPS[step](x, generator(3)))
    assert not torch.equal(first, STEPS[step](x, generator(4)))
    torch.manual_seed(0)  # whatever the global one does
    torch.rand(7)
    assert torch.equal(first, STEPS[step](x, generator(3)))
    turned = x.T.contiguous().T
    sparse = torch.zeros(12, 1_800)[::2, ::2]
    sparse.copy_(x)
    for other in (turned, sparse):
        assert not other.is_contiguous()
        torch.testing.assert_close(STEPS[step](other, generator(3)), first, rtol=0, atol=1e-6)


def test_half_precision_comes_out_as_float32() -> None:
    x = noise(3, 500).half()
    out = augment(x, torch.tensor([500, 400, 1]), 600, how(shift=1.0, gain=3.0), generator())
    assert out.dtype == torch.float32 and out.shape == (3, 600) and torch.isfinite(out).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("step", sorted(STEPS))
def test_the_same_on_a_graphics_card(step: str) -> None:
    x = noise(6, 900)
    there = STEPS[step](x.cuda(), generator(3)).cpu()
    torch.testing.assert_close(there, STEPS[step](x, generator(3)), rtol=1e-4, atol=1e-4)
