"""What a loss may look at: scores, target, and the probabilities in them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

TASKS = ("classification", "multilabel", "regression")
CHOICES = TASKS[:2]  # where scores are turned into probabilities


@dataclass(frozen=True)
class Seen:
    """What a loss may look at, ``N K`` where nothing else is said."""

    scores: Tensor
    target: Tensor
    task: str

    @cached_property
    def prediction(self) -> Tensor:
        """Probabilities of the classes or labels; numbers as they are."""
        if self.task == "classification":
            return self.scores.softmax(1)
        return self.scores.sigmoid() if self.task == "multilabel" else self.scores

    @cached_property
    def p(self) -> Tensor:
        """The probability given to the truth, in the shape of its logarithm."""
        return self.log_p.exp()

    @cached_property
    def log_p(self) -> Tensor:
        """Logarithm of the probability given to the truth: ``N`` of classes, ``N K`` of labels."""
        if self.task == "classification":
            return (self.target.log() + self.scores.log_softmax(1)).logsumexp(1)
        return self._of_truth(F.logsigmoid(self.scores), F.logsigmoid(-self.scores))

    @cached_property
    def log_not_p(self) -> Tensor:
        """Logarithm of the probability not given to the truth, in the same shape."""
        if self.task == "classification":
            return ((1 - self.target).log() + self.scores.log_softmax(1)).logsumexp(1)
        return self._of_truth(F.logsigmoid(-self.scores), F.logsigmoid(self.scores))

    def _of_truth(self, yes: Tensor, no: Tensor) -> Tensor:
        return torch.logaddexp(self.target.log() + yes, (1 - self.target).log() + no)
