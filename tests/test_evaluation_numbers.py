from __future__ import annotations

import itertools
import json
import time

import numpy as np
import pytest
from sklearn import metrics

from quickstudy.errors import SourceError
from quickstudy.evaluation import NumberScores, Scored, score_numbers, sentence_numbers, worst
from quickstudy.evaluation.intervals import medians
from quickstudy.evaluation.words import figure, fraction

NAMES = ("price", "year", "tiny")


def made(n: int, seed: int = 0, noise: float = 0.4):
    """Three numbers of very different size, and a rather good model's answers."""
    rng = np.random.default_rng(seed)
    truth, off = rng.normal(size=(n, 3)), rng.normal(size=(n, 3)) * noise
    scale, shift = np.array([1e6, 30.0, 1e-6]), np.array([-4e6, 1987.0, 0.0])
    return truth * scale + shift, (truth + off) * scale + shift


def scored(truth, predicted, **rest) -> NumberScores:
    names = NAMES[: truth.shape[1]]
    if "baseline" not in rest:
        rest["baseline"] = truth.mean(axis=0)
    return score_numbers(truth, predicted, targets=names, **rest)


def test_scores_agree_with_scikit_learn():
    truth, predicted = made(301)
    guess = truth[:50].mean(axis=0)
    found = scored(truth, predicted, baseline=guess, resamples=200)
    for t, one in enumerate(found.per_target):
        true, said, constant = truth[:, t], predicted[:, t], np.full(301, guess[t])
        assert one.r2 is not None
        assert one.r2.value == pytest.approx(metrics.r2_score(true, said))
        assert one.mae.value == pytest.approx(metrics.mean_absolute_error(true, said))
        assert one.rmse.value == pytest.approx(metrics.root_mean_squared_error(true, said))
        assert one.median.value == pytest.approx(metrics.median_absolute_error(true, said))
        assert one.guess == guess[t]
        assert one.guess_r2 == pytest.approx(metrics.r2_score(true, constant), abs=1e-12)
        assert one.guess_mae == pytest.approx(metrics.mean_absolute_error(true, constant))
        assert one.guess_rmse == pytest.approx(metrics.root_mean_squared_error(true, constant))
        for each in (one.r2, one.mae, one.rmse, one.median):
            assert each.interval[0] < each.value < each.interval[1]
    assert found.main is not None
    assert found.main.value == pytest.approx(metrics.r2_score(truth, predicted))
    assert found.beats_baseline


def test_intervals_are_those_of_examples_drawn_one_by_one():
    truth, predicted = made(40)
    found = scored(truth, predicted, seed=5, resamples=300)
    drawn = np.random.default_rng(5).integers(0, 40, (300, 40))
    r2 = [metrics.r2_score(truth[at], predicted[at]) for at in drawn]
    mae = [metrics.mean_absolute_error(truth[at, 1], predicted[at, 1]) for at in drawn]
    assert found.main is not None
    assert found.main.interval == pytest.approx(np.percentile(r2, [2.5, 97.5]))
    assert found.per_target[1].mae.interval == pytest.approx(np.percentile(mae, [2.5, 97.5]))


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_medians_are_distributed_as_those_of_every_possible_sample(n: int):
    values = np.array([1.0, 10.0, 100.0, 1000.0, 1e4])[:n]
    every = [np.median(sample) for sample in itertools.product(values, repeat=n)]
    drawn = medians(values[::-1], 40_000, np.random.default_rng(0))
    exact, counts = np.unique(every, return_counts=True)
    assert set(np.unique(drawn)) <= set(exact)
    for value, share in zip(exact, counts / len(every), strict=True):
        off = abs((drawn == value).mean() - share)
        assert off <= 4 * np.sqrt(share * (1 - share) / 40_000)


def test_intervals_hold_the_truth_about_95_times_in_100():
    # truth and error normal: R2 = 1 - 0.25, MAE = 0.5 sqrt(2 / pi), median = 0.5 * 0.6745
    expected = np.array([0.75, 0.5 * np.sqrt(2 / np.pi), 0.5 * 0.674490])
    inside = np.zeros(3)
    for seed in range(200):
        rng = np.random.default_rng(seed)
        truth = rng.normal(size=(200, 1))
        found = scored(truth, truth + 0.5 * rng.normal(size=(200, 1)), seed=seed, resamples=300)
        one = found.per_target[0]
        for at, each in enumerate((one.r2, one.mae, one.median)):
            assert each is not None
            inside[at] += each.interval[0] <= expected[at] <= each.interval[1]
    assert ((inside / 200 >= 0.89) & (inside / 200 <= 0.99)).all(), inside


def test_a_number_that_never_varies_has_no_r2_and_does_not_count():
    truth, predicted = made(50)
    truth[:, 1] = 1987.0
    found = scored(truth, predicted, resamples=50)
    constant = found.per_target[1]
    assert constant.r2 is None and constant.guess_r2 is None
    assert constant.mae.value == pytest.approx(np.abs(predicted[:, 1] - 1987).mean())
    assert found.main is not None
    rest = [0, 2]
    assert found.main.value == pytest.approx(metrics.r2_score(truth[:, rest], predicted[:, rest]))
    only = scored(truth[:, 1:2], predicted[:, 1:2], resamples=50)
    assert only.main is None and only.main_of_guess is None and not only.beats_baseline
    said = sentence_numbers(only, one="row it never saw", many="rows it never saw")
    assert said[0].endswith("; no R2, as the truth never varies.")
    assert json.loads(json.dumps(only.as_dict(), allow_nan=False))["r2"] is None


def test_one_example_and_two():
    one = scored(np.array([[3.0]]), np.array([[5.0]]), baseline=np.array([0.0]))
    assert one.main is None and one.per_target[0].mae.value == 2.0
    assert one.per_target[0].mae.interval == one.per_target[0].median.interval == (2.0, 2.0)
    assert (
        "on 1 row it" in sentence_numbers(one, one="row it never saw", many="rows it never saw")[0]
    )
    two = scored(np.array([[3.0], [4.0]]), np.array([[3.0], [4.5]]))
    assert two.main is not None and two.main.value == pytest.approx(0.5)
    assert json.loads(json.dumps(two.as_dict(), allow_nan=False))


def test_the_average_and_worse_do_not_beat_the_baseline():
    truth, _ = made(300)
    rng = np.random.default_rng(1)
    shuffled = rng.permutation(truth)
    assert not scored(truth, shuffled, resamples=50).beats_baseline
    average = np.broadcast_to(truth.mean(axis=0), truth.shape)
    found = scored(truth, average, resamples=50)
    assert found.main is not None and found.main.value == pytest.approx(0)
    assert not found.beats_baseline


def test_numbers_as_large_and_as_far_off_as_they_come():
    truth = np.array([[1e300], [-1e300], [5e299]])
    found = scored(truth, truth * 0.5, resamples=50)
    assert found.main is not None and found.main.value == pytest.approx(
        metrics.r2_score(truth / 1e300, truth / 2e300)
    )
    far = np.arange(20.0)[:, None] + 1e9
    r2 = scored(far, far + 1, resamples=50).main
    assert r2 is not None and r2.value == pytest.approx(metrics.r2_score(far - 1e9, far - 1e9 + 1))


def test_as_dict_is_plain_json_for_the_report():
    truth, predicted = made(1000)
    predicted[7, 0] = 9e9
    found = scored(truth, predicted, resamples=50).as_dict()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert set(found) == {"task", "n", "r2", "baseline", "targets"}
    one = found["targets"]["price"]
    assert set(one) == {"r2", "mae", "rmse", "median", "baseline", "points", "errors"}
    assert len(one["points"]) == 400 and len({tuple(pair) for pair in one["points"]}) == 400
    both = np.stack([truth[:, 0], predicted[:, 0]], axis=1)
    rows = {tuple(float(f"{x:.6g}") for x in pair) for pair in both}
    assert {tuple(pair) for pair in one["points"]} <= rows
    errors = one["errors"]
    assert sum(errors["counts"]) + errors["below"] + errors["above"] == 1000
    assert errors["above"] >= 1 and errors["edges"][-1] < 9e9 and errors["edges"][10] == 0


def test_a_perfect_answer_has_errors_to_draw():
    truth, _ = made(30)
    found = scored(truth, truth, resamples=20).as_dict()
    errors = found["targets"]["year"]["errors"]
    assert errors["edges"][0] < 0 < errors["edges"][-1] and sum(errors["counts"]) == 30


def test_scores_have_what_those_of_every_task_have():
    found: Scored = scored(*made(30), resamples=20)
    assert (found.task, found.main_name, found.n, found.left_out) == ("regression", "R2", 30, ())


def test_deterministic_by_seed():
    data = made(100)
    one, two, other = (scored(*data, seed=s, resamples=50).as_dict() for s in (0, 0, 1))
    assert one == two and one["r2"]["interval"] != other["r2"]["interval"]


def test_bad_input_is_refused():
    with pytest.raises(SourceError, match="no example"):
        scored(np.empty((0, 1)), np.empty((0, 1)), baseline=np.zeros(1))
    with pytest.raises(ValueError, match="finite"):
        scored(np.zeros((2, 1)), np.array([[1.0], [np.nan]]))
    with pytest.raises(ValueError, match="N T"):
        scored(np.zeros((2, 1)), np.zeros((2, 2)))


def test_worst_measures_errors_against_how_much_each_number_varies():
    truth = np.array([[0.0, 0.0], [1.0, 1000.0], [2.0, 2000.0], [3.0, 3000.0]])
    predicted = truth + np.array([[0.0, 900.0], [1.0, 0.0], [0.0, 0.0], [0.8, 800.0]])
    assert worst(truth, predicted) == [3, 1, 0]
    assert worst(truth, predicted, most=1) == [3]
    assert worst(truth, truth) == []


def test_sentences_of_one_number():
    truth = np.concatenate([np.arange(0.0, 50), np.arange(0.0, 50)])[:, None]
    off = np.where(np.arange(100) % 2, 4.0, 2.0)[:, None]
    found = scored(truth, truth + off)
    said = sentence_numbers(
        found, one="row it never saw", many="rows it never saw", units={"price": "kg"}
    )
    low, high = (figure(end) for end in found.per_target[0].mae.interval)
    assert said[0].startswith(
        f"Off by 3 kg on average on 100 rows it never saw (95 % sure: {low} to {high}); R2 0.95 ("
    )
    assert said[1] == "Guessing the average would be off by 12.5 kg."


def test_sentences_of_several_numbers():
    truth = np.tile(np.arange(0.0, 50), (8, 1)).T
    found = score_numbers(
        truth, truth + 1, targets=[f"n{t}" for t in range(8)], baseline=truth.mean(axis=0)
    )
    said = sentence_numbers(found, one="row it never saw", many="rows it never saw")
    assert said[0].startswith(
        "R2 0.995 on average over 8 numbers on 50 rows it never saw (95 % sure: 0.99"
    )
    assert said[1] == "'n0': off by 1 on average; guessing its average: 12.5."
    assert len(said) == 8 and said[-1] == "The report has the other 2."


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3.204, "3.20"), (9.999, "10.0"), (12.34567, "12.3"), (99_960.0, "100,000"),
        (5.0, "5"), (0.1, "0.1"), (-2.5, "-2.5"), (1e-5, "1e-05"), (2.34e16, "2.34e+16"),
        (1234.0, "1,230"), (0.0, "0"), (-0.00012345, "-0.000123"),
    ],
)  # fmt: skip
def test_figure(value, text):
    assert figure(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.874, "0.87"), (0.996, "0.996"), (0.999996, "0.999996"), (1.0, "1"), (-0.001, "0.00"),
        (1 - 1e-12, "1"), (-3.14159, "-3.14"),
    ],
)  # fmt: skip
def test_fraction(value, text):
    assert fraction(value) == text


def test_ten_thousand_examples_are_quick():
    data = made(10_000)
    began = time.process_time()
    scored(*data)
    assert time.process_time() - began < 4
