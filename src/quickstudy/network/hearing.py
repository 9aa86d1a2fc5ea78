"""A network that hears: samples in, scores out; the spectra are part of it.

The front-end (resample, log-mel, normalise) is saved and exported with the network, so that a file
gives the same answer everywhere.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from quickstudy.kinds.sound.frontend import LogMel, resample


class Mask(nn.Module):
    """While learning, blank out a random stretch of time and of bands (Park et al., 2019).

    ``N C bands frames`` -> the same; `time` and `bands` are the largest shares blanked out.
    """

    def __init__(self) -> None:
        super().__init__()
        self.time = self.bands = 0.0

    def forward(self, x: Tensor) -> Tensor:
        """Compute."""
        if self.training:
            for share, axis in ((self.bands, 2), (self.time, 3)):
                if share:
                    x = x.masked_fill(_stretches(len(x), x.shape[axis], share, axis, x.device), 0.0)
        return x

    def extra_repr(self) -> str:
        """Describe."""
        return f"time {self.time:g}, bands {self.bands:g}"


def _stretches(n: int, length: int, share: float, axis: int, device: torch.device) -> Tensor:
    """Return for each of `n` a random stretch of `length` places, as a mask along `axis`."""
    width = torch.rand(n, 1) * share * length  # drawn on the CPU: the same on every device
    first = torch.rand(n, 1) * (length - width)
    places = torch.arange(length)[None]
    inside = (places >= first) & (places < first + width)
    shape = [n, 1, 1, 1]
    shape[axis] = length
    return inside.view(shape).to(device)


class Hearing(nn.Module):
    """Samples ``N T`` at `rate` Hz -> ``N classes``.

    `body` is any network that takes ``N channels bands frames``: `channels` is 1, or 3 for those
    made for pictures, which see the same spectrum three times.
    """

    def __init__(
        self,
        body: nn.Module,
        *,
        rate: int,
        fft: int,
        hop: int,
        mels: int,
        low: float,
        high: float,
        channels: int = 1,
    ) -> None:
        super().__init__()
        self.rate, self.channels = rate, channels
        self.spectra = LogMel(rate, fft=fft, hop=hop, mels=mels, low=low, high=high)
        self.normalise = nn.BatchNorm1d(mels, affine=False)
        self.mask = Mask()
        self.body = body

    def forward(self, x: Tensor, rate: int | None = None) -> Tensor:
        """Compute; samples at another `rate` are resampled first."""
        if rate is not None:
            x = resample(x, rate, self.rate)
        seen = self.mask(self.normalise(self.spectra(x)[:, 0])[:, None])
        if self.channels > 1:
            seen = seen.expand(-1, self.channels, -1, -1)
        seen = seen.contiguous(memory_format=torch.channels_last)
        out: Tensor = self.body(seen)
        return out
