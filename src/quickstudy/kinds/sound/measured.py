"""What a recording is like, apart from what is heard: length, level, clipping, rate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from quickstudy.kinds.sound.decode import header, open_recording, suffix_mismatch
from quickstudy.kinds.sound.thumb import thumb

_KEPT = 60  # seconds that near-duplicates are found by
_FRAME = 0.02  # seconds
_HEARD = 1e-3  # root mean square of a frame that is not silent: -60 dB of full scale
_SAME = 0.999  # of the peak: 16 bits go to 32767 upwards and to 32768 downwards
_FULL = 0.98  # of full scale
_LEVELS = 100  # of which the peak is one, at least: a coarse wave is flat at its top by nature
_FLAT = 3  # samples in a row at the very top


@dataclass(frozen=True, eq=False)
class SoundMeasures:
    """What one recording is like; levels are of full scale, 1."""

    seconds: float
    rate: int
    """Hz."""
    channels: int
    peak: float
    heard: float
    """Share of its frames of 20 ms that are above -60 dB."""
    clipped: float
    """Share of the samples in runs of three or more at the very peak: the tops are cut off."""
    bytes: float
    """Of the file; NaN of samples from memory."""
    format: str
    thumb: NDArray[np.uint8]
    """``16 16 3``: what near-duplicates are found by."""
    remark: str
    """What else is odd about the file."""

    kind: ClassVar[str] = "sound"

    @property
    def traits(self) -> dict[str, Any]:
        """Return what should tell nothing about the class: numbers or words."""
        return {
            "sample rate": float(self.rate),
            "number of channels": float(self.channels),
            "file size a second": self.bytes / self.seconds,
            "file format": self.format,
        }


def measured(raw: Any) -> SoundMeasures:
    """Measure one recording, block by block; raises `ExampleError`, also for a silent one."""
    head = header(raw)
    recording = open_recording(raw)
    frame = max(1, round(_FRAME * recording.rate))
    kept: list[NDArray[np.float32]] = []
    count = frames = heard = 0
    tops: list[tuple[float, int]] = []
    step = np.inf
    for block in recording.blocks():
        if count < _KEPT * recording.rate:
            kept.append(block)
        count += len(block)
        whole = block[: len(block) // frame * frame].reshape(-1, frame)
        level = np.sqrt(np.einsum("ft,ft->f", whole, whole) / frame)
        frames, heard = frames + len(level), heard + int((level > _HEARD).sum())
        tops += _tops(block)
        size = np.abs(block)
        step = min(step, float(size.min(where=size > 0, initial=np.inf)))
    peak = max(top for top, _ in tops)
    fine = peak >= min(_FULL, _LEVELS * step)
    flat = sum(n for top, n in tops if top >= _SAME * peak) if fine else 0
    remarks = [one for one in recording.remarks if not one.startswith("clipped")]
    if isinstance(raw, Path) and (really := suffix_mismatch(raw)):
        remarks.insert(0, f"is {really}")
    wave = kept[0] if len(kept) == 1 else np.concatenate(kept)
    return SoundMeasures(
        seconds=count / recording.rate,
        rate=head.rate,
        channels=head.channels,
        peak=peak,
        heard=heard / frames if frames else 1.0,
        clipped=flat / count,
        bytes=float(raw.stat().st_size) if isinstance(raw, Path) else float("nan"),
        format=head.format,
        thumb=thumb(wave, recording.rate),
        remark="; ".join(remarks),
    )


def _tops(block: NDArray[np.float32]) -> list[tuple[float, int]]:
    """Return the highest and lowest level of a block, and how many samples lie in runs at each.

    A recorded wave touches its peak once; one that was cut off stays there. Above full scale the
    cut may come later, so that everything there counts as at the peak.
    """
    found = []
    for wave in (block, -block):
        top = float(wave.max())
        at = wave >= min(top, 1.0)
        runs = np.flatnonzero(np.diff(np.concatenate([[False], at, [False]]).astype(np.int8)))
        lengths = runs[1::2] - runs[::2]
        found.append((max(top, 0.0), int(lengths[lengths >= _FLAT].sum())))
    return found
