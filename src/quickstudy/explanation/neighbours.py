"""The training examples nearest to one, as the network sees them.

They are looked for in the run's folder, which names what was learnt from. What the network makes of
up to 2,000 of them is computed when an explanation is first asked for, and kept there (float16, a
few megabytes) for the next: a run spends nothing on it, and a model stays small.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from quickstudy.errors import RunError, SourceError
from quickstudy.explanation.features import features
from quickstudy.folders import write_whole
from quickstudy.kinds import NOUNS
from quickstudy.kinds.views import averaged, in_views
from quickstudy.model import Model
from quickstudy.model.examples import NAMES, Example, decoded, examples_in

MOST, SHOWN = 2_000, 5
NAME = "neighbours.npz"
_BATCH = {"image": 32, "sound": 32, "table": 1024}
_VIEWS = 4  # of a long recording
#: Hears how many are done, of how many.
Tell = Callable[[int, int], None]


@dataclass(frozen=True)
class Neighbour:
    """A training example that is like the one asked about."""

    name: str
    label: str
    alike: float
    """Cosine of the angle between what the network makes of both: 1 is the same."""
    path: str
    """Where it was, if it was a file."""
    cells: tuple[tuple[str, str], ...] = ()
    """Of a row: columns and what they say."""


def made_of(model: Model, pieces: Iterator[NDArray[Any]], n: int) -> NDArray[np.float32] | None:
    """Return what the last layer is given of `n` decoded examples, ``n D``, over their views."""
    device = next(model.network.parameters()).device
    owners, found = [], []
    batch = _BATCH[model.kind]
    for whose, views in in_views(pieces, model.preparation, batch, most=_VIEWS):
        made = features(
            model.network, model.preparation.prepare(torch.from_numpy(views).to(device))
        )
        if made is None:
            return None
        owners.append(whose)
        found.append(made.cpu().numpy())
    return averaged(np.concatenate(owners), np.concatenate(found), n).astype(np.float32)


def check_run(model: Model, folder: Path) -> None:
    """Raise `SourceError` unless a folder is that of a run whose examples a model can take."""
    file = folder / "model" / "model.json"
    if not (folder / NAMES).is_file() or not file.is_file():
        raise SourceError(
            f"{folder} is no run.", f"Give a run's folder: {NAMES} and model/ are in it."
        )
    try:
        kind = json.loads(file.read_bytes()).get("kind")
    except (ValueError, AttributeError):
        kind = None
    if kind != model.kind:
        many = NOUNS[model.kind][1]
        raise SourceError(
            f"{folder} did not learn from {many}, as the model did.", "Give the model's own run."
        )


def nearest(
    model: Model, folder: Path, values: NDArray[Any], tell: Tell | None = None
) -> tuple[tuple[Neighbour, ...], int]:
    """Return the nearest of a run's training examples, and among how many they were looked for.

    None where the folder is no run's, or its examples are gone.
    """
    learnt = _some(examples_in(folder, "train"))
    if not learnt:
        return (), 0
    kept = _kept(folder, model, learnt, tell)
    mine = made_of(model, iter([values]), 1)
    if kept is None or mine is None or not len(kept[0]):
        return (), 0
    places, others = kept
    middle = others.mean(0)
    there, here = _unit(others - middle), _unit(mine - middle)
    alike = there @ here[0]
    best = np.argsort(-alike, kind="stable")[:SHOWN]
    found = (
        Neighbour(one.name, one.label, float(alike[i]), one.path, one.cells)
        for i in best.tolist()
        for one in [learnt[places[i]]]
    )
    return tuple(found), len(others)


def _unit(x: NDArray[np.float32]) -> NDArray[np.float32]:
    size = np.sqrt((x**2).sum(1, keepdims=True))
    found: NDArray[np.float32] = x / np.maximum(size, 1e-12)
    return found


def _some(learnt: list[Example]) -> list[Example]:
    """Return at most `MOST`, evenly over what they were in the run: the same in every call."""
    if len(learnt) <= MOST:
        return learnt
    chosen = np.random.default_rng(0).permutation(len(learnt))[:MOST]
    return [learnt[i] for i in np.sort(chosen).tolist()]


def _kept(
    folder: Path, model: Model, learnt: list[Example], tell: Tell | None
) -> tuple[NDArray[np.int64], NDArray[np.float32]] | None:
    """Return which of `learnt` could be read, and what the network makes of them; kept on disk."""
    key = _key(model, learnt)
    file = folder / NAME
    if file.is_file():
        try:
            with np.load(file, allow_pickle=False) as kept:
                if str(kept["key"]) == key:
                    whole = kept["features"].astype(np.float32) * float(kept["scale"])
                    return kept["places"].astype(np.int64), whole
        except (OSError, ValueError, KeyError):
            pass  # damaged: it is made again
    places: list[int] = []

    def pieces() -> Iterator[NDArray[Any]]:
        for i, piece in enumerate(decoded(folder, model.preparation, learnt)):
            if tell is not None:
                tell(i, len(learnt))
            if piece is not None:
                places.append(i)
                yield piece

    found = _in_parts(model, pieces(), places)
    if found is None:
        return None
    scale = max(float(np.abs(found).max(initial=0)), 1e-12)  # so that 16 bits hold them
    half = (found / scale).astype(np.float16)
    out = io.BytesIO()
    np.savez_compressed(
        out, key=np.array(key), places=np.array(places, np.int64), features=half, scale=scale
    )
    with contextlib.suppress(RunError):  # a run that cannot be written to is looked at each time
        write_whole(file, out.getvalue())
    return np.array(places, np.int64), half.astype(np.float32) * scale


def _in_parts(
    model: Model, pieces: Iterator[NDArray[Any]], places: list[int]
) -> NDArray[np.float32] | None:
    """Return `made_of` of all pieces, a batch of them at a time."""
    found: list[NDArray[np.float32]] = []
    while part := [piece for _, piece in zip(range(_BATCH[model.kind]), pieces, strict=False)]:
        made = made_of(model, iter(part), len(part))
        if made is None:
            return None
        found.append(made)
    return np.concatenate(found) if found else None


def _key(model: Model, learnt: list[Example]) -> str:
    """Return what changes where the network or its examples do."""
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(model.network.state_dict().items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensor.detach().cpu().numpy()).tobytes())
    for one in learnt:
        digest.update(f"{one.place} {one.name}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
