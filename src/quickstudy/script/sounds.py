"""The pieces of a script about sound: read, cut into windows, vary, hear, ask."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch

from quickstudy.errors import ChoiceError, RunError
from quickstudy.kinds.sound.frontend import mel_scale, ratio
from quickstudy.script import asked
from quickstudy.script.pictures import opened
from quickstudy.script.told import DECODED, Told
from quickstudy.script.whole import why
from quickstudy.script.writing import filled, number

_RESAMPLING = """
#: if resampled
def resample(x, rate):  # to RATE, by a Kaiser-windowed sinc (Smith and Gossett, 1984)
    down, up = rate // math.gcd(rate, RATE), RATE // math.gcd(rate, RATE)
    cutoff = min(1.0, up / down) * 0.955
    width = math.ceil(70 / cutoff)
    at = torch.arange(-width, down + width + 1, dtype=torch.float64)[:, None]
    at = at - torch.arange(up, dtype=torch.float64) * down / up
    filters = torch.sinc(at * cutoff) * cutoff / torch.special.i0(torch.tensor(10.06))
    filters *= torch.special.i0(10.06 * (1 - (at / width) ** 2).clamp_min(0).sqrt())
    frames = F.pad(x, (width, down + width + 1)).unfold(0, len(filters), down)
    filters = torch.where(at.abs() <= width, filters, 0.0).float()
    return (frames @ filters).flatten()[: -(-len(x) * up // down)]
#: end
"""

_READING = """
def read(*parts):  # recordings, mono at RATE in 16 bits; $truth
    with (RUN / "examples.csv").open($how) as file:
#: if files
        rows = [row for row in csv.DictReader(file) if row["part"] in parts]
#: end
#: if files and plain
    sounds = [soundfile.read(row["path"], dtype="float32")[0] for row in rows]
    sounds = [torch.from_numpy(sound).half().float() for sound in sounds]
#: end
#: if files and not plain
    sounds = []
    for row in rows:
#: end
#: if files and stereo
        samples, $rate = soundfile.read(row["path"], dtype="float32", always_2d=True)
        mono, energy = samples.mean(1), (samples**2).sum(0)
        if (mono**2).sum() < 0.01 * energy.mean():  # the channels cancel each other
            mono = samples[:, energy.argmax()]
#: end
#: if files and not stereo and not plain
        mono, $rate = soundfile.read(row["path"], dtype="float32")
#: end
#: if files and loud
        mono = mono / abs(mono).max() if abs(mono).max() > 100 else mono  # for 16 bits
#: end
#: if files and resampled
        x = torch.from_numpy(mono)
        sounds.append((x if rate == RATE else resample(x, rate)).half().float())
#: end
#: if files and not resampled and not plain
        sounds.append(torch.from_numpy(mono).half().float())
#: end
#: if not files
        rows = list(csv.DictReader(file))
    kept = np.load(RUN / "examples.npz")  # as the run was given them, at RATE
    every = torch.from_numpy(kept["examples"]).float().split(kept["counts"].tolist())
    sounds = [sound for sound, row in zip(every, rows, strict=True) if row["part"] in parts]
    rows = [row for row in rows if row["part"] in parts]
#: end
#: if others
$labels
#: end
    return sounds, $true
"""

_VARYING = """
def vary(sound):  # $ways
#: if cut
    first = torch.randint(max(0, len(sound) - $most) + 1, ()).item()
    sound = sound[first : first + $most]
#: end
    speed = 1 + $speed * (2 * torch.rand(()) - 1)$why_speed
    room = (WINDOW - len(sound) / speed) * $place
    at = (torch.arange(WINDOW) - room.floor()) * speed
    inside, at = (at >= 0) & (at <= len(sound) - 1), at.clamp(0, len(sound) - 1)
    x = torch.lerp(sound[at.long()], sound[at.ceil().long()], at.frac()) * inside
#: if gain
    x = x * 10 ** torch.linspace(*($gain * (2 * torch.rand(2) - 1) / 20), WINDOW)  # decibels
#: end
#: if noise
    if torch.rand(()) < $noise:$why_noise
        colour, under = 0.9 * torch.rand(()), 10 + 30 * torch.rand(())  # white to brown; decibels
        level = x.square().mean().sqrt() / 10 ** (under / 20) / (1 + colour**2).sqrt()
        white = torch.randn(WINDOW + 1)
        x = x + level * (white[:-1] + colour * white[1:])
#: end
    return x
"""

_HEARING = """
network = nn.ModuleDict({"normalise": nn.BatchNorm1d($mels, affine=False), "body": body}).to(DEVICE)
mel = torch.linspace($low_mel, $high_mel, $edges, dtype=torch.float64)  # $low to $high Hz
edge = torch.where(mel < 15, mel * 200 / 3, 1000 * ((mel - 15) * math.log(6.4) / 27).exp())
bins, gap = torch.linspace(0, RATE / 2, $bins, dtype=torch.float64)[:, None], edge.diff()
slopes = (bins - edge[:-2]) / gap[:-1], (edge[2:] - bins) / gap[1:]
filters = torch.minimum(*slopes).clamp_min(0) * 2 / (gap[:-1] + gap[1:])
frame, filters = torch.hann_window($fft, device=DEVICE), filters.T.float().to(DEVICE)

def hear(x):  # samples N T -> mel power against the loudest, in nats -> scores N $k
    waves = torch.stft(x, $fft, $hop, window=frame, pad_mode="constant", return_complex=True)
    power = filters @ waves.abs() ** 2
    loudest = power.amax((1, 2), keepdim=True).clamp_min(1e-10)
    x = network.normalise(((power / loudest).clamp_min(1e-8).log() + 9) / 4.5)[:, None]
#: if masked
    for axis, share in ((2, $mask_bands), (3, $mask_time)) if network.training else ():
        wide, place = share * torch.rand(len(x), 1), torch.arange(x.shape[axis]) / x.shape[axis]
        first = torch.rand(len(x), 1) * (1 - wide)$why_mask
        hidden = ((place >= first) & (place < first + wide)).to(DEVICE)[:, None]
        x = x.masked_fill(hidden.unsqueeze(5 - axis), 0)
#: end
#: if coloured
    x = x.expand(-1, 3, -1, -1)  # the body is made for pictures
#: end
#: if half
    with torch.autocast(DEVICE, torch.bfloat16, enabled=network.training):
        return network.body(x)
#: end
#: if not half
    return network.body(x)
#: end
"""

_ANSWERING = """
#: if long
def windows(sound):  # V WINDOW: they overlap by half; what is shorter lies in the middle of one
    lacks, spare = max(0, WINDOW - len(sound)), max(0, len(sound) - WINDOW)
    sound = F.pad(sound, (lacks // 2, lacks - lacks // 2))
    starts = torch.linspace(0, spare, 1 + math.ceil(2 * spare / WINDOW), dtype=torch.float64)
    return torch.stack([sound[start : start + WINDOW] for start in starts.round().long()])

#: end
@torch.inference_mode()
def $function(sounds):  # N $k: the mean over the windows of each
    network.eval()
#: if not long
    gaps = [WINDOW - len(sound) for sound in sounds]
    sounds = [F.pad(s, (gap // 2, gap - gap // 2)) for s, gap in zip(sounds, gaps, strict=True)]
    scores = [hear(sound[None].to(DEVICE)) for sound in sounds]
#: end
#: if long
    scores = [hear(windows(sound).to(DEVICE)) for sound in sounds]
#: end
    found = torch.stack([$each.mean(0).cpu() for each in scores])
    return $answers
"""


def reading(told: Told) -> str:
    """Return how recordings are read."""
    rate = told.recipe["sound.rate"]
    headers = _headers(told.paths())
    rates = {one.samplerate for one in headers} - {rate}
    for other in rates:
        exact = Fraction(other, rate)
        if ratio(other, rate) != (exact.numerator, exact.denominator):
            raise ChoiceError(
                f"A script cannot resample {other:,} to {rate:,} Hz yet.", "Convert the files."
            )
    uses = {
        "others": told.asks != "classification",
        "files": not told.decoded,
        "resampled": bool(rates),
        "stereo": any(one.channels > 1 for one in headers),
        "loud": any("beyond full" in one["reason"] for one in told.report["data"]["remarks"]),
    }
    uses["plain"] = not (uses["stereo"] or uses["loud"] or uses["resampled"])
    values = {"rate": "rate" if rates else "_", "how": opened(told)}
    values |= {"truth": asked.words(told), "labels": asked.truth(told), "true": asked.true(told)}
    pieces = (filled(_RESAMPLING, uses), filled(_READING, uses, **values))
    return "\n\n".join(piece for piece in pieces if piece)


def _headers(paths: Sequence[Path]) -> list[Any]:
    import soundfile

    found = []
    for path in paths:
        try:
            found.append(soundfile.info(path))
        except (soundfile.SoundFileError, OSError) as problem:
            raise RunError(f"{path} cannot be read: {problem}.", "Put it back.") from problem
    return found


def learning(told: Told) -> str:
    """Return how recordings are varied and blended."""
    recipe = told.recipe
    gain, noise, shift = (recipe[f"augment.{key}"] for key in ("gain", "noise", "shift"))
    window = round(recipe["sound.window"] * recipe["sound.rate"])
    most = math.ceil(window * (1 + recipe["augment.speed"]))
    ways = ["slower or quicker, anywhere in the window"]
    ways += ["swelling or fading"] if gain else []
    ways += ["in noise"] if noise else []
    return filled(
        _VARYING,
        {"gain": gain > 0, "noise": noise > 0, "cut": longest(told) > most},
        ways=", ".join(ways),
        most=most,
        speed=number(recipe["augment.speed"]),
        why_speed=why(told, "augment.speed", 50),
        place="torch.rand(())"
        if shift == 1
        else f"(0.5 + {number(shift)} * (torch.rand(()) - 0.5))",
        gain=number(gain),
        noise=number(noise),
        why_noise=why(told, "augment.noise", 50),
    )


def longest(told: Told) -> int:
    """Return the samples of the longest example, at the network's rate."""
    rate = told.recipe["sound.rate"]
    if not told.decoded:
        return max(int(-(-one.frames * rate // one.samplerate)) for one in _headers(told.paths()))
    with np.load(told.folder / DECODED) as kept:
        return int(kept["counts"].max())


def hearing(told: Told) -> str:
    """Return the module that turns samples into spectra."""
    recipe = told.recipe
    low, high = recipe["sound.low"], recipe["sound.high"]
    ends = mel_scale(torch.tensor([low, high], dtype=torch.float64)).tolist()
    return filled(
        _HEARING,
        {
            "masked": recipe["augment.mask_bands"] or recipe["augment.mask_time"],
            "coloured": recipe["network.name"] != "compact",
            "half": recipe["compute.precision"] == "bfloat16" and told.trains,
        },
        k=len(told.classes),
        low_mel=f"{ends[0]:.12g}",
        high_mel=f"{ends[1]:.12g}",
        edges=recipe["sound.mels"] + 2,
        low=number(low),
        high=number(high),
        bins=recipe["sound.fft"] // 2 + 1,
        mels=recipe["sound.mels"],
        fft=recipe["sound.fft"],
        hop=recipe["sound.hop"],
        mask_bands=number(recipe["augment.mask_bands"]),
        mask_time=number(recipe["augment.mask_time"]),
        why_mask=why(told, "augment.mask_time", 45),
    )


def answering(told: Told) -> str:
    """Return how the network is asked."""
    is_long = longest(told) > round(told.recipe["sound.window"] * told.recipe["sound.rate"])
    return filled(
        _ANSWERING,
        {"long": is_long},
        k=len(told.classes),
        each=asked.shares(told, "each"),
        function=asked.function(told),
        answers=asked.scaled(told, "found"),
    )
