"""What near-duplicates are found by: the shape of a recording's wave about its loudest moment.

The waves of two recordings, even of one word by one speaker, have nothing in common sample by
sample; the same recording in another format, louder, resampled or trimmed has the same wave. Of
steady sounds (hum, a pure tone) the waves are alike by nature: those are only the same when all of
their samples are.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from quickstudy.kinds.sound.frontend import resample

_RATE = 2_000  # Hz: its half is what every codec and every telephone keeps
_FINE = 8  # times that rate, to find the loudest moment
_NUMBERS = 768
_SPREAD = 40  # of 255: what one standard deviation becomes
_LAGS = (200, 380)  # numbers: 0.1 to 0.19 s. A voice's pitch has moved on by then
_STEADY = 0.8  # correlation with itself at such a lag


def thumb(values: NDArray[Any], rate: int) -> NDArray[np.uint8]:
    """Return ``16 16 3`` uint8: the wave of the 0.38 seconds about its peak, as 768 numbers.

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
    grey = (128 + _SPREAD * even).clamp(0, 255).round().byte().numpy()
    return np.ascontiguousarray(grey.reshape(3, 16, 16).transpose(1, 2, 0))


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
