"""What planning needs to know of recordings: rates, lengths, channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar

import numpy as np

from quickstudy.kinds.sound.decode import header, open_recording

_LISTENED = 4  # blocks, at most, of one recording: about 20 seconds


@dataclass(frozen=True)
class SoundFacts:
    """What a sample of recordings says."""

    rate: int
    """Hz: nine in ten have at least this sample rate."""
    highest_rate: int
    """Hz."""
    seconds: float
    """Median length."""
    long: float
    """Seconds: nineteen in twenty are at most as long."""
    longest: float
    """Seconds."""
    channels: int
    """The most in a file."""

    kind: ClassVar[str] = "sound"

    def as_dict(self) -> dict[str, Any]:
        """Return what the report tells."""
        return {"rate": self.rate, "seconds": self.seconds, "longest": self.longest}


@dataclass(frozen=True)
class Look:
    """What one recording says."""

    rate: int
    channels: int
    seconds: float
    listened: float
    """Seconds decoded to find out."""


def look(raw: Any) -> Look:
    """Look at one recording, and decode its beginning; raises `ExampleError`."""
    head = header(raw)
    recording = open_recording(raw)
    heard = sum(len(block) for block in islice(recording.blocks(), _LISTENED)) / head.rate
    seconds = head.about if head.seconds is None else head.seconds
    seconds = heard if seconds is None else seconds
    return Look(head.rate, head.channels, seconds, heard)


def unseen(looks: Sequence[Look]) -> float:
    """Return how many times longer decoding all takes than it took to decode the beginnings.

    Resampling, and what duplicates are found by, cost about as much again.
    """
    listened = sum(one.listened for one in looks)
    return 2 * max(1.0, sum(one.seconds for one in looks) / listened) if listened else 2.0


def summed_up(looks: Sequence[Look]) -> SoundFacts:
    """Return the facts of a sample."""
    rates = np.array([one.rate for one in looks] or [16_000])
    seconds = np.array([one.seconds for one in looks] or [1.0])
    return SoundFacts(
        rate=int(np.quantile(rates, 0.1, method="lower")),
        highest_rate=int(rates.max()),
        seconds=float(np.median(seconds)),
        long=float(np.quantile(seconds, 0.95)),
        longest=float(seconds.max()),
        channels=max((one.channels for one in looks), default=1),
    )
