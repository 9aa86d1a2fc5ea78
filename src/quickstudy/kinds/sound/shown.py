"""A recording as the report shows it: its spectrogram to look at, and the sound to play."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from quickstudy.kinds.sound.decode import open_recording
from quickstudy.kinds.sound.frontend import LogMel, Resampler

_RATE = 16_000  # Hz: MP3 knows it, and a listener can tell what it is
_LONGEST = 10.0  # seconds shown and played
_WIDTH, _HEIGHT = 240, 96  # pixels
_RANGE = 60.0  # decibels from dark to bright
#: Dark blue over violet and orange to pale yellow: brighter is louder, in print as well.
_COLOURS = (
    (0, 0, 20),
    (60, 15, 110),
    (150, 45, 125),
    (235, 105, 70),
    (253, 190, 110),
    (252, 253, 200),
)


def shown(raw: Any) -> dict[str, str | None]:
    """Return a PNG (``picture``) and an MP3 (``sound``) as data URIs; raises `ExampleError`."""
    wave, rate = _beginning(raw)
    return {
        "picture": _uri("image/png", spectrogram(wave, min(rate, _RATE) / 2)),
        "sound": _uri("audio/mpeg", _mp3(wave)),
    }


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _beginning(raw: Any) -> tuple[NDArray[np.float32], int]:
    """Return the first seconds at 16 kHz, and the file's own rate."""
    recording = open_recording(raw)
    resampler = Resampler(recording.rate, _RATE)
    found: list[torch.Tensor] = []
    seconds = 0.0
    for block in recording.blocks():
        found.append(resampler.push(torch.from_numpy(block)))
        seconds += len(block) / recording.rate
        if seconds >= _LONGEST:
            break
    found.append(resampler.rest())
    return torch.cat(found)[: round(_LONGEST * _RATE)].numpy(), recording.rate


def spectrogram(wave: NDArray[np.float32], high: float) -> bytes:
    """Return a PNG of samples ``T`` at 16 kHz, up to `high` Hz.

    Time goes to the right, high tones are up, loud is bright.
    """
    hop = max(64, len(wave) // _WIDTH)
    mel = LogMel(_RATE, fft=512, hop=hop, mels=_HEIGHT, low=20.0, high=high)
    power = mel.power(torch.from_numpy(wave)[None])[0].T.flip(0).numpy()
    decibels = 10 * np.log10(power / max(float(power.max()), 1e-12) + 1e-12)
    share = np.clip(1 + decibels / _RANGE, 0, 1)
    steps = np.linspace(0, 1, len(_COLOURS))
    colours = [np.interp(share, steps, [colour[c] for colour in _COLOURS]) for c in range(3)]
    picture = Image.fromarray(np.stack(colours, -1).round().astype(np.uint8))
    out = io.BytesIO()
    picture.resize((_WIDTH, _HEIGHT), Image.Resampling.BILINEAR).save(out, "PNG", optimize=True)
    return out.getvalue()


def _mp3(wave: NDArray[np.float32]) -> bytes:
    """Return the sound for a player, brought to an audible level."""
    import soundfile

    level = max(float(np.abs(wave).max(initial=0)), 1e-6)
    out = io.BytesIO()
    soundfile.write(out, wave * (0.7 / level), _RATE, format="MP3", subtype="MPEG_LAYER_III")
    return out.getvalue()
