"""Why a model says what it says of one example: where it looked, and what is like it.

A picture or a spectrum has a map over it, a row a share for each column; beside it stand the
nearest training examples, and one sentence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from quickstudy.catalog import rows_of
from quickstudy.errors import ChoiceError, ExampleError, SourceError, did_you_mean
from quickstudy.explanation import wording
from quickstudy.explanation.columns import Share, shares, usual_row
from quickstudy.explanation.heard import Heard, middles, part_heard, spectrum, wav
from quickstudy.explanation.maps import Evidence, Map, evidence_for, looked
from quickstudy.explanation.neighbours import Neighbour, Tell, nearest
from quickstudy.kinds import NOUNS
from quickstudy.model import Model
from quickstudy.network.ensemble import Ensemble
from quickstudy.network.hearing import Hearing
from quickstudy.prediction import Prediction
from quickstudy.runtimes.believed import unknown_of

__all__ = ["Explanation", "Heard", "Neighbour", "Share", "explain"]

SHAPLEY = "Shapley values"


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why a model says what it says of one example."""

    kind: str
    task: str
    prediction: Prediction
    of: str
    """The output that is explained: the answer, unless another was asked about."""
    sentence: str
    method: str
    picture: NDArray[np.uint8] | None = None
    """What was looked at, ``H W 3``; of sound its spectrum, high tones up."""
    where: NDArray[np.float64] | None = None
    """The map over it, ``H W``; its sum is 1, or 0 where nothing counted."""
    cells: tuple[int, int] | None = None
    """What the map was measured in."""
    heard: Heard | None = None
    columns: tuple[Share, ...] = ()
    usual: float | None = None
    """Of a row: the answer to the most usual one, where the shares begin."""
    neighbours: tuple[Neighbour, ...] = ()
    compared: int = 0
    """Training examples that the neighbours were looked for among."""
    rows: int = 1
    """Of a table: how many rows it has, this one among them."""

    def as_dict(self) -> Mapping[str, Any]:
        """Return what ``--json`` prints."""
        coarse = None if self.where is None else _coarse(self.where)
        return {
            "sentence": self.sentence,
            "answer": self.prediction.as_dict(),
            "of": self.of,
            "method": self.method,
            "map": coarse,
            "columns": [
                {"column": c.column, "cell": c.cell, "usual": c.usual, "share": c.share}
                for c in self.columns
            ],
            "usual": self.usual,
            "neighbours": [
                {"name": n.name, "label": n.label, "alike": n.alike} for n in self.neighbours
            ],
            "compared": self.compared,
        }


def _coarse(where: NDArray[np.float64]) -> list[list[float]]:
    """Return shares of at most 14 x 14 parts of a map."""
    rows = np.array_split(np.arange(where.shape[0]), min(14, where.shape[0]))
    columns = np.array_split(np.arange(where.shape[1]), min(14, where.shape[1]))
    return [[round(float(where[np.ix_(r, c)].sum()), 6) for c in columns] for r in rows]


def explain(
    model: Model,
    what: Any,
    *,
    of: str | None = None,
    run: Path | None = None,
    row: int = 0,
    tell: Tell | None = None,
) -> Explanation:
    """Return why `model` says what it says of one example, as `Model.predict` takes it.

    `of` names another output than the answer; of a table's file the row numbered `row`, from 0, is
    explained. The neighbours are looked for in the folder of a `run`; `tell` hears how far that
    is. Raises `ExampleError` for an example that cannot be read, `ChoiceError` for an output that
    the model has not.
    """
    name, values, rows = _decoded(model, what, row)
    prediction = _said(model, name, values)
    output = _output(model, prediction, of)
    evidence = evidence_for(model.task.name, output)
    if model.kind == "table":
        found = _of_row(model, values, prediction, output)
    elif model.kind == "sound":
        found = _of_sound(model, values, prediction, output, evidence)
    else:
        found = _of_picture(model, values, prediction, output, evidence)
    if prediction.unknown:
        found = replace(found, sentence=wording.of_unknown(found.sentence, NOUNS[model.kind][0]))
    found = replace(found, rows=rows)
    if run is None:
        return found
    near, compared = nearest(model, run, values, tell)
    return replace(found, neighbours=near, compared=compared)


def _said(model: Model, name: str, values: NDArray[Any]) -> Prediction:
    """Return what `Model.predict` says of decoded values, also whether they are unknown to it."""
    answers, features, given = model.looked([values])
    (unknown,) = unknown_of(features, given, model.calibration)
    return replace(model.task.prediction(name, answers[0]), unknown=unknown)


def _decoded(model: Model, what: Any, row: int) -> tuple[str, NDArray[Any], int]:
    """Return an example's name, its values, and how many rows there are."""
    how: Any = model.preparation
    if model.kind == "table":
        needed = {column.name: bool(column.features) for column in how.columns}
        rows = rows_of(what, needed)
        if not 0 <= row < len(rows):
            raise SourceError(
                f"There is no row {row}: there are {len(rows):,}.",
                f"Give a number from 0 to {len(rows) - 1:,}." if len(rows) else "",
            )
        return f"row {row}", how.decode(rows[row]).values, len(rows)
    if isinstance(what, str):
        what = Path(what)
    name = str(what) if isinstance(what, Path) else type(what).__name__
    try:
        return name, how.values(what), 1
    except ExampleError as problem:
        one = NOUNS[model.kind][0]
        raise ExampleError(f"{name}: {problem.message}", f"Give a {one} file.") from problem


def _output(model: Model, prediction: Prediction, of: str | None) -> int:
    """Return the number of the output to explain: the answer, the likeliest label, a number."""
    if of is None:
        if prediction.values is not None:
            return 0
        return max(
            range(len(model.classes)), key=lambda k: prediction.probabilities[model.classes[k]]
        )
    if of not in model.classes:
        raise ChoiceError(
            f"The model does not answer '{of}'.",
            did_you_mean(of, model.classes) or "It knows: " + ", ".join(model.classes[:20]) + ".",
        )
    return model.classes.index(of)


def _views(model: Model, values: NDArray[Any]) -> Tensor:
    """Return all views of an example as `prepare` takes them."""
    how = model.preparation
    views = np.stack([how.view(values, start) for start in how.starts(len(values)).tolist()])
    return torch.from_numpy(views).to(next(model.network.parameters()).device)


def _of_picture(
    model: Model, values: NDArray[Any], said: Prediction, output: int, evidence: Evidence
) -> Explanation:
    views = _views(model, values)
    x, both = model.preparation.prepare(views), model.task.name == "regression"
    found = looked(model.network, x, evidence, both_ways=both)
    total = found.values[0]
    if model.preparation.passes > 1:  # the mirror image is looked at as well
        mirrored = looked(model.network, x.flip(-1), evidence, both_ways=both)
        total = total + mirrored.values[0].flip(-1)
    where, picture = _shares(total), views[0].cpu().numpy()
    if where.shape != picture.shape[:2]:
        picture = _fitted(picture, *where.shape)
    of = model.classes[output]
    sentence = wording.of_picture(wording.begun(said, of), where)
    return _explained(model, said, of, sentence, found, picture, where)


def _explained(
    model: Model,
    said: Prediction,
    of: str,
    sentence: str,
    found: Map,
    picture: NDArray[np.uint8],
    where: NDArray[np.float64],
) -> Explanation:
    return Explanation(
        model.kind, model.task.name, said, of, sentence, found.method,
        picture=picture, where=where, cells=found.cells,
    )  # fmt: skip


def _fitted(picture: NDArray[np.uint8], high: int, wide: int) -> NDArray[np.uint8]:
    from PIL import Image

    fitted = Image.fromarray(picture).resize((wide, high), Image.Resampling.BICUBIC)
    return np.asarray(fitted)


def _shares(where: Tensor) -> NDArray[np.float64]:
    found = where.double().cpu().numpy()
    total = float(found.sum())
    return found / total if total > 0 else np.zeros_like(found)


def _of_sound(
    model: Model, values: NDArray[Any], said: Prediction, output: int, evidence: Evidence
) -> Explanation:
    """Explain the window of a recording that is surest of the output."""
    network, how = model.network, model.preparation
    if isinstance(network, Ensemble):
        network = network.members[-1]  # the one that counts most
    assert isinstance(network, Hearing)  # by construction in `build`
    windows = how.prepare(_views(model, values))
    with torch.no_grad():
        best = int(torch.cat([evidence(network(one[None])) for one in windows]).argmax())
        heard: list[Tensor] = []
        hook = network.body.register_forward_pre_hook(lambda _, inputs: heard.append(inputs[0]))
        try:
            network.eval()
            network(windows[best : best + 1])
        finally:
            hook.remove()
    found = looked(network.body, heard[0], evidence, both_ways=model.task.name == "regression")
    first, last, lead = _there(how, values, best)
    hop = network.spectra.hop
    frames = slice(
        round(lead / hop), max(round(lead / hop) + 1, round((lead + last - first) / hop))
    )
    where = _shares(found.values[0][:, frames])
    samples = windows[best].float().cpu()
    sound = model.spec.sound or {}
    part = part_heard(network.spectra, samples, found.values[0].cpu(), middles(sound), network.rate)
    inside = slice(lead, lead + last - first)
    told = Heard(
        first / network.rate, last / network.rate, sound["low"], sound["high"],
        wav(samples[inside], network.rate), wav(part[inside], network.rate),
        middles(sound).numpy(),
    )  # fmt: skip
    grey = spectrum(network.spectra, windows[best])[:, frames]
    of = model.classes[output]
    sentence = wording.of_sound(wording.begun(said, of), where, told)
    picture = np.repeat(grey[..., None], 3, 2)
    made = _explained(model, said, of, sentence, found, picture, where[::-1].copy())
    return replace(made, heard=told)


def _there(how: Any, values: NDArray[Any], window: int) -> tuple[int, int, int]:
    """Return the samples of a recording that a window holds, and where in it they begin."""
    first = int(how.starts(len(values))[window])
    last = min(len(values), first + how.size)
    return first, last, (how.size - (last - first)) // 2


def _of_row(model: Model, values: NDArray[Any], said: Prediction, output: int) -> Explanation:
    columns = model.preparation.columns
    usual = usual_row(model.network, columns)

    def ask(rows: NDArray[Any]) -> NDArray[np.float64]:
        found: NDArray[np.float64] = model.answers(one[None] for one in rows)[:, output]
        return found

    told = shares(columns, values[0], usual, ask)
    before = float(ask(usual[None])[0])
    of, numbers = model.classes[output], model.task.name == "regression"
    sentence = wording.of_row(wording.begun(said, of, row=True), told, before, numbers=numbers)
    return Explanation(
        model.kind, model.task.name, said, of, sentence, SHAPLEY, columns=told, usual=before
    )
