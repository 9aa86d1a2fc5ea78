"""Labels that are probably wrong: closed forms, planted flips, scikit-learn as the oracle."""

from __future__ import annotations

import csv
import importlib
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

import quickstudy as qs
from quickstudy.learning.suspects import of_rows
from quickstudy.report.suspects import suspects as drawn
from quickstudy.training import Lesson, doubting, frozen, head
from quickstudy.training.suspects import (
    CERTAIN,
    MOST,
    certain,
    listed,
    of_features,
    out_of_fold,
    suspects,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def clouds(
    counts: list[int], apart: float, seed: int, dims: int = 8
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float64]]:
    """Gaussian clouds of unit width: points, classes, and the exact posterior."""
    rng = np.random.default_rng(seed)
    k = len(counts)
    truth = np.repeat(np.arange(k), counts)
    centres = apart / np.sqrt(2) * np.eye(k, dims)
    x = centres[truth] + rng.normal(size=(len(truth), dims))
    log = -0.5 * ((x[:, None] - centres) ** 2).sum(2) + np.log(np.array(counts) / sum(counts))
    shares = np.exp(log - log.max(1, keepdims=True))
    return x.astype(np.float32), truth, shares / shares.sum(1, keepdims=True)


def flipped(
    truth: NDArray[np.int64], k: int, share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Labels with a share of them moved to another class at random, and which."""
    rng = np.random.default_rng([seed, 1])
    wrong = np.zeros(len(truth), bool)
    wrong[rng.permutation(len(truth))[: round(share * len(truth))]] = True
    moved = (truth + rng.integers(1, k, len(truth))) % k
    return np.where(wrong, moved, truth), wrong


def test_the_confident_joint_by_hand() -> None:
    """Thresholds: of class 0 (.9 + .6 + .3) / 3 = .6, of 1 (.9 + .5) / 2 = .7, of 2 .8."""
    p = np.array(
        [
            [0.9, 0.1, 0.0],  # 0: counted for itself
            [0.6, 0.3, 0.1],  # 0: reaches the threshold exactly
            [0.3, 0.7, 0.0],  # 0: counted for 1, and doubted
            [0.1, 0.9, 0.0],  # 1
            [0.45, 0.5, 0.05],  # 1: confident of none: not counted
            [0.1, 0.1, 0.8],  # 2
        ]
    )
    found = suspects(np.array([0, 0, 0, 1, 1, 2]), p)
    assert found.doubted.tolist() == [False, False, True, False, False, False]
    np.testing.assert_allclose(found.margin, [0.9, 0.65, 0.3, 0.9, 0.525, 0.85])
    assert found.instead.tolist() == [1, 1, 1, 0, 0, 0]
    np.testing.assert_allclose(found.other, [0.1, 0.3, 0.7, 0.1, 0.45, 0.1])
    # Counts 2 1 0 / 0 1 0 / 0 0 1, rows scaled to 3, 2 and 1 of 6.
    np.testing.assert_allclose(found.joint * 6, [[2, 1, 0], [0, 2, 0], [0, 0, 1]])
    assert found.noise == pytest.approx(1 / 6)
    assert found.order.tolist() == [2, 4, 1, 5, 0, 3]


def test_an_example_is_not_doubted_for_a_class_less_likely_than_its_own() -> None:
    """A rare class has a low threshold: it may be confident and still be the less likely one."""
    p = np.array([[0.95, 0.05], [0.95, 0.05], [0.6, 0.4], [0.65, 0.35], [0.65, 0.35]])
    found = suspects(np.array([0, 0, 0, 1, 1]), p)
    assert found.joint[0, 1] > 0  # the paper counts it
    assert not found.doubted[2]
    assert found.instead[2] == 1


def test_perfect_predictions_and_a_class_without_examples() -> None:
    labels = np.array([0, 2, 2, 0, 2])
    found = suspects(labels, np.eye(3)[labels])
    assert found.noise == 0
    assert not found.doubted.any()
    np.testing.assert_array_equal(found.margin, np.ones(5))
    assert found.joint[1].sum() == 0


def test_what_is_no_question_is_refused() -> None:
    with pytest.raises(ValueError, match="two classes"):
        suspects(np.zeros(3, np.int64), np.ones((3, 1)))
    with pytest.raises(ValueError, match="a label for each"):
        suspects(np.zeros(3, np.int64), np.ones((2, 2)))


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_the_joint_is_that_of_the_flips(share: float) -> None:
    """With the exact posterior of well separated clouds the estimate is the planted share."""
    counts = [900, 600, 300]
    _, truth, posterior = clouds(counts, 8.0, 0)
    labels, wrong = flipped(truth, 3, share, 0)
    planted = np.zeros((3, 3))
    np.add.at(planted, (labels, truth), 1 / len(truth))
    noisy = np.einsum("nk,kj->nj", posterior, planted.T / planted.sum(0)[:, None])
    found = suspects(labels, noisy)
    np.testing.assert_array_equal(found.doubted, wrong)
    np.testing.assert_allclose(found.joint, planted, atol=1e-9)
    np.testing.assert_array_equal(found.instead[wrong], truth[wrong])


def test_out_of_fold_against_scikit_learn() -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    x, truth, _ = clouds([100, 80, 60], 2.5, 1)
    groups = np.full(240, -1)
    groups[::7] = 3
    fold = head.folds(groups, np.random.default_rng([4, 5]))
    ours = out_of_fold(x.copy(), truth, 3, F.cross_entropy, groups, 4, 1e-2)
    z = StandardScaler().fit_transform(x) * np.sqrt(239 / 240)  # torch divides by N - 1
    theirs = np.zeros_like(ours)
    for number in range(5):
        learn = fold != number
        rival = LogisticRegression(C=1 / (2 * 1e-2 * learn.sum()), tol=1e-8, max_iter=1000)
        theirs[~learn] = rival.fit(z[learn], truth[learn]).predict_proba(z[~learn])
    np.testing.assert_allclose(ours, theirs, atol=3e-3)


def test_no_example_is_asked_of_what_learnt_from_it() -> None:
    """On noise, in-sample answers know the labels; out-of-fold ones cannot."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(120, 60)).astype(np.float32), rng.integers(0, 2, 120)
    p = out_of_fold(x.copy(), y, 2, F.cross_entropy, np.full(120, -1), 0, 1e-4)
    assert 0.3 < (p.argmax(1) == y).mean() < 0.7
    weight, bias = head.solve(torch.from_numpy(x), torch.from_numpy(y), 2, F.cross_entropy, 1e-4)
    learnt = (torch.from_numpy(x) @ weight.T + bias).argmax(1).numpy()
    assert (learnt == y).mean() > 0.9


def test_copies_do_not_vouch_for_each_other() -> None:
    """A flipped example with its copies is still found where the copies share its group."""
    x, truth, _ = clouds([150, 150], 5.0, 2, dims=40)
    labels = truth.copy()
    labels[:3] = 1
    x[1], x[2] = x[0], x[0]
    groups = np.full(300, -1)
    groups[:3] = 0
    p = out_of_fold(x.copy(), labels, 2, F.cross_entropy, groups, 0, 1e-4)
    assert suspects(labels, p).doubted[:3].all()
    assert (p[:3, 0] > CERTAIN).all()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("k", [2, 5])
def test_planted_flips_lead_the_ranking(k: int, seed: int) -> None:
    x, truth, _ = clouds([600 // k] * k, 6.0, seed, dims=20)
    labels, wrong = flipped(truth, k, 0.05, seed)
    p = out_of_fold(x.copy(), labels, k, F.cross_entropy, np.full(len(x), -1), seed, 1e-3)
    found = suspects(labels, p)
    top = found.order[: round(0.06 * len(x))]
    assert wrong[top].sum() >= 0.9 * wrong.sum()
    assert (found.instead[top] == truth[top])[wrong[top]].mean() > 0.9
    out = certain(found, labels)
    assert wrong[out].mean() > 0.8
    assert out.sum() > 0.5 * wrong.sum()


def test_clean_labels_are_left_alone() -> None:
    x, truth, _ = clouds([300, 300], 6.0, 3)
    p = out_of_fold(x.copy(), truth, 2, F.cross_entropy, np.full(600, -1), 0, 1e-3)
    assert certain(suspects(truth, p), truth).sum() <= 2


def test_a_rare_class_keeps_its_examples() -> None:
    """Of a class that the network cannot tell, most stay: it is the network that is at fault."""
    x, truth, _ = clouds([570, 30], 0.5, 4)
    p = out_of_fold(x.copy(), truth, 2, F.cross_entropy, np.full(600, -1), 0, 1e-3)
    out = certain(suspects(truth, p), truth)
    assert out[truth == 1].sum() <= MOST * 30
    assert out[truth == 0].sum() == 0


def test_of_a_class_no_more_than_a_share_goes_and_the_surest_first() -> None:
    """Ten of twenty examples of class 0 look like class 1: six go."""
    labels = np.repeat([0, 1], 20)
    likely = np.r_[np.full(10, 0.05), np.linspace(0.92, 0.99, 10), np.full(20, 0.9)]
    found = suspects(labels, np.stack([1 - likely, likely], axis=1))
    assert np.flatnonzero(found.doubted).tolist() == list(range(10, 20))
    assert np.flatnonzero(certain(found, labels)).tolist() == list(range(14, 20))


@pytest.fixture
def misplaced(shared: Path, tmp_path: Path) -> tuple[Path, set[str]]:
    """70 + 30 cats and dogs; of the 70 to learn from five of each lie in the other's folder."""
    wrong = set()
    for part, number in (("train", 70), ("test", 30)):
        for label, other in (("cat", "dog"), ("dog", "cat")):
            (tmp_path / "d" / part / label).mkdir(parents=True, exist_ok=True)
            (tmp_path / "d" / part / other).mkdir(parents=True, exist_ok=True)
            files = sorted((shared / "data" / "cats_dogs" / part / label).iterdir())[:number]
            for place, file in enumerate(files):
                astray = part == "train" and place % 14 == 3
                shutil.copy(file, tmp_path / "d" / part / (other if astray else label) / file.name)
                if astray:
                    wrong.add(file.name)
    return tmp_path / "d", wrong


def test_a_run_finds_them_leaves_them_out_and_says_so(
    misplaced: tuple[Path, set[str]], shared: Path, tmp_path: Path
) -> None:
    source, wrong = misplaced
    file = shared / "weights" / "squeezenet1_0.safetensors"
    settings = {"method": "head", "epochs": 1, "picture.size": 128, "picture.start_size": 128}
    settings |= {"compute.threads": 1}
    run = qs.learn(source, weights=file, settings=settings, out=tmp_path / "run")
    found = run.facts["data"]["suspects"]
    named = [Path(one["name"]).name for one in found]
    assert len(wrong & set(named)) >= 6
    assert len(wrong & set(named[:10])) >= 6
    out = [one for one in found if one["left_out"]]
    assert out and len(wrong & {Path(one["name"]).name for one in out}) >= 0.6 * len(out)
    assert all(one["label"] != one["instead"] for one in found)
    assert not any("test/" in one["name"] for one in found)
    why = run.recipe.why["suspects"]
    learnt = [one for one in out if one["part"] == "train"]
    assert why.startswith(f"{len(learnt)} of {run.facts['data']['examples']['train']} training")
    page = run.report.read_text(encoding="utf-8")
    assert "Labels that may be wrong" in page and Path(out[0]["name"]).name in page
    with (run.folder / "examples.csv").open(newline="") as rows:
        parts = {row["name"]: row["part"] for row in csv.DictReader(rows)}
    assert {name for name, part in parts.items() if part == "left out"} == {o["name"] for o in out}


def test_a_run_that_goes_on_leaves_out_the_same_and_asks_no_more(
    misplaced: tuple[Path, set[str]], shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped between the last layer and fine-tuning; how much time is left decides nothing."""
    teaching = importlib.import_module("quickstudy.training.teach")
    trained, asked = teaching._train_all, doubting.of_body

    def cut(*_: Any) -> Any:
        raise RuntimeError("cut")

    settings = {"epochs": 1, "picture.size": 64, "picture.start_size": 64, "compute.threads": 1}
    file, out = shared / "weights" / "squeezenet1_0.safetensors", tmp_path / "run"
    monkeypatch.setattr(teaching, "_train_all", cut)
    with pytest.raises(RuntimeError, match="cut"):
        qs.learn(misplaced[0], weights=file, settings=settings, out=out)
    before = json.loads((out / doubting.FILE).read_text())
    assert any(one["left_out"] for one in before["suspects"])

    def again(*_: Any) -> Any:
        raise AssertionError("asked twice")

    monkeypatch.setattr(teaching, "_train_all", trained)
    monkeypatch.setattr(doubting, "of_body", again)
    run = qs.learn(resume=out)
    monkeypatch.setattr(doubting, "of_body", asked)
    found = run.facts["data"]["suspects"]
    same = ("part", "label", "instead", "probability", "left_out")
    assert [[o[k] for k in same] for o in found] == [
        [o[k] for k in same] for o in before["suspects"]
    ]
    assert not (out / doubting.FILE).exists()
    with (out / "suspects.csv").open(newline="") as rows:
        listed = list(csv.DictReader(rows))
    assert [one["name"] for one in listed] == [one["name"] for one in found]
    assert [one["left_out"] == "yes" for one in listed] == [one["left_out"] for one in found]


def test_a_run_from_before_labels_were_doubted_goes_on(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teaching = importlib.import_module("quickstudy.training.teach")
    trained = teaching._train_all

    def cut(*_: Any) -> Any:
        raise RuntimeError("cut")

    monkeypatch.setattr(teaching, "_train_all", cut)
    settings = {"epochs": 1, "picture.size": 16, "picture.start_size": 16, "network.width": 0.25}
    settings["optimizer.lr"] = 0.025
    settings |= {"compute.threads": 1}
    with pytest.raises(RuntimeError, match="cut"):
        qs.learn(shapes, weights="none", settings=settings, out=tmp_path / "run")
    path = tmp_path / "run" / "run.json"
    kept = json.loads(path.read_text())
    del kept["recipe"]["suspects"]
    path.write_text(json.dumps(kept))
    monkeypatch.setattr(teaching, "_train_all", trained)
    run = qs.learn(resume=tmp_path / "run")
    assert run.recipe.suspects == "keep"
    assert run.facts["data"]["doubts"] == {
        "looked": 0,
        "how": None,
        "noise": None,
        "found": 0,
        "left_out": 0,
        "why_not": "the run began before labels were doubted",
    }
    assert "Labels were not doubted: the run began" in run.report.read_text(encoding="utf-8")


def test_without_time_labels_are_not_doubted_and_the_run_says_so(
    misplaced: tuple[Path, set[str]], shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Lesson, "seconds_left", lambda _: 0.0)
    settings = {"method": "head", "picture.size": 64, "picture.start_size": 64}
    settings |= {"compute.threads": 1}
    file = shared / "weights" / "squeezenet1_0.safetensors"
    run = qs.learn(misplaced[0], weights=file, settings=settings, budget=300, out=tmp_path / "run")
    assert run.recipe.suspects == "keep"
    assert run.recipe.why["suspects"] == "the budget left no time to doubt labels"
    assert not run.facts["data"]["suspects"]
    assert "not doubted: the budget left no time" in run.report.read_text(encoding="utf-8")


@pytest.mark.parametrize("seed", range(2))
def test_rows_are_doubted_whatever_their_scale(seed: int) -> None:
    """Ranks are what counts: a column cubed, one far away and gaps in one change nothing much."""
    x, truth, _ = clouds([200, 200, 200], 6.0, seed, dims=8)
    labels, wrong = flipped(truth, 3, 0.05, seed)
    plain = of_rows(x, labels, seed=seed)
    z = x.astype(np.float64)
    z[:, 0] = z[:, 0] ** 3
    z[:, 1] = 1e30 * np.exp(z[:, 1])
    bent = of_rows(z, labels, seed=seed)
    np.testing.assert_array_equal(plain.own, bent.own)
    z[::5, 2] = np.nan
    for found in (plain, of_rows(z, labels, seed=seed)):
        top = found.order[: round(0.06 * len(x))]
        assert wrong[top].sum() >= 0.9 * wrong.sum()
        assert (found.instead[top] == truth[top])[wrong[top]].mean() > 0.9


def test_features_are_judged_without_a_run() -> None:
    x, truth, _ = clouds([150, 150], 6.0, 5, dims=20)
    labels, wrong = flipped(truth, 2, 0.05, 5)
    before = x.copy()
    found = of_features(np.concatenate([x, x + 0.1]), labels, seed=5, views=2)
    np.testing.assert_array_equal(x, before)
    told = listed(found, labels, ["cat", "dog"])
    assert wrong[[one["row"] for one in told[: int(wrong.sum())]]].mean() >= 0.75
    assert all(one["label"] != one["instead"] and one["probability"] > 0.5 for one in told)


def _table(seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[int]]:
    x, truth, _ = clouds([60, 60, 60], 8.0, seed, dims=6)
    labels = truth.copy()
    changed = [5, 70, 130, 150]
    labels[changed] = (labels[changed] + 1) % 3
    return x, labels, changed


def test_rows_of_a_table_are_listed_and_kept(tmp_path: Path) -> None:
    x, labels, changed = _table()
    settings = {"epochs": 2, "table.trees": False, "compute.threads": 1}
    run = qs.learn((x, labels), test=_table(1)[:2], settings=settings, out=tmp_path / "run")
    found = run.facts["data"]["suspects"]
    assert len(set(changed) & {int(one["name"].split()[-1]) for one in found}) >= 3
    assert len(found) <= 5
    assert not any(one["left_out"] for one in found)
    assert run.facts["data"]["doubts"]["how"] == "trees"
    assert run.facts["data"]["doubts"]["looked"] == len(x)
    page = run.report.read_text(encoding="utf-8")
    assert "Randomised trees" in page and "All are kept" in page


def test_rows_of_a_table_are_left_out_where_asked_for(tmp_path: Path) -> None:
    x, labels, changed = _table()
    settings = {"epochs": 2, "table.trees": False, "compute.threads": 1, "suspects": "leave_out"}
    run = qs.learn((x, labels), test=_table(1)[:2], settings=settings, out=tmp_path / "run")
    out = [one for one in run.facts["data"]["suspects"] if one["left_out"]]
    assert {int(one["name"].split()[-1]) for one in out} <= set(changed) and len(out) >= 3
    with (run.folder / "examples.csv").open(newline="") as rows:
        parts = {row["name"]: row["part"] for row in csv.DictReader(rows)}
    learnt = {one["name"] for one in out if one["part"] == "train"}
    assert {name for name, part in parts.items() if part == "left out"} == learnt


def test_a_network_from_scratch_lists_what_it_takes_for_another_class(
    tones: Path, tmp_path: Path
) -> None:
    """Two recordings lie in a wrong folder: too late to leave out, but named and heard."""
    source = tmp_path / "d"
    shutil.copytree(tones, source)
    first, second = sorted(
        path
        for path in source.rglob("*")
        if path.is_dir() and not any(inside.is_dir() for inside in path.iterdir())
    )[:2]
    files = sorted(first.iterdir())
    for file in files[:2]:
        file.rename(second / f"astray_{file.name}")
    settings = {"epochs": 12, "network.width": 0.25, "rehearsal": 0, "compute.threads": 1}
    settings["optimizer.lr"] = 0.025
    run = qs.learn(source, settings=settings, out=tmp_path / "run")
    data = run.facts["data"]
    assert data["doubts"]["how"] == "learnt"
    assert data["doubts"]["looked"] == data["examples"]["train"] + data["examples"]["val"]
    assert all(one["probability"] > 0.5 for one in data["suspects"])
    assert not any(one["left_out"] for one in data["suspects"])
    page = run.report.read_text(encoding="utf-8")
    assert "by heart" in page
    there = [one for one in data["suspects"] if "astray" in one["name"]]
    assert there and str(there[0]["sound"]).startswith("data:audio/")
    assert there[0]["sound"] in page


def test_a_network_that_knows_its_labels_by_heart_does_not_doubt_them() -> None:
    truth = np.repeat([0, 1], 50)
    lesson: Any = SimpleNamespace(truth=truth, val=np.arange(0, 100, 5))
    rows = np.arange(100)
    sure = np.eye(2)[truth] * 0.8 + 0.1
    assert doubting._cannot(lesson, rows, sure) == ""
    heart = sure.copy()
    heart[[5, 55]] = heart[[5, 55], ::-1]  # 90 % of val, all of train
    assert "by heart (it agrees with 100% of the labels of train" in doubting._cannot(
        lesson, rows, heart
    )
    poor = np.where(rows[:, None] // 5 % 10 < 3, sure[:, ::-1], sure)
    assert "wrong too often" in doubting._cannot(lesson, rows, poor)


def test_numbers_are_not_doubted_and_the_run_says_so(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(90, 3))
    settings = {"epochs": 1, "table.trees": False, "compute.threads": 1}
    run = qs.learn((x, x[:, 0] * 2.5 + 0.1), settings=settings, out=tmp_path / "run")
    assert run.facts["task"] == "regression"
    assert run.facts["data"]["doubts"]["why_not"] == "only classes can be doubted"
    assert not (run.folder / "suspects.csv").exists()


def test_the_page_escapes_names_and_fetches_nothing() -> None:
    one = {
        **{"name": "<b>&.jpg", "part": "train", "label": "<cat>", "instead": "dog"},
        **{"probability": 0.987, "left_out": True, "picture": "https://x.test/a.png"},
    }
    two = {**one, "name": "b.jpg", "left_out": False, "picture": "data:image/png;base64,AAAA"}
    said = str(drawn({"data": {"suspects": [one, two]}}))
    assert "&lt;b&gt;&amp;.jpg" in said and "&lt;cat&gt;" in said and "<cat>" not in said
    assert said.count("<img") == 1 and "https:" not in said
    assert "98.7" in said and said.count(">not learnt from<") == 1 and "not certain enough" in said
    assert str(drawn({"data": {"suspects": []}})) == str(drawn({})) == ""


def test_the_page_says_how_many_it_does_not_show() -> None:
    one = {"name": "a.jpg", "part": "train", "label": "cat", "instead": "dog", "left_out": False}
    shown = {"suspects": [one] * 200, "doubts": {"looked": 9000, "found": 450}}
    assert "the 200 most suspicious of 450" in str(drawn({"data": shown}))
    assert "most suspicious of" not in str(drawn({"data": {**shown, "doubts": {"found": 200}}}))


def test_a_stop_before_labels_are_doubted_leaves_that_to_the_run_that_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doubting, "of_body", None)
    task: Any = SimpleNamespace(name="classification")
    lesson: Any = SimpleNamespace(
        **{"task": task, "outputs": 2, "recipe": SimpleNamespace(suspects="leave_out")},
        **{"folder": tmp_path, "stop": SimpleNamespace(asked=True), "decide": None},
    )
    rows = np.arange(5)
    nothing: Any = None
    out = frozen._doubted(lesson, rows, nothing, nothing, nothing, nothing, in_time=True)
    assert not out.any()
