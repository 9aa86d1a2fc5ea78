from __future__ import annotations

import itertools
import json
import time

import numpy as np
import pytest
from sklearn import metrics

from quickstudy.errors import SourceError
from quickstudy.evaluation import (
    LabelScores,
    Scored,
    mean_average_precision,
    mistakes_labels,
    percent,
    score_labels,
    sentence_labels,
    wilson,
)
from quickstudy.evaluation.ranking import Ranked

SHARES = np.array([0.4, 0.25, 0.1, 0.05])


def made(n: int, seed: int = 0, digits: int = 9):
    """Four labels of different frequency and a rather good model; few `digits` make ties."""
    rng = np.random.default_rng(seed)
    truth = (rng.random((n, 4)) < SHARES).astype(np.int64)
    logits = rng.normal(size=(n, 4)) + 2 * truth - 1.5
    return truth, np.round(1 / (1 + np.exp(-logits)), digits)


def scored(truth, probabilities, **rest) -> LabelScores:
    k = truth.shape[1]
    names = [f"label {c}" for c in range(k)]
    rest.setdefault("thresholds", np.linspace(0.3, 0.6, k))
    rest.setdefault("baseline", SHARES[:k])
    return score_labels(truth, probabilities, labels=names, **rest)


def mean_log_loss(truth, p) -> float:
    pairs = zip(truth.T, p.T, strict=True)
    return float(np.mean([metrics.log_loss(t, q, labels=[0, 1]) for t, q in pairs]))


@pytest.mark.parametrize("digits", [9, 1])
def test_scores_agree_with_scikit_learn(digits):
    truth, p = made(400, digits=digits)
    found, given = scored(truth, p, resamples=200), p >= np.linspace(0.3, 0.6, 4)
    assert found.main is not None and found.micro_f1 is not None and found.macro_f1 is not None
    assert found.main.value == pytest.approx(metrics.average_precision_score(truth, p))
    assert mean_average_precision(truth, p) == pytest.approx(found.main.value)
    assert found.micro_f1.value == pytest.approx(metrics.f1_score(truth, given, average="micro"))
    assert found.macro_f1.value == pytest.approx(metrics.f1_score(truth, given, average="macro"))
    assert found.exact.value == pytest.approx(metrics.accuracy_score(truth, given))
    assert found.exact.interval == wilson(int((given == truth).all(axis=1).sum()), 400)
    clipped = np.clip(p, 1e-7, 1 - 1e-7)
    assert found.log_loss.value == pytest.approx(mean_log_loss(truth, clipped))
    each = metrics.precision_recall_fscore_support(truth, given)
    for c, (precision, recall, f1, n) in enumerate(zip(*each, strict=True)):
        one = found.per_label[c]
        assert one.n == n and one.f1 is not None and one.average_precision is not None
        assert (one.precision, one.recall) == pytest.approx((precision, recall))
        assert one.f1.value == pytest.approx(f1)
        ap = metrics.average_precision_score(truth[:, c], p[:, c])
        assert one.average_precision.value == pytest.approx(ap)
        constant = metrics.average_precision_score(truth[:, c], np.zeros(400))
        assert one.guess == pytest.approx(constant)
    for estimate in (found.main, found.micro_f1, found.macro_f1, found.log_loss):
        assert estimate.interval[0] < estimate.value < estimate.interval[1]
    assert found.beats_baseline


@pytest.mark.parametrize("digits", [9, 1])
def test_a_resample_counts_as_weights_do(digits):
    truth, p = made(60, digits=digits)
    times = np.random.default_rng(3).integers(0, 3, (20, 60)).astype(np.int32)
    drawn = Ranked(truth[:, 0], p[:, 0]).drawn(times)
    expected = [
        metrics.average_precision_score(truth[:, 0], p[:, 0], sample_weight=weight)
        for weight in times
    ]
    assert drawn == pytest.approx(expected)


def test_intervals_are_those_of_examples_drawn_one_by_one():
    truth, p = made(80, digits=2)
    found = scored(truth, p, seed=5, resamples=25)
    given = p >= np.linspace(0.3, 0.6, 4)
    ap, macro, micro = [], [], []
    for at in np.random.default_rng(5).integers(0, 80, (25, 80)):
        here = truth[at].any(axis=0)
        ap.append(metrics.average_precision_score(truth[at][:, here], p[at][:, here]))
        kept = truth[at][:, here], given[at][:, here]
        macro.append(metrics.f1_score(*kept, average="macro", zero_division=0.0))
        micro.append(metrics.f1_score(truth[at], given[at], average="micro"))
    for mine, theirs in ((found.main, ap), (found.macro_f1, macro), (found.micro_f1, micro)):
        assert mine is not None
        assert mine.interval == pytest.approx(np.percentile(theirs, [2.5, 97.5]))


def test_the_constant_answer_is_the_best_of_all_subsets():
    truth, p = made(200)
    rng = np.random.default_rng(2)
    for _ in range(8):
        rate = rng.random(4) ** 2
        found = scored(truth, p, baseline=rate, resamples=2)

        def expected(chosen, rate=rate):
            return 2 * rate[list(chosen)].sum() / (len(chosen) + rate.sum())

        sets = [s for size in range(1, 5) for s in itertools.combinations(range(4), size)]
        best = max(sets, key=expected)
        assert found.guessed == tuple(f"label {c}" for c in best)
        answer = np.zeros_like(truth)
        answer[:, best] = 1
        f1 = metrics.f1_score(truth, answer, average="micro")
        assert found.guess_micro_f1 == pytest.approx(f1)
        loss = mean_log_loss(truth, np.tile(rate, (200, 1)))
        assert found.guess_log_loss == pytest.approx(loss)
    assert found.main_of_guess == pytest.approx(truth.mean())


def test_a_label_that_nothing_carries_does_not_count():
    truth, p = made(100)
    truth[:, 3] = 0
    found = scored(truth, p, resamples=50)
    one = found.per_label[3]
    assert one.average_precision is None and one.f1 is None and one.recall is None
    assert one.n == 0 and one.guess is None and one.recall_interval == (0.0, 1.0)
    assert found.main is not None and found.macro_f1 is not None
    rest = truth[:, :3], p[:, :3]
    assert found.main.value == pytest.approx(metrics.average_precision_score(*rest))
    assert found.main_of_guess == pytest.approx(truth[:, :3].mean())
    given = p[:, :3] >= np.linspace(0.3, 0.6, 4)[:3]
    f1 = metrics.f1_score(truth[:, :3], given, average="macro")
    assert found.macro_f1.value == pytest.approx(f1)


def test_no_label_anywhere():
    found = scored(np.zeros((9, 2)), np.full((9, 2), 0.1), baseline=np.zeros(2), resamples=20)
    assert found.main is None and found.micro_f1 is None and found.guess_micro_f1 is None
    assert found.exact.value == 1 and found.guessed == () and not found.beats_baseline
    assert mean_average_precision(np.zeros((9, 2)), np.full((9, 2), 0.1)) == 0
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False)) == found.as_dict()
    assert "No example on 9 rows" in sentence_labels(found, one="row", many="rows")[0]


def test_chance_does_not_beat_the_baseline():
    truth, p = made(300)
    found = scored(truth, np.random.default_rng(0).permutation(p), resamples=100)
    assert not found.beats_baseline


def test_intervals_hold_the_truth_about_95_times_in_100():
    truth, p = made(100_000, seed=99)
    expected, inside = metrics.average_precision_score(truth, p), 0
    for seed in range(120):
        found = scored(*made(400, seed=seed), seed=seed, resamples=200)
        assert found.main is not None
        inside += found.main.interval[0] <= expected <= found.main.interval[1]
    assert 0.88 <= inside / 120 <= 0.99


def test_as_dict_is_plain_json_for_the_report():
    found = scored(*made(100), resamples=20).as_dict()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert set(found) == {
        "task", "n", "mean_average_precision", "micro_f1", "macro_f1", "exact", "log_loss",
        "baseline", "per_label",
    }  # fmt: skip
    assert set(found["per_label"]["label 0"]) == {
        "n", "threshold", "average_precision", "baseline", "precision", "precision_interval",
        "recall", "recall_interval", "f1",
    }  # fmt: skip


def test_scores_have_what_those_of_every_task_have():
    found: Scored = scored(*made(30), resamples=20)
    assert (found.task, found.main_name, found.n, found.left_out) == ("multilabel", "mAP", 30, ())


def test_a_threshold_is_reached_by_what_equals_it():
    p = np.array([[0.5], [0.4]])
    found = scored(np.array([[1], [0]]), p, thresholds=np.array([0.5]), resamples=5)
    assert found.per_label[0].recall == 1.0 and found.per_label[0].precision == 1.0


def test_mistakes_are_wrong_the_most_surprising_first():
    truth = np.array([[1, 0], [1, 1], [0, 0]])
    p = np.array([[0.9, 0.2], [0.4, 0.3], [1.0, 0.0]])
    assert mistakes_labels(truth, p, 0.5) == [2, 1]
    assert mistakes_labels(truth, p, 0.2) == [2, 0]
    assert mistakes_labels(truth, p, 0.5, most=1) == [2]


def test_sentences():
    truth = np.array([[1, 0], [1, 1], [0, 1], [0, 0]])
    p = np.array([[0.9, 0.2], [0.8, 0.3], [0.1, 0.9], [0.0, 0.4]])
    found = scored(truth, p, thresholds=np.full(2, 0.5))
    assert found.main is not None
    low, high = (percent(end) for end in found.main.interval)
    said = sentence_labels(found, one="picture it never saw", many="pictures it never saw")
    assert said == [
        f"Mean average precision 91.7 % on 4 pictures it never saw (95 % sure: {low} to {high} %).",
        "Every label right on 75 % of them; F1 85.7 %.",
        "Guessing by how common each label is would score 50 %.",
        "Weakest label: 'label 1' (average precision 83.3 %, n = 2).",
    ]


def test_bad_input_is_refused():
    with pytest.raises(SourceError, match="no example"):
        scored(np.empty((0, 2)), np.empty((0, 2)))
    with pytest.raises(ValueError, match="finite"):
        scored(np.zeros((1, 2)), np.array([[np.nan, 1.0]]))
    with pytest.raises(ValueError, match="K thresholds"):
        scored(*made(5), thresholds=np.zeros(3))


def test_deterministic_by_seed():
    data = made(100)
    one, two, other = (scored(*data, seed=s, resamples=50).as_dict() for s in (0, 0, 1))
    assert one == two and one["macro_f1"]["interval"] != other["macro_f1"]["interval"]


def test_many_examples_are_quick():
    data = made(10_000)
    began = time.process_time()
    scored(*data)
    assert time.process_time() - began < 4
