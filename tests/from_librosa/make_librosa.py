"""Write what librosa 0.11 makes of the sounds in test_frontend.py: spectra.npz, beside this file.

    pip install librosa; PYTHONPATH=tests python tests/from_librosa/make_librosa.py

Kept, because librosa takes half a minute to compile itself where it is new.
"""

from __future__ import annotations

from pathlib import Path

import librosa
import numpy as np

from test_frontend import FREQUENCIES, HEARD, SETTINGS, SIGNALS, signal


def main() -> None:
    made = {"hz_to_mel": librosa.hz_to_mel(FREQUENCIES)}
    made["mel_to_hz"] = librosa.mel_to_hz(made["hz_to_mel"])
    for at, how in enumerate(SETTINGS):
        bands = {"n_mels": how["mels"], "fmin": how["low"], "fmax": how["high"]}
        window = {"sr": how["rate"], "n_fft": how["fft"]}
        filters = librosa.filters.mel(**window, **bands)
        made[f"filters {at}"] = filters
        for what in SIGNALS:
            power = librosa.feature.melspectrogram(
                y=signal(what, how["rate"]),
                hop_length=how["hop"],
                power=2.0,
                center=True,
                pad_mode="constant",
                htk=False,
                norm="slaney",
                **window,
                **bands,
            )
            made[f"power {what} {at}"] = power.astype(np.float32)
            if (what, how) == ("chirp", HEARD):
                made["decibels"] = librosa.power_to_db(power, ref=np.max, top_db=80, amin=1e-30)
    np.savez_compressed(Path(__file__).with_name("spectra.npz"), **made)


if __name__ == "__main__":
    main()
