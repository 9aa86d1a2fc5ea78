"""The training examples nearest to one, as the network sees them.

They are looked for in the run's folder, which names what was learnt from. What the network makes of
up to 2,000 of them is computed when an explanation is first asked for, and kept there (float16, a
few megabytes) for the next: a run spends nothing on it, and a model stays small.
"""

from __future__ import annotations

import contextlib
import csv
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

from quickstudy.errors import ExampleError, RunError, SourceError
from quickstudy.explanation.features import features
from quickstudy.folders import write_whole
from quickstudy.kinds import NOUNS, Preparation
from quickstudy.kinds.views import averaged, in_views
from quickstudy.model import Model

MOST, SHOWN = 2_000, 5
NAME = "neighbours.npz"
_EXAMPLES, _DECODED = "examples.csv", "examples.npz"
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


@dataclass(frozen=True)
class _Learnt:
    """One line of what a run learnt from."""

    name: str
    path: str
    label: str
    place: int
    cells: tuple[tuple[str, str], ...]


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
    if not (folder / _EXAMPLES).is_file() or not file.is_file():
        raise SourceError(
            f"{folder} is no run.", f"Give a run's folder: {_EXAMPLES} and model/ are in it."
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
    learnt = _some(_learnt(folder))
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


def _learnt(folder: Path) -> list[_Learnt]:
    """Return the training examples that a run's folder names, in its order."""
    file = folder / _EXAMPLES
    if not file.is_file():
        return []
    lines = csv.reader(io.StringIO(file.read_text(encoding="utf-8", errors="surrogateescape")))
    head = next(lines, [])
    if head[:4] != ["name", "path", "label", "part"]:
        return []
    return [
        _Learnt(line[0], line[1], line[2], place, tuple(zip(head[4:], line[4:], strict=False)))
        for place, line in enumerate(lines)
        if len(line) >= 4 and line[3] == "train"
    ]


def _some(learnt: list[_Learnt]) -> list[_Learnt]:
    """Return at most `MOST`, evenly over what they were in the run: the same in every call."""
    if len(learnt) <= MOST:
        return learnt
    chosen = np.random.default_rng(0).permutation(len(learnt))[:MOST]
    return [learnt[i] for i in np.sort(chosen).tolist()]


def _kept(
    folder: Path, model: Model, learnt: list[_Learnt], tell: Tell | None
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
        for i, piece in enumerate(_pieces(folder, model, learnt)):
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


def _key(model: Model, learnt: list[_Learnt]) -> str:
    """Return what changes where the network or its examples do."""
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(model.network.state_dict().items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensor.detach().cpu().numpy()).tobytes())
    for one in learnt:
        digest.update(f"{one.place} {one.name}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _pieces(folder: Path, model: Model, learnt: list[_Learnt]) -> Iterator[NDArray[Any] | None]:
    """Yield each example decoded, nothing for one that cannot be read any more."""
    how = model.preparation
    if model.kind == "table":
        yield from (_row(how, one) for one in learnt)
        return
    memory = _in_memory(folder)
    for one in learnt:
        if one.path:
            try:
                yield how.decode(Path(one.path)).values
            except ExampleError:
                yield None
        elif memory is not None:
            examples, ends = memory
            yield examples[ends[one.place] : ends[one.place + 1]]
        else:
            yield None


def _in_memory(folder: Path) -> tuple[NDArray[Any], NDArray[np.int64]] | None:
    file = folder / _DECODED
    if not file.is_file():
        return None
    with np.load(file, allow_pickle=False) as kept:
        ends = np.concatenate([[0], np.cumsum(kept["counts"])])
        return kept["examples"], ends.astype(np.int64)


def _row(how: Preparation, one: _Learnt) -> NDArray[np.float32] | None:
    """Return a row ``1 F`` of the cells that were kept in plain text."""
    cells = [text for _, text in one.cells]
    values: list[float] = []
    for column in how.columns:
        for _ in column.features:
            if not cells:
                return None
            text = cells.pop(0)
            if not text:
                values.append(np.nan)
            elif column.type == "number":
                values += column.encode(float(text))
            elif column.type == "category":
                values += column.encode(text)
            else:
                values.append(float(text))
    return np.array([values], np.float32)
