"""All that teaching one network needs, and what is noted on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from quickstudy.clock import Clock, Stop
from quickstudy.decoding import Decoded
from quickstudy.functions import class_weights, criterion
from quickstudy.hardware import Hardware
from quickstudy.kinds import planned
from quickstudy.network import Built
from quickstudy.progress import Listener, Progress
from quickstudy.recipe import Recipe
from quickstudy.shards.stream import Stream
from quickstudy.tasks import Task, Truth
from quickstudy.training.crew import Crew
from quickstudy.training.step import OverMembers

if TYPE_CHECKING:
    from quickstudy.training.curve import Curve

_TESTING = 0.33  # of the budget, at most: a larger test is done in part
#: Of the budget, at most: to learn what is unknown, from up to `_LOOKS` views.
KNOWING = 0.03
_LOOKS = 2_000
#: Of the budget, at most: to ask a network from scratch about the labels it has learnt.
DOUBTING = 0.02
_DRAWING = 5.0  # seconds at most: fifteen fits of trees to some thousand rows
_ANEW = 0.6  # of the budget: to learn the network twice more
_SAVING = 2.5  # seconds for saving the model and writing the report


@dataclass
class Lesson:
    """All that teaching needs. Rows are rows of `decoded`; `truth` has one for each."""

    network: Built
    recipe: Recipe
    hardware: Hardware
    decoded: Decoded
    task: Task
    truth: Truth
    families: NDArray[np.int64]
    """Equal numbers for examples that belong together: duplicates, and the user's groups."""
    train: NDArray[np.int64]
    val: NDArray[np.int64]
    test_views: int
    """Views of the network that the test takes."""
    clock: Clock
    folder: Path
    stop: Stop
    listen: Listener
    decided: Callable[[Recipe], None]
    """Keeps the recipe when a measurement has settled something, so that a resumed run has it."""
    loss: Callable[..., Tensor] | None = None
    """A loss of the user's own, in place of the recipe's."""
    optimizer: Callable[..., Any] | None = None
    """What makes an optimiser of the user's own."""
    crew: Crew = field(default_factory=Crew)
    """Who teaches it together."""
    known: Mapping[str, Any] = field(default_factory=dict)
    """What others must know to come in, beside what stands here: numbers and text."""
    stream: Stream | None = None
    """All examples to learn from, where the cache has only some of them; `train` are those."""
    val_views: int = 0
    """The same of one look at `val`."""
    later: float = 0.0
    """Seconds to keep for what comes after the test."""
    anew: bool = True
    """Whether the network can be learnt anew from fewer examples, for a curve over data."""
    forward: float = 0.0
    """Seconds per view without learning, float32, at the final size; measured."""
    step_seconds: float = 0.0
    """Seconds of one training step; 0 where it was not measured."""
    forward_precision: str = "float32"
    """The quickest for running the frozen body."""
    rebuild: Callable[[Recipe], Built] | None = None
    """Builds the network of another recipe for the same examples; None where that cannot be."""
    fixed: frozenset[str] = frozenset()
    """Keys of the recipe that somebody chose."""
    race: dict[str, Any] | None = None
    """How recipes raced; None: none did."""
    candidates: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    teacher: Tensor | None = None
    """What other networks say of each of `train`, as targets ``N K``: this one is taught by them.
    """
    seen: tuple[NDArray[np.int64], NDArray[np.float32]] | None = None
    """Rows of train and their features ``N D``, where a frozen body said them and ships."""
    held: tuple[NDArray[np.int64], Tensor, Tensor] | None = None
    """Rows of train and val, scores ``V K`` of last layers that did not learn from them on the same
    body, and whose the views are, ``V``."""
    suspects: list[dict[str, Any]] = field(default_factory=list)
    """Examples of train and val whose label is probably wrong, the most suspicious first."""
    doubts: dict[str, Any] = field(default_factory=dict)
    """How many labels were looked at, how, and the share estimated wrong; empty: none were."""

    curve: Curve | None = None
    """The last layer's learning curve over data, where there are features to draw it from."""

    def decide(self, key: str, value: Any, why: str) -> None:
        """Settle a choice by what was measured."""
        self.recipe = self.recipe.decided(key, value, why)
        self.decided(self.recipe)

    @property
    def outputs(self) -> int:
        """How many scores the network gives."""
        return len(self.task.outputs)

    @property
    def learnable(self) -> int:
        """How many examples there are to learn from, decoded beforehand or not."""
        return len(self.train) if self.stream is None else len(self.stream)

    def class_weights(self) -> Tensor:
        """Return how much each class counts, ``K``: 1 for what is no class."""
        if self.task.name != "classification":
            return torch.ones(self.outputs)
        learnt = self.truth[self.train] if self.stream is None else self.stream.truth
        counts = np.bincount(learnt, minlength=self.outputs)
        return class_weights(counts.tolist(), self.recipe.balance)

    def criterion(self, *, smoothing: bool = True, balanced: bool = True) -> nn.Module:
        """Return the recipe's loss, where it computes: scores ``N K``, targets ``N K`` -> mean."""
        how = self.recipe.loss
        made = criterion(
            self.loss if self.loss is not None else how.name,
            task=self.task.name,
            smoothing=how.label_smoothing if smoothing else 0.0,
            class_weights=self.class_weights() if balanced else None,
        )
        return OverMembers(made).to(self.recipe.compute.device)

    def said(self, stage: str, share: float) -> None:
        """Tell how far a stage is."""
        spent = self.clock.spent()
        self.listen(Progress(stage, spent, share, max(0.0, self.clock.left())))

    def said_line(self, line: str) -> None:
        """Say a line as it is."""
        self.listen(Progress("said", self.clock.spent(), said=line))

    def happened(self, what: str) -> None:
        """Note an event for the report."""
        self.events.append({"seconds": round(self.clock.spent(), 2), "what": what})

    def reserve(self) -> float:
        """Return the seconds to keep for the test (a third of the budget at most) and saving."""
        validating = 2 * self.val_views * self.forward
        knowing = min(KNOWING * self.clock.budget, _LOOKS * self.test_seconds())
        return self.reserve_taught() + knowing + validating + self._doubting()

    def reserve_taught(self) -> float:
        """Return what is still to be kept of that when the network is taught, and knows."""
        testing = 1.2 * self.test_views * self.test_seconds()
        kept = _SAVING + self.later + self._drawing()
        return min(testing, _TESTING * self.clock.budget) + kept

    def _doubting(self) -> float:
        """Return the seconds to keep for doubting labels when all is learnt."""
        recipe = self.recipe
        if recipe.suspects == "keep" or recipe.method != "scratch" or recipe.kind == "table":
            return 0.0
        return min(DOUBTING * self.clock.budget, len(self.train) * self.forward)

    def _drawing(self) -> float:
        """Return the seconds to keep for a learning curve over data that is drawn at the end."""
        scratch = self.recipe.method == "scratch"
        if self.recipe.data_curve == "always" and scratch and self.anew:
            return _ANEW * self.clock.budget
        if self.recipe.kind != "table" or self.recipe.data_curve == "never":
            return 0.0
        return min(_DRAWING, 0.05 * self.clock.budget)

    def test_seconds(self) -> float:
        """Return the seconds one view of the test takes."""
        return self.forward * self.passes

    @property
    def passes(self) -> int:
        """How often the network looks at one view when it answers."""
        return planned(self.recipe, self.decoded.how).passes

    def seconds_left(self) -> float:
        """Return the seconds until the test must begin."""
        return self.clock.left() - self.reserve()
