"""Calibration: its error against simulation, coverage over seeds, distances against sklearn."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.numpy import save as save_arrays
from scipy.stats import beta
from sklearn.covariance import ledoit_wolf
from sklearn.datasets import load_diabetes, load_digits
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.neighbors import NearestNeighbors

from quickstudy import tasks
from quickstudy.calibration import Calibration, Detector, conformal, selective, unknown
from quickstudy.calibration.conformal import ClassSets, LabelSets, Ranges
from quickstudy.calibration.ece import of_classes, of_labels, reliability
from quickstudy.errors import ChoiceError, ModelError
from quickstudy.learning.promising import calibrated, measured
from quickstudy.model import Model, load, untrained
from quickstudy.report.layout import page
from quickstudy.training import head

Floats = NDArray[np.float64]
SEEDS = 20


def said_and_true(n: int, sharper: float, seed: int) -> tuple[Floats, Floats]:
    """Probabilities that are said, and how likely it really is: logits divided by `sharper`."""
    said = np.clip(np.random.default_rng(seed).beta(6, 1, n), 0.5, 1 - 1e-6)
    return said, 1 / (1 + ((1 - said) / said) ** (1 / sharper))


# The calibration error ---------------------------------------------------------------------------


def test_calibration_error_of_a_closed_form() -> None:
    said = np.repeat([0.9, 0.6], 1000)
    came = np.repeat([1, 0, 1, 0], [800, 200, 500, 500])
    found = reliability(said, came)
    assert found.plain == pytest.approx(0.1)
    assert found.ece.value == pytest.approx(0.1, abs=1e-6)  # gaps of 8 and 6 deviations: no bias
    assert found.confidence.tolist() == pytest.approx([0.6, 0.9])
    assert found.accuracy.tolist() == pytest.approx([0.5, 0.8])
    assert found.n.tolist() == [1000, 1000]
    assert found.intervals[1][0] < 0.8 < found.intervals[1][1]
    told = found.as_dict()
    assert told["n"] == 2000 and len(told["bins"]) == 2 and told["bins"][0]["from"] == 0.0


def test_bins_hold_equally_many_and_none_is_empty() -> None:
    said, true = said_and_true(1000, 1.0, 0)
    found = reliability(said, true > 0.8, resamples=10)
    assert len(found.n) == 10 and found.n.min() >= 98 and found.n.max() <= 102
    for odd in (np.ones(50), np.zeros(50), np.full(7, 0.3), np.r_[np.zeros(40), 1.0]):
        bins = reliability(odd, np.ones(len(odd)), resamples=10)
        assert bins.n.min() >= 1 and bins.n.sum() == len(odd)


def test_less_bias_than_the_plain_error() -> None:
    """Right probabilities have an error of 0, 600 examples seem to have one: most is taken off."""
    plain, ours = [], []
    for seed in range(60):
        said, true = said_and_true(600, 1.0, seed)
        found = reliability(said, np.random.default_rng(seed).random(600) < true, resamples=2)
        plain.append(found.plain)
        ours.append(found.ece.value)
    assert np.mean(plain) > 0.02
    assert np.mean(ours) < 0.65 * np.mean(plain)


def test_the_interval_holds_the_true_error() -> None:
    said, true = said_and_true(400_000, 1.5, 1)
    error, held = np.abs(said - true).mean(), 0
    for seed in range(60):
        said, true = said_and_true(500, 1.5, 100 + seed)
        came = np.random.default_rng(seed).random(500) < true
        low, high = reliability(said, came, resamples=200, seed=seed).ece.interval
        held += low <= error <= high
    assert held >= 54  # of 60: below 90 % by chance once in 100,000 were it 98 %


def test_calibration_of_classes_and_labels() -> None:
    shares = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8], [0.3, 0.4, 0.3]] * 100)
    found = of_classes(np.array([0, 1, 1] * 100), shares)
    assert found.plain == pytest.approx((0.3 + 0.8 + 0.6) / 3)
    labels = of_labels(np.array([[1, 0], [1, 0]] * 50), np.array([[0.9, 0.2], [0.9, 0.2]] * 50))
    assert labels.plain == pytest.approx(0.15)


def test_labels_of_an_example_are_drawn_together() -> None:
    """Ten labels that are all there or all missing tell no more than one."""
    there = np.random.default_rng(0).random(100) < 0.7
    said = np.full((100, 1), 0.5)
    one = of_labels(there[:, None], said, bins=1).ece
    ten = of_labels(np.repeat(there[:, None], 10, 1), np.repeat(said, 10, 1), bins=1).ece
    wide, alone = (high - low for low, high in (ten.interval, one.interval))
    assert wide > 0.9 * alone


def test_what_is_no_probability_is_refused() -> None:
    for said, came in (([], []), ([1.2], [1]), ([0.5], [2]), ([0.5, 0.5], [1]), ([math.nan], [1])):
        with pytest.raises(ValueError, match="confidence"):
            reliability(np.array(said), np.array(came))


# Guaranteed sets ---------------------------------------------------------------------------------


@given(st.integers(0, 500), st.integers(1, 999))
def test_rank_is_exact(n: int, thousandths: int) -> None:
    at = conformal.rank(n, thousandths / 1000)
    assert at * 1000 >= (n + 1) * thousandths > (at - 1) * 1000
    assert (at <= n) == (thousandths / 1000 <= conformal.promisable(n) + 1e-12)


@pytest.mark.parametrize("coverage", [0, 1, -0.5, 95, math.nan, "0.9", None])
def test_no_coverage(coverage: object) -> None:
    with pytest.raises(ChoiceError, match="between 0 and 1"):
        conformal.rank(10, coverage)  # type: ignore[arg-type]


def test_coverage_is_that_of_theory() -> None:
    """Of continuous scores coverage is Beta(k, n + 1 - k) (Vovk, 2012): mean k / (n + 1)."""
    rng, n, found = np.random.default_rng(0), 50, []
    for _ in range(2000):
        q = conformal.quantile(np.sort(rng.random(n)), 0.9)
        found.append(q)  # the coverage itself: scores are uniform
    k = conformal.rank(n, 0.9)
    assert k == 46
    assert np.mean(found) == pytest.approx(k / (n + 1), abs=0.004)
    assert np.var(found) == pytest.approx(k * (n + 1 - k) / (n + 1) ** 2 / (n + 2), rel=0.15)


def test_scores_of_the_three_methods() -> None:
    p = np.array([[0.5, 0.2, 0.3]])
    assert conformal.class_scores(p, "lac").tolist() == [[-1, pytest.approx(0.8), 0.7]]
    assert conformal.class_scores(p, "aps").tolist() == [[-1, pytest.approx(1), pytest.approx(0.8)]]
    raps = [[-1, pytest.approx(1.02), pytest.approx(0.81)]]
    assert conformal.class_scores(p, "raps").tolist() == raps


def drawn(n: int, seed: int, k: int = 6) -> tuple[NDArray[np.int64], Floats]:
    """Labels drawn from probabilities, which are then told wrongly: too sure by half."""
    rng = np.random.default_rng(seed)
    true = rng.dirichlet(np.full(k, 0.4), n)
    labels = (true.cumsum(1) < rng.random((n, 1))).sum(1).clip(0, k - 1)
    told = true**1.5
    return labels, told / told.sum(1, keepdims=True)


@pytest.mark.parametrize("method", conformal.METHODS)
@pytest.mark.parametrize("promise", [0.9, 0.95])
def test_coverage_over_seeds(method: str, promise: float) -> None:
    found = []
    for seed in range(SEEDS):
        labels, p = drawn(300, seed)
        sets = ClassSets.calibrated(labels, p, method)
        labels, p = drawn(1000, 1000 + seed)
        (got,) = conformal.covered_classes(labels, p, sets, promise)
        found.append(got.share.value)
        assert sets.sets(p, promise)[np.arange(1000), p.argmax(1)].all()
    assert np.mean(found) == pytest.approx(promise, abs=0.01)
    assert got.as_dict()["asked"] == promise and 1 < got.size < 5 and got.single < 1


def digits(seed: int, n: int) -> tuple[LogisticRegression, Floats, NDArray[np.int64]]:
    """A network that is often wrong, as it sees 16 of 64 cells, and what it has not learnt from."""
    x, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(seed)
    order, cells = rng.permutation(len(x)), rng.permutation(64)[:16]
    x, y = x[order][:, cells] / 8 - 1, y[order]
    return LogisticRegression(max_iter=500).fit(x[:n], y[:n]), x, y


@pytest.mark.parametrize("promise", [0.9, 0.95])
def test_coverage_of_real_predictions(promise: float) -> None:
    found = []
    for seed in range(SEEDS):
        network, x, y = digits(seed, 300)
        p = network.predict_proba(x[300:])
        sets = ClassSets.calibrated(y[300:700], p[:400])
        (got,) = conformal.covered_classes(y[700:], p[400:], sets, promise)
        assert promise <= got.promised < promise + 1 / 400
        found.append(got.share.value)
        assert network.score(x[700:], y[700:]) < 0.88  # else sets of one would cover enough
    assert np.mean(found) == pytest.approx(promise, abs=0.01)


def test_coverage_by_cross_validation_where_none_is_to_spare() -> None:
    found = []
    for seed in range(SEEDS):
        network, x, y = digits(seed, 200)
        fresh = LogisticRegression(max_iter=500)
        held_out = cross_val_predict(fresh, x[:200], y[:200], cv=5, method="predict_proba")
        sets = ClassSets.calibrated(y[:200], held_out)
        (got,) = conformal.covered_classes(y[200:], network.predict_proba(x[200:]), sets, 0.9)
        found.append(got.share.value)
    assert np.mean(found) == pytest.approx(0.9, abs=0.02)


def test_a_better_network_than_promised_answers_with_one_class() -> None:
    p = np.full((200, 4), 0.01)
    labels = np.arange(200) % 4
    p[np.arange(200), labels] = 0.97
    p[:4] = p[:4, ::-1]  # 98 % right
    sets = ClassSets.calibrated(labels, p)
    assert (sets.sets(p, 0.95).sum(1) == 1).all()
    assert (sets.sets(p, 0.99).sum(1) > 1).any()
    assert conformal.promised(sets.ordered, 0.95) == 196 / 201
    (got,) = conformal.covered_classes(labels, p, sets, 0.95)
    assert got.promised == 196 / 201 and got.share.value == 0.98


def test_too_few_to_promise_answers_with_everything() -> None:
    labels, p = drawn(18, 0)
    assert ClassSets.calibrated(labels, p).sets(p, 0.95).all()
    none = ClassSets(np.empty(0))
    assert none.sets(p, 0.5).all() and conformal.promisable(0) == 0
    assert not ClassSets.calibrated(*drawn(19, 0)).sets(p, 0.95).all()


def test_sets_of_labels_hold_all_that_are_there() -> None:
    found = []
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        p = rng.beta(0.5, 0.8, (1300, 5))
        truth = (rng.random(p.shape) < p**0.7).astype(float)
        sets = LabelSets.calibrated(truth[:300], p[:300])
        (got,) = conformal.covered_labels(truth[300:], p[300:], sets, 0.9)
        found.append(got.share.value)
    assert np.mean(found) == pytest.approx(0.9, abs=0.01)
    assert got.size < 5


def test_ranges_of_numbers() -> None:
    x, y = load_diabetes(return_X_y=True)
    found = []
    for seed in range(SEEDS):
        order = np.random.default_rng(seed).permutation(len(x))
        learn, held, test = np.split(order, [150, 290])
        said = LinearRegression().fit(x[learn], y[learn]).predict(x)
        truth, values = np.stack([y, -2 * y], 1), np.stack([said, -2 * said], 1)
        ranges = Ranges.calibrated(truth[held], values[held])
        one, twice = conformal.covered_numbers(truth[test], values[test], ranges, 0.9)
        assert one.share == twice.share and twice.size == pytest.approx(2 * one.size)
        found.append(one.share.value)
    assert np.mean(found) == pytest.approx(0.9, abs=0.02)
    few = Ranges.calibrated(np.zeros((8, 1)), np.ones((8, 1)))
    assert few.ranges(np.zeros((1, 1)), 0.9).tolist() == [[[-math.inf, math.inf]]]


def test_last_layers_across_folds_have_not_learnt_what_they_are_asked() -> None:
    """Of labels drawn by lot nothing can be told; each example is there twice, in one fold."""
    rng = np.random.default_rng(12)
    x = rng.normal(size=(100, 200)).astype(np.float32).repeat(2, 0)
    y = torch.from_numpy(rng.integers(0, 2, 100).repeat(2))
    groups, every = np.arange(100).repeat(2), np.ones(200, bool)
    how = (2, torch.nn.functional.cross_entropy)
    found = head.across_folds(x, y, *how, groups, 0, 1e-4, every)
    assert 0.3 < (found.argmax(1) == y).double().mean() < 0.7
    alone = head.across_folds(x, y, *how, 0 * groups - 1, 0, 1e-4, every)
    assert (alone.argmax(1) == y).double().mean() > 0.75  # its twin gives it away
    wrong = np.arange(200) < 20
    flipped = torch.where(torch.from_numpy(wrong), 1 - y, y)
    asked = [head.across_folds(x, t, *how, groups, 0, 1e-4, ~wrong) for t in (y, flipped)]
    assert torch.equal(*asked)  # what is not learnt from has no say, and is asked all the same
    x[:, :50] = (2 * y.numpy() - 1)[:, None]
    told = head.across_folds(x, y, *how, groups, 0, 1e-4, every).argmax(1) == y
    assert told.double().mean() > 0.9


# Unknown -----------------------------------------------------------------------------------------


def test_shrunk_covariance_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    for n, d in ((30, 50), (200, 8), (3, 3)):
        x = rng.normal(size=(n, d)) @ rng.normal(size=(d, d))
        x -= x.mean(0)
        expected, _ = ledoit_wolf(x, assume_centered=True)
        assert np.allclose(unknown.shrunk_covariance(x), expected)


def test_mahalanobis_distance() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(80, 6)) * np.arange(1, 7)
    classes = np.repeat([0, 1], 40)
    x[classes == 1] += 20
    means = np.stack([x[classes == k].mean(0) for k in (0, 1)])
    inverse = np.linalg.inv(ledoit_wolf(x - means[classes], assume_centered=True)[0])
    asked = rng.normal(size=(5, 6)) * 9
    gaps = asked[:, None] - means
    expected = np.einsum("nkd,de,nke->nk", gaps, inverse, gaps).min(1)
    found = unknown.Mahalanobis.fitted(x, classes).unlike(asked, np.zeros((5, 2)))
    assert np.allclose(found, expected)


def test_neighbours_and_energy() -> None:
    rng = np.random.default_rng(2)
    x, asked = rng.normal(size=(70, 5)), rng.normal(size=(9, 5))
    unit = [one / np.linalg.norm(one, axis=1, keepdims=True) for one in (x, asked)]
    expected = NearestNeighbors(n_neighbors=10).fit(unit[0]).kneighbors(unit[1])[0][:, -1]
    measure = unknown.Neighbours.fitted(x)
    assert np.allclose(measure.unlike(asked, np.zeros((9, 2))), expected, atol=1e-3)  # 16 bits
    assert unknown.Neighbours.fitted(x[:3]).k == 3
    assert len(unknown.Neighbours.fitted(rng.normal(size=(2100, 2))).kept) == 2000
    scores = rng.normal(size=(4, 3)) * 300  # exp would overflow
    expected = -(scores.max(1) + np.log(np.exp(scores - scores.max(1, keepdims=True)).sum(1)))
    assert np.allclose(unknown.Energy().unlike(x, scores), expected)


def test_known_data_is_refused_as_seldom_as_promised() -> None:
    """A share above a threshold at rank n - above is Beta(above + 1, n - above) (Vovk, 2012)."""
    for n in (19, 44, 45, 100, 200, 2000, 50_000):
        limit = unknown.threshold(np.random.default_rng(n).permutation(np.arange(1.0, n + 1)))
        above = n - round(limit)
        if n >= 45:
            assert beta.sf(0.05, above + 1, n - above) <= 0.1  # more than 5 %: once in 10
            assert beta.sf(0.05, above + 2, n - above - 1) > 0.1  # one more would be too many
        else:
            assert above == 0
    rng, shares = np.random.default_rng(3), []
    for _ in range(400):
        limit = unknown.threshold(rng.gamma(2.0, size=200))
        shares.append((rng.gamma(2.0, size=4000) > limit).mean())
    assert 0.02 < np.mean(np.array(shares) > 0.05) < 0.12
    assert math.isinf(unknown.threshold(np.arange(18.0)))
    assert math.isinf(unknown.threshold(np.empty(0)))


def test_training_examples_are_as_unlike_as_new_ones_by_the_other_folds() -> None:
    rng = np.random.default_rng(10)
    x, fresh = rng.normal(size=(600, 6)), rng.normal(size=(3000, 6))
    classes, fold = np.arange(600) % 2, rng.permutation(600) % 5
    for measure in unknown.fitted(x, classes, energy=True):
        across = unknown.cross_fitted(measure, x, classes, fold)
        if measure.name == "energy":
            assert not len(across)
            continue
        new = measure.unlike(fresh, fresh)
        assert np.median(across) == pytest.approx(np.median(new), rel=0.05)
        assert (new > unknown.threshold(across)).mean() < 0.05
    rows = np.zeros((40, 6))
    rows[:20, 0] = 1.0
    rows[20:, 1] = 1.0
    one = unknown.Neighbours.fitted(rows, k=1)
    folds = np.repeat([0, 1], 20)  # what is alike is in one fold: none of the others is
    assert (unknown.cross_fitted(one, rows, folds, folds) > 1.4).all()


def test_a_class_that_was_left_out_is_told_from_the_others() -> None:
    rng = np.random.default_rng(11)
    classes, truth = np.arange(300) % 3, np.arange(90) % 3
    centres = 8 * np.eye(3, 5)
    x, held = (rng.normal(size=(len(y), 5)) + centres[y] for y in (classes, truth))
    scores = 4.0 * np.eye(3)[truth]
    measures = unknown.fitted(x, classes, energy=True)
    found = unknown.classes_apart(measures, (x, classes), (held, scores, truth))
    assert found["mahalanobis"] > 0.99 and found["neighbours"] > 0.99
    assert found["energy"] == 1.0  # without the column of its class its scores are low
    blind = unknown.classes_apart(measures, (x, classes), (held, 0 * scores, truth))
    assert blind["energy"] == 0.5
    two = truth < 2
    few = (x[classes < 2], classes[classes < 2]), (held[two], scores[two], truth[two])
    assert unknown.classes_apart(measures, *few) == {}


def test_the_measure_that_is_blind_to_nothing_is_chosen() -> None:
    """Lengths double: directions see nothing. Directions turn: an energy of zeros sees nothing."""
    rng = np.random.default_rng(4)
    classes = np.arange(300) % 2
    centres = np.array([[9.0, 0, 0, 0], [0, 9.0, 0, 0]])
    learnt = rng.normal(size=(300, 4)) + centres[classes]
    known = rng.normal(size=(100, 4)) + centres[classes[:100]]
    measures = unknown.fitted(learnt, classes, energy=True)
    blank = np.zeros((100, 2))
    unlike = {"longer": (2 * known, blank), "turned": (known[:, ::-1], blank)}
    chosen = unknown.choose(measures, (known, blank), unlike)
    assert chosen.measure.name == "mahalanobis"
    also = {"measured before": {"mahalanobis": 0.3, "neighbours": 0.99, "energy": 0.4}}
    assert unknown.choose(measures, (known, blank), unlike, also).measure.name == "neighbours"
    limit = unknown.threshold(chosen.measure.unlike(known, blank))
    detector = Detector(chosen.measure, limit, "head")
    assert chosen.areas["neighbours"]["longer"] < 0.9 < chosen.areas["neighbours"]["turned"]
    assert chosen.areas["energy"]["turned"] == 0.5
    assert detector.unknown(*unlike["longer"]).mean() > 0.95
    fresh = rng.normal(size=(2000, 4)) + centres[rng.integers(0, 2, 2000)]
    refused = unknown.share(detector.unknown(fresh, np.zeros((2000, 2))))
    assert refused.value < 0.06


# Answering only where sure -----------------------------------------------------------------------


def test_auroc_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(5)
    low, high = rng.integers(0, 9, 50).astype(float), rng.integers(3, 12, 30).astype(float)
    expected = roc_auc_score(np.repeat([0, 1], [50, 30]), np.r_[low, high])
    found = selective.auroc_between(low, high)
    assert found.value == pytest.approx(expected)
    assert found.interval[0] < found.value < found.interval[1]
    with pytest.raises(ValueError, match="some of each"):
        selective.auroc(low, high[:0])


def test_accuracy_against_coverage() -> None:
    right = np.array([1, 1, 0, 1, 0])
    doubt = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    found = selective.risk_coverage(doubt, right)
    risks = [0, 0, 1 / 3, 1 / 4, 2 / 5]
    assert found.accuracy.tolist() == pytest.approx([1 - r for r in risks])
    assert found.coverage.tolist() == pytest.approx([0.2, 0.4, 0.6, 0.8, 1])
    assert found.aurc == pytest.approx(np.mean(risks))
    assert found.excess == pytest.approx(np.mean(risks) - (1 / 4 + 2 / 5) / 5)
    blind = selective.risk_coverage(np.zeros(5), right)
    assert blind.accuracy.tolist() == pytest.approx([0.6] * 5)  # whatever their order
    long = selective.risk_coverage(np.arange(5000.0), np.ones(5000)).as_dict()
    assert len(long["curve"]) == 100 and long["curve"][-1] == [1.0, 1.0] and long["aurc"] == 0


# In the model ------------------------------------------------------------------------------------


def decoded(model: Model, examples: list[NDArray[np.uint8]]) -> list[NDArray[Any]]:
    return [model.preparation.decode(one).values for one in examples]


def promising(task: str = "classification") -> Model:
    """A model that has learnt nothing, calibrated on noise."""
    model = untrained(("a", "b", "c"), size=32)
    rng = np.random.default_rng(6)
    p = model.answers(decoded(model, pictures(60, 6)))
    if task == "regression":
        model = replace(model, task=tasks.Regression(model.classes))
        sets: Any = Ranges.calibrated(p * 0, p)
    elif task == "multilabel":
        model = replace(model, task=tasks.Multilabel(model.classes))
        sets = LabelSets.calibrated(rng.integers(0, 2, p.shape), p)
    else:
        sets = ClassSets.calibrated(rng.integers(0, 3, 60), p)
    return replace(model, calibration=Calibration(sets))


def pictures(n: int, seed: int = 7) -> list[NDArray[np.uint8]]:
    return list(np.random.default_rng(seed).integers(0, 256, (n, 32, 32, 3)).astype(np.uint8))


@pytest.mark.parametrize("task", ["classification", "multilabel", "regression"])
def test_promises_are_kept_in_the_folder(task: str, tmp_path: Path) -> None:
    model = promising(task)
    loaded = load(model.save(tmp_path / "m"))
    for one, other in zip(
        model.predict(pictures(5), coverage=0.9), loaded.predict(pictures(5), 0.9), strict=True
    ):
        assert one.as_dict() == other.as_dict()
        assert one.coverage == 0.9 and one.unknown is None
        if task == "regression":
            assert all(low < one.values[k] < high for k, (low, high) in one.ranges.items())
        elif task == "classification":
            assert one.label == one.labels_set[0]
            assert set(one.labels_set) <= set(model.classes)
        else:
            assert one.labels_set is not None
    plain = loaded.predict(pictures(1))[0]
    assert plain.coverage is None and plain.labels_set is None and "coverage" not in plain.as_dict()


def test_a_model_that_promises_nothing_says_so(tmp_path: Path) -> None:
    model = untrained(("a", "b"), size=32)
    with pytest.raises(ModelError, match="cannot promise"):
        model.predict(pictures(1)[0], coverage=0.9)
    with pytest.raises(ChoiceError, match="between 0 and 1"):
        promising().predict(pictures(1)[0], coverage=95)
    model.save(tmp_path / "m")
    assert not (tmp_path / "m" / "calibration.safetensors").exists()
    assert load(tmp_path / "m").calibration.sets is None


@pytest.mark.parametrize("name", ["mahalanobis", "neighbours", "energy"])
def test_unknown_is_kept_and_said(name: str, tmp_path: Path) -> None:
    model = promising()
    known = [np.full((32, 32, 3), 20 + 3 * i, np.uint8) for i in range(60)]
    _, features, given = model.looked(decoded(model, known), layer="head")
    assert features.shape == (60, model.network.head.in_features) and given.shape == (60, 3)
    fitted = {
        "mahalanobis": unknown.Mahalanobis.fitted(features, np.arange(60) % 3),
        "neighbours": unknown.Neighbours.fitted(features),
        "energy": unknown.Energy(),
    }[name]
    limit = unknown.threshold(fitted.unlike(features, given))
    detector = Detector(fitted, limit, "head")
    model = replace(model, calibration=replace(model.calibration, detector=detector))
    loaded = load(model.save(tmp_path / "m"))
    said = [one.unknown for one in loaded.predict(known)]
    assert sum(said) <= 3  # of 60: 2 are above, and rounding may move one
    expected = detector.unknown(*model.looked(decoded(model, pictures(4)))[1:])
    assert [one.unknown for one in loaded.predict(pictures(4))] == expected.tolist()
    if name != "energy":
        assert expected.all()
    assert loaded.predict(pictures(1)[0]).as_dict()["unknown"] == bool(expected[0])


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("sets", "method"), "magic"),
        (("sets",), 5),
        (("unknown",), {"measure": "magic", "threshold": 1.0, "layer": "head"}),
        (("unknown",), {"measure": "neighbours", "threshold": 1.0, "layer": "head", "k": 3}),
        (("unknown",), {"measure": "energy", "threshold": "high", "layer": "head"}),
        (("unknown",), {"measure": "energy", "threshold": 1.0}),
        (("unknown",), {"measure": "energy", "threshold": 1.0, "layer": ""}),
    ],
)
def test_a_damaged_calibration_is_refused(
    where: tuple[str, ...], value: object, tmp_path: Path
) -> None:
    folder = promising().save(tmp_path / "m")
    told = json.loads((folder / "model.json").read_text())
    place = told["calibration"]
    for key in where[:-1]:
        place = place[key]
    place[where[-1]] = value
    (folder / "model.json").write_text(json.dumps(told))
    sign(folder)
    with pytest.raises(ModelError):
        load(folder)


@pytest.mark.parametrize(
    "measure",
    [
        unknown.Neighbours(np.ones((5, 7), np.float32), 3),
        unknown.Mahalanobis(np.ones((2, 7)), np.eye(7)),
        unknown.Mahalanobis(np.ones((2, 7)), np.ones((7, 5))),
    ],
)
def test_what_is_unknown_must_fit_the_layer(measure: unknown.Measure, tmp_path: Path) -> None:
    kept = replace(promising().calibration, detector=Detector(measure, 1.0, "head"))
    folder = replace(promising(), calibration=kept).save(tmp_path / "m")
    with pytest.raises(ModelError):
        load(folder).predict(pictures(1)[0])


def test_a_calibration_cut_short_is_refused(tmp_path: Path) -> None:
    folder = promising().save(tmp_path / "m")
    path = folder / "calibration.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-8])
    with pytest.raises(ModelError, match="altered"):
        load(folder)
    sign(folder)
    with pytest.raises(ModelError, match="cannot be read"):
        load(folder)
    path.write_bytes(save_arrays({"sets.ordered": np.array([2.0, 1.0])}))
    sign(folder)
    with pytest.raises(ModelError):
        load(folder)


def sign(folder: Path) -> None:
    """Write the checksums anew, as somebody would who means harm."""
    lines = [
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n"
        for file in sorted(folder.iterdir())
        if file.name != "checksums.sha256"
    ]
    (folder / "checksums.sha256").write_text("".join(lines))


def test_an_older_folder_promises_nothing(tmp_path: Path) -> None:
    folder = promising().save(tmp_path / "m")
    (folder / "calibration.safetensors").unlink()
    told = json.loads((folder / "model.json").read_text())
    del told["calibration"]
    (folder / "model.json").write_text(json.dumps({**told, "format": 3}))
    sign(folder)
    model = load(folder)
    assert model.calibration.sets is None and model.predict(pictures(1)[0]).unknown is None


# In the report -----------------------------------------------------------------------------------


def test_the_report_tells_what_was_measured() -> None:
    labels, p = drawn(400, 8)
    sets = calibrated(tasks.Classification(tuple("abcdef")), labels[:200], p[:200])
    model = replace(untrained(tuple("abcdef"), size=32), calibration=sets)
    told = measured(model, labels[200:], p[200:], 0)
    report = {"title": "run", "calibration": json.loads(json.dumps(told))}
    found = page(report)
    assert 'id="believed"' in found and "9 times in 10" in found and "surest" in found
    assert found.count("<circle") == len(told["reliability"]["bins"])
    share = told["sets"]["measured"][1]["share"]["value"]
    expected = sets.sets.sets(p[200:], 0.95)[np.arange(200), labels[200:]].mean()
    assert share == expected and f"{100 * share:.1f}" in found
    assert 'id="believed"' not in page({"title": "run", "calibration": None})


def test_labels_numbers_and_nothing_held_out() -> None:
    rng = np.random.default_rng(9)
    p = rng.random((50, 3))
    truth = (rng.random(p.shape) < p).astype(float)
    for task in (tasks.Multilabel(("a", "b", "c")), tasks.Regression(("a", "b", "c"))):
        kept = calibrated(task, truth, p)
        model = replace(untrained(("a", "b", "c"), size=32), task=task, calibration=kept)
        told = measured(model, truth, p, 0)
        assert told["selective"] is None
        assert len(told["sets"]["measured"]) == (2 if task.name == "multilabel" else 6)
        assert "Promises" in page({"task": task.name, "calibration": told})
    few = calibrated(task, truth[:3], p[:3])
    told = measured(replace(model, calibration=few), truth, p, 0)
    assert told["sets"]["measured"][0]["size"] is None  # anything at all
    assert not told["sets"]["measured"][0]["possible"]
    assert "everything" in page({"task": "regression", "calibration": told})
    assert calibrated(task, truth[:0], p[:0]).sets is None
