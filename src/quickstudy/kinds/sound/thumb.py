"""What near-duplicates are found by: a recording's wave about its loudest moment, and its bands.

The waves of two recordings, even of one word by one speaker, have little in common sample by
sample; the same recording in another format, louder, resampled or trimmed has the same wave. Two
vowels of one voice may have, for a quarter of a second and up to 1 kHz, which is all that every
codec and telephone keeps: so the levels of 16 bands up to 3.7 kHz, for 0.8 seconds, stand beside
it. Of steady sounds (hum, a pure tone) the waves are alike by nature: those are only the same when
all of their samples are.
"""

from __future__ import annotations

import hashlib
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from quickstudy.kinds.sound.frontend import resample

_RATE = 2_000  # Hz: its half is what every codec and every telephone keeps
_FINE = 8  # times that rate, to find the loudest moment
_NUMBERS, _KEPT = 768, 512  # of the wave: looked at, and kept
_SPREAD = 40  # of 255: what one standard deviation becomes
_LAGS = (200, 380)  # numbers: 0.1 to 0.19 s. A voice's pitch has moved on by then
_STEADY = 0.8  # correlation with itself at such a lag
_FRAMES, _HOP, _WINDOW = 16, 0.05, 0.064  # s: 0.4 s to either side of the loudest moment
_BANDS, _LOW, _HIGH = 16, 200.0, 3_700.0  # Hz, evenly in octaves
_DEPTH = 40.0  # dB below the loudest band that are told apart


def thumb(values: NDArray[Any], rate: int) -> NDArray[np.uint8]:
    """Return ``16 16 3`` uint8: 512 samples of the wave in two layers, 16 frames of 16 bands.

    `values` are samples ``T`` at `rate` Hz.
    """
    wave = torch.from_numpy(np.asarray(values))[: 60 * rate].float()  # a minute tells
    low = resample(wave[None], rate, _RATE)
    fine = resample(low, _RATE, _FINE * _RATE)[0]
    half = _FINE * _NUMBERS // 2
    peak = int(fine.abs().argmax())
    shape = torch.nn.functional.pad(fine, (half, half))[peak : peak + 2 * half : _FINE]
    even = (shape - shape.mean()) / shape.std().clamp_min(1e-12)
    if _steady(even):
        digest = hashlib.blake2b(np.ascontiguousarray(values).tobytes(), digest_size=8).digest()
        rng = np.random.default_rng(int.from_bytes(digest, "little"))
        return rng.integers(0, 256, (16, 16, 3), np.uint8)
    middle = even[(_NUMBERS - _KEPT) // 2 : (_NUMBERS + _KEPT) // 2]
    grey = (128 + _SPREAD * middle).clamp(0, 255).round().byte().numpy().reshape(2, 16, 16)
    bands = _bands(wave, rate, peak / (_FINE * _RATE))
    return np.ascontiguousarray(np.concatenate([grey, bands[None]]).transpose(1, 2, 0))


def _bands(wave: Tensor, rate: int, middle: float) -> NDArray[np.uint8]:
    """Return the levels of frames and bands ``16 16`` about `middle` (s): 255 the loudest."""
    size = round(_WINDOW * rate)
    first = np.round((middle + (np.arange(_FRAMES) - (_FRAMES - 1) / 2) * _HOP) * rate - size / 2)
    pad = size + round(_FRAMES * _HOP * rate)
    long = torch.nn.functional.pad(wave, (pad, pad))
    at = torch.from_numpy(first.astype(np.int64) + pad)[:, None] + torch.arange(size)
    power = torch.fft.rfft(long[at] * torch.hann_window(size)).abs().square()
    edges = _LOW * (_HIGH / _LOW) ** (np.arange(_BANDS + 1) / _BANDS) * size / rate
    cuts = np.round(edges).astype(int).clip(0, power.shape[1])
    bands = [power[:, a : max(a + 1, b)].sum(1) for a, b in pairwise(cuts.tolist())]
    level = torch.stack(bands, 1)
    decibels = 10 * (level / level.max().clamp_min(1e-20)).clamp_min(1e-12).log10()
    scaled = 255 * (1 + decibels / _DEPTH).clamp(0, 1)
    return scaled.round().byte().numpy()


def _steady(even: Tensor) -> bool:
    """Whether a wave ``768`` goes on as it was a tenth of a second or more before."""
    n = len(even)
    spectrum = torch.fft.rfft(even, 2 * n)
    alike = torch.fft.irfft(spectrum.abs().square())[_LAGS[0] : _LAGS[1]]
    energy = even.square().cumsum(0)
    lags = torch.arange(*_LAGS)
    before, after = energy[n - lags - 1], energy[-1] - energy[lags - 1]
    power = (before * after).sqrt()
    return bool(((power > 0.05 * n) & (alike.abs() > _STEADY * power)).any())
