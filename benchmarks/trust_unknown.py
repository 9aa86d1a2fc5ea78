"""Inputs that are none of the classes: how well a model tells them from those it knows.

Models are made by `quickstudy.learn` and opened by `load`; what they say of the source's own test
(known) stands against inputs that they have never met the like of. A row for each sort: the area
under the receiver operating characteristic, and the share refused where known data is refused in
at most 5 %. Nothing here was used to choose the measure or its threshold.
"""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import measuring

CATS = measuring.SHARED / "data" / "cats_dogs"
CIFAR = measuring.SHARED / "data" / "cifar10_small.zip"
DIGITS = measuring.SHARED / "data" / "spoken_digits"
WEIGHTS = measuring.SHARED / "weights" / "squeezenet1_0.safetensors"
SIDE, RATE = 224, 8_000  # pixels, Hz
N = 200  # of each sort made here

Examples = list[Any]


def pictures(budget: str = "3m") -> list[dict[str, Any]]:
    """Show the cats-and-dogs model noise, spectrograms, digits and CIFAR-10's pictures."""
    rng = np.random.default_rng(0)
    sorts = {
        "noise, pixel by pixel": [_noise(rng, SIDE) for _ in range(N)],
        "noise, in coarse spots": [_spots(rng) for _ in range(N)],
        "spectrograms of spoken digits": list(_spectrograms()),
        "handwritten digits, enlarged": list(_handwritten()),
        "CIFAR-10, the eight other classes": list(_cifar(other=True)),
        "(CIFAR-10's cats and dogs, 32 pixels wide)": list(_cifar(other=False)),
    }
    return _learnt_and_asked(CATS, budget, sorts, weights=WEIGHTS, network="squeezenet1_0")


def sounds(budget: str = "3m") -> list[dict[str, Any]]:
    """Let the spoken-digits model hear noise, tones, instruments, and speech turned about."""
    from quickstudy.kinds.sound.instruments import instruments

    rng = np.random.default_rng(0)
    spoken = [_heard(file) for file in _files(DIGITS / "test", N)]
    clips = [(x[: RATE // 2 * 2], rate) for (x, rate), _ in instruments(N // 5)]
    sorts = {
        "white noise": [(_white(rng), RATE) for _ in range(N)],
        "brown noise": [(_brown(rng), RATE) for _ in range(N)],
        "tones that glide": [(_glide(rng), RATE) for _ in range(N)],
        "instruments": clips,
        "spoken digits backwards": [(x[::-1].copy(), rate) for x, rate in spoken],
        "two halves of digits swapped": [
            (np.concatenate([x[len(x) // 2 :], x[: len(x) // 2]]), rate) for x, rate in spoken
        ],
    }
    return _learnt_and_asked(DIGITS, budget, sorts)


def rows(budget: str = "60s") -> list[dict[str, Any]]:
    """Ask a model of eight handwritten digits, as a table, about the other two and nonsense."""
    import pandas as pd
    from sklearn.datasets import load_digits

    from quickstudy import learn

    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order], y[order]
    names = [f"cell {i}" for i in range(64)]
    frame = pd.DataFrame(x, columns=names).assign(digit=[f"d{one}" for one in y])
    met = frame[y < 8]
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "digits.csv"
        met.iloc[:1000].to_csv(file, index=False)
        run = learn(file, target="digit", budget=budget, out=Path(name) / "run", seed=0)
        rng = np.random.default_rng(1)
        known = met.iloc[1000:][names]
        mixed = pd.DataFrame({n: rng.permutation(known[n]) for n in names})
        far = known * rng.choice([-20.0, 20.0], known.shape)
        sorts = {
            "the two digits left out": frame[y >= 8][names],
            "each cell of another row": mixed,
            "numbers twenty times as large, or below 0": far,
        }
        rows_of = {key: one.to_dict("records") for key, one in sorts.items()}
        return asked(run.folder / "model", known.to_dict("records"), rows_of)


def _learnt_and_asked(
    source: Path, budget: str, sorts: dict[str, Examples], **how: Any
) -> list[dict[str, Any]]:
    from quickstudy import learn

    with tempfile.TemporaryDirectory() as name:
        run = learn(source, budget=budget, out=Path(name) / "run", seed=0, **how)
        return asked(run.folder / "model", _files(source / "test"), sorts)


def asked(folder: Path, known: Examples, sorts: dict[str, Examples]) -> list[dict[str, Any]]:
    """Return a row for each sort of inputs shown to the model of a folder, the known first."""
    from quickstudy import load
    from quickstudy.calibration import auroc_between, share

    model = load(folder)
    detector = model.calibration.detector
    if detector is None:
        raise SystemExit("This model cannot tell what is unknown: the budget was too short.")

    def unlike(examples: Examples) -> NDArray[np.float64]:
        return detector.measure.unlike(*model.looked(_decoded(model, examples))[1:])

    usual = unlike(known)
    rows = [{"input": "known: the test", "n": str(len(usual)), "AUROC": "-"}]
    rows[0] |= _refused(share(usual > detector.threshold))
    for name, examples in sorts.items():
        found = unlike(examples)
        area = auroc_between(usual, found)
        low, high = area.interval
        rows.append({"input": name, "n": str(len(found))})
        rows[-1]["AUROC"] = f"{area.value:.3f} ({low:.3f} to {high:.3f})"
        rows[-1] |= _refused(share(found > detector.threshold))
    for row in rows:
        row["by"] = detector.measure.name
    return rows


def _refused(one: Any) -> dict[str, str]:
    low, high = (100 * end for end in one.interval)
    return {"refused, %": f"{100 * one.value:.1f} ({low:.1f} to {high:.1f})"}


def _decoded(model: Any, examples: Examples) -> Iterator[NDArray[Any]]:
    if model.kind == "table":
        from quickstudy.catalog import rows_of

        columns = {one.name: bool(one.features) for one in model.preparation.columns}
        given = rows_of(examples, columns)
        yield from (one.values for one in model.preparation.decode_many(given))
        return
    for one in examples:
        yield model.preparation.decode(one).values


def _files(folder: Path, most: int | None = None) -> list[Path]:
    found = sorted(file for file in folder.rglob("*") if file.is_file())
    return found if most is None else found[:: max(1, len(found) // most)][:most]


def _noise(rng: np.random.Generator, side: int) -> NDArray[np.uint8]:
    if rng.random() < 0.5:
        return rng.integers(0, 256, (side, side, 3)).astype(np.uint8)
    return rng.normal(128, 50, (side, side, 3)).clip(0, 255).astype(np.uint8)


def _spots(rng: np.random.Generator) -> NDArray[np.uint8]:
    from PIL import Image

    coarse = Image.fromarray(_noise(rng, int(rng.integers(8, 40))))
    return np.asarray(coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def _spectrograms() -> Iterator[NDArray[np.uint8]]:
    """Yield spectrograms of recordings, half in grey, half in colours."""
    import torch
    from PIL import Image

    for number, file in enumerate(_files(DIGITS / "test", N)):
        waves = torch.from_numpy(_heard(file)[0])
        window = torch.hann_window(256)
        heard = torch.stft(waves, 256, 64, window=window, return_complex=True).abs()
        level = heard.clamp_min(1e-5).log()
        level = (level - level.min()) / (level.max() - level.min() + 1e-9)
        flat = Image.fromarray((255 * level.numpy()[::-1]).astype(np.uint8))
        grey = np.asarray(flat.resize((SIDE, SIDE), Image.Resampling.BILINEAR)) / 255.0
        colours = [np.clip(1.5 - abs(4 * grey - c), 0, 1) for c in (3, 2, 1)]
        yield (255 * np.stack(colours if number % 2 else [grey] * 3, -1)).astype(np.uint8)


def _handwritten() -> Iterator[NDArray[np.uint8]]:
    from PIL import Image
    from sklearn.datasets import load_digits

    for digit in load_digits().images[:N]:
        small = Image.fromarray((digit * 15.9).astype(np.uint8))
        grey = np.asarray(small.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
        yield np.stack([grey] * 3, -1)


def _cifar(*, other: bool) -> Iterator[bytes]:
    with zipfile.ZipFile(CIFAR) as files:
        names = [
            name
            for name in sorted(files.namelist())
            if "/test/" in name
            and not name.endswith("/")
            and (name.split("/")[-2] not in ("cat", "dog")) == other
        ]
        most = 2 * N if other else N
        for name in names[:: max(1, len(names) // most)][:most]:
            yield io.BytesIO(files.read(name)).getvalue()


def _heard(file: Path) -> tuple[NDArray[np.float32], int]:
    import soundfile

    samples, rate = soundfile.read(file, dtype="float32", always_2d=True)
    return samples[:, 0], rate


def _white(rng: np.random.Generator) -> NDArray[np.float32]:
    return (0.1 * rng.normal(size=RATE // 2)).astype(np.float32)


def _brown(rng: np.random.Generator) -> NDArray[np.float32]:
    walk = rng.normal(size=RATE // 2).cumsum()
    walk -= np.linspace(walk[0], walk[-1], len(walk))
    return (0.3 * walk / np.abs(walk).max()).astype(np.float32)


def _glide(rng: np.random.Generator) -> NDArray[np.float32]:
    low, high = np.exp(rng.uniform(np.log(150), np.log(3000), 2))
    turns = np.cumsum(np.geomspace(low, high, RATE // 2)) / RATE
    return (0.3 * np.sin(2 * np.pi * turns) * np.hanning(RATE // 2)).astype(np.float32)
