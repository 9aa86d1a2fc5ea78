"""Several labels at once: each is there or not."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from quickstudy import evaluation
from quickstudy.prediction import Prediction, Segment
from quickstudy.tasks.averaging import averaged, members
from quickstudy.tasks.contract import Floats, Judged, Truth

if TYPE_CHECKING:
    from torch import Tensor

_THRESHOLDS = np.linspace(0.05, 0.95, 91)


@dataclass(frozen=True)
class Multilabel:
    """Any of `outputs`; a label is given where its probability reaches `threshold`.

    Temperature and threshold are found on `val`: one of each for all labels, because a small `val`
    has few examples of the rare ones.
    """

    outputs: tuple[str, ...]
    temperature: float = 1.0
    threshold: float = 0.5

    name: ClassVar[str] = "multilabel"
    score_name: ClassVar[str] = "mAP"

    def as_dict(self) -> dict[str, Any]:
        """Return what `model.json` keeps."""
        return {"name": self.name, **asdict(self)}

    def learning_from(self, truth: Truth) -> Multilabel:
        """Return the task as it is."""
        return self

    def encoded(self, truth: Truth) -> Tensor:
        """Return 1 for each label that is there."""
        import torch

        return torch.from_numpy(truth).float()

    def answers(self, scores: Tensor) -> Tensor:
        """Return a probability for each label."""
        return members((scores / self.temperature).sigmoid())

    def judged(self, scores: Tensor, owners: Tensor, truth: Truth) -> Judged:
        """Judge by mean average precision; temperature by log loss, threshold by micro F1.

        The temperature is fitted to truth smoothed by one example, as that of classes is.
        """
        import torch
        from torch.nn import functional as F

        there = torch.from_numpy(truth).float()

        def shares(temperature: float) -> Tensor:
            found = replace(self, temperature=temperature).answers(scores)
            return averaged(found, owners, len(there)).clamp(1e-7, 1 - 1e-7)

        temperatures = torch.logspace(-1.3, 1.3, 27, base=10.0).tolist()
        share = 1 / (len(there) + 1)
        smoothed = there * (1 - share) + share / 2
        losses = [float(F.binary_cross_entropy(shares(t), smoothed)) for t in temperatures]
        best = int(np.nan_to_num(losses, nan=math.inf).argmin())
        found = shares(temperatures[best]).double().numpy()
        threshold = _best_threshold(truth, found)
        judged = replace(self, temperature=temperatures[best], threshold=threshold)
        loss = float(F.binary_cross_entropy(shares(1.0), there))  # untempered, as of classes
        return Judged(evaluation.mean_average_precision(truth, found), loss, judged)

    def losses(self, truth: Truth, answers: Floats) -> Floats:
        """Return the binary cross entropy of each example, the mean over its labels."""
        given = np.clip(np.where(truth > 0.5, answers, 1 - answers), 1e-12, None)
        return np.asarray(-np.log(given).mean(1), np.float64)

    def noise(self, score: float, n: int) -> float:
        """Return about one standard deviation of a mean over labels."""
        return max(0.005, 0.5 * math.sqrt(max(0.0, score * (1 - score)) / max(1, n)))

    def counted(self, truth: Truth) -> dict[str, int]:
        """Return how many examples there are of each class or label, or of all."""
        found = (truth > 0.5).sum(0)
        return {name: int(n) for name, n in zip(self.outputs, found, strict=True)}

    def guess(self, truth: Truth) -> Floats:
        """Return how often each label is there."""
        return np.asarray(truth.mean(0), np.float64)

    def tested(self, truth: Truth, answers: Floats, guess: Floats, seed: int) -> Any:
        """Return mean average precision, F1 and their kin."""
        thresholds = np.full(len(self.outputs), self.threshold)
        return evaluation.score_labels(
            truth, answers, labels=self.outputs, thresholds=thresholds, baseline=guess, seed=seed
        )

    def said(self, scores: Any, one: str, many: str) -> list[str]:
        """Return the scores in plain words."""
        return evaluation.sentence_labels(scores, one=one, many=many)

    def worst(self, truth: Truth, answers: Floats) -> list[int]:
        """Return the examples with a wrong label, the most surprising first."""
        return evaluation.mistakes_labels(truth, answers, self.threshold)

    def mistake(self, truth: Any, answer: Floats) -> dict[str, Any]:
        """Return the true labels and those said."""
        return {
            "true": self._named(np.asarray(truth) > 0.5),
            "predicted": self._named(answer >= self.threshold),
            "probability": float(np.abs(1 - np.asarray(truth) - answer).min()),
        }

    def _named(self, there: Any) -> list[str]:
        return [name for name, yes in zip(self.outputs, there, strict=True) if yes]

    def prediction(
        self, name: str, answer: Floats, timeline: tuple[Segment, ...] = ()
    ) -> Prediction:
        """Return the labels whose probability reaches the threshold, the likeliest first."""
        shares: Mapping[str, float] = {
            c: float(p) for c, p in zip(self.outputs, answer, strict=True)
        }
        given = sorted(self._named(answer >= self.threshold), key=lambda label: -shares[label])
        best = int(answer.argmax())
        return Prediction(
            name,
            self.outputs[best],
            float(answer[best]),
            shares,
            timeline=timeline,
            labels=tuple(given),
        )

    def convex(self, class_weights: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
        """Return the binary cross entropy of each label: as many logistic regressions."""
        from torch.nn import functional as F

        return lambda scores, target: F.binary_cross_entropy_with_logits(scores, target)


def _best_threshold(truth: Truth, found: Floats) -> float:
    """Return the threshold of the best micro F1; the middle one of equally good ones."""
    there = truth > 0.5
    f1 = []
    for threshold in _THRESHOLDS:
        said = found >= threshold
        hits = (said & there).sum()
        f1.append(2 * hits / max(1, said.sum() + there.sum()))
    good = np.flatnonzero(np.array(f1) >= max(f1) - 1e-12)
    return float(_THRESHOLDS[good[len(good) // 2]])
