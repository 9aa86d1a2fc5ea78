from __future__ import annotations

import json
import time
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from quickstudy.errors import SourceError
from quickstudy.evaluation import Scores, mistakes, percent, score, sentence, wilson


def made(n: int, k: int, seed: int = 0, absent: int | None = None):
    """Labels and a rather good model's probabilities."""
    rng = np.random.default_rng(seed)
    names = np.array([c for c in range(k) if c != absent])
    labels = names[rng.integers(0, len(names), n)].astype(np.int64)
    logits = rng.normal(size=(n, k))
    logits[np.arange(n), labels] += 1.5
    probabilities = np.exp(logits)
    return labels, probabilities / probabilities.sum(axis=1, keepdims=True)


def scored(labels, probabilities, **rest) -> Scores:
    names = [f"class {c}" for c in range(probabilities.shape[1])]
    return score(labels, probabilities, classes=names, baseline_class=0, **rest)


def of(confusion) -> Scores:
    """Scores of a confusion matrix, with sure predictions."""
    confusion = np.asarray(confusion)
    true, called = np.nonzero(confusion)
    times = confusion[true, called]
    probabilities = np.eye(len(confusion))[np.repeat(called, times)]
    names = ["cat", "dog", "l'âne", "emu"][: len(confusion)]
    labels = np.repeat(true, times)
    return score(labels, probabilities, classes=names, baseline_class=0, resamples=50)


@pytest.mark.parametrize(("n", "k", "absent"), [(300, 2, None), (500, 8, None), (200, 7, 3)])
def test_scores_agree_with_scikit_learn(n, k, absent):
    labels, p = made(n, k, absent=absent)
    called, present = p.argmax(axis=1), np.unique(labels)
    found = scored(labels, p, resamples=200)
    everything = list(range(k))
    assert found.accuracy == pytest.approx(metrics.accuracy_score(labels, called))
    expected = metrics.confusion_matrix(labels, called, labels=everything)
    assert (found.confusion == expected).all()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of the absent class
        balanced = metrics.balanced_accuracy_score(labels, called)
        f1 = metrics.f1_score(labels, called, labels=present, average="macro")
        each = metrics.precision_recall_fscore_support(labels, called, labels=everything)
    assert found.balanced_accuracy.value == pytest.approx(balanced)
    assert found.macro_f1.value == pytest.approx(f1)
    loss = metrics.log_loss(labels, p, labels=everything)
    assert found.log_loss.value == pytest.approx(loss)
    for c, (precision, recall, f, count) in enumerate(zip(*each, strict=True)):
        mine = found.per_class[c]
        assert mine.n == count and mine.precision == pytest.approx(precision)
        if count:
            assert mine.recall == pytest.approx(recall) and mine.f1 == pytest.approx(f)
        else:
            assert mine.recall is None and mine.f1 is None and mine.recall_interval == (0, 1)
    if k > 5:
        top = metrics.top_k_accuracy_score(labels, p, k=5, labels=everything)
        assert found.top5 is not None and found.top5.value == pytest.approx(top)
    else:
        assert found.top5 is None
    for estimate in (found.balanced_accuracy, found.macro_f1, found.log_loss):
        assert estimate.interval[0] < estimate.value < estimate.interval[1]


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_solves_its_quadratic(case):
    k, n = case
    z, share = 1.959963984540054, k / n
    # (share - p)^2 = z^2 p (1 - p) / n
    roots = np.roots([1 + z * z / n, -(2 * share + z * z / n), share * share])
    assert wilson(k, n) == pytest.approx(sorted(np.real(roots)), abs=1e-6)


def test_wilson_known_values():
    # Newcombe (1998), Statistics in Medicine 17, table I, method 3
    for (k, n), ends in {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0.0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }.items():
        assert wilson(k, n) == pytest.approx(ends, abs=5e-5)
    assert wilson(0, 0) == (0.0, 1.0) and wilson(7, 7)[1] == 1.0
    narrow, wide = wilson(5, 10, 0.8), wilson(5, 10, 0.99)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_bootstrap_covers_the_truth_about_95_times_in_100():
    true_recall, shares = np.array([0.9, 0.6]), [0.7, 0.3]
    rng = np.random.default_rng(1)
    truth_loss, inside, inside_loss = 0.0, 0, 0
    for p, recall in zip(shares, true_recall, strict=True):
        truth_loss -= p * (recall * np.log(0.8) + (1 - recall) * np.log(0.2))
    for seed in range(200):
        labels = rng.choice(2, 300, p=shares)
        right = rng.random(300) < true_recall[labels]
        called = np.where(right, labels, 1 - labels)
        p = np.where(np.arange(2) == called[:, None], 0.8, 0.2)
        found = scored(labels, p, seed=seed, resamples=300)
        low, high = found.balanced_accuracy.interval
        inside += low <= true_recall.mean() <= high
        low, high = found.log_loss.interval
        inside_loss += low <= truth_loss <= high
    assert 0.89 <= inside / 200 <= 0.99 and 0.89 <= inside_loss / 200 <= 0.99


def test_as_dict_is_plain_json_with_the_names_of_the_report():
    found = scored(*made(100, 7, absent=2), resamples=20).as_dict()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert set(found) == {
        "n", "accuracy", "interval", "baseline", "balanced_accuracy", "macro_f1", "log_loss",
        "top5", "per_class", "confusion", "task",
    }  # fmt: skip
    assert set(found["baseline"]) == {"class", "accuracy"}
    assert found["per_class"]["class 2"]["recall"] is None


def test_a_certain_mistake_costs_a_finite_loss():
    found = scored(np.array([0, 1]), np.array([[0.0, 1.0], [0.0, 1.0]]), resamples=10)
    assert found.log_loss.value == pytest.approx(-np.log(1e-7) / 2)


def test_deterministic_by_seed():
    data = made(100, 3)
    one, two, other = (scored(*data, seed=s, resamples=50).as_dict() for s in (0, 0, 1))
    assert one == two and one["macro_f1"]["interval"] != other["macro_f1"]["interval"]


def test_bad_input_is_refused():
    with pytest.raises(SourceError, match="no example"):
        scored(np.empty(0, np.int64), np.empty((0, 2)))
    with pytest.raises(ValueError, match="finite"):
        scored(np.array([0]), np.array([[np.nan, 1.0]]))


def test_ten_thousand_examples_are_quick():
    data = made(10_000, 100)
    began = time.process_time()
    scored(*data)
    assert time.process_time() - began < 8


def test_mistakes_come_most_confident_first():
    labels = np.array([0, 0, 1, 1])
    p = np.array([[0.3, 0.7], [0.1, 0.9], [0.2, 0.8], [0.6, 0.4]])
    assert mistakes(labels, p) == [1, 0, 3] and mistakes(labels, p, most=1) == [1]
    assert mistakes(np.array([0]), np.array([[1.0, 0.0]])) == []


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.96667, "96.7"), (0.5, "50"), (1.0, "100"), (0.9996, "99.96"), (0.99995, "99.995"),
        (0.0, "0"), (0.0004, "0.04"), (0.93999, "94.0"), (0.07, "7"), (29 / 30, "96.7"),
    ],
)  # fmt: skip
def test_percent(share, text):
    assert percent(share) == text


def test_sentences():
    assert sentence(
        of([[147, 3], [7, 143]]), one="picture it never saw", many="pictures it never saw"
    ) == [
        "96.7 % correct on 300 pictures it never saw (95 % sure: 94.0 to 98.2 %).",
        "Guessing the commonest class would score 50 %.",
        "Most often mistaken: 'dog' taken for 'cat' (7 times; the other way round 3).",
    ]


@pytest.mark.parametrize(
    ("confusion", "last"),
    [
        ([[9, 0], [0, 9]], "Guessing the commonest class would score 50 %."),
        ([[9, 0], [1, 8]], "Its only mistake: 'dog' taken for 'cat'."),
        ([[8, 1], [1, 8]], "Guessing the commonest class would score 50 %."),
        (
            [[5, 4, 0], [4, 5, 0], [0, 4, 5]],
            "Most often mistaken: 'l'âne' taken for 'dog' (4 times; the other way round never).",
        ),
    ],
)
def test_the_sentence_on_mistakes(confusion, last):
    said = sentence(of(confusion), one="picture it never saw", many="pictures it never saw")
    assert said[-1].replace("33.3", "50") == last


def test_sentences_of_one_sound():
    said = sentence(of([[1, 0], [0, 0]]), one="sound it never saw", many="sounds it never saw")
    assert said[0] == "100 % correct on 1 sound it never saw (95 % sure: 20.7 to 100 %)."
