"""Oracles: librosa's mel spectra, soxr's resampling, and sines whose frequency is known.

What librosa computed lies in from_librosa/spectra.npz, beside the script that wrote it.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr
import torch
from hypothesis import given
from hypothesis import strategies as st

from quickstudy.kinds.sound.frontend import (
    LogMel,
    Resampler,
    hertz,
    mel_filters,
    mel_scale,
    ratio,
    resample,
)
from quickstudy.network import Spec, build
from quickstudy.network.hearing import Hearing, Mask

pytestmark = pytest.mark.usefixtures("one_thread")

PAIRS = [(44_100, 16_000), (48_000, 16_000), (8_000, 16_000), (22_050, 32_000), (11_127, 16_000)]
#: The ratio of these is in whole numbers small enough to be kept exactly.
EXACT = PAIRS[:-1]


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def decibels(share: float) -> float:
    return 20 * math.log10(max(share, 1e-30))


# Mel spectra


SETTINGS = [
    {"rate": 8_000, "fft": 256, "hop": 80, "mels": 40, "low": 20.0, "high": 4_000.0},
    {"rate": 16_000, "fft": 512, "hop": 160, "mels": 64, "low": 20.0, "high": 8_000.0},
    {"rate": 16_000, "fft": 1_024, "hop": 200, "mels": 80, "low": 60.0, "high": 7_600.0},
    {"rate": 44_100, "fft": 2_048, "hop": 441, "mels": 128, "low": 0.0, "high": 22_050.0},
]


HEARD: dict[str, Any] = SETTINGS[1]
SIGNALS = ("noise", "chirp", "click", "silence")
FREQUENCIES = np.r_[0, 1, 20, 440, 999.99, 1_000, 1_000.01, np.geomspace(30, 24_000, 200)]


def signal(what: str, rate: int) -> np.ndarray:
    time = np.arange(round(0.3 * rate) + 3) / rate
    if what == "noise":
        return np.random.default_rng(0).normal(size=time.size) * 0.1
    if what == "chirp":
        return 0.5 * np.sin(2 * np.pi * (100 * time + 0.3 * rate * time**2))
    wave = np.zeros(time.size)
    if what == "click":
        wave[time.size // 3] = 0.9
    return wave


@pytest.fixture(scope="module")
def librosa() -> dict[str, np.ndarray]:
    with np.load(Path(__file__).with_name("from_librosa") / "spectra.npz") as file:
        return dict(file)


@pytest.mark.parametrize("how", SETTINGS, ids=lambda how: f"{how['rate']} Hz {how['mels']}")
@pytest.mark.parametrize("what", SIGNALS)
def test_mel_power_against_librosa(
    what: str, how: dict[str, Any], librosa: dict[str, np.ndarray]
) -> None:
    wave = signal(what, how["rate"])
    ours = LogMel(**how).power(torch.from_numpy(wave)[None].float())[0].T.numpy()
    expected = librosa[f"power {what} {SETTINGS.index(how)}"]
    assert ours.shape == expected.shape == (how["mels"], 1 + len(wave) // how["hop"])
    allowed = 1e-4 * np.maximum(expected, 1e-6 * expected.max())
    assert (np.abs(ours - expected) <= allowed).all()
    assert (expected.max() > 0) == (what != "silence")


@pytest.mark.parametrize("how", SETTINGS, ids=lambda how: f"{how['rate']} Hz {how['mels']}")
def test_mel_filters_against_librosa(how: dict[str, Any], librosa: dict[str, np.ndarray]) -> None:
    ours = mel_filters(how["rate"], how["fft"], how["mels"], how["low"], how["high"])
    expected = librosa[f"filters {SETTINGS.index(how)}"]
    np.testing.assert_allclose(ours.T.numpy(), expected, rtol=1e-5, atol=1e-9)


def test_the_mel_scale_against_librosa_and_back(librosa: dict[str, np.ndarray]) -> None:
    mels = mel_scale(torch.from_numpy(FREQUENCIES))
    np.testing.assert_allclose(mels.numpy(), librosa["hz_to_mel"], rtol=1e-12)
    np.testing.assert_allclose(hertz(mels).numpy(), FREQUENCIES, rtol=1e-12)
    np.testing.assert_allclose(hertz(mels).numpy(), librosa["mel_to_hz"], rtol=1e-12)
    assert (mels.diff()[mels.diff() != 0] > 0).sum() >= 199


def test_decibels_under_the_loudest_against_librosa(librosa: dict[str, np.ndarray]) -> None:
    """0 dB is 2, 80 dB less is 2 minus as many nepers of power over 4.5."""
    wave = signal("chirp", 16_000)
    ours = LogMel(**HEARD)(torch.from_numpy(wave)[None].float())[0, 0].numpy()
    theirs = librosa["decibels"]
    np.testing.assert_allclose((ours - 2) * 4.5 * 10 / math.log(10), theirs, atol=0.01)


@pytest.mark.parametrize("what", ["noise", "chirp", "click"])
@pytest.mark.parametrize("how", SETTINGS, ids=lambda how: f"{how['rate']} Hz {how['mels']}")
def test_level_does_not_matter(what: str, how: dict[str, Any]) -> None:
    spectra = LogMel(**how)
    x = torch.from_numpy(signal(what, how["rate"])).float()
    loud, quiet = spectra(torch.stack([x, x / 100]))
    torch.testing.assert_close(quiet, loud, rtol=0, atol=1e-3)
    assert loud.shape == (1, how["mels"], 1 + len(x) // how["hop"])
    assert loud.max() == 2 and (loud >= (math.log(1e-8) + 9) / 4.5 - 1e-6).all()


def test_silence_is_the_floor_and_changes_no_other() -> None:
    spectra = LogMel(**HEARD)
    x = torch.stack([torch.zeros(8_000), noise(8_000)])
    silent, loud = spectra(x)
    assert torch.isfinite(silent).all()
    torch.testing.assert_close(silent, torch.full_like(silent, (math.log(1e-8) + 9) / 4.5))
    torch.testing.assert_close(loud, spectra(x[1:])[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("length", [1, 159, 160, 161, 512, 8_000])
def test_any_length_gives_frames(length: int) -> None:
    out = LogMel(**HEARD)(noise(3, length))
    assert out.shape == (3, 1, 64, 1 + length // 160)
    assert torch.isfinite(out).all()


# Resampling


def test_the_ratio_is_exact_or_nearly_so() -> None:
    for rate, wanted in EXACT:
        down, up = ratio(rate, wanted)
        assert down * wanted == up * rate and math.gcd(down, up) == 1
    down, up = ratio(11_127, 16_000)
    assert abs(down / up * 16_000 / 11_127 - 1) < 1e-6


def test_the_ratio_of_odd_rates_is_as_near_as_it_says() -> None:
    for rate in (16_004, 15_991, 44_099, 96_001, 192_007, 11_127):
        down, up = ratio(rate, 16_000)
        assert abs(down / up * 16_000 / rate - 1) < 1e-3, rate


@pytest.mark.parametrize("rate", [44_101, 96_013, 192_007, 700_123])
def test_odd_rates_need_no_huge_filters(rate: int) -> None:
    """A damaged header may claim any rate: 192,007 Hz took 2 GB and a minute."""
    down, up = ratio(rate, 16_000)
    assert down * up < 4e6  # about so many weights, each computed from several numbers of 8 bytes


def sine(hertz_: float, rate: int, seconds: float) -> torch.Tensor:
    time = torch.arange(round(seconds * rate), dtype=torch.float64) / rate
    return torch.cos(2 * math.pi * hertz_ * time + 0.7).float()


def fitted(wave: torch.Tensor, turns: float) -> tuple[float, float]:
    """Return the amplitude at `turns` a sample, and of all that is not it, of the middle."""
    edge = len(wave) // 5
    middle = wave[edge:-edge].double().numpy()
    angle = 2 * np.pi * turns * np.arange(len(middle))
    basis = np.stack([np.cos(angle), np.sin(angle)], 1)
    found, *_ = np.linalg.lstsq(basis, middle, rcond=None)
    rest = middle - basis @ found
    return float(np.hypot(*found)), float(np.sqrt(2 * np.mean(rest**2)))


@pytest.mark.parametrize(("rate", "wanted"), PAIRS)
def test_tones_pass_and_leave_no_images(rate: int, wanted: int) -> None:
    """Up to 0.9 of the lower Nyquist frequency: 0.01 dB, and 95 dB down all else that comes out."""
    down, up = ratio(rate, wanted)
    for share in (0.003, 0.1, 0.37, 0.6, 0.8, 0.9):
        frequency = share * min(rate, wanted) / 2
        out = resample(sine(frequency, rate, 0.25), rate, wanted)
        amplitude, rest = fitted(out, frequency / rate * down / up)
        assert abs(decibels(amplitude)) < 0.01, share
        assert decibels(rest) < -95, share


@pytest.mark.parametrize(("rate", "wanted"), [pair for pair in PAIRS if pair[0] > pair[1]])
def test_tones_above_the_new_nyquist_frequency_vanish(rate: int, wanted: int) -> None:
    for frequency in np.linspace(1.005 * wanted / 2, 0.999 * rate / 2, 12):
        out = resample(sine(frequency, rate, 0.25), rate, wanted)
        edge = len(out) // 5
        assert decibels(float(out[edge:-edge].double().square().mean().mul(2).sqrt())) < -95


@pytest.mark.parametrize(("rate", "wanted"), PAIRS)
def test_a_frequency_stays_itself(rate: int, wanted: int) -> None:
    """Measured, not fitted: the phase turned between two stretches half a second apart."""
    frequency = 0.2 * min(rate, wanted)
    out = resample(sine(frequency, rate, 1.0), rate, wanted).double().numpy()
    window, apart = np.hanning(wanted // 4), wanted // 2
    turn = np.exp(-2j * np.pi * frequency / wanted * np.arange(len(out)))
    first, last = (
        np.sum((out * turn)[begin : begin + len(window)] * window)
        for begin in (wanted // 10, wanted // 10 + apart)
    )
    off = np.angle(last / first) / (2 * np.pi) / 0.5  # Hz
    assert abs(off / frequency) < 1e-6


def band_limited(rate: int, wanted: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a second of noise up to 0.9 of the lower Nyquist frequency, at both rates.

    The sum of the same sines, at other times: what a perfect resampler gives, but for the ends.
    """
    spectrum = np.fft.rfft(np.random.default_rng(0).normal(size=rate))
    spectrum[round(0.9 * min(rate, wanted) / 2) :] = 0
    other = np.zeros(wanted // 2 + 1, complex)
    both = min(len(spectrum), len(other))
    other[:both] = spectrum[:both]
    return np.fft.irfft(spectrum, n=rate), np.fft.irfft(other, n=wanted) * wanted / rate


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    """Return in decibels how far the middle of `found` is from `expected`."""
    middle = slice(len(expected) // 10, -len(expected) // 10)
    error = found[: len(expected)][middle] - expected[middle]
    return decibels(float(np.linalg.norm(error) / np.linalg.norm(expected[middle])))


@pytest.mark.parametrize(("rate", "wanted"), EXACT)
def test_band_limited_noise_against_the_closed_form(rate: int, wanted: int) -> None:
    wave, expected = band_limited(rate, wanted)
    ours = resample(torch.from_numpy(wave).float(), rate, wanted).numpy()
    assert difference(ours, expected) < -110


@pytest.mark.parametrize(("rate", "wanted"), PAIRS)
def test_band_limited_noise_against_soxr(rate: int, wanted: int) -> None:
    """For ratios such as 441 : 160, soxr itself is no nearer to the closed form than 75 dB."""
    wave, _ = band_limited(rate, wanted)
    down, up = ratio(rate, wanted)  # as near as ours goes: see the test of the ratio
    expected = soxr.resample(wave, down, up, quality="VHQ")
    ours = resample(torch.from_numpy(wave).float(), rate, wanted).numpy()
    assert abs(len(ours) - len(expected)) <= 1
    assert difference(ours, expected) < (-110 if 1 in (down, up) else -72)


@given(
    length=st.integers(0, 30_000),
    pair=st.sampled_from([*EXACT, (16_000, 8_000), (16_000, 2_000), (2_000, 8_000)]),
)
def test_the_length_is_rounded_up(length: int, pair: tuple[int, int]) -> None:
    rate, wanted = pair
    assert resample(torch.zeros(length), rate, wanted).shape == (-(-length * wanted // rate),)


def test_the_length_where_the_ratio_is_not_exact() -> None:
    for length in (1, 100, 11_127, 22_254, 54_321):
        out = resample(torch.zeros(1, length), 11_127, 16_000)
        assert abs(out.shape[1] - length * 16_000 / 11_127) <= 1 + 1e-6 * length


@given(
    blocks=st.lists(st.one_of(st.integers(0, 3), st.integers(0, 3_000)), max_size=20),
    pair=st.sampled_from([*PAIRS, (16_000, 16_000)]),
)
def test_however_cut_the_same_comes_out(blocks: list[int], pair: tuple[int, int]) -> None:
    whole = noise(2, sum(blocks), seed=len(blocks))
    stream = Resampler(*pair)
    pieces = [stream.push(block) for block in whole.split(blocks, -1)] if blocks else []
    last = stream.rest()
    found = torch.cat([*pieces, last.view(2, -1) if last.numel() == 0 else last], -1)
    torch.testing.assert_close(found, resample(whole, *pair), rtol=0, atol=1e-5)


def test_a_long_stream_gives_what_it_can_at_once() -> None:
    """All but the reach of the filter comes out as soon as it is pushed: memory stays flat."""
    stream = Resampler(44_100, 16_000)
    given_ = 0
    for second in range(5):
        given_ += len(stream.push(torch.zeros(44_100)))
        assert 16_000 * (second + 1) - 300 <= given_ <= 16_000 * (second + 1)
        assert stream.waiting is not None and len(stream.waiting) < 1_000
    assert given_ + len(stream.rest()) == 80_000


def test_the_same_rate_changes_nothing() -> None:
    x = noise(3, 1_001)
    assert torch.equal(resample(x, 16_000, 16_000), x)
    stream = Resampler(44_100, 44_100)
    assert torch.equal(stream.push(x), x) and stream.rest().numel() == 0


@pytest.mark.parametrize(("rate", "wanted"), [*PAIRS, (16_000, 8_000), (16_000, 2_000)])
def test_a_click_keeps_its_place(rate: int, wanted: int) -> None:
    for place in (0, 1, 777, 5_000, 9_998, 9_999):
        x = torch.zeros(10_000)
        x[place] = 1
        out = resample(x, rate, wanted).abs()
        assert abs(int(out.argmax()) - round(place * wanted / rate)) <= 1, place


def test_any_shape_and_each_row_by_itself() -> None:
    x = noise(2, 3, 2_000)
    out = resample(x, 44_100, 16_000)
    assert out.shape == (2, 3, 726)
    torch.testing.assert_close(out[1, 2], resample(x[1, 2], 44_100, 16_000), rtol=0, atol=1e-5)


# The network that hears


def hearing(classes: int = 3, seed: int = 0) -> Hearing:
    torch.manual_seed(seed)
    module = build(Spec("compact", classes, 8_000, width=0.5, sound=HEARD)).module
    assert isinstance(module, Hearing)
    return module


def test_weights_carry_all_that_an_answer_needs() -> None:
    x = noise(4, 8_000)
    taught, fresh = hearing(), hearing(seed=1)
    taught.train()(3 * x)  # the running statistics are no longer what they began as
    taught.eval()
    fresh.eval()
    expected = taught(x)
    assert not torch.equal(fresh(x), expected)
    assert fresh.load_state_dict(taught.state_dict()).missing_keys == []
    assert torch.equal(fresh(x), expected)
    assert expected.shape == (4, 3)


def test_samples_at_another_rate_are_resampled_first() -> None:
    network = hearing().eval()
    x = noise(2, 22_050)
    expected = network(resample(x, 44_100, 16_000))
    assert torch.equal(network(x, rate=44_100), expected)
    assert torch.equal(network(x, rate=16_000), network(x))
    assert not torch.allclose(network(x), expected)


def test_spectra_are_brought_to_mean_0_and_deviation_1_by_band() -> None:
    network = hearing().train()
    network.mask.time = network.mask.bands = 0.0
    seen: list[torch.Tensor] = []
    network.body.register_forward_pre_hook(lambda _, given_: seen.append(given_[0]))
    network(noise(8, 8_000).cumsum(1))
    assert seen[0].shape == (8, 1, 64, 51)
    by_band = seen[0].transpose(0, 2).flatten(1)
    torch.testing.assert_close(by_band.mean(1), torch.zeros(64), rtol=0, atol=1e-4)
    torch.testing.assert_close(by_band.std(1, correction=0), torch.ones(64), rtol=0, atol=1e-2)


def test_a_network_made_for_pictures_sees_the_spectrum_three_times() -> None:
    class Seen(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    seen = Hearing(Seen(), channels=3, **HEARD).eval()(noise(2, 4_000))
    assert seen.shape == (2, 3, 64, 26)
    assert torch.equal(seen[:, 0], seen[:, 1]) and torch.equal(seen[:, 0], seen[:, 2])


def masked(time: float, bands: float, seed: int = 0, n: int = 200) -> torch.Tensor:
    mask = Mask().train()
    mask.time, mask.bands = time, bands
    torch.manual_seed(seed)
    return mask(torch.ones(n, 1, 40, 90)) == 0


def test_a_mask_only_while_learning() -> None:
    mask = Mask()
    mask.time = mask.bands = 0.9
    x = noise(2, 1, 40, 90)
    assert torch.equal(mask.eval()(x), x)
    mask.time = mask.bands = 0.0
    assert torch.equal(mask.train()(x), x)


@pytest.mark.parametrize(("time", "bands"), [(0.2, 0.0), (0.0, 0.3), (1.0, 0.0)])
def test_a_mask_is_one_stretch_of_at_most_its_share(time: float, bands: float) -> None:
    blank = masked(time, bands)[:, 0]
    share, lines = (time, blank.all(1)) if time else (bands, blank.all(2))
    assert torch.equal(blank.any(1) if time else blank.any(2), lines)  # from edge to edge
    widths = lines.sum(1)
    assert widths.max() <= math.ceil(share * lines.shape[1])
    assert (lines.int().diff().clamp_min(0).sum(1) + lines[:, 0].int() <= 1).all()
    assert widths.float().mean() == pytest.approx(share * lines.shape[1] / 2, rel=0.15)
    reached = lines.any(0)
    assert reached.float().mean() > 0.95  # anywhere


def test_a_mask_follows_the_seed_and_blanks_times_and_bands() -> None:
    first = masked(0.3, 0.3)
    assert torch.equal(first, masked(0.3, 0.3))
    assert not torch.equal(first, masked(0.3, 0.3, seed=1))
    assert not torch.equal(first[0], first[1])
    both = first[:, 0]
    times, bands = both.all(1), both.all(2)
    assert torch.equal(both, times[:, None, :] | bands[:, :, None])
