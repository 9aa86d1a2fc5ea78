"""Numbers: one, or several at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from quickstudy import evaluation
from quickstudy.prediction import Prediction, Segment
from quickstudy.tasks.averaging import averaged, members
from quickstudy.tasks.contract import Floats, Judged, Truth

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Regression:
    """`outputs` are the names of the numbers; a network learns ``(number - mean) / std``."""

    outputs: tuple[str, ...]
    mean: tuple[float, ...] = ()
    """Of the training examples; nothing: numbers are learnt as they are."""
    std: tuple[float, ...] = ()

    name: ClassVar[str] = "regression"
    score_name: ClassVar[str] = "R2"

    def as_dict(self) -> dict[str, Any]:
        """Return what `model.json` keeps."""
        return {"name": self.name, **asdict(self)}

    def learning_from(self, truth: Truth) -> Regression:
        """Return the task with the scale of the numbers learnt from."""
        mean, std = truth.mean(0), truth.std(0)
        std = np.where(std > 1e-12 * np.maximum(1.0, np.abs(mean)), std, 1.0)
        return replace(self, mean=tuple(mean.tolist()), std=tuple(std.tolist()))

    def encoded(self, truth: Truth) -> Tensor:
        """Return the numbers on one scale, ``N K``, in double precision."""
        import torch

        if not self.mean:
            return torch.from_numpy(truth)
        return torch.from_numpy((truth - np.array(self.mean)) / np.array(self.std))

    def answers(self, scores: Tensor) -> Tensor:
        """Return numbers in their own units: in double precision, which large ones need."""
        found = members(scores).double()
        if not self.mean:
            return found
        if scores.device.type == "mps":  # has no double precision
            found = found.cpu()
        return found * found.new_tensor(self.std) + found.new_tensor(self.mean)

    def judged(self, scores: Tensor, owners: Tensor, truth: Truth) -> Judged:
        """Judge by R2, the mean over the numbers."""
        import torch

        found = averaged(self.answers(scores), owners, len(truth))
        true = torch.from_numpy(truth).double()
        errors = (found - true).square().mean(0)
        spread = (true - true.mean(0)).square().mean(0)
        r2 = torch.where(spread > 0, 1 - errors / spread.clamp_min(1e-300), -errors)
        scale = true.new_tensor(self.std) if self.std else true.new_ones(len(self.outputs))
        return Judged(float(r2.mean()), float((errors / scale.square()).mean()), self)

    def losses(self, truth: Truth, answers: Floats) -> Floats:
        """Return the squared error of each example on the scale learnt, the mean over numbers."""
        scale = np.array(self.std) if self.std else np.ones(len(self.outputs))
        return np.asarray((((answers - truth) / scale) ** 2).mean(1), np.float64)

    def noise(self, score: float, n: int) -> float:
        """Return a hundredth: R2 of one set of examples moves little."""
        return 0.01

    def counted(self, truth: Truth) -> dict[str, int]:
        """Return how many examples there are of each class or label, or of all."""
        return {"all": len(truth)}

    def guess(self, truth: Truth) -> Floats:
        """Return the mean."""
        return np.asarray(truth.mean(0), np.float64)

    def tested(self, truth: Truth, answers: Floats, guess: Floats, seed: int) -> Any:
        """Return R2, mean absolute error and their kin."""
        return evaluation.score_numbers(
            truth, answers, targets=self.outputs, baseline=guess, seed=seed
        )

    def said(self, scores: Any, one: str, many: str) -> list[str]:
        """Return the scores in plain words."""
        return evaluation.sentence_numbers(scores, one=one, many=many)

    def worst(self, truth: Truth, answers: Floats) -> list[int]:
        """Return the largest errors."""
        return evaluation.worst(truth, answers)

    def mistake(self, truth: Any, answer: Floats) -> dict[str, Any]:
        """Return the true numbers and those said."""
        return {
            "true": dict(zip(self.outputs, map(float, truth), strict=True)),
            "predicted": dict(zip(self.outputs, map(float, answer), strict=True)),
        }

    def prediction(
        self, name: str, answer: Floats, timeline: tuple[Segment, ...] = ()
    ) -> Prediction:
        """Return the numbers."""
        values = {c: float(v) for c, v in zip(self.outputs, answer, strict=True)}
        return Prediction(name, None, 0.0, {}, values=values)

    def convex(self, class_weights: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
        """Return the mean squared error: ridge regression."""
        from torch.nn import functional as F

        return lambda scores, target: F.mse_loss(scores, target)
