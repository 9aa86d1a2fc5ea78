"""What is asked: one of several classes, several labels at once, or numbers: THE ONLY FORK by task.

A task turns what is true into what a network is taught, a network's scores into answers, and both
into scores with error bars.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quickstudy.tasks.classification import Classification
from quickstudy.tasks.contract import Judged, Task, Truth
from quickstudy.tasks.multilabel import Multilabel
from quickstudy.tasks.regression import Regression

__all__ = [
    "TASKS",
    "Classification",
    "Judged",
    "Multilabel",
    "Regression",
    "Task",
    "Truth",
    "restored",
    "task_of",
]

TASKS: dict[str, Any] = {
    "classification": Classification,
    "multilabel": Multilabel,
    "regression": Regression,
}


def task_of(name: str, outputs: tuple[str, ...]) -> Task:
    """Return a task that has learnt nothing yet; `outputs` are its classes, labels or numbers."""
    made: Task = TASKS[name](outputs)
    return made


def restored(kept: Mapping[str, Any]) -> Task:
    """Return the task that `as_dict` kept."""
    fields = {k: tuple(v) if isinstance(v, list) else v for k, v in kept.items() if k != "name"}
    made: Task = TASKS[kept["name"]](**fields)
    return made
