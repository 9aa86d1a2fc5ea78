"""The losses against torch's own, and against their definitions."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from quickstudy.errors import ChoiceError
from quickstudy.functions.losses import (
    LOSSES,
    binary_cross_entropy,
    check_loss,
    class_weights,
    cross_entropy,
    focal,
    loss_named,
    mean_squared_error,
)

N, K = 7, 4


@pytest.fixture
def given() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Scores ``N K``, soft targets ``N K``, labels ``N``, class weights ``K``."""
    random = torch.Generator().manual_seed(1)
    scores = 2 * torch.randn(N, K, generator=random)
    target = torch.rand(N, K, generator=random).softmax(1)
    labels = torch.randint(K, (N,), generator=random)
    return scores, target, labels, torch.rand(K, generator=random) + 0.5


Given = tuple[Tensor, Tensor, Tensor, Tensor]


def test_cross_entropy_of_soft_targets_is_torchs(given: Given) -> None:
    scores, target, _, weight = given
    theirs = F.cross_entropy(scores, target, weight, reduction="none")
    torch.testing.assert_close(cross_entropy(scores, target, weight), theirs)


def test_cross_entropy_of_labels_is_torchs(given: Given) -> None:
    scores, _, labels, weight = given
    theirs = F.cross_entropy(scores, labels, weight, reduction="none")
    torch.testing.assert_close(cross_entropy(scores, F.one_hot(labels, K).float(), weight), theirs)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_smoothing_is_torchs(given: Given, smoothing: float) -> None:
    scores, target, _, weight = given
    theirs = F.cross_entropy(scores, target, weight, reduction="none", label_smoothing=smoothing)
    ours = loss_named("cross_entropy", smoothing, weight)(scores, target)
    torch.testing.assert_close(ours, theirs.mean())


def test_focal_is_its_definition(given: Given) -> None:
    scores, _, labels, weight = given
    p = scores.softmax(1)[range(N), labels]
    theirs = -weight[labels] * (1 - p) ** 2 * p.log()
    torch.testing.assert_close(focal(scores, F.one_hot(labels, K).float(), weight), theirs)


def test_binary_cross_entropy_is_torchs(given: Given) -> None:
    scores, target, _, weight = (g.double() for g in given)  # sigmoid, then log: rounds in float32
    theirs = F.binary_cross_entropy(scores.sigmoid(), target, weight, reduction="none").sum(1)
    torch.testing.assert_close(binary_cross_entropy(scores, target, weight), theirs)


def test_mean_squared_error_is_torchs(given: Given) -> None:
    scores, target, _, weight = given
    theirs = K * F.mse_loss(scores.softmax(1), target, weight=weight.expand(N, K)) * weight.mean()
    torch.testing.assert_close(mean_squared_error(scores, target, weight).mean(), theirs)


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_least_at_the_truth_and_its_gradient_is_finite(name: str) -> None:
    loss = loss_named(name, 0.0, torch.ones(K))
    target = F.one_hot(torch.arange(K), K).float()
    right, flat, wrong = (loss(20 * x, target) for x in (target, 0 * target, -target))
    assert 0 <= right < flat < wrong
    scores = (1e4 * torch.randn(K, K)).requires_grad_()
    loss(scores, target).backward()
    assert scores.grad is not None
    assert scores.grad.isfinite().all()


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_of_half_precision_scores_is_computed_in_float32(name: str) -> None:
    target = F.one_hot(torch.arange(K), K).float()
    assert loss_named(name, 0.1, torch.ones(K))(target.bfloat16(), target).dtype == torch.float32


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_class_weights_average_to_one_over_the_examples(exponent: float) -> None:
    counts = [900, 90, 10]
    weights = class_weights(counts, exponent)
    n = torch.tensor(counts).float()
    assert float((weights * n).sum() / n.sum()) == pytest.approx(1)
    assert float(weights[2] / weights[0]) == pytest.approx(90**exponent)


def test_full_balance_gives_every_class_the_same_say() -> None:
    each = class_weights([900, 90, 10], 1.0) * torch.tensor([900.0, 90.0, 10.0])
    torch.testing.assert_close(each, each[:1].expand(3))


def test_an_empty_class_has_a_finite_weight() -> None:
    assert class_weights([5, 0], 1.0).isfinite().all()


def test_an_unknown_loss_gets_did_you_mean() -> None:
    with pytest.raises(ChoiceError) as caught:
        loss_named("crossentropy", 0.0, torch.ones(2))
    assert caught.value.hint == "Did you mean 'cross_entropy'?"
    with pytest.raises(ChoiceError, match="Losses: cross_entropy, focal"):
        check_loss("xyzzy")
