"""What every task offers: one contract for one class, several labels, and numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from quickstudy.prediction import Prediction, Segment

if TYPE_CHECKING:
    from torch import Tensor

#: What is true of each example: class numbers ``N``, or 0/1 for each label or numbers, ``N K``.
Truth = NDArray[Any]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Judged:
    """How a network does on examples with known answers, and its task with what they settled."""

    score: float
    """Higher is better: accuracy, mean average precision, or R2."""
    loss: float
    task: Task


class Task(Protocol):
    """What is asked of a network that gives scores ``N K``, or ``N M K`` for M members in one."""

    name: ClassVar[str]
    score_name: ClassVar[str]
    """The word for `Judged.score`."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """The classes, the labels or the numbers, ``K`` of them, in order."""

    def as_dict(self) -> dict[str, Any]:
        """Return what `model.json` keeps."""

    def learning_from(self, truth: Truth) -> Task:
        """Return this task with what the training examples tell (the scale of numbers)."""

    def encoded(self, truth: Truth) -> Tensor:
        """Return what a network is taught, ``N K``: shares, 0 or 1, or numbers on one scale."""

    def answers(self, scores: Tensor) -> Tensor:
        """Return answers ``N K`` of scores: probabilities, or numbers in their own units."""

    def judged(self, scores: Tensor, owners: Tensor, truth: Truth) -> Judged:
        """Judge scores ``V K`` (or ``V M K``) of views; `owners` says whose they are, ``V``."""

    def losses(self, truth: Truth, answers: Floats) -> Floats:
        """Return how wrong each answer is, ``N``, on one scale: what networks are compared by."""

    def noise(self, score: float, n: int) -> float:
        """Return how much a score on `n` examples may differ by chance."""

    def counted(self, truth: Truth) -> dict[str, int]:
        """Return how many examples there are of each class or label, or of all."""

    def guess(self, truth: Truth) -> Floats:
        """Return the best constant answer ``K`` to the examples learnt from."""

    def tested(self, truth: Truth, answers: Floats, guess: Floats, seed: int) -> Any:
        """Return the scores with their intervals."""

    def said(self, scores: Any, one: str, many: str) -> list[str]:
        """Return the scores in plain words."""

    def worst(self, truth: Truth, answers: Floats) -> list[int]:
        """Return the numbers of the worst answers, the worst first."""

    def mistake(self, truth: Any, answer: Floats) -> dict[str, Any]:
        """Return what was true and what was said of one example, for the report."""

    def prediction(
        self, name: str, answer: Floats, timeline: tuple[Segment, ...] = ()
    ) -> Prediction:
        """Return the answer ``K`` to one example."""

    def convex(self, class_weights: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
        """Return the loss that the last layer on a frozen body is learnt with: convex."""
