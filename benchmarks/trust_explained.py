"""Whether maps lie where the answer is told: hide what counted, or keep only that, and ask again.

As in the deletion and insertion games of Petsiuk et al., 2018 (RISE, arXiv 1806.07421), with one
size of mask: the fewest places that hold half of a map. Beside it the same mask elsewhere (turned
about the middle of a picture, moved by half a recording) and the map of the same network with
random weights, which knows nothing: a map that is worth something does better than both.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

import measuring
import quickstudy as qs
from quickstudy.explanation import explain
from quickstudy.explanation.heard import middles, part_heard
from quickstudy.explanation.wording import smallest
from quickstudy.model import Model
from quickstudy.network import build

CATS = measuring.SHARED / "data" / "cats_dogs"
DIGITS = measuring.SHARED / "data" / "spoken_digits"
WEIGHTS = measuring.SHARED / "weights" / "squeezenet1_0.safetensors"
MOST = 100
"""Examples asked about, every one of which the model is right about."""

Bools = NDArray[np.bool_]
#: An example with all but some places hidden, and with those hidden.
Halves = Callable[[Any, Bools], tuple[Any, Any]]


def _random(model: Model) -> Model:
    torch.manual_seed(0)
    return replace(model, network=build(model.spec).module.eval())


def _asked(model: Model, files: list[Path]) -> Iterator[tuple[Path, str]]:
    """Yield files that the model is right about, with their labels; all classes in turn."""
    n = 0
    for file in files:
        label = file.parent.name
        if n < MOST and model.predict(file).label == label:
            n += 1
            yield file, label


def _mixed(folder: Path) -> list[Path]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return [files[i] for i in np.random.default_rng(0).permutation(len(files)).tolist()]


def _scored(
    model: Model, files: list[Path], masks: Callable[[Path], dict[str, Any]], halves: Halves
) -> list[dict[str, Any]]:
    """Return for each sort of mask how often the answer stays, and its mean probability."""
    found: dict[str, list[tuple[float, bool]]] = {}
    for file, label in _asked(model, files):
        for name, one in masks(file).items():
            pair = zip(("only that", "all but that"), halves(*one), strict=True)
            for what, example in pair:
                said = model.predict(example)
                kept = (said.probabilities[label], said.label == label)
                found.setdefault(f"{name}: {what}", []).append(kept)
    return [
        {
            "what is left": name,
            "mean probability": round(float(np.mean([p for p, _ in kept])), 3),
            "same answer": round(float(np.mean([same for _, same in kept])), 3),
            "n": len(kept),
        }
        for name, kept in found.items()
    ]


def pictures(run: Path | None = None) -> list[dict[str, Any]]:
    """Return what hiding places of pictures of cats and dogs does to the answer."""
    with tempfile.TemporaryDirectory() as folder:
        out = run or qs.learn(CATS, budget="3m", weights=WEIGHTS, out=Path(folder) / "run").folder
        model = qs.load(out / "model")
        random = _random(model)

        def masks(file: Path) -> dict[str, Any]:
            told = explain(model, file)
            most, other = smallest(told.where), smallest(explain(random, file, of=told.of).where)
            return {
                "the map": (told.picture, most),
                "the same mask, turned about": (told.picture, most[::-1, ::-1]),
                "the map of random weights": (told.picture, other),
            }

        return _scored(model, _mixed(CATS / "test"), masks, _pixels)


def _pixels(picture: NDArray[np.uint8], most: Bools) -> tuple[Any, Any]:
    """Return a picture of which only some places are left, and one without them: grey instead."""
    grey = np.broadcast_to(picture.mean((0, 1)).astype(np.uint8), picture.shape)
    return np.where(most[..., None], picture, grey), np.where(most[..., None], grey, picture)


def sounds(run: Path | None = None) -> list[dict[str, Any]]:
    """Return what turning down parts of spoken digits does to the answer."""
    with tempfile.TemporaryDirectory() as folder:
        few = {"epochs": 8, "rehearsal": 0}
        out = run or qs.learn(DIGITS, budget="10m", settings=few, out=Path(folder) / "run").folder
        model = qs.load(out / "model")
        random = _random(model)

        def masks(file: Path) -> dict[str, Any]:
            told = explain(model, file)
            samples, rate = soundfile.read(file, dtype="float32")
            first, last = (round(rate * t) for t in (told.heard.start, told.heard.end))
            wave = (model, torch.from_numpy(samples[first:last]))
            most = told.where[::-1]
            other = explain(random, file, of=told.of).where[::-1]
            return {
                "the map": (wave, most),
                "the same, half a recording later": (wave, np.roll(most, most.shape[1] // 2, 1)),
                "the map of random weights": (wave, other),
            }

        return _scored(model, _mixed(DIGITS / "test"), masks, _waves)


def _waves(wave: tuple[Model, torch.Tensor], where: NDArray[Any]) -> tuple[Any, Any]:
    """Return a recording of which only what counted is loud, as it is played; and the rest."""
    (model, samples), rate = wave, wave[0].network.rate
    bands = middles(model.spec.sound)
    kept = part_heard(model.network.spectra, samples, torch.from_numpy(where.copy()), bands, rate)
    return (kept.numpy(), rate), ((samples - kept).numpy(), rate)
