"""One of several classes."""

from __future__ import annotations

import math
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
class Classification:
    """One of `outputs`; scores are divided by `temperature`, found on `val`."""

    outputs: tuple[str, ...]
    temperature: float = 1.0

    name: ClassVar[str] = "classification"
    score_name: ClassVar[str] = "accuracy"

    def as_dict(self) -> dict[str, Any]:
        """Return what `model.json` keeps."""
        return {"name": self.name, **asdict(self)}

    def learning_from(self, truth: Truth) -> Classification:
        """Return the task as it is."""
        return self

    def encoded(self, truth: Truth) -> Tensor:
        """Return 1 for the class and 0 for the others, ``N K``."""
        import torch
        from torch.nn import functional as F

        return F.one_hot(torch.from_numpy(truth), len(self.outputs)).float()

    def answers(self, scores: Tensor) -> Tensor:
        """Return probabilities."""
        return members((scores / self.temperature).softmax(-1))

    def judged(self, scores: Tensor, owners: Tensor, truth: Truth) -> Judged:
        """Judge by accuracy; the temperature is fitted (Guo et al., 2017).

        To targets smoothed by one example (Platt, 1999): a short `val` on which everything is right
        is no reason to be sure of everything.
        """
        import torch
        from torch.nn import functional as F

        labels = torch.from_numpy(truth)

        def logs(temperature: float) -> Tensor:
            shares = replace(self, temperature=temperature).answers(scores)
            return averaged(shares, owners, len(labels)).clamp_min(1e-12).log()

        accuracy = float((logs(1.0).argmax(1) == labels).double().mean())
        temperatures = torch.logspace(-1.3, 1.3, 53, base=10.0).tolist()
        smoothing = 1 / (len(labels) + 1)
        losses = torch.stack(
            [F.cross_entropy(logs(t), labels, label_smoothing=smoothing) for t in temperatures]
        )
        best = float(temperatures[int(losses.nan_to_num(math.inf).argmin())])
        # Untempered: where all of a short `val` is right, the best temperature makes any loss 0.
        loss = float(F.cross_entropy(logs(1.0), labels))
        return Judged(accuracy, loss, replace(self, temperature=best))

    def losses(self, truth: Truth, answers: Floats) -> Floats:
        """Return minus the logarithm of the probability that each true class was given."""
        told = np.take_along_axis(answers, np.asarray(truth, np.int64)[:, None], 1)[:, 0]
        return np.asarray(-np.log(np.clip(told, 1e-12, None)), np.float64)

    def noise(self, score: float, n: int) -> float:
        """Return one standard deviation of a share, one example at least."""
        return max(1 / max(1, n), math.sqrt(max(0.0, score * (1 - score)) / max(1, n)))

    def counted(self, truth: Truth) -> dict[str, int]:
        """Return how many examples there are of each class or label, or of all."""
        found = np.bincount(truth, minlength=len(self.outputs))
        return {name: int(n) for name, n in zip(self.outputs, found, strict=True)}

    def guess(self, truth: Truth) -> Floats:
        """Return 1 for the commonest class."""
        guess = np.zeros(len(self.outputs))
        guess[np.bincount(truth, minlength=len(guess)).argmax()] = 1.0
        return guess

    def tested(self, truth: Truth, answers: Floats, guess: Floats, seed: int) -> evaluation.Scores:
        """Return accuracy and its kin."""
        baseline = int(guess.argmax())
        return evaluation.score(
            truth, answers, classes=self.outputs, baseline_class=baseline, seed=seed
        )

    def said(self, scores: evaluation.Scores, one: str, many: str) -> list[str]:
        """Return the scores in plain words."""
        return evaluation.sentence(scores, one=one, many=many)

    def worst(self, truth: Truth, answers: Floats) -> list[int]:
        """Return the wrong answers, the most confident first."""
        return evaluation.mistakes(truth, answers)

    def mistake(self, truth: Any, answer: Floats) -> dict[str, Any]:
        """Return the true class and the one said."""
        said = int(answer.argmax())
        return {
            "true": self.outputs[int(truth)],
            "predicted": self.outputs[said],
            "probability": float(answer[said]),
        }

    def prediction(
        self, name: str, answer: Floats, timeline: tuple[Segment, ...] = ()
    ) -> Prediction:
        """Return the likeliest class."""
        best = int(answer.argmax())
        shares = {c: float(p) for c, p in zip(self.outputs, answer, strict=True)}
        return Prediction(name, self.outputs[best], float(answer[best]), shares, timeline=timeline)

    def convex(self, class_weights: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
        """Return the cross entropy: multinomial logistic regression."""
        from torch.nn import functional as F

        return lambda scores, target: F.cross_entropy(scores, target, weight=class_weights)
