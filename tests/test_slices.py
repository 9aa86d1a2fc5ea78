"""Slices of a test: Fisher, Mann and Whitney and Holm against SciPy, and false alarms by trial."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from quickstudy.evaluation import Part, quarters, slices_of_errors, slices_of_shares, wilson
from quickstudy.evaluation.slices import fisher_less, holm
from quickstudy.report.slices import slices

RNG = np.random.default_rng


@pytest.mark.parametrize(
    ("hits", "n", "others", "m"),
    [(3, 10, 18, 20), (0, 12, 40, 40), (12, 12, 0, 9), (70, 90, 800, 910)],
)
def test_fishers_exact_test(hits: int, n: int, others: int, m: int) -> None:
    expected = stats.fisher_exact([[hits, n - hits], [others, m - others]], alternative="less")
    assert fisher_less(hits, n, others, m) == pytest.approx(expected.pvalue, rel=1e-9)


def test_holm_steps_down() -> None:
    p = [0.04, 0.001, 0.03, 0.5, 0.011]
    ordered = sorted(p)
    expected, largest = {}, 0.0
    for place, one in enumerate(ordered):
        largest = max(largest, min(1.0, one * (len(p) - place)))
        expected[one] = largest
    assert holm(p) == [pytest.approx(expected[one]) for one in p]
    assert holm([]) == []


def test_a_slice_that_is_worse_is_named_and_no_other() -> None:
    rng = RNG(0)
    light = rng.random(400)
    right = rng.random(400) < np.where(light < 0.25, 0.6, 0.95)
    parts = quarters(light, "brightness", "darkest", "brightest")
    parts += quarters(rng.random(400), "size", "smallest", "largest")
    found = slices_of_shares(right, parts)
    assert [(one.by, one.name) for one in found if one.worse] == [
        ("brightness", "the darkest quarter")
    ]
    worst, inside = found[0], parts[0].inside
    assert worst.n == inside.sum() and worst.score == right[inside].mean()
    assert worst.interval == wilson(int(right[inside].sum()), int(inside.sum()))
    assert worst.rest == pytest.approx(right[~inside].mean())


def test_an_even_model_has_no_worse_slice_in_95_of_100_tests() -> None:
    alarms = 0
    for seed in range(300):
        rng = RNG(seed)
        right = rng.random(200) < 0.8
        parts = [one for name in "abcd" for one in quarters(rng.random(200), name, "l", "h")]
        alarms += slices_of_shares(right, parts)[0].worse
    assert alarms <= 0.05 * 300


def test_errors_are_compared_by_ranks() -> None:
    rng = RNG(1)
    errors = rng.exponential(size=120).round(1)
    inside = rng.random(120) < 0.3
    (found,) = slices_of_errors(errors, [Part("group", "a", inside)])
    expected = stats.mannwhitneyu(
        errors[inside], errors[~inside], alternative="greater", method="asymptotic"
    )
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)
    assert found.score == pytest.approx(errors[inside].mean())
    half = 1.96 * stats.sem(errors[inside])
    assert found.interval == pytest.approx((found.score - half, found.score + half))
    errors[inside] += 2
    assert slices_of_errors(errors, [Part("group", "a", inside)])[0].worse


def test_tiny_slices_and_tiny_rests_are_not_asked_about() -> None:
    inside = np.arange(30) < 9
    assert slices_of_shares(np.ones(30, bool), [Part("by", "few", inside)]) == []
    assert slices_of_shares(np.ones(30, bool), [Part("by", "nearly all", ~inside)]) == []


def test_quarters_are_even_and_leave_out_what_is_not_known() -> None:
    values = np.array([np.nan, *range(40)], float)
    parts = quarters(values, "length", "shortest", "longest")
    assert [int(one.inside.sum()) for one in parts] == [10, 10, 10, 10]
    assert [one.name for one in parts][::3] == ["the shortest quarter", "the longest quarter"]
    assert not any(one.inside[0] for one in parts)
    assert quarters(np.full(5, np.nan), "length", "s", "l") == []
    same = quarters(np.ones(40), "length", "s", "l")
    assert slices_of_shares(np.ones(40, bool), same) == []


def test_the_report_says_which_and_says_when_none() -> None:
    rng = RNG(0)
    light = rng.random(200)
    right = rng.random(200) < np.where(light < 0.25, 0.3, 0.95)
    found = slices_of_shares(right, quarters(light, "brightness", "darkest", "brightest"))
    told = {
        "sentence": "Clearly worse on <it>",
        "tested": 4,
        "slices": [one.as_dict() for one in found],
    }
    page = slices({"task": "classification", "test": {"slices": told}})
    assert "Clearly worse on &lt;it&gt;" in page
    assert page.count("clearly worse") == 1 and "the darkest quarter by brightness" in page
    assert "The other 3 slices" in page and "Fisher" in page
    numbers = slices({"task": "regression", "test": {"slices": told}})
    assert "Mann and Whitney" in numbers and "Off by" in numbers
    assert slices({"test": {}}) == ""
