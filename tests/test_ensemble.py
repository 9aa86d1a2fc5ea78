"""tune(ensemble=True, distil=True): who is chosen, one network of several, what they teach."""

from __future__ import annotations

import itertools
import json
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import quickstudy
from quickstudy.batches import Batches
from quickstudy.explanation import explain
from quickstudy.export.contract import Making
from quickstudy.export.onnx import Onnx
from quickstudy.export.whole import whole
from quickstudy.learning.ending import model_of
from quickstudy.learning.told import Ended
from quickstudy.model import Model
from quickstudy.network.ensemble import Ensemble
from quickstudy.progress import silent
from quickstudy.search import distilling, flow, members, searching, selecting, shipping, tune
from quickstudy.search.keeping import Search, kept_search
from quickstudy.search.one import SPEC, learnt
from quickstudy.search.selecting import better, crossed, judged, mean, select
from quickstudy.search.trials import Outcome
from quickstudy.tasks import Classification, Multilabel, Regression
from quickstudy.training.head import folds
from quickstudy.training.judging import Judgement
from test_damaged import MODELS

CLASSES = Classification(("a", "b", "c"))


def guesses(n: int, count: int, sure: float = 2.0) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return labels and the probabilities of networks, each right in its own way."""
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 3, n)
    scores = rng.normal(size=(count, n, 3)) + sure * np.eye(3)[truth]
    return truth, list(np.exp(scores) / np.exp(scores).sum(-1, keepdims=True))


# Who is chosen.


def test_what_is_chosen_is_about_as_good_as_the_best_five() -> None:
    truth, answers = guesses(200, 4)
    answers[1] = 0.5 * answers[1] + 0.5 / 3  # one that knows less

    def loss(weights: Any) -> float:
        return float(CLASSES.losses(truth, mean(answers, np.asarray(weights))).mean())

    sums = [w for w in itertools.product(range(6), repeat=4) if 1 <= sum(w) <= 5]
    best = min(loss(np.array(w) / sum(w)) for w in sums)
    found = select(CLASSES, truth, answers)
    assert found.sum() == pytest.approx(1.0)
    assert best - 1e-9 <= loss(found) <= best + 2e-3 < min(map(loss, np.eye(4)))
    assert (select(CLASSES, truth, answers) == found).all()


def test_no_twin_and_nothing_poor_is_chosen() -> None:
    truth, answers = guesses(100, 9)
    assert 2 <= np.count_nonzero(select(CLASSES, truth, answers)) <= 5
    assert select(CLASSES, truth, [answers[0]] * 3).tolist() == [1, 0, 0]
    assert select(CLASSES, truth, [np.full((100, 3), 1e-9), answers[0]]).tolist() == [0, 1]


def test_an_ensemble_is_judged_by_examples_it_was_not_chosen_by() -> None:
    truth, answers = guesses(60, 4)
    families = np.arange(60) // 2
    before = crossed(CLASSES, truth, answers, families, seed=0)
    fold = folds(families, np.random.default_rng([0, 11]))
    other = truth.copy()
    other[fold == 2] = (other[fold == 2] + 1) % 3
    after = crossed(CLASSES, other, answers, families, seed=0)
    assert (after[fold == 2] == before[fold == 2]).all()
    assert (after[fold != 2] != before[fold != 2]).any()


def test_only_more_than_chance_pays() -> None:
    truth, answers = guesses(400, 6, sure=1.0)
    alone = judged(CLASSES, truth, answers[0])
    families = np.arange(400)
    together = judged(CLASSES, truth, crossed(CLASSES, truth, answers, families, 0))
    pays, told = better(CLASSES, together, alone, selecting.PAYS)
    assert pays and told["standard_errors"] > 2
    apart = together.losses - alone.losses
    assert told["standard_errors"] == pytest.approx(-apart.mean() / apart.std(ddof=1) * 20)
    few = [judged(CLASSES, truth[:8], one[:8]) for one in (answers[1], answers[0])]
    assert not better(CLASSES, *few, selecting.PAYS)[0]
    assert better(CLASSES, alone, alone, 0.0)[0]  # no worse
    assert not better(CLASSES, alone, together, 0.0)[0]
    worse = replace(together, score=0.1)  # surer, and mostly wrong
    assert not better(CLASSES, worse, alone, selecting.PAYS)[0]


# One network of several.


class Says(nn.Module):
    """Gives the scores that it was made with."""

    def __init__(self, scores: Tensor) -> None:
        super().__init__()
        self.given = nn.Parameter(scores)

    def forward(self, x: Tensor) -> Tensor:
        return self.given[: len(x)]


@pytest.mark.parametrize(
    "task",
    [CLASSES, Multilabel(("a", "b", "c")), Regression(("a", "b", "c"), (1.0,) * 3, (2.0,) * 3)],
    ids=lambda task: task.name,
)
def test_its_answers_are_the_mean_of_its_members(task: Any) -> None:
    torch.manual_seed(0)
    one, many = 30 * torch.randn(5, 3), torch.randn(5, 4, 3)  # TabM has members of its own
    temperatures = (1.0, 1.0) if task.name == "regression" else (2.5, 0.5)
    module = Ensemble([Says(one), Says(many)], (0.3, 0.7), temperatures, task.name)
    said = [
        (replace(task, temperature=t) if task.name != "regression" else task).answers(scores)
        for scores, t in zip((one, many), temperatures, strict=True)
    ]
    expected = 0.3 * said[0] + 0.7 * said[1]
    found = task.answers(module(torch.zeros(5, 1)))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)
    scores = selecting.as_scores(task, expected.double().detach().numpy())
    torch.testing.assert_close(task.answers(scores.float()), expected, rtol=1e-4, atol=1e-6)


def test_it_is_saved_loaded_and_exported_as_any_network(tmp_path: Path) -> None:
    import onnxruntime

    model = MODELS["ensemble"]()
    pictures = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    expected = np.zeros((3, 3))
    for network, one in zip(model.network.members, model.spec.ensemble["members"], strict=True):
        task = replace(CLASSES, temperature=one["temperature"])
        alone = Model(network, model.spec, task, model.preparation)
        expected += one["weight"] * alone.answers(pictures[:, None])
    loaded = quickstudy.load(model.save(tmp_path / "model"))
    np.testing.assert_allclose(loaded.answers(pictures[:, None]), expected, atol=1e-6)
    Onnx().write(Making(loaded, tmp_path, whole(loaded)), tmp_path)
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    (found,) = session.run(None, {"pictures": pictures})
    np.testing.assert_allclose(found, expected, atol=1e-5)


# What trials keep.


def test_only_the_best_trials_keep_their_networks(tmp_path: Path) -> None:
    rows = [{"number": n, "state": "done"} for n in (4, 2, 7, 0)]
    rows += [{"number": 5, "state": "running"}, {"number": 6, "state": "failed"}]
    for name in ("000", "002", "004-1700000000", "005", "006", "007"):
        (tmp_path / "trials" / name / "member").mkdir(parents=True)
    members.prune(tmp_path, rows, most=2)
    left = {path.parent.name for path in tmp_path.glob("trials/*/member")}
    assert left == {"002", "004-1700000000", "005"}
    damaged = members.kept(tmp_path, "cpu")
    assert [str(one)[:24] for one in damaged] == [f"trial {n} cannot be read (" for n in (2, 4, 5)]
    members.drop(tmp_path)
    assert not list(tmp_path.glob("trials/*/member"))


# The whole: a real run.

FEW = {"epochs": 1, "picture.size": 16, "picture.start_size": 16, "network.width": 0.25}
FEW |= {"compute.threads": 1, "val": 0.4, "test": 0.2}


@dataclass
class Tuned:
    """A search with all of its networks in what ships, and what it went through."""

    run: Any = None
    search: Any = None
    final: Any = None
    pupil: Any = None
    lesson: Any = None
    others: dict[int | None, Model] = field(default_factory=dict)


@pytest.fixture(scope="module")
def tuned(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    got = Tuned()

    def shipped(search: Search, ended: Ended) -> Ended:
        got.search, got.final = search, ended
        got.others = {one.trial: one.model for one in members.kept(search.folder, "cpu")}  # type: ignore[union-attr]
        got.others[None] = model_of(ended)
        return as_ever["shipped"](search, ended)

    def distilled(*given: Any) -> Any:
        got.pupil = as_ever["distilled"](*given)
        return got.pupil

    def teach(lesson: Any) -> Any:
        got.lesson = lesson
        return as_ever["teach"](lesson)

    def ahead(task: Any, one: Any, other: Any, least: float) -> Any:
        return least > 0, as_ever["better"](task, one, other, least)[1]

    def run_trial(folder: Path, spec: dict[str, Any], limit: float, watch: Any) -> Outcome:
        """Learn as its process would, without the seconds that starting one takes."""
        folder.mkdir(parents=True)
        (folder / SPEC).write_text(json.dumps({**spec, "began": time.time()}))
        return Outcome("COMPLETE", 1.0, told=learnt(folder))

    def crossed(task: Any, truth: Any, *given: Any) -> Any:
        return np.eye(3)[truth] * 0.7 + 0.1  # as if they helped

    places = {"shipped": flow, "distilled": shipping, "teach": distilling, "better": shipping}
    as_ever = {name: getattr(room, name) for name, room in places.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QUICKSTUDY_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        for name, spy in zip(places, (shipped, distilled, teach, ahead), strict=True):
            patch.setattr(places[name], name, spy)
        patch.setattr(searching, "run_trial", run_trial)
        patch.setattr(shipping, "crossed", crossed)
        patch.setattr(shipping, "select", lambda *given: np.full(len(given[2]), 1 / len(given[2])))
        got.run = tune(
            shapes,
            out=tmp_path_factory.mktemp("tuned") / "run",
            budget="10m",
            trials=2,
            space={"optimizer.lr": [0.01, 0.02]},
            settings=FEW,
            weights="none",
            ensemble=True,
            distil=True,
        )
    got.final.job.listen = silent
    return got


def test_the_best_few_ship_as_one(tuned: Tuned, shapes: Path) -> None:
    run, lesson = tuned.run, tuned.final.lesson
    told = json.loads((run.folder / "report.json").read_text())
    found = told["search"]["ensemble"]
    assert found["ships"] == "ensemble" and found["n"] == len(lesson.val)
    assert {one["trial"] for one in found["members"]} == {None, 0, 1} == set(tuned.others)
    assert found["ensemble"]["times_as_long"] > 1
    pieces = [lesson.decoded.piece(row).copy() for row in lesson.val.tolist()]
    expected = sum(
        one["weight"] * tuned.others[one["trial"]].answers(pieces) for one in found["members"]
    )
    model = quickstudy.load(run.folder)
    untempered = replace(model, task=replace(model.task, temperature=1.0))
    np.testing.assert_allclose(untempered.answers(pieces), expected, atol=1e-5)
    picture = next((shapes / "disc").iterdir())
    assert model.predict(picture).label in model.classes
    assert explain(model, picture).where is not None
    assert told["network"]["name"] == "ensemble"
    assert [one["chosen"] for one in told["candidates"]] == [False, True]
    page = run.report.read_text()
    assert "The ensemble ships." in page and "trial 1 (33.3 %)" in page
    assert told["recipe"]["budget"]["why"].endswith("40 % is for the search")
    assert not list(run.folder.glob("trials/*/member"))
    kept = kept_search(run.folder)  # what a search that goes on knows
    assert kept.ensemble and kept.distil and (kept.final, kept.distilling) == (180, 180)


def test_they_teach_one_network(tuned: Tuned) -> None:
    lesson, pupil = tuned.lesson, tuned.pupil
    assert pupil.taught.candidates[-1]["chosen"] and pupil.spec is None
    pieces = [lesson.decoded.piece(row).copy() for row in lesson.train.tolist()]
    said = torch.from_numpy(tuned.run.model.answers(pieces)).float()
    torch.testing.assert_close(lesson.teacher, said, atol=1e-5, rtol=1e-4)
    batches = Batches(
        lesson.decoded, lesson.train, lesson.truth[lesson.train], lesson.task, lesson.recipe
    )
    with batches.reading(0) as ahead:
        _, _, truth = ahead()
    batches.taught = lesson.teacher
    with batches.reading(0) as ahead:
        _, _, target = ahead()
    expected = (truth + said[batches.indices(0)]) / 2
    torch.testing.assert_close(target, expected, atol=1e-5, rtol=1e-4)
    report = json.loads((tuned.run.folder / "report.json").read_text())
    assert report["search"]["ensemble"]["distilled"]["loss"] > 0
    assert not (tuned.run.folder / "distilled").exists()


@pytest.mark.parametrize(
    ("asked", "pays", "fine", "ships"),
    [
        ({"ensemble": True}, False, False, "alone"),
        ({"ensemble": True}, True, True, "ensemble"),
        ({"distil": True}, True, False, "alone"),  # who wants one network gets one
        ({"distil": True}, False, True, "distilled"),
        ({"ensemble": True, "distil": True}, True, True, "distilled"),
        ({"ensemble": True, "distil": True}, True, False, "ensemble"),
    ],
)
def test_val_says_what_ships(
    tuned: Tuned, asked: Any, pays: bool, fine: bool, ships: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    final, answers = tuned.final, tuned.final.taught.held_out.answers
    own = members.member_of(final)
    kept = [replace(own, trial=1, model=tuned.others[1]), own]
    losses = np.full(len(answers), 0.2)
    alone, together = Judgement(0.9, losses, 0.2), Judgement(0.9, losses / 2, 0.1)
    found = shipping.Found(tuple(kept), (0.4, 0.6), answers, alone, together)
    monkeypatch.setattr(shipping, "_found", lambda *given: found)
    monkeypatch.setattr(shipping, "distilled", lambda *given: tuned.pupil)
    as_ever = shipping.better

    def better(task: Any, one: Any, other: Any, least: float) -> Any:
        return pays if least else fine, as_ever(task, one, other, least)[1]

    monkeypatch.setattr(shipping, "better", better)
    search = replace(tuned.search, **{"ensemble": False, "distil": False, **asked})
    shipped = shipping.shipped(search, final)
    told = kept_search(search.folder).told["ensemble"]
    assert told["ships"] == ships
    assert ("do not by more than chance" in told["sentences"][0]) == (not pays)
    assert (shipped is final, shipped is tuned.pupil) == (ships == "alone", ships == "distilled")
    assert shipped.lesson.test_views == len(final.parts.test) * (2 if ships == "ensemble" else 1)


def test_only_what_takes_and_answers_the_same_fits(tuned: Tuned) -> None:
    own = members.member_of(tuned.final)
    other = replace(own, trial=1, model=tuned.others[1])
    assert own.fits(other)
    assert not own.fits(replace(other, digests=own.digests[::-1]))
    assert not own.fits(replace(other, answers=np.full_like(other.answers, np.nan)))
    how: Any = own.model.preparation
    prepared = replace(tuned.others[1], preparation=replace(how, mirror=not how.mirror))
    assert not own.fits(replace(other, model=prepared))
    asked = replace(tuned.others[1], task=Classification(("x", "y", "z")))
    assert not own.fits(replace(other, model=asked))


def test_why_there_is_none_is_said(tuned: Tuned, monkeypatch: pytest.MonkeyPatch) -> None:
    search = replace(tuned.search, ensemble=True, distil=True)
    assert shipping.shipped(search, tuned.final) is tuned.final  # its trials have let go
    told = kept_search(search.folder).told
    assert told["sentences"][-1] == "No ensemble is made: no trial came to an end."
    monkeypatch.setattr(tuned.final.job.stop, "asked", True)
    shipping.shipped(search, tuned.final)
    assert "the run was stopped" in search.told["sentences"][-1]
    assert sum("No ensemble" in line for line in search.told["sentences"]) == 1
