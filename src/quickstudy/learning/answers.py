"""What a run's model answered to each test example, kept in its folder: what comparing needs."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from quickstudy import tasks
from quickstudy.errors import RunError
from quickstudy.folders import write_whole
from quickstudy.learning.told import Ended, Tested
from quickstudy.tasks import Task, Truth

NAME = "answers.npz"
_FORMAT = 1
_FAULTS = (OSError, LookupError, TypeError, ValueError, AttributeError, EOFError)
MOST_ANSWERS = 2**24
"""Numbers kept at most, 4 bytes each (8 of numbers): of a larger test a random part is kept."""
MOST_LEARNT = 2**23
"""Digests of examples learnt from that are kept at most, 8 bytes each; beyond, nothing is kept."""


@dataclass(frozen=True, eq=False)
class Answers:
    """The test of one run, example by example."""

    folder: Path
    kind: str
    task: Task
    source: str
    names: tuple[str, ...]
    digests: NDArray[np.uint64]
    """Content hashes of the test examples, ``N``."""
    truth: Truth
    answers: NDArray[np.float64]
    """``N K``."""
    learnt: NDArray[np.uint64]
    """Content hashes of the examples of train and val, sorted."""
    recurs: bool
    """Few cases, which recur: rows of the test are learnt from as well, and that is meant."""


def keep_answers(ended: Ended, tested: Tested, most: int = MOST_ANSWERS) -> None:
    """Write `NAME` into the run's folder: at most about 130 MB, usually some 100 kB.

    Nothing of a run that learnt from more than `MOST_LEARNT`. Raises `RunError` on a full disk.
    """
    lesson, parts, job = ended.lesson, ended.parts, ended.job
    rows, truth, found = tested
    learnt = np.concatenate([parts.train, parts.val])
    if len(learnt) > MOST_LEARNT:
        job.say(f"  Learnt from more than {MOST_LEARNT:,} examples: compare cannot take this run.")
        return
    kept = np.arange(len(rows))
    if found.size > most:
        rng = np.random.default_rng(job.seed)
        kept = np.sort(rng.permutation(len(rows))[: max(1, most // found.shape[1])])
    decoded, twins = lesson.decoded, ended.twins
    names = [str(ended.catalog.names[row]) for row in decoded.kept[rows[kept]].tolist()]
    told = {
        "format": _FORMAT,
        "kind": ended.catalog.kind,
        "task": ended.taught.task.as_dict(),
        "source": ended.catalog.source,
        "names": names,
        "recurs": bool(twins.identical and not (twins.group >= 0).any()),
    }
    exact = ended.taught.task.name == "regression"
    out = io.BytesIO()
    np.savez(
        out,
        told=np.frombuffer(json.dumps(told).encode(), np.uint8),
        digests=decoded.digests[rows[kept]],
        truth=truth[kept],
        answers=found[kept].astype(np.float64 if exact else np.float32),
        learnt=np.unique(decoded.digests[learnt]),
    )
    write_whole(job.folder / NAME, out.getvalue())


def read_answers(folder: Path) -> Answers:
    """Return what `keep_answers` kept; raises `RunError` for a folder without."""
    file = folder / NAME
    if not (folder / "run.json").is_file():
        raise RunError(f"{folder} holds no run.", "Give a run's folder, as runs/NAME-1.")
    if not file.is_file():
        raise RunError(
            f"The run in {folder} kept no answers to its test: it has not ended, was made before "
            f"runs kept them, or learnt from more than {MOST_LEARNT:,} examples.",
            "Go on with it (quickstudy learn --resume RUN), or learn again from fewer.",
        )
    try:
        with file.open("rb") as raw, np.load(raw, allow_pickle=False) as arrays:
            told = json.loads(bytes(arrays["told"]))
            found = Answers(
                folder,
                str(told["kind"]),
                tasks.restored(told["task"]),
                str(told["source"]),
                tuple(map(str, told["names"])),
                arrays["digests"].astype(np.uint64),
                arrays["truth"],
                arrays["answers"].astype(np.float64),
                arrays["learnt"].astype(np.uint64),
                bool(told["recurs"]),
            )
        _check(found)
    except (*_FAULTS, BadZipFile) as problem:
        raise RunError(
            f"{file} is not what a run writes: {type(problem).__name__}.",
            "It was altered or cut short: learn again.",
        ) from problem
    return found


def _check(found: Answers) -> None:
    n, k = found.answers.shape
    shape: tuple[Any, ...] = (n,) if found.task.name == "classification" else (n, k)
    sizes = {n, len(found.names), len(found.digests)}
    if found.truth.shape != shape or len(sizes) > 1 or k != len(found.task.outputs):
        raise ValueError("the arrays do not fit each other")
    if (
        found.task.name == "classification"
        and n
        and not 0 <= found.truth.min() <= found.truth.max() < k
    ):
        raise ValueError("a class without a name")
    if not np.isfinite(found.answers).all():
        raise ValueError("an answer is no number")
