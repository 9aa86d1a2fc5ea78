"""Would more data help? Subsets that are fair, fits that tell, words that follow from numbers."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

import quickstudy as qs
from quickstudy.clock import Clock, Stop
from quickstudy.evaluation import Estimate
from quickstudy.learning.data_curve import _Told, said
from quickstudy.report.data_curve import data_curve
from quickstudy.tasks import task_of
from quickstudy.training import Lesson
from quickstudy.training.curve import SHARES, halving, of_features

RNG = np.random.default_rng


@given(st.integers(1, 60), st.integers(1, 8), st.integers(1, 4), st.integers(0, 99))
def test_subsets_keep_families_whole_and_classes_even(n: int, few: int, k: int, seed: int) -> None:
    rng = RNG(seed)
    families, classes = rng.integers(-1, few, n), rng.integers(0, k, n)
    place = halving(families, classes, rng)
    assert ((place > 0) & (place < 1)).all()
    for family in np.unique(families[families >= 0]):
        assert len(set(place[families == family])) == 1
    alone = families < 0
    for one in np.unique(classes[alone]):
        if (families >= 0).any():
            break  # a family may bring its other classes along
        members = place[classes == one]
        for share in SHARES:
            taken = int((members <= share).sum())
            assert taken >= 1 and abs(taken - share * len(members)) <= 1


def lesson(x: np.ndarray, y: np.ndarray, budget: float = 1000.0, epochs: Any = None) -> Any:
    task = task_of("classification", ("a", "b"))
    recipe = SimpleNamespace(seed=0, epochs=epochs)
    clock = Clock(budget)
    return SimpleNamespace(
        recipe=recipe, clock=clock, stop=Stop(), task=task, truth=y, outputs=2,
        families=np.arange(len(y)), seconds_left=clock.left,
    )  # fmt: skip


def features(n: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Two classes told apart by one of 60 numbers, the others noise: more data helps."""
    rng = RNG(0)
    y = np.arange(n) % 2
    x = rng.normal(size=(n, 60)).astype(np.float32)
    x[:, 0] += (2 * y - 1) / noise
    return x, y


def drawn(x: np.ndarray, y: np.ndarray, how: Any) -> Any:
    rows = np.arange(len(y))
    return of_features(how, rows, x, torch.from_numpy(y), F.cross_entropy, 1e-4)


def test_the_last_layer_is_asked_only_about_what_it_has_not_learnt_from(one_thread: None) -> None:
    x, y = features(300, 1.0)
    kept = x.copy()
    curve = drawn(x, y, lesson(x, y, epochs=1.0))
    assert (x == kept).all()
    assert curve.learnt[2] == 240 and abs(curve.learnt[1] - 120) < 5 > abs(curve.learnt[0] - 60)
    assert curve.answers.shape == (3, 300, 2)
    assert curve.answers.sum(2) == pytest.approx(np.ones((3, 300)), abs=1e-5)
    right = (curve.answers.argmax(2) == curve.truth).mean(1)
    assert right[0] < right[1] < right[2]
    on_train = (curve.train_answers.argmax(1) == curve.train_truth).mean()
    assert on_train > right[2] + 0.03
    # labels drawn at random: nothing can be known of what was not learnt from
    coin = RNG(1).integers(0, 2, 300)
    blind = drawn(x, coin, lesson(x, coin, epochs=1.0))
    assert abs((blind.answers[2].argmax(1) == blind.truth).mean() - 0.5) < 0.1


def test_no_time_is_no_curve_and_given_epochs_ask_no_clock(one_thread: None) -> None:
    x, y = features(100, 1.0)
    assert drawn(x, y, lesson(x, y, budget=0.0)) is None
    assert drawn(x, y, lesson(x, y, budget=0.0, epochs=3.0)).answers.shape[1] == 100
    stopped = lesson(x, y)
    stopped.stop.asked = True
    assert drawn(x, y, stopped) is None


def told(scores: list[float], gain: tuple[float, float], train: float) -> _Told:
    made = tuple(Estimate(s, (s - 0.01, s + 0.01)) for s in scores)
    return _Told(
        made, Estimate(scores[2] - scores[1], gain), Estimate(train, (train - 0.01, train))
    )


def test_the_verdict_follows_from_the_numbers() -> None:
    verdict, line = said("classification", told([0.80, 0.86, 0.90], (0.02, 0.06), 0.99))
    assert verdict == "data" and line.startswith("More data would help: ")
    assert "+4.0 points (95 % sure: +2.0 to +6.0)" in line
    assert "twice as many again may bring about +2.7 points" in line  # 4 points, shrunk by 4 / 6
    verdict, line = said("classification", told([0.80, 0.85, 0.852], (-0.001, 0.004), 0.86))
    assert verdict == "network" and "Another network" in line
    verdict, line = said("classification", told([0.99, 0.996, 0.998], (-0.001, 0.003), 1.0))
    assert verdict == "network" and "hardly anything left to gain" in line
    verdict, line = said("classification", told([0.80, 0.85, 0.86], (-0.02, 0.04), 0.99))
    assert verdict == "unclear" and "speaks for more data" in line
    verdict, line = said("regression", told([0.80, 0.85, 0.86], (-0.02, 0.04), 0.87))
    assert verdict == "unclear" and "speaks for another network" in line and "of R2" in line


def test_what_comes_next_is_never_more_than_what_came_last() -> None:
    line = said("classification", told([0.80, 0.81, 0.85], (0.02, 0.06), 0.99))[1]
    assert "may bring about +4.0 points" in line
    line = said("classification", told([0.6, 0.8, 0.81], (0.002, 0.02), 0.99))[1]
    assert "may bring about +0.3 points" in line  # a quarter of the last rise, at least


def test_the_report_draws_it_or_says_why_not() -> None:
    one = {"value": 0.8, "interval": [0.75, 0.85]}
    page = data_curve(
        {
            "data": {"kind": "image"},
            "data_curve": {
                "how": "trees", "on": "cross-validation", "learnt": [10, 20, 40], "asked": 50,
                "scores": [one, one, {"value": 0.9, "interval": [0.86, 0.94]}],
                "train": {"value": 0.99}, "sentence": "More <data> would help: by -1.0 points.",
            },
        }
    )  # fmt: skip
    assert "More &lt;data&gt; would help:" in page and page.count("<circle") == 3
    assert all(f">{n}</text>" in page for n in (10, 20, 40))
    assert "80.0\u00a0%" in page and "cross-validation" in page
    assert "Not drawn: no time." in data_curve({"data_curve": {"why": "no time"}})
    assert data_curve({}) == ""


FEW = {"epochs": 6, "picture.size": 16, "picture.start_size": 16, "network.width": 0.25}
FEW |= {"optimizer.lr": 0.025}


def test_a_network_is_learnt_anew_where_that_is_asked_for(shapes: Path, tmp_path: Path) -> None:
    how = {**FEW, "data_curve": "always", "compute.threads": 1}
    run = qs.learn(shapes, settings=how, out=tmp_path / "run")
    found = run.facts["data_curve"]
    assert found["learnt"][2] == 90 and found["learnt"][0] < 30 < found["learnt"][1] < 60
    assert found["asked"] == run.facts["data"]["examples"]["val"]
    whole = found["scores"][2]["value"]
    assert whole == pytest.approx(run.facts["val"]["score"])
    assert any(re.match("More data|Cannot tell", line) for line in run.lines)
    assert not (run.folder / "data curve").exists()
    assert "Would more data help?" in run.report.read_text()


def test_it_is_not_drawn_unasked_where_epochs_are_given(shapes: Path, tmp_path: Path) -> None:
    how = {**FEW, "epochs": 0.5, "compute.threads": 1}
    run = qs.learn(shapes, settings=how, out=tmp_path / "run")
    assert "--set data_curve=always" in run.facts["data_curve"]["why"]
    how = {**how, "data_curve": "never"}
    never = qs.learn(shapes, settings=how, out=tmp_path / "never")
    assert never.facts["data_curve"]["why"] == "you set data_curve=never"


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_trees_stand_in_for_a_network_of_rows(
    tmp_path: Path, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quickstudy.learning.again.cannot", lambda *_: "it takes too long")
    pandas = pytest.importorskip("pandas")
    x = RNG(0).normal(size=(160, 3))
    y = x @ [1.0, 2.0, 0.5]
    data = pandas.DataFrame({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "y": y})
    if task == "classification":
        data["y"] = np.where(y > 0, "up", "down")
    how = {"epochs": 1, "data_curve": "always", "compute.threads": 1, "table.trees": False}
    run = qs.learn(data, target="y", settings=how, out=tmp_path / "run", budget="600s")
    found = run.facts["data_curve"]
    assert "trees" in found["how"] and found["on"] == "cross-validation"
    assert found["asked"] == 160 - run.test.n
    quarter, _, whole = (one["value"] for one in found["scores"])
    assert quarter < whole < found["train"]["value"] <= 1


@pytest.mark.parametrize(("anew", "kept"), [(True, 60.0), (False, 0.0)])
def test_no_time_is_kept_for_learning_what_cannot_be_learnt_anew(anew: bool, kept: float) -> None:
    recipe = SimpleNamespace(data_curve="always", method="scratch", kind="image")
    lesson: Any = SimpleNamespace(recipe=recipe, anew=anew, clock=SimpleNamespace(budget=100.0))
    assert Lesson._drawing(lesson) == kept
