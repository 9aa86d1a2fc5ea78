"""How quickly sound is heard: decoding with spectra on one core, and an hour-long recording.

python benchmarks/hearing.py
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import torch

import measuring
from quickstudy.kinds.sound.decode import open_recording
from quickstudy.kinds.sound.frontend import LogMel, Resampler

DIGITS = measuring.SHARED / "data" / "spoken_digits"


def speech(rate: int, seconds: float, channels: int) -> np.ndarray:
    """Real voices one after another, repeated, at another rate."""
    files = sorted((DIGITS / "test").glob("*/*.flac"))
    wave = np.concatenate([soundfile.read(f, dtype="float32")[0] for f in files])
    stream = Resampler(8000, rate)
    wave = stream.push(torch.from_numpy(wave)).numpy()
    wave = np.resize(wave, round(rate * seconds))
    return np.repeat(wave[:, None], channels, 1)


def heard(path: Path, rate: int) -> float:
    """Decode, resample and take the spectra of a file; return the seconds it took."""
    spectra = LogMel(rate, fft=512, hop=160, mels=64, low=20.0, high=rate / 2)
    began = time.perf_counter()
    recording = open_recording(path)
    resampler = Resampler(recording.rate, rate)
    with torch.inference_mode():
        for block in recording.blocks():
            spectra(resampler.push(torch.from_numpy(block))[None])
    return time.perf_counter() - began


def decoding(folder: Path) -> list[dict[str, str]]:
    torch.set_num_threads(1)
    rows = []
    for name, rate, channels in (
        ("8k.flac", 8_000, 1),
        ("16k.wav", 16_000, 1),
        ("44k.flac", 44_100, 2),
        ("44k.mp3", 44_100, 2),
        ("44k.ogg", 44_100, 2),
    ):
        path = folder / name
        wave = speech(rate, 120, channels)
        with soundfile.SoundFile(path, "w", rate, channels) as file:
            for start in range(0, len(wave), rate):  # libvorbis overflows the stack on long ones
                file.write(wave[start : start + rate])
        took = min(heard(path, min(rate, 16_000)) for _ in range(3))
        rows.append(
            {
                "what": f"decode + log-mel on one core, {name}, {channels} channel(s)",
                "asked": "200 x real time",
                "measured": f"{120 / took:.0f} x",
            }
        )
    files = sorted((DIGITS / "train").glob("*/*.flac"))
    seconds = sum(soundfile.info(f).duration for f in files)
    began = time.perf_counter()
    for file in files:
        heard(file, 8_000)
    took = time.perf_counter() - began
    what = f"the same, {len(files):,} FLAC clips of {seconds / len(files):.2f} s each"
    return [
        *rows,
        {"what": what, "asked": "200 x real time", "measured": f"{seconds / took:.0f} x"},
    ]


def hour(folder: Path) -> list[dict[str, str]]:
    """Learn digits, then predict an hour of 44.1 kHz stereo."""
    model = folder / "run" / "model"
    command = [sys.executable, "-m", "quickstudy", "learn", str(DIGITS), "--budget", "40s"]
    command += ["--set", "rehearsal=0", "--json", "--out", str(folder / "run")]
    measuring.timed(command, folder / "cache", folder)
    rows = []
    for name, rate, channels in (("8k.flac", 8_000, 1), ("44k.flac", 44_100, 2)):
        path = folder / f"hour-{name}"
        with soundfile.SoundFile(path, "w", rate, channels) as file:
            minute = speech(rate, 60, channels)
            for _ in range(60):
                file.write(minute)
        words = [sys.executable, "-m", "quickstudy", "predict", str(model), str(path), "--json"]
        (told,), took, peak = measuring.timed(words, folder / "cache", folder)
        rows.append(
            {
                "what": f"an hour through predict, {name}, {channels} channel(s)",
                "asked": "60 x real time, under 1 GB",
                "measured": f"{3600 / took:.0f} x ({took:.0f} s), {peak:.0f} MB, "
                f"{len(told['timeline']):,} segments",
            }
        )
    return rows


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = [*decoding(folder), *hour(folder)]
    measuring.keep("hearing", "Hearing", rows)


if __name__ == "__main__":
    main()
