"""What every sound network begins with, in torch: resample, log-mel, level. Saved with the network.

A file gives the same answer wherever the network runs because nothing of this is left outside it.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor, nn

from quickstudy.kinds.sound.resampling import filters, ratio, steps_of

__all__ = ["LogMel", "Resampler", "hertz", "mel_filters", "mel_scale", "ratio", "resample"]

_FLOOR = 1e-8  # of the loudest: -80 dB
_SILENT = 1e-10  # mel power under which nothing is amplified


@lru_cache(maxsize=16)
def _filters(down: int, up: int) -> tuple[Tensor, int]:
    """Return a windowed sinc for each of `up` output phases, ``K up``, and its lead in samples."""
    weights, width = filters(down, up)
    return torch.from_numpy(weights), width


class Resampler:
    """Resamples a stream of tensors as `resampling.Resampler` does one of arrays.

    `push` samples ``... T`` in order, then ask for the `rest`. However the stream is cut into
    blocks, the same samples come out.
    """

    def __init__(self, rate: int, wanted: int) -> None:
        self.exact = ratio(rate, wanted)
        self.same = self.exact[0] == self.exact[1]
        self.down, self.up = steps_of(rate, wanted)
        self.heard = self.given = 0
        self.waiting: Tensor | None = None

    def push(self, x: Tensor) -> Tensor:
        """Return what can be told so far of samples ``... T``: ``... t``."""
        if self.same:
            return x
        filters, width = _filters(self.down, self.up)
        self.heard += x.shape[-1]
        if self.waiting is None:
            x = nn.functional.pad(x, (width, 0))
        else:
            x = torch.cat([self.waiting, x], -1)
        steps = max(0, (x.shape[-1] - len(filters)) // self.down + 1)
        self.waiting = x[..., steps * self.down :]
        self.given += steps * self.up
        if not steps:
            return x[..., :0]
        pieces = x.unfold(-1, len(filters), self.down)
        return (pieces @ filters.to(x)).flatten(-2)

    def rest(self) -> Tensor:
        """Return the end of the stream, so that ``ceil(T * wanted / rate)`` came out in all."""
        if self.same or self.waiting is None:
            return torch.empty(0)
        down, up = self.exact
        heard, given = self.heard, self.given
        lacking = -(-heard * up // down) - given
        filters, _ = _filters(self.down, self.up)
        steps = -(-lacking // self.up)
        zeros = (steps - 1) * self.down + len(filters) - self.waiting.shape[-1]
        return self.push(self.waiting.new_zeros(*self.waiting.shape[:-1], max(0, zeros)))[
            ..., :lacking
        ]


def resample(x: Tensor, rate: int, wanted: int) -> Tensor:
    """Return samples ``... T`` at `rate` Hz as ``... ceil(T * wanted / rate)`` at `wanted` Hz.

    >>> resample(torch.ones(1, 441), 44_100, 16_000).shape
    torch.Size([1, 160])
    """
    stream = Resampler(rate, wanted)
    first = stream.push(x)
    return first if stream.same else torch.cat([first, stream.rest()], -1)


def mel_scale(hertz: Tensor) -> Tensor:
    """Return Slaney's mel of a frequency: linear below 1 kHz, logarithmic above (1998)."""
    step = math.log(6.4) / 27
    above = 15 + (hertz.clamp_min(1e-6) / 1000).log() / step
    return torch.where(hertz < 1000, hertz * 3 / 200, above)


def hertz(mel: Tensor) -> Tensor:
    """Return the frequency of a Slaney mel."""
    step = math.log(6.4) / 27
    return torch.where(mel < 15, mel * 200 / 3, 1000 * ((mel - 15) * step).exp())


def mel_filters(rate: int, fft: int, mels: int, low: float, high: float) -> Tensor:
    """Return ``fft/2+1 mels``: overlapping triangles of equal area, evenly spaced in mel."""
    bins = torch.linspace(0, rate / 2, fft // 2 + 1, dtype=torch.float64)
    ends = mel_scale(torch.tensor([low, high], dtype=torch.float64))
    edges = hertz(torch.linspace(float(ends[0]), float(ends[1]), mels + 2, dtype=torch.float64))
    left, middle, right = edges[:-2], edges[1:-1], edges[2:]
    rising = (bins[:, None] - left) / (middle - left)
    falling = (right - bins[:, None]) / (right - middle)
    area = 2 / (right - left)
    return (torch.minimum(rising, falling).clamp_min(0) * area).float()


class LogMel(nn.Module):
    """Samples ``N T`` -> ``N 1 mels frames``: log mel power against the loudest of the window.

    Frames are centred (zeros beyond the ends), Hann-windowed. 0 is the loudest cell of the window,
    -80 dB the least told apart; the result is scaled to lie about 0 with a spread of about 1.
    """

    def __init__(
        self, rate: int, *, fft: int, hop: int, mels: int, low: float, high: float
    ) -> None:
        super().__init__()
        self.fft, self.hop, self.mels = fft, hop, mels
        self.window: Tensor
        self.filters: Tensor
        self.register_buffer("window", torch.hann_window(fft), persistent=False)
        filters = mel_filters(rate, fft, mels, low, high)
        self.register_buffer("filters", filters, persistent=False)

    def extra_repr(self) -> str:
        """Describe."""
        return f"{self.mels} bands, frames of {self.fft}, hop {self.hop}"

    def power(self, x: Tensor) -> Tensor:
        """Return mel power ``N frames mels`` of samples ``N T``."""
        padded = nn.functional.pad(x.float(), (self.fft // 2, self.fft // 2))
        spectrum = torch.fft.rfft(padded.unfold(-1, self.fft, self.hop) * self.window)
        power = spectrum.real.square() + spectrum.imag.square()
        mel: Tensor = power @ self.filters
        return mel

    def forward(self, x: Tensor) -> Tensor:
        """Compute."""
        with torch.autocast(x.device.type, enabled=False):
            mel = self.power(x)
            loudest = mel.amax((1, 2), keepdim=True).clamp_min(_SILENT)
            level = (mel / loudest).clamp_min(_FLOOR).log()
            return (level.transpose(1, 2)[:, None] + 9) / 4.5
