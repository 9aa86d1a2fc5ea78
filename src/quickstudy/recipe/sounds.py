"""What the network gets to hear: sample rate, window, spectra; and how recordings are varied."""

from __future__ import annotations

import math

from quickstudy.facts import Facts
from quickstudy.hardware import Hardware
from quickstudy.recipe.draft import Draft

#: How much the compact network shrinks spectra, in time and in bands, before its blocks.
STRIDE = 2

_HIGHEST_RATE = 32_000  # Hz: little that tells sounds apart lies above 16 kHz
_LONGEST = 5.0  # seconds heard at once; longer recordings are heard in several windows
_SHORTEST = 0.2
_FRAME = 0.032  # seconds: tones and syllables both show
_STEP = 0.010  # seconds
_MOST_FRAMES = 256
_PASSES = 15  # fewer and a narrower network ends better


def spectra(p: Draft, facts: Facts, machine: Hardware, budget: float) -> None:
    """Step 3: rate, window and spectra, then the width that leaves time for enough passes."""
    rate = _rate(p, facts)
    window = _window(p, facts)
    fft = 2 ** round(math.log2(_FRAME * rate))
    fft = p.choose("sound.fft", fft, f"{1000 * fft / rate:.0f} ms: tones and syllables show")
    hop = min(fft, max(round(_STEP * rate), math.ceil(window * rate / _MOST_FRAMES)))
    p.choose(
        "sound.hop",
        hop,
        f"{1000 * hop / rate:.0f} ms: {window * rate / hop:.0f} spectra a window",
    )
    p.choose(
        "sound.mels",
        48 if rate < 12_000 else 64,
        f"enough to tell voices apart in the {rate / 2000:g} kHz that this rate holds",
    )
    p.choose("sound.low", 20.0, "lower is hum and wind")
    p.choose("sound.high", rate / 2, "all that this sample rate holds")
    p.choose(
        "sound.long",
        round(max(1.5 * facts.sound.long, 2 * window), 2),
        "clearly longer than what was learnt from: more than one thing may happen",
    )
    p.choose(
        "sound.span",
        round(min(window, max(0.1, facts.sound.seconds)), 3),
        "half of the recordings are no longer: one thing at a time",
    )
    _width(p, facts, machine, budget)


def _rate(p: Draft, facts: Facts) -> int:
    seen = facts.sound
    rate = min(seen.rate, _HIGHEST_RATE)
    if seen.rate > _HIGHEST_RATE:
        why = f"the files have {seen.rate:,} Hz; little that tells sounds apart lies above 16 kHz"
    elif seen.highest_rate > seen.rate:
        why = (
            f"nine in ten files have at least this (up to {seen.highest_rate:,} Hz): the highest "
            "tones must not give away which microphone it was"
        )
    else:
        why = "what the files have"
    return int(p.choose("sound.rate", rate, why))


def _window(p: Draft, facts: Facts) -> float:
    seen = facts.sound
    wanted = math.ceil(20 * seen.long) / 20
    window = min(_LONGEST, max(_SHORTEST, wanted))
    if wanted > _LONGEST:
        why = (
            f"one in twenty recordings is longer than {seen.long:.3g} s: what is longer than the "
            "window is heard in overlapping ones, to its end"
        )
    else:
        why = (
            f"19 of 20 recordings are no longer (half: {seen.seconds:.2g} s); longer ones are "
            "heard in overlapping windows, to their end"
        )
    return float(p.choose("sound.window", round(window, 3), why))


def _width(p: Draft, facts: Facts, machine: Hardware, budget: float) -> None:
    """The widest compact network with time for enough passes; others have a width of their own."""
    if p.values["network.name"] != "compact":
        p.choose("network.width", 1.0, "as published")
        return
    passes = {
        width: 0.25 * budget * machine.gigaflops * 1e9
        / (max(1, facts.learnable) * 3 * compact_flops(p, width))
        for width in (0.5, 1.0, 2.0)
    }  # fmt: skip
    width = max((w for w in passes if passes[w] >= _PASSES), default=0.5)
    p.choose(
        "network.width",
        width,
        f"there is time for some {passes[width]:.0f} passes over the recordings here",
    )


def compact_flops(p: Draft, width: float) -> float:
    """Forward FLOPs of the compact network, one window; a test compares them with torch's count."""
    frames = p.values["sound.window"] * p.values["sound.rate"] / p.values["sound.hop"]
    cells = frames * p.values["sound.mels"] / STRIDE**2
    return float(128e6 * cells / 32**2 * width**2)


def augmentation(p: Draft, facts: Facts) -> None:
    """Step 6: what does not change a sound's class."""
    p.choose("augment.shift", 1.0, "a recording may begin anywhere in the window")
    p.choose(
        "augment.speed", 0.1, "people and machines are a little quicker or slower, higher or lower"
    )
    p.choose("augment.gain", 6.0, "distances change; the level as a whole is evened out anyway")
    p.choose("augment.noise", 0.5, "rooms and microphones are noisy")
    p.choose("augment.mask_time", 0.2, "a part must be enough to tell")
    p.choose("augment.mask_bands", 0.2, "a part must be enough to tell")
    p.choose("augment.mixup", 0.2, "blends discourage learning by heart")
