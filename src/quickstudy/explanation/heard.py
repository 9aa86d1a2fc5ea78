"""What a network heard: its own spectrum, and the sound with all else turned down."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from quickstudy.kinds.sound.frontend import LogMel, hertz, mel_scale

_QUIET = 0.03  # what does not count is turned down to so much: 30 dB
_PEAK = 0.7  # of full scale


@dataclass(frozen=True, eq=False)
class Heard:
    """A stretch of a recording, and the part of it that counted."""

    start: float
    """Seconds from the recording's beginning."""
    end: float
    low: float
    """Hz, lowest edge of the bands."""
    high: float
    sound: str
    """WAV as a data URI."""
    part: str
    """The same with all but the part that counted turned down by 30 dB."""
    bands: NDArray[np.float64]
    """Hz, middle of each band."""


def spectrum(seen: LogMel, samples: Tensor) -> NDArray[np.uint8]:
    """Return the loudness of each band and frame of samples ``T``: grey, high tones up."""
    with torch.no_grad():
        level = seen(samples[None])[0, 0] * 4.5 - 9  # natural log of power, 0 the loudest
    share = (1 + level / 13.8).clamp(0, 1)  # 60 dB
    grey: NDArray[np.uint8] = (255 * share).round().byte().flip(0).cpu().numpy()
    return grey


def part_heard(seen: LogMel, samples: Tensor, where: Tensor, bands: Tensor, rate: int) -> Tensor:
    """Return samples ``T`` with all turned down but where the map ``bands frames`` is high.

    The short-time spectrum is multiplied by the map, so that its phase is kept, and added up again.
    """
    window = seen.window.cpu()
    spectra = torch.stft(
        samples, seen.fft, seen.hop, window=window, center=True, pad_mode="constant",
        return_complex=True,
    )  # fmt: skip
    bins = torch.linspace(0, rate / 2, seen.fft // 2 + 1, dtype=torch.float64)
    gain = _of_bins(where.double(), bands.double(), bins)
    gain = gain / gain.amax().clamp_min(1e-12)
    gain = _QUIET + (1 - _QUIET) * (2 * gain).clamp(0, 1)
    frames = min(gain.shape[1], spectra.shape[1])
    quiet = torch.full(spectra.shape, _QUIET, dtype=torch.float64)
    quiet[:, :frames] = gain[:, :frames]
    return torch.istft(
        spectra * quiet.to(spectra.real.dtype), seen.fft, seen.hop, window=window, center=True,
        length=len(samples),
    )  # fmt: skip


def _of_bins(where: Tensor, bands: Tensor, bins: Tensor) -> Tensor:
    """Return what is said of bands, said of the spectrum's bins."""
    place = torch.searchsorted(bands, bins).clamp(1, len(bands) - 1)
    left, right = bands[place - 1], bands[place]
    share = ((bins - left) / (right - left)).clamp(0, 1)[:, None]
    return (1 - share) * where[place - 1] + share * where[place]


def middles(sound: Any) -> Tensor:
    """Return the middle of each of a front-end's bands, in Hz."""
    ends = mel_scale(torch.tensor([sound["low"], sound["high"]], dtype=torch.float64))
    return hertz(torch.linspace(float(ends[0]), float(ends[1]), sound["mels"] + 2))[1:-1]


def wav(samples: Tensor, rate: int) -> str:
    """Return samples ``T`` as a WAV that players take, at an audible level."""
    import soundfile

    level = max(float(samples.abs().max()), 1e-6)
    out = io.BytesIO()
    soundfile.write(out, (samples * (_PEAK / level)).numpy(), rate, format="WAV", subtype="PCM_16")
    return f"data:audio/wav;base64,{base64.b64encode(out.getvalue()).decode()}"
