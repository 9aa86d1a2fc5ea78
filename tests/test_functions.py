"""The losses of a classification against torch's own, and against their definitions."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from quickstudy.errors import ChoiceError
from quickstudy.functions import LOSSES, check_loss, class_weights, criterion

N, K = 7, 4
Given = tuple[Tensor, Tensor, Tensor, Tensor]
NAMES = [name for name in LOSSES if name != "huber"]


@pytest.fixture
def given() -> Given:
    """Scores ``N K``, soft targets ``N K``, labels ``N``, class weights ``K``."""
    random = torch.Generator().manual_seed(1)
    scores = 2 * torch.randn(N, K, generator=random)
    target = torch.rand(N, K, generator=random).softmax(1)
    labels = torch.randint(K, (N,), generator=random)
    return scores, target, labels, torch.rand(K, generator=random) + 0.5


def loss(
    name: str,
    scores: Tensor,
    target: Tensor,
    weights: Tensor | None = None,
    smoothing: float = 0.0,
) -> Tensor:
    made = criterion(name, task="classification", smoothing=smoothing, class_weights=weights)
    found: Tensor = made(scores, target)
    return found


def test_cross_entropy_of_soft_targets_is_torchs(given: Given) -> None:
    scores, target, _, weight = given
    theirs = F.cross_entropy(scores, target, weight)
    torch.testing.assert_close(loss("cross_entropy", scores, target, weight), theirs)


def test_cross_entropy_of_labels_is_torchs(given: Given) -> None:
    scores, _, labels, weight = given
    theirs = F.cross_entropy(scores, labels, weight, reduction="none").mean()
    ours = loss("cross_entropy", scores, F.one_hot(labels, K).float(), weight)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_smoothing_is_torchs(given: Given, smoothing: float) -> None:
    scores, target, _, weight = given
    theirs = F.cross_entropy(scores, target, weight, reduction="none", label_smoothing=smoothing)
    ours = loss("cross_entropy", scores, target, weight, smoothing)
    torch.testing.assert_close(ours, theirs.mean())


def test_focal_is_its_definition(given: Given) -> None:
    scores, _, labels, weight = given
    p = scores.softmax(1)[range(N), labels]
    theirs = -weight[labels] * (1 - p) ** 2 * p.log()
    ours = loss("focal", scores, F.one_hot(labels, K).float(), weight)
    torch.testing.assert_close(ours, theirs.mean())


def test_binary_cross_entropy_is_torchs(given: Given) -> None:
    scores, target, _, weight = (g.double() for g in given)  # sigmoid, then log: rounds in float32
    theirs = F.binary_cross_entropy(scores.sigmoid(), target, weight, reduction="none").sum(1)
    ours = loss("binary_cross_entropy", scores, target, weight)
    torch.testing.assert_close(ours, theirs.mean())


def test_mean_squared_error_is_torchs(given: Given) -> None:
    scores, target, _, weight = given
    theirs = K * F.mse_loss(scores.softmax(1), target, weight=weight.expand(N, K)) * weight.mean()
    torch.testing.assert_close(loss("mean_squared_error", scores, target, weight), theirs)


def test_mean_absolute_error_is_twice_what_the_truth_lacks(given: Given) -> None:
    scores, _, labels, _ = given
    missing = 1 - scores.softmax(1)[range(N), labels]
    ours = loss("mean_absolute_error", scores, F.one_hot(labels, K).float())
    torch.testing.assert_close(ours, 2 * missing.mean())


def test_cosine_weighs_examples_by_their_class(given: Given) -> None:
    scores, _, labels, weight = given
    p = scores.softmax(1)
    theirs = weight[labels] * (1 - p[range(N), labels] / p.norm(dim=1))
    ours = loss("cosine", scores, F.one_hot(labels, K).float(), weight)
    torch.testing.assert_close(ours, theirs.mean())


@pytest.mark.parametrize("name", NAMES)
def test_a_loss_is_least_at_the_truth_and_its_gradient_is_finite(name: str) -> None:
    target = F.one_hot(torch.arange(K), K).float()
    right, flat, wrong = (loss(name, 20 * x, target) for x in (target, 0 * target, -target))
    assert -1e-6 <= right < flat < wrong
    scores = (1e4 * torch.randn(K, K)).requires_grad_()
    loss(name, scores, target).backward()
    assert scores.grad is not None
    assert scores.grad.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_a_loss_of_half_precision_scores_is_computed_in_float32(name: str) -> None:
    target = F.one_hot(torch.arange(K), K).float()
    assert loss(name, target.bfloat16(), target, torch.ones(K), 0.1).dtype == torch.float32


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
        criterion("crossentropy", task="classification")
    assert caught.value.hint == "Did you mean 'cross_entropy'?"
    with pytest.raises(ChoiceError, match="For classification: cross_entropy, focal"):
        check_loss("xyzzy")
