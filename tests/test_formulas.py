"""Formulas as networks: what is learnt can be read, and is what the closed form says."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import quickstudy as qs
from quickstudy.errors import ChoiceError, SourceError

pd = pytest.importorskip("pandas")


def learn(tmp_path: Path, table: Any, **options: Any) -> Any:
    settings = {"table.trees": False, **options.pop("settings", {})}
    return qs.learn(table, budget=60, out=tmp_path / "run", settings=settings, **options)


def learned(run: Any) -> dict[str, float]:
    return {one["name"]: one["value"] for one in run.facts["learned"]}


@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_a_line_is_that_of_least_squares(tmp_path: Path, scale: float) -> None:
    rng = np.random.default_rng(0)
    x = scale * rng.normal(2, 1, 300)
    y = 3.25 * x / scale - 1.5 + rng.normal(0, 0.5, 300)
    rest, split = np.arange(300), np.array(["train"] * 250 + ["test"] * 50)
    table = pd.DataFrame({"x": x, "y": y, "split": split})
    run = learn(tmp_path, table, target="y", network="m*x + c")
    m, c = np.polyfit(x[rest < 250], y[rest < 250], 1)
    found = learned(run)
    assert found["m"] == pytest.approx(m, rel=1e-5)
    assert found["c"] == pytest.approx(c, rel=1e-5)
    assert run.test.task == "regression" and run.test.beats_baseline
    again = qs.load(tmp_path / "run" / "model")
    assert again.predict({"x": 2.0}).value == pytest.approx(found["m"] * 2 + found["c"], rel=1e-6)
    page = (tmp_path / "run" / "report.html").read_text()
    assert f"{found['m']:.4g}"[:4] in page


def test_what_a_loss_learns_is_told(tmp_path: Path) -> None:
    """The likelihood of a normal distribution: s ends as the log of the mean squared error."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=300)
    y = 2 * x + 1 + rng.normal(0, 0.5, 300)
    table = pd.DataFrame({"x": x, "y": y, "split": ["train"] * 250 + ["test"] * 50})
    likelihood = "mean((prediction - target)**2 / exp(s) + s), s=learn(0.0)"
    run = learn(tmp_path, table, target="y", network="m*x + c", loss=likelihood)
    found, line = learned(run), np.polyfit(x[:250], y[:250], 1)
    left = np.mean((np.polyval(line, x[:250]) - y[:250]) ** 2)
    assert found["m"] == pytest.approx(line[0], rel=1e-4)
    assert found["loss.s"] == pytest.approx(math.log(left), abs=0.01)
    assert "loss.s" in (tmp_path / "run" / "report.html").read_text()


def test_a_wave_is_found(tmp_path: Path) -> None:
    x = np.linspace(-5, 5, 240)
    y = 1.7 * np.sin(2.3 * x + 0.6)
    run = learn(tmp_path, pd.DataFrame({"x": x, "y": y}), target="y", network="a*sin(f*x + p)")
    found = learned(run)
    if found["f"] < 0:  # sin(-u) = -sin(u)
        found = {"a": -found["a"], "f": -found["f"], "p": -found["p"]}
    if found["a"] < 0:  # -sin(u) = sin(u + pi)
        found = {**found, "a": -found["a"], "p": found["p"] + math.pi}
    turned = (found["p"] - 0.6 + math.pi) % (2 * math.pi) - math.pi
    assert (found["a"], found["f"]) == pytest.approx((1.7, 2.3), abs=1e-4)
    assert turned == pytest.approx(0, abs=1e-4)
    assert run.test.main.value > 0.99999


def xor() -> Any:
    rows = [(a, b, "yes" if a != b else "no") for a, b in itertools.product((0, 1), repeat=2)]
    return pd.DataFrame(rows * 50, columns=["a", "b", "either"])


def test_one_neuron_cannot_express_xor_and_the_report_says_so(tmp_path: Path) -> None:
    run = learn(tmp_path, xor(), target="either", network="u*a + v*b + c")
    low, high = run.test.interval
    assert low <= 0.5 <= high
    (said,) = (line for line in run.lines if "cannot express" in line)
    assert "better than a guess" in said
    assert "cannot express" in (tmp_path / "run" / "report.html").read_text()


def test_a_stack_of_two_learns_xor(tmp_path: Path) -> None:
    stack = [{"dense": 2}, "tanh", {"dense": "classes"}]
    run = learn(tmp_path, xor(), target="either", network=stack)
    assert run.test.accuracy == 1.0
    assert not any("cannot express" in line for line in run.lines)
    asked = qs.load(tmp_path / "run" / "model").predict([{"a": 0, "b": 1}, {"a": 1, "b": 1}])
    assert [one.label for one in asked] == ["yes", "no"]
    assert min(one.probability for one in asked) > 0.9


def test_a_missing_number_counts_as_the_mean(tmp_path: Path) -> None:
    x = np.arange(100.0)
    table = pd.DataFrame({"x": np.where(x % 10 == 3, np.nan, x), "z": x % 7, "y": 2 * x + 1})
    run = learn(tmp_path, table, target="y", network="m*x + c")
    found = learned(run)
    mean = (run.model.predict({"z": 1}).value - found["c"]) / found["m"]
    assert mean == pytest.approx(float(table["x"].mean()), abs=3)  # of those learnt from


def test_numbers_far_from_zero_are_in_their_own_units(tmp_path: Path) -> None:
    x = 1.7e9 + np.arange(200.0)
    table = pd.DataFrame({"t": x, "y": 0.5 * (x - 1.7e9)})
    run = learn(tmp_path, table, target="y", network="m*(t - 1700000000) + c")
    assert learned(run) == pytest.approx({"m": 0.5, "c": 0.0}, abs=1e-5)


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ("m*q + c", "uses none of the columns"),
        ("m*word + c", "holds words, not numbers"),
        ("m*x + ", "m*x + "),
        ("resnet18", "resnet18"),
        ("tabn", "tabm"),
    ],
)
def test_formulas_that_do_not_fit(tmp_path: Path, network: str, words: str) -> None:
    table = pd.DataFrame({"x": np.arange(50.0), "word": list("abcde") * 10})
    table["y"] = table["x"] * 2.5
    with pytest.raises((ChoiceError, SourceError)) as caught:
        learn(tmp_path, table, target="y", network=network)
    assert words in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_loss_below_zero_has_not_exploded(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=200)
    table = pd.DataFrame({"x": x, "y": 2 * x + rng.normal(0, 0.1, 200)})
    settings = {"epochs": 20, "optimizer.name": "adamw", "optimizer.lr": None}
    run = learn(
        tmp_path, table, target="y", loss="mean((prediction - target)**2) - 5", settings=settings
    )
    assert not any("exploded" in one["what"] for one in run.facts["events"])
    assert run.test.main.value > 0.9


def test_one_formula_gives_one_number(tmp_path: Path) -> None:
    table = pd.DataFrame({"x": range(40), "y": range(40), "z": range(40)})
    with pytest.raises(ChoiceError, match="One formula gives one number, not 2"):
        learn(tmp_path, table, target="y,z", network="m*x + c")
