"""Mathematical functions by name -> torch: the losses a network can be taught with."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from quickstudy.errors import ChoiceError, did_you_mean

#: (scores N K, target probabilities N K, class weights K) -> one loss per example, N.
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def cross_entropy(scores: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Surprise at the truth: -sum(target * log softmax(scores)), in nats."""
    return -(weight * target * F.log_softmax(scores, dim=1)).sum(1)


def focal(scores: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Cross entropy in which easy examples count less: times (1 - p)^2 (Lin et al., 2017)."""
    log_p = F.log_softmax(scores, dim=1)
    return -(weight * target * (1 - log_p.exp()) ** 2 * log_p).sum(1)


def binary_cross_entropy(scores: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Each class asked on its own, yes or no; summed over classes (Wightman et al., 2021)."""
    each = F.binary_cross_entropy_with_logits(scores, target, reduction="none")
    return (weight * each).sum(1)


def mean_squared_error(scores: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Squared distance of the probabilities from the target (Brier, 1950)."""
    return (weight * (scores.softmax(1) - target) ** 2).sum(1)


LOSSES: dict[str, Loss] = {
    "cross_entropy": cross_entropy,
    "focal": focal,
    "binary_cross_entropy": binary_cross_entropy,
    "mean_squared_error": mean_squared_error,
}


def check_loss(name: str, known: tuple[str, ...] = tuple(LOSSES)) -> None:
    """Raise `ChoiceError` unless `name` is a loss."""
    if name not in known:
        raise ChoiceError(
            f"There is no loss '{name}'.",
            did_you_mean(name, known) or "Losses: " + ", ".join(known) + ".",
        )


def loss_named(name: str, smoothing: float, class_weights: Tensor) -> Callable[..., Tensor]:
    """Return (scores N K, target N K) -> mean loss; `smoothing` spreads it over all classes.

    Raises `ChoiceError` for an unknown name.
    """
    check_loss(name)
    function = LOSSES[name]

    def loss(scores: Tensor, target: Tensor) -> Tensor:
        smooth = target * (1 - smoothing) + smoothing / target.shape[1]
        return function(scores.float(), smooth, class_weights).mean()

    return loss


def class_weights(counts: list[int], exponent: float) -> Tensor:
    """Return K weights proportional to 1 / count^exponent whose mean over examples is 1."""
    n = torch.tensor(counts, dtype=torch.float32).clamp_min(1)
    weight = n**-exponent
    return weight * n.sum() / (weight * n).sum()


class _StandIn(torch.nn.Module):
    """(the lead's stand-in until criterion is written: replace it)."""

    def __init__(self, loss, task, smoothing):
        super().__init__()
        self.task, self.smoothing = task, smoothing

    def forward(self, scores, target):
        if self.task == "classification":
            t = target * (1 - self.smoothing) + self.smoothing / target.shape[1]
            return -(t * scores.float().log_softmax(1)).sum(1).mean()
        if self.task == "multilabel":
            return F.binary_cross_entropy_with_logits(scores, target.to(scores))
        return F.mse_loss(scores, target.to(scores))


def criterion(loss, *, task, smoothing=0.0, class_weights=None):
    """(the lead's stand-in: replace it)."""
    return _StandIn(loss, task, smoothing)
