"""Losses of every task: by name, torch.nn's, as an expression, and in Python."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quickstudy.errors import ChoiceError
from quickstudy.functions.losses import check_loss, criterion, fitting
from quickstudy.functions.seen import TASKS
from quickstudy.functions.torch_losses import TORCHS
from quickstudy.recipe.plan import LOSSES

N, K = 9, 3
FITTING = [(task, name) for task in TASKS for name in fitting(task)]


def example(task: str, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Scores and targets ``N K`` as the task has them."""
    random = torch.Generator().manual_seed(3)
    scores = 2 * torch.randn(N, K, generator=random, dtype=dtype)
    if task == "classification":
        return scores, F.one_hot(torch.randint(K, (N,), generator=random), K).to(dtype)
    if task == "multilabel":
        return scores, torch.randint(2, (N, K), generator=random).to(dtype)
    return scores, torch.randn(N, K, generator=random, dtype=dtype)


def loss(which: Any, task: str, **more: Any) -> Tensor:
    found: Tensor = criterion(which, task=task, **more)(*example(task))
    return found


@pytest.mark.parametrize(("task", "name"), FITTING)
def test_every_loss_is_least_at_the_truth(task: str, name: str) -> None:
    """Its gradient leads there from anywhere: what was asked is what is learnt."""
    _, target = example(task)
    scores = (target * 0 if name != "cosine" else torch.ones_like(target)).requires_grad_()
    made, begun = criterion(name, task=task), None
    solver = torch.optim.Adam([scores], lr=0.3)
    for step in range(150):
        solver.param_groups[0]["lr"] = 0.3 * (1 - step / 150)
        solver.zero_grad()
        value = made(scores, target)
        begun = begun if begun is not None else float(value.detach())
        value.backward()
        solver.step()
    assert value.ndim == 0
    assert float(value.detach()) < begun
    if task == "classification":
        assert torch.equal(scores.argmax(1), target.argmax(1))
    elif task == "multilabel":
        assert torch.equal(scores > 0, target > 0.5)
    elif name == "cosine":
        assert F.cosine_similarity(scores, target).min() > 0.999
    else:
        torch.testing.assert_close(scores.detach(), target, atol=0.05, rtol=0)


@pytest.mark.parametrize(("task", "name"), FITTING)
def test_every_loss_is_finite_far_out_in_float32(task: str, name: str) -> None:
    scores, target = example(task, torch.float32)
    far = 10 if name == "PoissonNLLLoss" else 1e4  # rates of e^100 are infinite in float32
    scores = (far * scores).requires_grad_()
    value = criterion(name, task=task)(scores, target)
    value.backward()
    assert value.dtype == torch.float32
    assert value.isfinite()
    assert scores.grad is not None
    assert scores.grad.isfinite().all()


@pytest.mark.parametrize("name", TORCHS)
def test_torchs_losses_are_torchs(name: str) -> None:
    """Each is given what its documentation calls for, and averaged as torch does."""
    p = {"classification": lambda s: s.softmax(1), "multilabel": torch.sigmoid}
    fed: dict[str, Callable[[Tensor, Tensor, str], Tensor]] = {
        "BCELoss": lambda s, t, task: nn.BCELoss()(p[task](s), t),
        "KLDivLoss": lambda s, t, _: nn.KLDivLoss(reduction="batchmean")(s.log_softmax(1), t),
        "SoftMarginLoss": lambda s, t, _: nn.SoftMarginLoss()(s, 2 * t - 1),
        "L1Loss": lambda s, t, task: nn.L1Loss()(p.get(task, lambda x: x)(s), t),
        "MSELoss": lambda s, t, task: nn.MSELoss()(p.get(task, lambda x: x)(s), t),
    }
    for task in TORCHS[name].tasks:
        scores, target = example(task)
        theirs = (
            fed[name](scores, target, task) if name in fed else getattr(nn, name)()(scores, target)
        )
        torch.testing.assert_close(loss(name, task), theirs)


def test_ours_and_torchs_agree_by_their_names() -> None:
    scores, target = example("regression")
    pairs = {"mean_squared_error": F.mse_loss, "mean_absolute_error": F.l1_loss}
    for name, theirs in {**pairs, "huber": F.huber_loss}.items():
        torch.testing.assert_close(loss(name, "regression"), theirs(scores, target))
    scores, target = example("multilabel")
    theirs = F.binary_cross_entropy_with_logits(scores, target)
    torch.testing.assert_close(loss("binary_cross_entropy", "multilabel"), theirs)
    torch.testing.assert_close(
        loss("mean_squared_error", "multilabel"), F.mse_loss(scores.sigmoid(), target)
    )


def test_focal_of_labels_is_torchvisions() -> None:
    from torchvision.ops import sigmoid_focal_loss

    scores, target = example("multilabel")
    theirs = sigmoid_focal_loss(scores, target, alpha=-1, gamma=2, reduction="mean")
    torch.testing.assert_close(loss("focal", "multilabel"), theirs)


def test_cosine_of_one_number_is_refused() -> None:
    with pytest.raises(ChoiceError, match="several numbers"):
        criterion("cosine", task="regression")(torch.ones(4, 1), torch.ones(4, 1))


@pytest.mark.parametrize("task", TASKS)
def test_what_does_not_fit_a_task_names_what_does(task: str) -> None:
    fit = fitting(task)
    for name in set(fitting(None)) - set(fit):
        with pytest.raises(ChoiceError, match=f"{name} is no loss for {task}") as caught:
            check_loss(name, task)
        assert caught.value.hint == f"For {task}: " + ", ".join(fit) + "."
        check_loss(name, None)
    assert LOSSES[task][0] in fit


def test_every_loss_of_torch_is_there_or_refused_with_a_reason() -> None:
    for name in (n for n in dir(nn) if n.endswith("Loss") and n not in TORCHS):
        with pytest.raises(ChoiceError, match=f"torch.nn's {name} cannot be used here"):
            check_loss(name, None)


EQUAL = {
    "classification": {
        "-log(p)": "cross_entropy",
        "mean(-(1 - p)**gamma * log(p)), gamma=2": "focal",
        "(prediction - target)**2": "MSELoss",
        "mean(-target * log_softmax(scores)) * 3": "cross_entropy",
    },
    "multilabel": {
        "mean(-log(p))": "binary_cross_entropy",
        "-(1 - p)**2 * log(p)": "focal",
        "abs(prediction - target)": "mean_absolute_error",
    },
    "regression": {
        "(prediction - target)**2": "mean_squared_error",
        "mean(abs(scores - target))": "mean_absolute_error",
        "mean(where(abs(prediction - target) < 1, 0.5 * (prediction - target)**2, "
        "abs(prediction - target) - 0.5))": "huber",
    },
}


@pytest.mark.parametrize(("task", "text"), [(t, text) for t in EQUAL for text in EQUAL[t]])
def test_an_expression_is_the_loss_it_spells(task: str, text: str) -> None:
    torch.testing.assert_close(loss(text, task), loss(EQUAL[task][text], task))


@pytest.mark.parametrize("text", ["-log(p)", "mean(-(1 - p)**2 * log(p)) - mean(log(1 - p))"])
@pytest.mark.parametrize("task", ["classification", "multilabel"])
def test_logarithms_of_p_and_their_gradients_stay_finite(task: str, text: str) -> None:
    scores, target = example(task, torch.float32)
    scores = (1e3 * scores).requires_grad_()
    value = criterion(text, task=task)(scores, target)
    value.backward()
    assert value.isfinite()
    assert scores.grad is not None
    assert scores.grad.isfinite().all()


def test_p_of_blended_targets_is_the_chance_of_a_truth_drawn_from_them() -> None:
    scores, _ = example("classification")
    target = torch.rand(N, K, generator=torch.Generator().manual_seed(0)).double().softmax(1)
    theirs = -(target * scores.softmax(1)).sum(1).log().mean()
    found = criterion("-log(p)", task="classification")(scores, target)
    torch.testing.assert_close(found, theirs)
    yes = scores.sigmoid()
    theirs = (1 - target * yes - (1 - target) * (1 - yes)).log().mean()
    torch.testing.assert_close(criterion("log(1 - p)", task="multilabel")(scores, target), theirs)


def test_class_weights_reach_expressions_and_torchs_losses() -> None:
    weights = torch.tensor([0.5, 1.0, 3.0], dtype=torch.float64)
    wanted = loss("cross_entropy", "classification", class_weights=weights)
    for which in ("-log(p)", "mean(-log(p))", "CrossEntropyLoss", "KLDivLoss"):
        found = loss(which, "classification", class_weights=weights)
        torch.testing.assert_close(found, wanted)
    assert loss("sum(-log(p))", "classification", class_weights=weights) == loss(
        "sum(-log(p))", "classification"
    )  # as the class says: not into a sum of the text's own


def test_ones_as_class_weights_change_nothing() -> None:
    for task, name in FITTING:
        weighted = loss(name, task, class_weights=torch.ones(K))
        torch.testing.assert_close(weighted, loss(name, task), msg=f"{name}, {task}")


def test_what_a_loss_learns_is_its_parameter() -> None:
    made = criterion("mean(abs(prediction - target)**power), power=learn(1.5)", task="regression")
    assert [name.rpartition(".")[2] for name, _ in made.named_parameters()] == ["power"]
    made(*example("regression")).backward()
    assert all(p.grad is not None for p in made.parameters())


@pytest.mark.parametrize(
    ("text", "task", "message"),
    [
        ("-log(p)", "regression", "no probability p"),
        ("mean(q)", "classification", "neither an input nor a parameter"),
        ("mean(scores", "classification", "never closed"),
        ("mean((scores - target)**2", None, "never closed"),
    ],
)
def test_an_expression_that_cannot_be_is_refused_at_once(
    text: str, task: str | None, message: str
) -> None:
    with pytest.raises(ChoiceError, match=message):
        check_loss(text, task)


def test_labels_are_smoothed_only_for_classes() -> None:
    with pytest.raises(ChoiceError, match="smoothed"):
        criterion("binary_cross_entropy", task="multilabel", smoothing=0.1)


def test_a_loss_in_python_gets_scores_and_target() -> None:
    scores, target = example("classification")
    theirs = F.cross_entropy(scores, target)
    functions: list[Any] = [
        F.cross_entropy,
        nn.CrossEntropyLoss(),
        lambda s, t: F.cross_entropy(s, t),
    ]
    functions.append(functools.partial(F.cross_entropy, label_smoothing=0.0))
    for function in functions:
        check_loss(function)
        torch.testing.assert_close(loss(function, "classification"), theirs)

    class Learning(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(2.0))

        def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
            return (self.scale * prediction - target).square().mean()

    assert len(list(criterion(Learning(), task="regression").parameters())) == 1


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda s, t: 3.0, "returned float, not a tensor"),
        (lambda s, t: (s - t).square(), "returned a tensor of 9 3, not one number"),
        (lambda s, t: (s.argmax(1) == t.argmax(1)).sum(), "returned torch.int64"),
        (lambda s, t: (s.detach() - t).square().mean(), "does not depend on the prediction"),
        (lambda s, t: s @ t, "failed: RuntimeError"),
        (lambda s, t: None, "returned NoneType"),
    ],
)
def test_what_is_no_loss_is_said_when_called(function: Any, message: str) -> None:
    scores, target = example("classification")
    made = criterion(function, task="classification")
    with pytest.raises(ChoiceError, match=message):
        made(scores.requires_grad_(), target)


def test_running_out_of_memory_in_a_loss_is_left_to_the_loop() -> None:
    def hungry(s: Tensor, t: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")

    with pytest.raises(torch.OutOfMemoryError):
        loss(hungry, "classification")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda s: s.mean(), "does not take two arguments"),
        (lambda s, t, more: s.mean(), "does not take two arguments"),
        (nn.MSELoss, "MSELoss is a class"),
        (7, "A int is no loss"),
    ],
)
def test_what_cannot_be_called_as_a_loss_is_refused_at_once(function: Any, message: str) -> None:
    with pytest.raises(ChoiceError, match=message):
        check_loss(function)


@pytest.mark.parametrize("text", ["mean(target)", "1", "mean(beta * target), beta=learn(1.0)"])
def test_a_loss_that_does_not_look_at_the_answer_is_refused(text: str) -> None:
    with pytest.raises(ChoiceError, match="does not look at the answer"):
        check_loss(text, "regression")
