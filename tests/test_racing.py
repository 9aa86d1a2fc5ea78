"""A race of recipes: who takes part, who is out, what is handed over; by a clock of steps."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import sklearn.metrics
import torch
from torch.nn import functional as F

import quickstudy as qs
from conftest import draw
from quickstudy import clock as clocks
from quickstudy.recipe import Recipe
from quickstudy.report.race import race as drawn
from quickstudy.tasks import task_of
from quickstudy.training import contenders as who
from quickstudy.training import loop, racing, runners
from quickstudy.training.contenders import PLAN, ROUNDS, Contender, contenders, form, kept
from quickstudy.training.judging import Judgement, beaten, difference, weakest, winner

STEP = 1.0  # seconds of the test's clock
WHOLE = {
    **{"picture.size": 16, "picture.start_size": 16, "network.width": 0.25, "batch": 16},
    **{"compute.precision": "float32", "compute.memory_format": "channels_last"},
    **{
        "compute.threads": 1,
        "compute.compile": False,
        "compute.allocator": "keep",
        "data_curve": "never",
        "suspects": "keep",
    },
}


# Who takes part, and for how long


def plan(**values: Any) -> Any:
    of = {"lr": 0.02, "mixup": 0.2, "cutmix": 0.3, "width": 1.0, "name": "compact", **values}
    return SimpleNamespace(
        optimizer=SimpleNamespace(lr=of["lr"]),
        augment=SimpleNamespace(mixup=of["mixup"], cutmix=of["cutmix"]),
        network=SimpleNamespace(name=of["name"], width=of["width"]),
    )


def test_contenders_differ_from_the_plan_and_from_each_other() -> None:
    for passes in (10, 60, 300):
        found = contenders(plan(), (), passes)
        assert len({one.name for one in found}) == len(found) >= 3
        assert all(one.changes for one in found)
        assert PLAN.name not in {one.name for one in found}


def test_what_somebody_chose_does_not_race() -> None:
    own = {"optimizer.lr", "augment.mixup"}
    left = contenders(plan(), own, 60)
    assert left
    assert not any(own & set(one.changes) for one in left)
    assert not any(k.startswith("network.") for o in contenders(plan(name="resnet18"), (), 20)
                   for k in o.changes)  # fmt: skip


def test_how_many_race_and_for_how_long() -> None:
    found = contenders(plan(), (), 40)
    assert form(found, 170, 0.1, 0.0, None)[0] is None
    assert "170 s" in form(found, 170, 0.1, 0.0, None)[1]
    assert form([], 3600, 0.1, 0.0, None)[0] is None
    slow, why = form(found, 600, 60, 0.0, None)
    assert slow is None
    assert "60 s" in why
    sizes = []
    for left in (600, 1200, 3600, 10_000):
        made, _ = form(found, left, left / 120, 0.001 * left, None)
        assert made is not None
        assert made.lost <= 0.16 * left
        assert made.seconds >= left / 120
        assert made.contenders[0] is PLAN
        sizes.append(len(made.contenders))
    assert sizes == sorted(sizes)
    asked, _ = form(found, 20, 1.0, 0.0, 3)
    assert asked is not None
    assert len(asked.contenders) == 3
    assert asked.lost <= 8.0 + 1e-9
    assert form(found, -1.0, 1.0, 0.0, 3)[0] is None


def test_lost_seconds_are_those_of_a_race_played_through() -> None:
    found = contenders(plan(), (), 40)
    made, _ = form(found, 1000, 5, 0.5, 4)
    assert made is not None
    left, lost = 4, 0.0
    for turns in ROUNDS:
        for _ in range(turns):
            lost += (left - 1) * made.seconds + left * 0.5
        left = kept(left)
    assert made.lost == pytest.approx(lost)


# Who is out


def said(losses: Any, score: float = 0.5) -> Judgement:
    return Judgement(score, np.asarray(losses, float), float(np.mean(losses)))


def test_differences_are_of_pairs() -> None:
    rng = np.random.default_rng(0)
    hard = rng.exponential(1.0, 300)  # most of what a loss varies by is the example's
    one, other = said(hard + rng.normal(0.1, 0.05, 300)), said(hard)
    apart, error = difference(one, other)
    assert apart == pytest.approx(0.1, abs=4 * error)
    assert error == pytest.approx(0.05 / math.sqrt(300), rel=0.15)
    assert error < 0.1 * one.losses.std() / math.sqrt(300)
    assert difference(said([1.0, math.inf]), said([1.0, 1.0]))[0] == math.inf


def test_the_weakest_stop_and_the_plan_stays() -> None:
    rng = np.random.default_rng(1)
    hard = rng.exponential(1.0, 200)

    def by(shift: float) -> Judgement:
        return said(hard + shift + rng.normal(0, 0.2, 200))

    field = [(Contender(n, {"x": 1}), by(s)) for n, s in
             (("good", -0.3), ("better", -0.4), ("fair", -0.2), ("bad", 0.3))]  # fmt: skip
    out = weakest(by(0.0), field, 2)
    assert set(out) == {"fair", "bad"}
    assert "behind the plan" in out["bad"]
    assert "behind good" in out["fair"]
    assert set(beaten(by(0.0), field)) == {"bad"}


def test_chance_goes_to_the_plan() -> None:
    rng = np.random.default_rng(2)
    hard = rng.exponential(1.0, 200)
    base = said(hard)
    wave = rng.normal(0, 0.3, 200)
    error = 0.3 / math.sqrt(200)
    wave = 0.3 * (wave - wave.mean()) / wave.std(ddof=1)
    near, doubtful, far = (said(hard + wave - n * error) for n in (0.5, 2.0, 9.0))
    assert difference(doubtful, base) == pytest.approx((-2 * error, error))
    one = Contender("one", {"x": 1}, 1.0)
    assert winner(base, [(one, near)], 0.03)[0] is PLAN
    assert winner(base, [(one, far)], 0.03)[0] is one
    assert winner(base, [(one, said(far.losses, score=0.4))], 0.03)[0] is PLAN  # scores far below
    strict = Contender("flattered", {"x": 1}, 3.0)
    assert winner(base, [(strict, doubtful)], 0.03)[0] is PLAN
    assert winner(base, [(strict, doubtful), (one, doubtful)], 0.03)[0] is one
    assert winner(None, [(one, near), (strict, far)], 0.03)[0] is strict
    assert winner(base, [], 0.03)[0] is PLAN


def test_losses_of_each_task_against_others() -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 3, 50)
    p = rng.dirichlet(np.ones(3), 50)
    found = task_of("classification", ("a", "b", "c")).losses(labels, p)
    assert found.mean() == pytest.approx(sklearn.metrics.log_loss(labels, p))
    there, q = rng.integers(0, 2, (50, 3)), rng.uniform(0.01, 0.99, (50, 3))
    found = task_of("multilabel", ("a", "b", "c")).losses(there, q)
    ours = F.binary_cross_entropy(torch.tensor(q), torch.tensor(there).double())
    assert found.mean() == pytest.approx(float(ours))
    y = rng.normal(3, 5, (50, 2))
    task = task_of("regression", ("a", "b")).learning_from(y)
    assert task.losses(y, np.tile(y.mean(0), (50, 1))).mean() == pytest.approx(1.0)


# A race, by a clock that only steps move


@pytest.fixture(scope="module")
def source() -> tuple[Any, Any]:
    labels = np.array(["cross", "disc", "square"])[np.arange(330) % 3]
    return np.stack([np.asarray(draw(w, i, 16)) for i, w in enumerate(labels)]), labels


Steps = Callable[[Any], None]


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch, one_thread: None) -> Callable[..., list[Any]]:
    """Make the clock stand still but for steps of training: one second each."""

    def begin(each: Steps = lambda _: None) -> list[Any]:
        taken: list[Any] = []
        monkeypatch.setattr(who, "_SHORTEST", 0.1)  # of a run so short
        now = [0.0]
        monkeypatch.setattr(clocks, "time", SimpleNamespace(perf_counter=lambda: now[0]))

        def counted(of: Any, *more: Any) -> float:
            taken.append(of)
            now[0] += STEP
            each(of)
            return step(of, *more)

        monkeypatch.setattr(loop, "step_once", counted)
        monkeypatch.setattr(runners, "step_once", counted)
        return taken

    step = loop.step_once
    return begin


def learnt(source: Any, out: Path, budget: float = 45, **settings: Any) -> qs.Run:
    how = {**WHOLE, "race": 3, **settings}
    return qs.learn(source, budget=budget, settings=how, out=out, started=0.0)


def test_a_race_from_start_to_report(
    source: Any, tmp_path: Path, ticking: Callable[..., list[Any]]
) -> None:
    ticking()
    run = learnt(source, tmp_path / "run")
    told = run.facts["race"]
    first, *others = told["contenders"]
    assert first["name"] == "the plan"
    assert first["changes"] == {}
    assert len(others) == 2
    for one in told["contenders"]:
        assert one["spent"] == pytest.approx(one["points"][-1]["spent"])
        same = [a["spent"] == pytest.approx(b["spent"], abs=STEP + 0.01)
                for a, b in zip(one["points"], first["points"], strict=False)]  # fmt: skip
        assert all(same)  # equal seconds, to a step
        assert one["out"] or len(one["points"]) == len(first["points"])
    won = told["won"]
    winning = told["contenders"][won["number"]]
    for key, value in winning["changes"].items():
        assert run.facts["recipe"][key]["value"] == value
        assert "won the race against" in run.facts["recipe"][key]["why"]
    assert "raced for" in run.facts["recipe"]["race"]["why"]
    # what was learnt in the race is the beginning of the run, and its schedule goes on from there
    curves = run.facts["curves"]
    assert [row["step"] for row in curves] == sorted(row["step"] for row in curves)
    assert curves[0]["step"] <= winning["points"][0]["spent"] / STEP + 1
    assert run.facts["steps"] > winning["spent"] / STEP
    done = [_share(row["lr"], run.recipe) for row in curves if row["step"] > 5]
    assert all(-0.02 < b - a < 0.25 for a, b in pairwise(done))
    assert curves[-1]["lr"] < 0.2 * run.recipe.optimizer.lr
    assert any("recipes raced" in one["what"] for one in run.facts["events"])
    assert not any("went on from" in one["what"] for one in run.facts["events"])
    left = {path.name for path in run.folder.iterdir()}
    assert not left & {racing.FILE, racing.FOLDER, "checkpoint.safetensors"}
    assert run.facts["seconds"]["race"] == pytest.approx(won["took"], abs=0.02)
    page = run.report.read_text()
    assert "The race" in page
    assert all(one["name"] in page for one in others)


def _share(rate: float, recipe: Recipe) -> float:
    """Return the share of the run at which a cosine after its warm-up has come to a rate."""
    assert recipe.schedule.shape == "cosine"
    assert recipe.optimizer.lr is not None
    fallen = math.acos(min(1.0, max(-1.0, 2 * rate / recipe.optimizer.lr - 1))) / math.pi
    return recipe.schedule.warmup + (1 - recipe.schedule.warmup) * fallen


def test_what_goes_wrong_ends_a_contender_not_the_race(
    source: Any, tmp_path: Path, ticking: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    ticking()
    step = runners.step_once

    def failing(of: Any, *more: Any) -> float:
        if of.recipe.augment.mixup == 0 and of.step > 4:
            raise MemoryError("no memory for that")
        loss = step(of, *more)
        return math.nan if of.recipe.optimizer.lr > 0.03 and of.step > 3 else loss

    monkeypatch.setattr(runners, "step_once", failing)
    two = [Contender("no blending", {"augment.mixup": 0.0}, 1.0),
           Contender("too quick", {"optimizer.lr": 0.05}, 1.0)]  # fmt: skip
    monkeypatch.setattr(racing, "contenders", lambda *_: two)
    run = learnt(source, tmp_path / "run", **{"optimizer.lr": 0.02})
    plan_, failed, quick = run.facts["race"]["contenders"]
    assert "no memory for that" in failed["out"]
    assert quick["out"] == "its loss exploded"
    assert not plan_["out"]
    assert run.facts["race"]["won"]["name"] == "the plan"
    assert run.recipe.optimizer.lr == 0.02
    assert run.facts["race"]["won"]["took"] < 15  # nobody was left to race with
    assert run.facts["outcome"]["status"] == "finished"


def test_where_all_fail_the_plan_is_learnt_as_ever(
    source: Any, tmp_path: Path, ticking: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    ticking()
    monkeypatch.setattr(runners, "is_sound", lambda *_: False)
    run = learnt(source, tmp_path / "run")
    assert all(one["out"] for one in run.facts["race"]["contenders"])
    assert run.facts["race"]["won"]["number"] is None
    assert "none of them" in run.report.read_text()
    assert run.facts["steps"] > 20


def test_another_network_may_win(
    source: Any, tmp_path: Path, ticking: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    ticking()
    wide = Contender("wide", {"network.width": 0.5}, 0.0)
    monkeypatch.setattr(racing, "contenders", lambda *_: [wide])
    monkeypatch.setattr(racing, "winner", lambda *_: (wide, "it is said so"))
    monkeypatch.setattr(racing, "beaten", lambda *_: {})
    monkeypatch.setattr(racing, "weakest", lambda *_: {})
    run = learnt(source, tmp_path / "run")
    assert run.recipe.network.width == 0.5
    assert run.facts["network"]["parameters"] > 200_000
    x, y = source
    assert qs.load(run.folder / "model").evaluate((x, y)).accuracy > 0.5


class Killed(BaseException):
    """What no code catches, as a kill is."""


def test_killed_in_the_race_it_goes_on_from_its_last_round(
    source: Any, tmp_path: Path, ticking: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first of them in mid-race, then again when the winner is known but not handed over."""
    monkeypatch.setattr(racing, "beaten", lambda *_: {})
    monkeypatch.setattr(racing, "weakest", lambda *_: {"x": "not there"})
    out, file = tmp_path / "run", tmp_path / "run" / racing.FILE

    def kill(of: Any) -> None:
        if file.exists() and json.loads(file.read_text())["round"] == 1:
            raise Killed

    ticking(kill)
    with pytest.raises(Killed):
        learnt(source, out)
    before = json.loads(file.read_text())
    assert before["won"] is None
    assert (out / racing.FOLDER / "0" / "checkpoint.safetensors").is_file()
    assert not (out / "checkpoint.safetensors").exists()

    ticking()
    monkeypatch.setattr(racing.Race, "_decided", _killed_after(racing.Race._decided))
    with pytest.raises(Killed):
        qs.learn(source, resume=out, started=0.0)
    monkeypatch.undo()
    ticking()
    run = qs.learn(source, resume=out, started=0.0)
    told = run.facts["race"]
    for was, one in zip(before["contenders"], told["contenders"], strict=True):
        assert one["points"][: len(was["points"])] == was["points"]
        assert len(one["points"]) == sum(ROUNDS)
    won = told["contenders"][told["won"]["number"]]
    assert run.facts["steps"] >= won["spent"] / STEP
    assert run.facts["outcome"]["status"] == "finished"


def _killed_after(decided: Any) -> Any:
    def then(race: racing.Race) -> Any:
        decided(race)
        raise Killed

    return then


def test_ctrl_c_ends_the_race_with_the_best_so_far(
    source: Any, tmp_path: Path, ticking: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    stops: list[Any] = []

    def ask(of: Any) -> None:
        if len(taken) == 12:
            stops[0].asked = True

    run_race = racing.race

    def noted(lesson: Any, batches: Any) -> None:
        stops.append(lesson.stop)
        run_race(lesson, batches)

    monkeypatch.setattr(import_module("quickstudy.training.teach"), "race", noted)
    taken = ticking(ask)
    run = learnt(source, tmp_path / "run")
    assert run.facts["outcome"]["status"] == "interrupted"
    assert "Ctrl-C ended the race" in run.facts["race"]["won"]["why"]
    assert len(taken) == 12
    assert (run.folder / "checkpoint.safetensors").is_file()
    ticking()
    more = qs.learn(source, resume=run.folder, started=0.0)
    assert more.facts["outcome"]["status"] == "finished"
    assert more.facts["race"]["won"] == run.facts["race"]["won"]


def test_no_race_where_none_is_to_be(tmp_path: Path) -> None:
    """Not where the epochs are given, where it was refused, has ended, or could not be judged."""

    def asked(
        world: int = 1, val: int = 200, stop: bool = False, left: float = 900, **recipe: Any
    ) -> Any:
        of = plan()
        of.race, of.epochs, of.patience, of.batch = None, None, None, 16
        of.compute = SimpleNamespace(device="cpu")
        vars(of).update(recipe)
        lesson = SimpleNamespace(
            recipe=of, folder=tmp_path, stop=SimpleNamespace(asked=stop), fixed=frozenset(),
            crew=SimpleNamespace(world=world), stream=None, val=range(val), val_views=val,
            forward=0.001, step_seconds=0.05, seconds_left=lambda: left, rebuild=lambda _: None,
            network=SimpleNamespace(module=torch.nn.Linear(3, 3)), optimizer=None,
        )  # fmt: skip
        return racing._form(lesson, 1600)  # type: ignore[arg-type]

    made, _ = asked()
    assert made is not None
    assert len(made.contenders) > 2
    assert all(asked(**{key: 1}) == (None, "") for key in ("race", "epochs", "patience"))
    assert asked(stop=True) == (None, "")
    assert "several processes" in asked(world=2)[1]
    assert "20 examples of val" in asked(val=20)[1]
    assert "too few" in asked(left=120)[1]
    (tmp_path / "checkpoint.safetensors").touch()
    assert asked() == (None, "")


def test_a_network_that_cannot_be_copied_does_not_race(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> Any:
        raise TypeError("cannot pickle that\nat all")

    monkeypatch.setattr(racing, "_going_on", fails)
    why = racing._ready(None, None, {})  # type: ignore[arg-type]
    assert why == "no race: the contenders could not be made (cannot pickle that)"


def test_memory_bounds_how_many_race(monkeypatch: pytest.MonkeyPatch) -> None:
    large = SimpleNamespace(
        network=SimpleNamespace(module=torch.nn.Linear(1000, 1000)),
        recipe=SimpleNamespace(compute=SimpleNamespace(device="cpu")),
    )
    monkeypatch.setattr(runners, "usable_memory", lambda: 4 * 3.5 * 28 * 1_001_000)
    assert runners.room(large) == 3  # type: ignore[arg-type]
    monkeypatch.setattr(runners, "usable_memory", lambda: 1000)
    assert runners.room(large) == 1  # type: ignore[arg-type]


def test_the_page_lacks_nothing_that_a_report_lacks() -> None:
    assert drawn({}) == ""
    assert drawn({"race": None}) == ""
    two = {"contenders": [{"name": "<b>the plan"}, {"points": [{"spent": 1.0, "loss": None}]}]}
    page = drawn({"race": two})
    assert "&lt;b&gt;" in page
    assert "none of them" in page
    lost = {"contenders": [{"points": [{"spent": 2.0, "loss": 1.0}]}] * 2, "won": {"number": 1}}
    assert drawn({"race": lost}).count("<path") == 2
