"""Tones of five instruments, made with NumPy alone: what `quickstudy demo --kind sound` learns.

Length, loudness, pitches, chords, echo and noise of a clip are drawn by one function that does not
know the instrument: what tells them apart is timbre, how a note dies away included.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_Wave = NDArray[np.float32]
# NumPy's types lose sight of single precision where a float meets it.
_Real = NDArray[np.floating[Any]]

_LOWEST, _HIGHEST = 110.0, 880.0  # Hz; a chord stays inside, but for its detuning
_DETUNED = 30.0  # cents, either way, each note for itself
#: Semitones above the lowest note. Clips take rows in turn: half are one note, the rest chords.
_CHORDS: tuple[tuple[tuple[int, ...], ...], ...] = (
    ((0,),),
    ((0,),),
    ((0, 3), (0, 4), (0, 5), (0, 7), (0, 12)),
    ((0, 4, 7), (0, 3, 7), (0, 5, 9), (0, 5, 8), (0, 7, 12)),
)
#: Partials of a church bell tuned in the usual way: hum, prime, tierce, quint, nominal, and above.
#: After Fletcher and Rossing, "The Physics of Musical Instruments", on bells.
_BELL = (0.5, 1.0, 1.2, 1.5, 2.0, 2.5, 2.67, 3.0, 4.0, 5.33)
#: Drawbars of a Hammond organ, as multiples of the note.
_DRAWBARS = (0.5, 1.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)


@dataclass(frozen=True)
class _Setting:
    """All of a clip that its instrument has no say in: samples, Hz, 1/s, factors of amplitude."""

    length: int
    start: int
    pitches: tuple[float, ...]
    attack: int
    release: int
    fade: float
    peak: float
    noise: float
    tilt: float
    echo: float
    delay: int


def instruments(
    each: int = 120, *, rate: int = 16_000, seed: int = 0
) -> list[tuple[tuple[NDArray[np.float32], int], str]]:
    """Return ``((samples, rate), label)`` of `each` clips of each instrument, taking turns.

    Samples are mono, from -1 to 1, and the same bit for bit each time (another processor or NumPy
    may round a sine another way). Asking for more clips leaves the first ones as they were.
    """
    clips = []
    for index in range(each):
        for number, (label, play) in enumerate(_PLAYERS.items()):
            rng = np.random.default_rng([seed, number, index])
            setting = _setting(rng, index, rate)
            clips.append(((_clip(rng, setting, play, rate), rate), label))
    return clips


def instruments_said() -> str:
    """Say in one sentence what these sounds are."""
    return (
        "These are synthesised tones of five instruments (bell, flute, organ, plucked string, "
        "reed) with noise added, not recordings: a score on them says nothing about real sounds."
    )


def _setting(rng: np.random.Generator, index: int, rate: int) -> _Setting:
    chords = _CHORDS[index % len(_CHORDS)]
    chord = chords[rng.integers(len(chords))]
    lowest = _between(rng, _LOWEST, _HIGHEST / 2 ** (chord[-1] / 12))
    detuned = rng.uniform(-_DETUNED, _DETUNED, len(chord)) / 100
    return _Setting(
        length=round(rng.uniform(0.4, 1.2) * rate),
        start=round(rng.uniform(0.0, 0.12) * rate),
        pitches=tuple(
            lowest * 2 ** ((above + float(off)) / 12)
            for above, off in zip(chord, detuned, strict=True)
        ),
        attack=round(_between(rng, 0.004, 0.06) * rate),
        release=round(_between(rng, 0.02, 0.15) * rate),
        fade=rng.uniform(0, 5),  # so that dying away is no privilege of bells and strings
        peak=10 ** (rng.uniform(-30, -3) / 20),
        noise=10 ** (-rng.uniform(5, 30) / 20),
        tilt=rng.uniform(0, 1),
        echo=float(rng.uniform(0.2, 0.5) * (rng.random() < 0.3)),
        delay=round(rng.uniform(0.05, 0.15) * rate),
    )


_Play = Callable[[np.random.Generator, float, int, int], _Wave]


def _clip(rng: np.random.Generator, how: _Setting, play: _Play, rate: int) -> _Wave:
    n = how.length - how.start
    tone = np.zeros(n, np.float32)
    for pitch in how.pitches:
        note = play(rng, pitch, n, rate)
        tone += note * (rng.uniform(0.6, 1.0) / _rms(note))
    tone *= np.exp(np.arange(n, dtype=np.float32) * (-how.fade / rate))
    tone[: how.attack] *= _rise(how.attack)
    tone[n - how.release :] *= _rise(how.release)[::-1]
    if how.echo:
        tone[how.delay :] += how.echo * tone[: n - how.delay]
    # From white to pink. Below 20 Hz flat: nobody hears the rest.
    noise = _noise(rng, how.length, rate, lambda hz: np.maximum(hz, 20) ** (-how.tilt / 2))
    clip = noise * (how.noise * _rms(tone) / _rms(noise))
    clip[how.start :] += tone
    clip *= how.peak / float(np.abs(clip).max())
    return clip


def _bell(rng: np.random.Generator, pitch: float, n: int, rate: int) -> _Wave:
    """Inharmonic partials, each dying away by itself, the higher the sooner."""
    ratios = np.array(_BELL) * rng.normal(1, 0.004, len(_BELL))
    levels = rng.uniform(0.2, 1.0, len(_BELL)) / np.sqrt(ratios)
    lasts = _between(rng, 0.25, 1.2) * ratios**-0.7  # seconds to 1/e
    seconds = np.arange(n, dtype=np.float32) / rate
    fading = (np.exp(seconds / -float(last)) for last in lasts)
    return _partials(rng, _cycles(pitch, n, rate), ratios, levels, rate / pitch / 2, fading)


def _flute(rng: np.random.Generator, pitch: float, n: int, rate: int) -> _Wave:
    """A fundamental with weak harmonics and vibrato, and breath in the tube's resonances."""
    beat = 2 * math.pi * rng.uniform(4.5, 6.5)  # radians a second
    swing = np.sin(np.arange(n) * (beat / rate) + rng.uniform(0, 2 * math.pi))
    bend = 2 ** (rng.uniform(5, 30) / 1200) - 1
    cycles = _cycles(pitch, n, rate) + swing * (bend * pitch / beat)
    numbers = np.arange(1.0, 7.0)
    levels = _between(rng, 0.1, 0.35) ** (numbers - 1) * rng.uniform(0.5, 1.5, 6)
    tone = _partials(rng, cycles, numbers, levels, rate / pitch / 2)
    tone *= 1 + rng.uniform(0.05, 0.25) * swing.astype(np.float32)

    def resonances(hz: _Wave) -> _Real:
        comb: _Real = np.sin(hz * (math.pi / pitch)) ** 2
        return 1 / ((1 + 9 * comb) * (1 + (hz / 2500) ** 2))

    breath = _noise(rng, n, rate, resonances)
    return tone + breath * (_between(rng, 0.1, 0.5) * _rms(tone) / _rms(breath))


def _organ(rng: np.random.Generator, pitch: float, n: int, rate: int) -> _Wave:
    """Octaves and fifths by drawbars, some pushed in, that speak softly."""
    drawn = rng.integers(3, 9, len(_DRAWBARS)) * (rng.random(len(_DRAWBARS)) < 0.75)
    drawn[2] = 8
    levels = 10 ** ((drawn - 8) * (3 / 20)) * (drawn > 0)  # a step of a drawbar is 3 dB
    tone = _partials(rng, _cycles(pitch, n, rate), np.array(_DRAWBARS), levels, rate / pitch / 2)
    soft = min(n, round(rng.uniform(0.03, 0.09) * rate))
    tone[:soft] *= _rise(soft)
    return tone


def _string(rng: np.random.Generator, pitch: float, n: int, rate: int) -> _Wave:
    """A burst of noise, plucked somewhere along the string, that runs round and round."""
    period = rate / pitch
    burst = rng.uniform(-1, 1, round(period) + 1).astype(np.float32)
    burst -= 0.9 * np.roll(burst, round(period * rng.uniform(0.1, 0.5)))
    burst -= burst.mean()
    for _ in range(rng.integers(3)):  # a softer plectrum
        burst = (burst + np.roll(burst, 1)) * np.float32(0.5)
    keep = 10 ** (-3 / (pitch * _between(rng, 0.5, 3.0)))  # 60 dB down after so many seconds
    return karplus_strong(burst, period, n, keep=keep, spread=rng.uniform(0.25, 0.4))


def _reed(rng: np.random.Generator, pitch: float, n: int, rate: int) -> _Wave:
    """Many harmonics, the even ones weak, emphasised around two formants."""
    numbers = np.arange(1.0, 25.0)
    hz = numbers * pitch
    levels = numbers ** -rng.uniform(0.6, 1.2) * rng.uniform(0.6, 1.4, len(numbers))
    levels[1::2] *= rng.uniform(0.1, 0.5)
    first, second = rng.uniform(900, 1500), rng.uniform(2200, 3400)
    formants = np.exp(-(((hz - first) / 400) ** 2)) + 0.6 * np.exp(-(((hz - second) / 600) ** 2))
    levels *= 0.4 + rng.uniform(1, 3) * formants
    return _partials(rng, _cycles(pitch, n, rate), numbers, levels, rate / pitch / 2)


#: Label -> what plays one note: generator, pitch in Hz, samples, samples a second.
_PLAYERS: dict[str, _Play] = {
    "bell": _bell,
    "flute": _flute,
    "organ": _organ,
    "plucked string": _string,
    "reed": _reed,
}


def karplus_strong(
    burst: NDArray[np.float32], period: float, n: int, *, keep: float = 1.0, spread: float = 0.25
) -> NDArray[np.float32]:
    """Return `n` samples of a plucked string that starts with `burst`, ``round(period) + 1`` long.

    ``y[i] = keep * (a y[i-P+1] + b y[i-P] + c y[i-P-1])`` (Karplus and Strong 1983) with three taps
    for their two: mean delay `period`, variance `spread` (0.25 to 0.5; theirs is 0.25), so that the
    string is in tune between whole samples without changing how it dies away.
    """
    whole = round(period)
    off = period - whole
    ahead, behind = ((spread + off * off + sign * off) / 2 for sign in (-1, 1))
    early, middle, late = (keep * tap for tap in (ahead, 1 - ahead - behind, behind))
    wave = np.empty(max(n, whole + 1), np.float32)
    wave[: whole + 1] = burst
    # A block needs what lies up to a period less one sample back, so that is as long as it may be.
    for begin in range(whole + 1, n, whole - 1):
        end = min(begin + whole - 1, n)
        back, to = begin - whole, end - whole
        wave[begin:end] = (
            early * wave[back + 1 : to + 1]
            + middle * wave[back:to]
            + late * wave[back - 1 : to - 1]
        )
    return wave[:n]


def _partials(
    rng: np.random.Generator,
    cycles: _Real,
    ratios: _Real,
    levels: _Real,
    below: float,
    fading: Iterable[_Real] | None = None,
) -> _Wave:
    """Sum sines at `ratios` times the note, as loud as `levels`, without ratios over `below`."""
    total = np.zeros(len(cycles), np.float32)
    phases = rng.random(len(ratios))
    shapes = fading or (np.ones(1, np.float32) for _ in ratios)
    for ratio, level, phase, shape in zip(ratios, levels, phases, shapes, strict=True):
        if level and ratio < below:
            turns = cycles * ratio + phase
            turns -= np.floor(turns)  # so that single precision suffices, which is quicker
            total += np.sin(turns.astype(np.float32) * (2 * math.pi)) * (shape * np.float32(level))
    return total


def _cycles(pitch: float, n: int, rate: int) -> _Real:
    return np.arange(n) * (pitch / rate)


def _noise(rng: np.random.Generator, n: int, rate: int, gain: Callable[[_Wave], _Real]) -> _Wave:
    """Return `n` samples of Gaussian noise whose amplitude at each frequency in Hz is `gain`."""
    size = 1 << (n - 1).bit_length()  # some other lengths are slow
    bins = size // 2 + 1
    spectrum = rng.standard_normal(2 * bins, dtype=np.float32).view(np.complex64)
    spectrum *= gain(np.arange(bins, dtype=np.float32) * (rate / size))
    spectrum[0] = 0
    return np.fft.irfft(spectrum, size)[:n].astype(np.float32, copy=False)


def _rise(n: int) -> _Wave:
    """Return half a cosine from 0 to 1."""
    return (0.5 - 0.5 * np.cos(np.linspace(0, math.pi, n))).astype(np.float32)


def _rms(wave: _Wave) -> float:
    return math.sqrt(float(np.square(wave).mean()))


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a number, any factor as likely as the next."""
    return math.exp(rng.uniform(math.log(low), math.log(high)))
