from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn import metrics

from quickstudy.errors import SourceError
from quickstudy.evaluation import (
    no_better_than_guess,
    rival,
    score,
    score_labels,
    score_numbers,
    wilson,
)
from quickstudy.evaluation.rivals import paired


def answers(both: int, ours: int, theirs: int, n: int):
    """Truth 0, and answers of which `both` are right twice, the others once or never."""
    mine, other = np.ones(n, int), np.ones(n, int)
    mine[: both + ours] = 0
    other[:both] = 0
    other[both + ours : both + ours + theirs] = 0
    return np.zeros(n, int), mine, other


def test_paired_known_values():
    # Newcombe (1998), Statistics in Medicine 17, 2635: method 10
    assert paired(36, 12, 2, 50) == pytest.approx((0.0569, 0.3404), abs=5e-5)


def test_paired_with_a_slight_bond_is_reckoned_as_without():
    # ad - bc = 3 is no more than n / 2 = 3: phi is 0, and what is left is to square and add
    (low1, high1), (low2, high2) = wilson(3, 6), wilson(3, 6)
    low, high = -np.hypot(0.5 - low1, high2 - 0.5), np.hypot(high1 - 0.5, 0.5 - low2)
    assert paired(2, 1, 1, 6) == pytest.approx((low, high))
    wide, narrow = paired(2, 1, 1, 6), paired(3, 0, 0, 6)  # ad - bc = 9: phi is 6 / 9
    assert narrow[1] - narrow[0] == pytest.approx((wide[1] - wide[0]) * np.sqrt(1 - 6 / 9))


def test_paired_of_equals_holds_zero_and_turns_with_its_sides():
    for both, one, two, n in ((0, 0, 0, 5), (5, 0, 0, 5), (3, 2, 2, 9), (40, 9, 1, 60)):
        low, high = paired(both, one, two, n)
        assert low <= (one - two) / n <= high
        assert paired(both, two, one, n) == pytest.approx((-high, -low))


def test_paired_without_a_bond_is_wider_than_with_one():
    bound, loose = paired(45, 5, 0, 100), paired(20, 30, 25, 100)
    assert bound[1] - bound[0] < loose[1] - loose[0]


def test_paired_covers_about_95_times_in_100():
    rng, inside = np.random.default_rng(0), 0
    for _ in range(1000):
        both, one, two, _ = rng.multinomial(80, [0.7, 0.15, 0.05, 0.1])
        low, high = paired(int(both), int(one), int(two), 80)
        inside += low <= 0.1 <= high
    assert 0.93 <= inside / 1000 <= 0.98


@pytest.mark.parametrize(
    ("counts", "verdict", "words"),
    [
        ((850, 60, 20, 1000), "beaten", "the network is better (difference +4.0 points, 95 %"),
        ((850, 20, 60, 1000), "better", "they are better here, so consider them (difference -4.0"),
        ((80, 4, 3, 100), "equal", "no clear difference (difference +1.0 points, 95 % sure: -"),
        ((100, 0, 0, 100), "equal", "no clear difference (difference +0.0 points"),
        ((50, 2, 0, 52), "equal", "no clear difference"),
    ],
)  # fmt: skip
def test_accuracy_beside_a_rival(counts, verdict, words):
    found = rival(*answers(*counts), "accuracy", many="pictures")
    both, _, theirs, n = counts
    assert found["verdict"] == verdict
    assert found["main"] == (both + theirs) / n
    assert found["interval"] == pytest.approx(list(wilson(both + theirs, n)))
    assert words in found["sentence"]
    assert found["sentence"].startswith("Gradient-boosted trees score ")
    assert "on the same pictures: " in found["sentence"]
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_r2_beside_a_rival_is_that_of_examples_drawn_together():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(100, 2)) * [1.0, 1e6]
    ours, theirs = (truth + rng.normal(size=truth.shape) * [s, s * 1e6] for s in (0.3, 0.5))
    found = rival(truth, ours, theirs, "R2", seed=4)
    mine, other = (metrics.r2_score(truth, each) for each in (ours, theirs))
    assert found["main"] == pytest.approx(other)
    assert found["difference"] == pytest.approx(mine - other)
    drawn = np.random.default_rng(4).integers(0, 100, (1000, 100))

    def r2(true, said):
        left, whole = (true - said) ** 2, (true - true.mean(axis=0)) ** 2
        return (1 - left.sum(axis=0) / whole.sum(axis=0)).mean()

    both = np.array([[r2(truth[at], each[at]) for each in (ours, theirs)] for at in drawn])
    expected = np.percentile(both[:, 0] - both[:, 1], [2.5, 97.5])
    assert found["difference_interval"] == pytest.approx(expected.tolist())
    assert found["interval"] == pytest.approx(np.percentile(both[:, 1], [2.5, 97.5]).tolist())
    assert found["verdict"] == "beaten" and "score R2 0.7" in found["sentence"]
    swapped = rival(truth, theirs, ours, "R2", seed=4)
    assert swapped["verdict"] == "better" and "consider them" in swapped["sentence"]
    assert rival(truth, ours, ours, "R2")["verdict"] == "equal"


def test_map_beside_a_rival():
    rng = np.random.default_rng(0)
    truth = (rng.random((300, 3)) < [0.4, 0.2, 0.0]).astype(int)
    ours, theirs = (1 / (1 + np.exp(-(rng.normal(size=(300, 3)) + g * truth))) for g in (3, 1))
    found = rival(truth, ours, theirs, "mAP")
    known = [metrics.average_precision_score(truth[:, :2], p[:, :2]) for p in (ours, theirs)]
    assert found["main"] == pytest.approx(known[1])
    assert found["difference"] == pytest.approx(known[0] - known[1])
    assert found["verdict"] == "beaten"
    low, high = found["difference_interval"]
    assert low < found["difference"] < high


def test_bad_input_is_refused():
    with pytest.raises(SourceError, match="no example"):
        rival(np.empty(0), np.empty(0), np.empty(0), "accuracy")
    with pytest.raises(ValueError, match="no such metric"):
        rival(np.zeros(2), np.zeros(2), np.zeros(2), "beauty")
    with pytest.raises(ValueError, match="never varies"):
        rival(np.zeros((2, 1)), np.zeros((2, 1)), np.zeros((2, 1)), "R2")


def of_classes(labels, p):
    return score(
        np.asarray(labels), np.asarray(p), classes=["a", "b"], baseline_class=0, resamples=200
    )


def test_a_neuron_on_xor_cannot():
    found = of_classes([0, 1, 1, 0], [[0.5, 0.5]] * 4)
    assert no_better_than_guess(found) == (
        "This network cannot express the rule: even on the examples it learnt from it is no better "
        "than a guess (50 % against 50 %). A larger one may: more layers, or wider ones."
    )
    lucky = of_classes([0, 1, 1, 0], [[0.51, 0.49], [0.49, 0.51], [0.49, 0.51], [0.4, 0.6]])
    assert "is not clearly better than a guess (75 % against 50 %)" in (
        no_better_than_guess(lucky) or ""
    )


def test_two_neurons_on_xor_can():
    assert (
        no_better_than_guess(
            of_classes([0, 1, 1, 0], [[0.9, 0.1], [0.1, 0.9], [0.1, 0.9], [0.9, 0.1]])
        )
        is None
    )


def test_a_rare_class_may_be_known_though_it_is_never_answered():
    rng = np.random.default_rng(0)
    rare = np.arange(1000) < 50
    share = np.where(rare, 0.4, 0.03) + 0.01 * rng.random(1000)
    known = of_classes(rare.astype(int), np.stack([1 - share, share], axis=1))
    assert known.accuracy == known.baseline_accuracy == 0.95
    assert no_better_than_guess(known) is None
    flat = of_classes(rare.astype(int), np.tile([0.95, 0.05], (1000, 1)))
    assert "95 % against 95 %" in (no_better_than_guess(flat) or "")


def test_numbers_and_labels_that_are_no_better_than_a_guess():
    truth = np.random.default_rng(0).normal(size=(50, 1))
    rest = {"targets": ["y"], "baseline": truth.mean(axis=0), "resamples": 50}
    flat = score_numbers(truth, np.full((50, 1), truth.mean()), **rest)
    assert "(R2 0.00 against R2 0.00)" in (no_better_than_guess(flat) or "")
    assert no_better_than_guess(score_numbers(truth, 0.9 * truth, **rest)) is None
    never = score_numbers(np.ones((5, 1)), np.ones((5, 1)), **rest)
    assert no_better_than_guess(never) is None
    there = (truth > 0.5).astype(int)
    rest = {"labels": ["y"], "thresholds": np.array([0.5]), "baseline": there.mean(axis=0)}
    none = score_labels(there, np.full((50, 1), 0.3), **rest, resamples=50)
    assert "cannot express the rule" in (no_better_than_guess(none) or "")
    assert no_better_than_guess(score_labels(there, 0.8 * there, **rest, resamples=50)) is None
