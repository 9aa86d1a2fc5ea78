"""What a trial keeps for an ensemble: its network, and what that says of `val`.

Only of the best trials so far, so that the disk of a long search stays bounded.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from quickstudy.errors import ModelError, QuickstudyError
from quickstudy.folders import write_whole
from quickstudy.learning.ending import model_of
from quickstudy.learning.told import Ended
from quickstudy.model import Model, load

TRIALS = "trials"
_FOLDER, _FILE = "member", "val.npz"
_KEPT = 8  # trials
#: Examples of `val` that members are chosen by, at most: of many classes fewer, for time.
_ASKED, _NUMBERS = 1_000, 300_000
#: What a task settles on `val`, each network for itself.
_SETTLED = ("temperature", "threshold")


@dataclass(frozen=True, eq=False)
class Member:
    """A network that may be one of an ensemble."""

    trial: int | None
    """None: the last learning's."""
    model: Model
    answers: NDArray[np.float64]
    """What it said, before it learnt from them, of the examples `asked`: ``N K``."""
    digests: NDArray[np.uint64]
    """Content hashes of these."""

    @property
    def temperature(self) -> float:
        """What its scores are divided by."""
        return float(getattr(self.model.task, "temperature", 1.0))

    def fits(self, other: Member) -> bool:
        """Whether both take what the same preparation gives, and were asked the same."""
        return (
            self.model.preparation.as_dict() == other.model.preparation.as_dict()
            and _question(self.model) == _question(other.model)
            and self.answers.shape == other.answers.shape
            and bool((self.digests == other.digests).all())
            and bool(np.isfinite(self.answers + other.answers).all())
        )


def _question(model: Model) -> dict[str, Any]:
    return {key: one for key, one in model.task.as_dict().items() if key not in _SETTLED}


def asked(ended: Ended) -> NDArray[np.int64]:
    """Return the places in `val` that members are chosen by: all, or a part at random."""
    lesson = ended.lesson
    most = max(_ASKED, _NUMBERS // lesson.outputs)
    rng = np.random.default_rng([lesson.recipe.seed, 10])
    return np.sort(rng.permutation(len(lesson.val))[:most])


def member_of(ended: Ended) -> Member:
    """Return what a learning that has ended would be in an ensemble."""
    places = asked(ended)
    digests = ended.lesson.decoded.digests[ended.lesson.val[places]]
    return Member(None, model_of(ended), ended.taught.held_out.answers[places], digests)


def keep(ended: Ended, folder: Path) -> None:
    """Write what a trial would be in an ensemble into its folder."""
    one, into = member_of(ended), folder / _FOLDER
    one.model.save(into)
    out = io.BytesIO()
    np.savez(out, answers=one.answers, digests=one.digests)
    write_whole(into / _FILE, out.getvalue())


def kept(folder: Path, device: str) -> list[Member | str]:
    """Return what the trials of a search have kept; why, where one cannot be read."""
    return [_read(path, device) for path in sorted((folder / TRIALS).glob(f"*/{_FOLDER}"))]


def _read(path: Path, device: str) -> Member | str:
    try:
        model = load(path, device)
        with np.load(path / _FILE, allow_pickle=False) as arrays:
            return Member(_number(path), model, arrays["answers"], arrays["digests"])
    except (QuickstudyError, OSError, ValueError, LookupError, BadZipFile) as problem:
        why = problem.message if isinstance(problem, ModelError) else type(problem).__name__
        return f"trial {_number(path)} cannot be read ({why})"


def prune(folder: Path, board: Sequence[Mapping[str, Any]], most: int = _KEPT) -> None:
    """Delete what trials have kept, but for the best of a board: `most` of them."""
    best = [row["number"] for row in board if row["state"] == "done"][:most]
    busy = [row["number"] for row in board if row["state"] == "running"]
    for path in (folder / TRIALS).glob(f"*/{_FOLDER}"):
        if _number(path) not in {*best, *busy}:
            shutil.rmtree(path, ignore_errors=True)


def drop(folder: Path) -> None:
    """Delete what all trials have kept."""
    prune(folder, (), 0)


def _number(path: Path) -> int:
    return int(path.parent.name.partition("-")[0])
