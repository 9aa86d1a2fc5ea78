"""Two models on the same examples, and how large a test must be: against SciPy and by trial."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from quickstudy.errors import SourceError
from quickstudy.evaluation import compared, enough, score, score_labels, score_numbers, wilson
from quickstudy.evaluation.enough import needed
from quickstudy.evaluation.paired import examples_for, mcnemar

RNG = np.random.default_rng


def shares(said: np.ndarray, k: int = 2, sure: float = 0.9) -> np.ndarray:
    """Probabilities whose largest is `said`."""
    found = np.full((len(said), k), (1 - sure) / (k - 1))
    found[np.arange(len(said)), said] = sure
    return found


@pytest.mark.parametrize(
    ("first", "second"), [(0, 0), (0, 1), (1, 9), (5, 5), (12, 30), (940, 1031)]
)
def test_mcnemar_is_the_binomial_test(first: int, second: int) -> None:
    expected = stats.binomtest(first, first + second, 0.5).pvalue if first + second else 1.0
    assert mcnemar(first, second) == pytest.approx(expected, rel=1e-9)
    assert mcnemar(first, second) == mcnemar(second, first)


def test_classes_are_compared_by_those_that_only_one_has_right() -> None:
    truth = np.zeros(100, np.int64)
    one, two = truth.copy(), truth.copy()
    one[:12], two[10:13] = 1, 1  # 10 that only the second has right, 1 that only the first has
    found = compared("classification", truth, shares(one), shares(two))
    assert found.only == (1, 10)
    assert (found.first.value, found.second.value) == (0.88, 0.97)
    assert found.first.interval == wilson(88, 100)
    assert found.difference.value == pytest.approx(0.09)
    assert found.p == pytest.approx(stats.binomtest(1, 11, 0.5).pvalue)
    assert found.verdict == "better"
    assert compared("classification", truth, shares(two), shares(one)).verdict == "worse"
    assert found.log_loss is not None
    assert found.log_loss.value == pytest.approx(-9 * (np.log(0.9) - np.log(0.1)) / 100)


def test_equal_answers_are_no_difference() -> None:
    truth = RNG(0).integers(0, 3, 60)
    found = compared("classification", truth, shares(truth, 3), shares(truth, 3))
    assert (found.verdict, found.p, found.only) == ("unclear", 1.0, (0, 0))
    assert found.sought == 0.01
    assert found.needed == examples_for(0.01, 0.01)


def test_equal_classifiers_are_called_different_once_in_twenty_at_most() -> None:
    called = 0
    for seed in range(600):
        rng = RNG(seed)
        truth = rng.integers(0, 2, 150)
        sides = (np.where(rng.random(150) < 0.85, truth, 1 - truth) for _ in range(2))
        called += compared("classification", truth, *map(shares, sides)).verdict != "unclear"
    assert called <= 0.05 * 600


def test_a_better_classifier_is_found_as_often_as_promised() -> None:
    """At `needed` examples a difference shows 8 times in 10: Connor's formula, by trial."""
    both, only_first, only_second = 0.85, 0.03, 0.07
    n = examples_for(only_second - only_first, only_first + only_second)
    found, drawn = 0, RNG(1).multinomial(n, [both, only_first, only_second, 0.05], 400)
    for _, one, two, _ in drawn.tolist():
        found += mcnemar(one, two) <= 0.05 and two > one
    assert 0.7 < found / 400 < 0.87


def test_equal_models_of_numbers_and_labels_are_seldom_called_different() -> None:
    called = {"regression": 0, "multilabel": 0}
    for seed in range(100):
        rng = RNG(seed)
        y = rng.normal(size=(60, 1))
        sides = [y + rng.standard_t(3, size=y.shape) * 0.5 for _ in range(2)]
        called["regression"] += compared("regression", y, *sides).verdict != "unclear"
    for seed in range(8):
        rng = RNG(seed)
        there = (rng.random((40, 2)) < 0.4).astype(float)
        sides = [1 / (1 + np.exp(1 - 2 * there - rng.normal(size=there.shape))) for _ in range(2)]
        called["multilabel"] += compared("multilabel", there, *sides).verdict != "unclear"
    assert called["regression"] <= 10  # of 100: above that by chance once in 90 such tests
    assert called["multilabel"] <= 2  # of 8: once in 170


def test_a_better_model_of_numbers_and_labels_is_found() -> None:
    rng = RNG(3)
    y = rng.normal(size=(200, 2))
    near, far = (y + rng.normal(size=y.shape) * noise for noise in (0.3, 0.6))
    found = compared("regression", y, far, near)
    assert found.verdict == "better"
    errors = ((far - y) ** 2).mean(0) / y.var(0)
    assert found.first.value == pytest.approx(1 - errors.mean())
    there = (rng.random((80, 3)) < 0.4).astype(float)
    blind, seeing = rng.random(there.shape), 0.6 * there + 0.4 * rng.random(there.shape)
    found = compared("multilabel", there, seeing, blind)
    assert found.verdict == "worse"
    assert found.log_loss is not None and found.log_loss.value > 0


def test_the_swapping_test_is_scipys_test_of_signs() -> None:
    rng = RNG(4)
    y = rng.normal(size=(40, 1))
    one, two = y + rng.normal(size=y.shape) * 0.5, y + rng.normal(size=y.shape) * 0.42
    off = (((one - y) ** 2) - ((two - y) ** 2))[:, 0]
    expected = stats.permutation_test(
        (off,), np.mean, permutation_type="samples", n_resamples=5000, rng=5
    ).pvalue
    assert compared("regression", y, one, two).p == pytest.approx(expected, abs=0.03)


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(SourceError, match="no example"):
        compared("classification", np.empty(0, int), np.empty((0, 2)), np.empty((0, 2)))
    with pytest.raises(SourceError, match="never varies"):
        compared("regression", np.ones((5, 1)), np.ones((5, 1)), np.zeros((5, 1)))
    with pytest.raises(SourceError, match="never varies"):
        compared("multilabel", np.zeros((5, 2)), np.ones((5, 2)), np.zeros((5, 2)))


@pytest.mark.parametrize("share", [0.0, 0.03, 0.5, 0.8, 0.97, 1.0])
@pytest.mark.parametrize("half", [0.005, 0.02, 0.1])
def test_needed_inverts_wilsons_width(share: float, half: float) -> None:
    def width(n: int) -> float:
        z2 = stats.norm.ppf(0.975) ** 2
        root = np.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
        return float(np.sqrt(z2) * root / (1 + z2 / n))

    n = needed(share, half)
    assert width(n) <= half * (1 + 1e-9)
    assert n == 1 or width(n - 1) > half
    low, high = wilson(round(0.8 * 1000), 1000)
    assert width(1000) == pytest.approx((high - low) / 2) or share != 0.8


def of_classes(right: int, n: int):
    truth = np.arange(n) % 2
    said = np.where(np.arange(n) < right, truth, 1 - truth)
    return score(truth, shares(said), classes=("a", "b"), baseline_class=0, resamples=50)


def test_a_small_test_says_how_many_more_it_would_take() -> None:
    few = enough(of_classes(36, 40), "picture", "pictures")
    assert few is not None and few.few
    assert few.needed == needed(0.9, 0.02)
    assert "Too few test pictures to tell: with 40 pictures" in few.sentence
    assert "About 830 more would tell it within 2 points either way." in few.sentence
    large = enough(of_classes(950, 1000), "picture", "pictures")
    assert large is not None and not large.few and large.sentence == ""


def test_a_score_that_may_be_a_guess_asks_for_more() -> None:
    found = enough(of_classes(270, 500), "row", "rows")  # 54 % against 50: within 4.4 points
    assert found is not None and found.few
    assert "no better than that of a guess" in found.sentence
    assert found.needed == needed(0.54, 0.02)
    exactly = enough(of_classes(250, 500), "row", "rows")
    assert exactly is not None and not exactly.few  # a guess scores as much: nothing to look for


def test_numbers_and_labels_ask_by_the_width_of_their_bootstrap() -> None:
    rng = RNG(0)
    y = rng.normal(size=(30, 1))
    scores = score_numbers(y, y + rng.normal(size=y.shape), targets=("y",), baseline=y.mean(0))
    found = enough(scores, "row", "rows")
    assert found is not None and found.few
    assert scores.main is not None
    half = (scores.main.interval[1] - scores.main.interval[0]) / 2
    assert found.needed == int(np.ceil(30 * (half / 0.02) ** 2))
    assert "of R2" in found.sentence
    constant = score_numbers(np.ones((5, 1)), y[:5], targets=("y",), baseline=y.mean(0))
    assert enough(constant, "row", "rows") is None
    there = (rng.random((30, 2)) < 0.5).astype(float)
    labels = score_labels(
        there, rng.random((30, 2)), labels=("a", "b"), thresholds=np.full(2, 0.5),
        baseline=there.mean(0),
    )  # fmt: skip
    assert "Too few" in enough(labels, "row", "rows").sentence  # type: ignore[union-attr]
