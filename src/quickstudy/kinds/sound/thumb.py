"""What near-duplicates are found by: the shape of a recording's wave about its loudest moment.

The waves of two recordings, even of one word by one speaker, have nothing in common sample by
sample; the same recording in another format, louder, resampled or trimmed has the same wave.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from quickstudy.kinds.sound.frontend import resample

_RATE = 2_000  # Hz: its half is what every codec and every telephone keeps
_FINE = 4  # times that rate, to find the loudest moment
_NUMBERS = 768
_SPREAD = 40  # of 255: what one standard deviation becomes


def thumb(values: NDArray[Any], rate: int) -> NDArray[np.uint8]:
    """Return ``16 16 3`` uint8: the wave of the 0.38 seconds about its peak, as 768 numbers.

    `values` are samples ``T`` at `rate` Hz.
    """
    wave = torch.from_numpy(np.asarray(values))[: 60 * rate].float()  # a minute tells
    fine = resample(wave[None], rate, _FINE * _RATE)[0]
    half = _FINE * _NUMBERS // 2
    peak = int(fine.abs().argmax())
    about = torch.nn.functional.pad(fine, (half, half))[peak : peak + 2 * half]
    shape = resample(about[None], _FINE * _RATE, _RATE)[0]
    even = (shape - shape.mean()) / shape.std().clamp_min(1e-12)
    grey = (128 + _SPREAD * even).clamp(0, 255).round().byte().numpy()
    return np.ascontiguousarray(grey.reshape(3, 16, 16).transpose(1, 2, 0))
