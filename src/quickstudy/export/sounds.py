"""Samples as they are, at any rate -> answers: the part of an exported graph that is for sound.

What the host does in blocks of NumPy (`kinds/sound`) is done here in one piece of torch whose
shapes depend on the value of `rate`: the resampler's filters are computed in the graph.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quickstudy.kinds.sound.decode import BLOCK
from quickstudy.kinds.sound.frontend import LogMel

_FAR_BEYOND = 100.0  # times full scale: as `kinds/sound/preparation.py`
_CANCELLED = 0.01  # as `kinds/sound/mono.py`
_CROSSINGS, _BETA, _ROLLOFF = 70, 10.06, 0.955  # as `kinds/sound/resampling.py`
_MOST_WEIGHTS, _AT_ONCE = 1_000_000, 64
_TERMS = 19  # of the power series of I0 up to 10.06: the next is 1e-11 of the sum
_SILENT, _FLOOR = 1e-10, 1e-8  # as `kinds/sound/frontend.py`


class Mono(nn.Module):
    """Samples ``N T C`` -> ``N T``: the mean of the channels, or the loudest where they cancel.

    Decided anew in each block of as many frames as the host reads at once.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Compute."""
        n, t, c = x.shape
        size: Any = torch.sym_min(t, torch.sym_min(BLOCK, 4 * BLOCK // c))
        blocks = (t + size - 1) // size
        torch._check(blocks * size >= t)
        x = F.pad(x, (0, 0, 0, blocks * size - t)).reshape(n, blocks, size, c)
        energies = x.square().sum(2)
        usual = _CANCELLED * energies.mean(2, keepdim=True)
        cancelled = x.mean(3).square().sum(2, keepdim=True) < usual
        loudest = (torch.arange(c) == energies.argmax(2, keepdim=True)).float()
        weights = torch.where(cancelled, loudest, torch.ones_like(loudest) / c)
        found = x @ weights.unsqueeze(3)  # picking by index takes ten times as long
        return found.reshape(n, blocks * size)[:, :t]


class Resampled(nn.Module):
    """Samples ``N T`` at a rate that is an input -> `n` at the wanted one and zeros; and `n`.

    The same filters as `kinds/sound/resampling.py`, in float32: their numerators are whole numbers,
    so that nothing is lost. What is at the wanted rate already goes through unchanged.
    """

    candidates: Tensor

    def __init__(self, wanted: int) -> None:
        super().__init__()
        self.wanted = wanted
        most = torch.arange(1, math.isqrt(_MOST_WEIGHTS) + 1)
        self.register_buffer("candidates", most, persistent=False)
        series = [(_BETA / 2) ** (2 * k) / math.factorial(k) ** 2 for k in range(_TERMS)]
        self.series = [one / sum(series) for one in series]

    def ratio(self, rate: Tensor) -> tuple[Tensor, Tensor]:
        """Return `steps_of`: the nearest fraction with few enough filters, 64 phases at least."""
        wanted = torch.full_like(rate, self.wanted)
        high, low = torch.maximum(rate, wanted), torch.minimum(rate, wanted)
        q = self.candidates
        p = torch.div(2 * high * q + low, 2 * low, rounding_mode="floor")
        off = (p * low - high * q).abs().double() / q.double()
        most = (_MOST_WEIGHTS * low.double() / high.double()).floor()
        off = torch.where((q * q).double() <= most, off, math.inf)
        best = off.argmin().reshape(1)
        few, many = q.index_select(0, best)[0], p.index_select(0, best)[0]
        down = torch.where(rate > self.wanted, many, few)
        up = torch.where(rate > self.wanted, few, many)
        times = torch.div(_AT_ONCE - 1 + up, up, rounding_mode="floor")
        return down * times, up * times

    def forward(self, x: Tensor, rate: Tensor) -> tuple[Tensor, int]:
        """Compute; ``n`` is ``ceil(T * wanted / rate)``."""
        downs, ups = self.ratio(rate)
        cutoff = (ups.double() / downs.double()).clamp_max(1) * _ROLLOFF
        lead = (_CROSSINGS / cutoff).ceil().long()
        sizes: Any = downs.item(), ups.item(), lead.item()
        down, up, width = sizes
        for size, least in ((down, 1), (up, _AT_ONCE), (width, 1)):
            torch._check(size >= least)
        t = x.shape[1]
        over = t - t // down * down
        total = t // down * up + (over * up + down - 1) // down  # 32 bits hold all of it
        steps = (total + up - 1) // up
        torch._check(steps >= 1)
        across = (down + 2 * width + down) // down  # blocks of `down` samples that a step hears
        length = (steps + across - 1) * down
        x = F.pad(x, (width, length - width - t)).reshape(x.shape[0], steps + across - 1, down)
        places = torch.arange(steps).unsqueeze(1) + torch.arange(across)
        pieces = x.index_select(1, places.flatten()).reshape(x.shape[0] * steps, across * down)
        weights = self.filters(downs, ups, lead, across * down, up)
        same = (downs == ups).reshape(1, 1)
        # At the wanted rate each phase takes the one sample that it is at
        apart = torch.arange(across * down).unsqueeze(1) - torch.arange(up) - lead
        weights = torch.where(same, (apart == 0).float(), weights)
        found = (pieces @ weights).reshape(x.shape[0], steps * up)
        return torch.where(torch.arange(steps * up) < total, found, 0.0), total

    def filters(self, down: Tensor, up: Tensor, lead: Tensor, taps: int, phases: int) -> Tensor:
        """Return windowed sincs ``taps phases``."""
        inputs = (torch.arange(taps) - lead) * up
        at = (inputs.unsqueeze(1) - torch.arange(phases) * down).float() / up.float()
        cutoff = (up.double() / down.double()).clamp_max(1).float() * _ROLLOFF
        inside = 1 - (at / lead.float()).square()
        u = inside.clamp_min(0)
        window = torch.full_like(u, self.series[-1])
        for factor in self.series[-2::-1]:
            window = window * u + factor
        angle = at * cutoff * math.pi
        sinc = torch.where(angle == 0, 1.0, angle.sin() / torch.where(angle == 0, 1.0, angle))
        return torch.where(inside >= 0, sinc * cutoff * window, 0.0)


class Windows(nn.Module):
    """Samples ``N T C`` and their rate in Hz -> the windows ``N V size`` that a network hears."""

    def __init__(self, rate: int, size: int) -> None:
        super().__init__()
        self.size = size
        self.mono, self.resampled = Mono(), Resampled(rate)

    def forward(self, samples: Tensor, rate: Tensor) -> Tensor:
        """Compute."""
        x = self.mono(samples)
        peak = x.abs().amax(1, keepdim=True)
        x, n = self.resampled(x, rate)
        x = x * torch.where(peak > _FAR_BEYOND, 1 / peak, 1.0)
        return self.cut(x.half().float(), n)

    def cut(self, x: Tensor, n: int) -> Tensor:
        """Return windows of the first `n` samples that overlap by half; zeros follow them.

        What is shorter than one window lies in its middle.
        """
        over, lacking = torch.sym_max(n - self.size, 0), torch.sym_max(self.size - n, 0)
        windows = 1 + (2 * over + self.size - 1) // self.size
        apart: Any = over / torch.sym_max(windows - 1, 1)
        starts = (torch.arange(windows).double() * apart).round().long() + self.size - lacking // 2
        places = starts.unsqueeze(1) + torch.arange(self.size)
        x = F.pad(x, (self.size, self.size))
        return x.index_select(1, places.flatten()).reshape(x.shape[0], windows, self.size)


class Spectra(nn.Module):
    """What `LogMel` gives, without a Fourier transform: every runtime has convolutions.

    ``N T -> N 1 mels frames``.
    """

    waves: Tensor
    filters: Tensor

    def __init__(self, of: LogMel) -> None:
        super().__init__()
        self.fft, self.hop = of.fft, of.hop
        angle = torch.arange(of.fft) * torch.arange(of.fft // 2 + 1)[:, None] % of.fft
        turn = angle.double() * (2 * math.pi / of.fft)
        waves = torch.cat([turn.cos(), turn.sin()]) * of.window.double().cpu()
        self.register_buffer("waves", waves.float()[:, None])
        self.register_buffer("filters", of.filters.detach().cpu().T[..., None].contiguous())

    def forward(self, x: Tensor) -> Tensor:
        """Compute."""
        real, imaginary = F.conv1d(
            x[:, None], self.waves, stride=self.hop, padding=self.fft // 2
        ).chunk(2, 1)
        mel = F.conv1d(real.square() + imaginary.square(), self.filters)
        loudest = mel.amax((1, 2), keepdim=True).clamp_min(_SILENT)
        return (((mel / loudest).clamp_min(_FLOOR).log() + 9) / 4.5)[:, None]


class Sounds(nn.Module):
    """Takes ``samples``, ``N T C`` float32 at any ``rate`` (Hz, one number for all)."""

    def __init__(self, model: Any, answering: nn.Module) -> None:
        super().__init__()
        how = model.preparation
        self.windows = Windows(how.rate, how.size)
        self.answering: Any = answering
        self.answering.network = transformless(model.network)

    def forward(self, samples: Tensor, rate: Tensor) -> tuple[Tensor, ...]:
        """Return answers ``N K``, and how unlike what was learnt from each is, ``N``."""
        return self.after(self.windows(samples, rate))

    def after(self, windows: Tensor) -> tuple[Tensor, ...]:
        """Return the same of recordings as the host cuts them: windows ``N V size``."""
        n, v, size = windows.shape
        found = self.answering.ask(windows.reshape(n * v, size))
        told: tuple[Tensor, ...] = self.answering.told(found.reshape(n, v, found.shape[1]).mean(1))
        return told


def transformless(network: nn.Module) -> nn.Module:
    """Return a copy of a network with `Spectra` for every `LogMel`."""
    made = copy.deepcopy(network).eval()
    for name, module in list(made.named_modules()):
        if isinstance(module, LogMel):
            parent, _, last = name.rpartition(".")
            setattr(made.get_submodule(parent), last, Spectra(module))
    return made
