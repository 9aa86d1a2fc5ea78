"""Tasks against scikit-learn and closed forms: what is taught, answered, judged and told."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import expit, softmax
from sklearn import metrics
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from quickstudy import catalog, tasks
from quickstudy.tasks import Classification, Multilabel, Regression, restored, task_of
from quickstudy.tasks.averaging import averaged, members

ABC = ("a", "b", "c")


def example(name: str, n: int = 400, seed: int = 0) -> tuple[Any, Any, Tensor]:
    """A task, what is true of `n` examples, and a fair but too sure network's scores."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(n, 3))
    if name == "classification":
        truth: Any = np.array([rng.choice(3, p=p) for p in softmax(scores, 1)])
        return Classification(ABC), truth, torch.from_numpy(3 * scores).float()
    if name == "multilabel":
        there = (rng.random((n, 3)) < expit(scores - 1)).astype(np.float64)
        return Multilabel(ABC), there, torch.from_numpy(4 * (scores - 1)).float()
    numbers = np.array([1e-3, 5.0, 1e6]) * scores + np.array([7.0, 0.0, 1e7])
    task = Regression(ABC).learning_from(numbers)
    return task, numbers, torch.from_numpy(scores + 0.3 * rng.normal(size=(n, 3)))


NAMES = ("classification", "multilabel", "regression")
each_task = pytest.mark.parametrize("name", NAMES)


def once(n: int) -> Tensor:
    """One view an example."""
    return torch.arange(n)


def test_every_room_has_the_same_tasks() -> None:
    assert catalog.types.TASKS == tuple(tasks.TASKS) == NAMES
    for name, made in tasks.TASKS.items():
        assert made.name == name and task_of(name, ABC).outputs == ABC


@each_task
def test_a_task_is_the_same_after_json(name: str) -> None:
    task, truth, scores = example(name)
    judged = task.judged(scores, once(400), truth).task
    for one in (task, judged):
        again = restored(json.loads(json.dumps(one.as_dict(), allow_nan=False)))
        assert again == one and type(again) is type(one)
        assert torch.equal(again.answers(scores), one.answers(scores))
        assert torch.equal(again.encoded(truth), one.encoded(truth))


def test_classes_are_taught_and_judged_as_scikit_learn_says() -> None:
    task, truth, scores = example("classification")
    assert task.encoded(truth).numpy() == pytest.approx(np.eye(3)[truth])
    assert task.learning_from(truth) == task
    judged = task.judged(scores, once(400), truth)
    shares = judged.task.answers(scores).numpy()
    assert judged.score == metrics.accuracy_score(truth, scores.argmax(1))
    as_they_are = softmax(scores.numpy(), 1)
    assert judged.loss == pytest.approx(metrics.log_loss(truth, as_they_are), rel=1e-5)
    assert metrics.log_loss(truth, shares) < judged.loss - 0.1
    assert shares == pytest.approx(softmax(scores.numpy() / judged.task.temperature, 1), abs=1e-6)
    dummy = DummyClassifier(strategy="most_frequent").fit(truth[:, None], truth)
    assert task.guess(truth) == pytest.approx(dummy.predict_proba([[0]])[0])
    found = np.unique(truth, return_counts=True)[1]
    assert task.counted(truth) == dict(zip(ABC, found.tolist(), strict=True))


def test_the_temperature_of_classes_is_the_one_of_the_least_loss() -> None:
    task, truth, scores = example("classification", n=2000)

    def loss(log_temperature: float) -> float:
        shares = softmax(scores.numpy() / np.exp(log_temperature), 1)
        return float(metrics.log_loss(truth, shares))

    best = minimize_scalar(loss, bounds=(-3, 3), method="bounded")
    judged = task.judged(scores, once(2000), truth)
    step = 10 ** (2.6 / 52)  # between the temperatures that are tried
    assert np.exp(best.x) / step < judged.task.temperature < np.exp(best.x) * step
    assert judged.task.temperature == pytest.approx(3, rel=0.15)  # how much too sure they are
    assert best.fun <= loss(np.log(judged.task.temperature)) < loss(0.0) - 0.1


def test_a_short_val_that_is_all_right_does_not_make_sure() -> None:
    scores = torch.eye(3).repeat(4, 1) * 2
    judged = Classification(ABC).judged(scores, once(12), np.arange(12) % 3)
    assert judged.score == 1.0
    assert 0.9 < float(judged.task.answers(scores).max()) < 0.99


def test_labels_are_taught_and_judged_as_scikit_learn_says() -> None:
    task, truth, scores = example("multilabel", n=1500)
    assert torch.equal(task.encoded(truth), torch.from_numpy(truth).float())
    judged = task.judged(scores, once(1500), truth)
    shares = judged.task.answers(scores).numpy()
    assert shares == pytest.approx(expit(scores.numpy() / judged.task.temperature), abs=1e-6)
    macro = metrics.average_precision_score(truth, scores.numpy(), average="macro")
    assert judged.score == pytest.approx(macro)
    each = [metrics.log_loss(truth[:, k], expit(scores[:, k].numpy())) for k in range(3)]
    assert judged.loss == pytest.approx(np.mean(each), rel=1e-5)
    tempered = [metrics.log_loss(truth[:, k], shares[:, k]) for k in range(3)]
    assert np.mean(tempered) < judged.loss - 0.1
    assert judged.task.temperature == pytest.approx(4, rel=0.2)
    f1 = [
        metrics.f1_score(truth, shares >= threshold, average="micro", zero_division=0)
        for threshold in np.linspace(0.05, 0.95, 91)
    ]
    own = metrics.f1_score(truth, shares >= judged.task.threshold, average="micro")
    assert own == pytest.approx(max(f1))
    assert task.guess(truth) == pytest.approx(truth.mean(0))
    assert task.counted(truth) == {c: int(n) for c, n in zip(ABC, truth.sum(0), strict=True)}


def test_numbers_are_taught_and_judged_as_scikit_learn_says() -> None:
    task, truth, scores = example("regression")
    scaler = StandardScaler().fit(truth)
    assert task.encoded(truth).numpy() == pytest.approx(scaler.transform(truth), abs=1e-9)
    found = task.answers(scores).numpy()
    assert found == pytest.approx(scaler.inverse_transform(scores.numpy()), rel=1e-12)
    judged = task.judged(scores, once(400), truth)
    assert judged.task == task
    assert judged.score == pytest.approx(metrics.r2_score(truth, found))
    assert judged.loss == pytest.approx(
        metrics.mean_squared_error(scaler.transform(truth), scores.numpy())
    )
    dummy = DummyRegressor().fit(truth, truth)
    assert task.guess(truth) == pytest.approx(dummy.predict(truth[:1])[0])
    assert task.counted(truth) == {"all": 400}


@given(
    st.lists(st.floats(-1e12, 1e12), min_size=2, max_size=30),
    st.floats(-1e6, 1e6),
)
def test_numbers_come_back_from_their_scale(values: list[float], more: float) -> None:
    truth = np.array([[v, more] for v in values])
    task = Regression(("x", "y")).learning_from(truth)
    taught = task.encoded(truth)
    assert taught.isfinite().all() and float(taught.abs().max()) < 1e7
    back = task.answers(taught).numpy()
    assert back == pytest.approx(truth, rel=1e-9, abs=1e-9 * max(1.0, np.abs(truth).max()))


def test_numbers_without_a_scale_are_as_they_are() -> None:
    task, truth = Regression(("x",)), np.array([[1.0], [1e12], [-3.5]])
    assert torch.equal(task.encoded(truth), torch.from_numpy(truth))
    assert torch.equal(task.answers(torch.from_numpy(truth)), torch.from_numpy(truth))
    assert task.judged(torch.from_numpy(truth), once(3), truth).score == 1.0


@each_task
def test_members_answer_alone_and_are_averaged(name: str) -> None:
    task, truth, scores = example(name, n=60)
    three = torch.stack([scores, scores.flip(1), 0.1 * scores], 1)
    alone = [task.answers(three[:, m]) for m in range(3)]
    assert torch.allclose(task.answers(three), torch.stack(alone).mean(0), rtol=1e-6)
    same = scores[:, None].expand(-1, 4, -1)
    assert task.judged(same, once(60), truth).loss == pytest.approx(
        task.judged(scores, once(60), truth).loss, rel=1e-5
    )


@each_task
def test_views_are_averaged_by_whose_they_are(name: str) -> None:
    task, truth, scores = example(name, n=50)
    rng = np.random.default_rng(1)
    owners = np.concatenate([np.arange(50), rng.integers(0, 50, 90)])
    rng.shuffle(owners)
    noise = torch.from_numpy(rng.normal(size=(140, 3)))
    views = (scores[owners] + noise).to(scores.dtype)
    answers = task.answers(views).numpy()
    mean = np.stack([answers[owners == i].mean(0) for i in range(50)])
    got = averaged(task.answers(views), torch.from_numpy(owners), 50).numpy()
    assert got == pytest.approx(mean, rel=1e-6)
    judged = replace(task).judged(views, torch.from_numpy(owners), truth)
    if name == "classification":
        assert judged.score == metrics.accuracy_score(truth, mean.argmax(1))
    if name == "regression":
        assert judged.score == pytest.approx(metrics.r2_score(truth, mean))
    assert members(views) is views


@each_task
def test_a_prediction_says_what_the_answer_says(name: str) -> None:
    task, truth, scores = example(name)
    task = task.judged(scores, once(400), truth).task
    answers = task.answers(scores).double().numpy()
    for answer in answers[:25]:
        said = task.prediction("x.png", answer)
        assert said.name == "x.png" and not said.error
        if name == "regression":
            assert said.values == dict(zip(ABC, answer.tolist(), strict=True))
            continue
        assert said.probabilities == dict(zip(ABC, answer.tolist(), strict=True))
        assert said.label == ABC[answer.argmax()] and said.probability == answer.max()
        if name == "multilabel":
            order = [ABC[k] for k in np.argsort(-answer) if answer[k] >= task.threshold]
            assert list(said.labels) == order


@each_task
def test_the_worst_answers_come_first_and_are_told_as_data(name: str) -> None:
    task, truth, scores = example(name, n=120)
    answers = task.answers(scores).double().numpy()
    worst = task.worst(truth, answers)
    told = [task.mistake(truth[i], answers[i]) for i in worst]
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    if name == "classification":
        wrong = np.flatnonzero(answers.argmax(1) != truth)
        assert set(worst) <= set(wrong.tolist())
        assert worst[0] == wrong[answers[wrong].max(1).argmax()]
        assert told[0]["true"] != told[0]["predicted"]
        assert told[0]["probability"] == answers[worst[0]].max()
    if name == "multilabel":
        i = worst[0]
        assert told[0]["true"] == [c for c, t in zip(ABC, truth[i], strict=True) if t]
        assert told[0]["predicted"] == [
            c for c, p in zip(ABC, answers[i], strict=True) if p >= task.threshold
        ]
    if name == "regression":
        errors = np.abs(answers - truth) / truth.std(0)
        assert errors[worst[0]].max() == errors.max()
        assert told[0]["true"]["c"] == truth[worst[0], 2]


@each_task
def test_scores_are_those_of_evaluation_with_the_guess_of_training(name: str) -> None:
    task, truth, scores = example(name)
    task = task.judged(scores, once(400), truth).task
    answers = task.answers(scores).double().numpy()
    learnt = example(name, seed=5)[1]
    found = task.tested(truth, answers, task.guess(learnt), 0)
    assert found.task == name and found.n == 400
    assert found.beats_baseline
    assert found.main.value == pytest.approx(task.judged(scores, once(400), truth).score, abs=1e-6)
    low, high = found.main.interval
    assert low < found.main.value < high
    assert task.said(found, "row", "rows")[0].endswith(".")
    assert task.noise(found.main.value, 400) < task.noise(found.main.value, 4) or name == NAMES[2]


def test_the_noise_of_a_share_is_one_standard_deviation() -> None:
    rng = np.random.default_rng(0)
    drawn = rng.binomial(200, 0.7, 20_000) / 200
    assert Classification(ABC).noise(0.7, 200) == pytest.approx(drawn.std(), rel=0.02)
    assert Classification(ABC).noise(1.0, 50) == 1 / 50
    assert Classification(ABC).noise(0.0, 0) == 1


def test_convex_losses_are_those_of_logistic_and_ridge_regression() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 4))
    _, truth, _ = example("classification", n=80)
    sure = LogisticRegression(C=1.0, tol=1e-8, max_iter=500).fit(x, truth)
    scores = torch.from_numpy(sure.decision_function(x))
    task = Classification(ABC)
    found = float(task.convex(torch.ones(3).double())(scores, task.encoded(truth).double()))
    assert found == pytest.approx(metrics.log_loss(truth, sure.predict_proba(x)))
    number, truth, _ = example("regression", n=80)
    fitted = Ridge().fit(x, number.encoded(truth)).predict(x)
    found = float(number.convex(torch.ones(3))(torch.from_numpy(fitted), number.encoded(truth)))
    assert found == pytest.approx(metrics.mean_squared_error(number.encoded(truth), fitted))
    labels, truth, scores = example("multilabel", n=80)
    found = float(
        labels.convex(torch.ones(3).double())(scores.double(), labels.encoded(truth).double())
    )
    each = [metrics.log_loss(truth[:, k], expit(scores.numpy()[:, k])) for k in range(3)]
    assert found == pytest.approx(np.mean(each), rel=1e-6)


def test_a_short_val_of_labels_that_is_all_right_does_not_make_sure() -> None:
    truth = (np.arange(20)[:, None] % 2 == np.arange(1)).astype(float)
    scores = torch.from_numpy(4 * truth - 2).float()
    judged = Multilabel(("a",)).judged(scores, once(20), truth)
    assert 0.9 < float(judged.task.answers(scores).max()) < 0.99
    assert judged.loss == pytest.approx(math.log1p(math.exp(-2)), rel=1e-5)
