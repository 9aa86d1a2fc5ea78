"""How well something answers examples of a run whose truth is known: val steers, test is honest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quickstudy.errors import ModelError
from quickstudy.evaluation import Estimate
from quickstudy.model.examples import decoded, examples_in
from quickstudy.runtimes.answering import Answering
from quickstudy.tasks import Task

MOST = 1000  # of a part: at 20 ms each, 20 s


@dataclass(frozen=True, eq=False)
class Labelled:
    """Decoded examples, and what is true of each."""

    pieces: Sequence[NDArray[Any]]
    truth: NDArray[Any]


def labelled(model: Answering, run: Path | None, part: str, most: int = MOST) -> Labelled:
    """Return up to `most` of a run's ``train``, ``val`` or ``test``, from all over it.

    Raises `ModelError` where the run's folder has none, or none that can still be read.
    """
    there = examples_in(run, part) if run is not None else []
    some = [there[i * len(there) // most] for i in range(most)] if len(there) > most else there
    pieces, truth = [], []
    for one, piece in zip(some, decoded(run or Path(), model.preparation, some), strict=True):
        if piece is not None:
            pieces.append(piece)
            truth.append(_truth(one.label, model.task))
    if not pieces:
        raise ModelError(
            f"Quantising is judged by the run's own examples, and its {part} is not there.",
            "Quantise the model in its run's folder, with the examples where they were.",
        )
    return Labelled(pieces, np.array(truth))


def score(answering: Answering, examples: Labelled) -> Estimate:
    """Return the task's main score: accuracy, mAP or R2; raises `ModelError` if it has none."""
    task = answering.task
    answers = answering.answers(examples.pieces)
    found = task.tested(examples.truth, answers, task.guess(examples.truth), 0).main
    if found is None:
        raise ModelError(
            "The truth of the held-out examples never varies: nothing says what quantising loses.",
            "Learn with more examples to hold out (split.val).",
        )
    return Estimate(found.value, found.interval)


def _truth(label: str, task: Task) -> Any:
    """Return what a cell of ``examples.csv`` says: a class's number, or a number for each."""
    if task.name == "regression":
        return [float(number) for number in label.split(";")]
    if task.name == "classification":
        return task.outputs.index(label)
    return [float(there) for there in _there(label, task.outputs)]


def _there(label: str, outputs: Sequence[str]) -> list[bool]:
    """Return which labels a cell names, in order; they may have a ``;`` themselves."""
    found, rest = [], f"{label};"
    for name in outputs:
        found.append(bool(label) and rest.startswith(f"{name};"))
        rest = rest[len(name) + 1 :] if found[-1] else rest
    return found
