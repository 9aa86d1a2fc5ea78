"""tune(): the space, the rungs, trials as processes, a search stopped and gone on with."""

from __future__ import annotations

import json
import math
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import quickstudy
from quickstudy.errors import ChoiceError, RunError
from quickstudy.learning.job import Job
from quickstudy.recipe import KEYS, coerce
from quickstudy.recipe.limits import LIMITS
from quickstudy.report.search import search as search_section
from quickstudy.search import asking, halving, keeping, searching, space, tune
from quickstudy.search import leaderboard as boards
from quickstudy.search import study as study_room
from quickstudy.search.keeping import Search, kept_search, lead, leave
from quickstudy.search.one import FAILED, RESULT, source_of
from quickstudy.search.rungs import LEAST, rungs, too_short
from quickstudy.search.searching import Searching
from quickstudy.search.space import Among, Range
from quickstudy.search.study import Study, values, worth
from quickstudy.search.trials import GO_ON, Outcome, run_trial
from test_recipe import DIGITS, PHOTOS, VOICES, planned

optuna = pytest.importorskip("optuna")


@pytest.mark.parametrize("facts", [PHOTOS, DIGITS, VOICES], ids=["photos", "digits", "voices"])
def test_the_usual_space_is_about_the_plan_and_within_its_limits(facts: Any) -> None:
    recipe = planned(facts)
    found = space.usual(recipe)
    choices = recipe.choices()
    assert {"optimizer.lr", "augment.mixup", "network.width"} < set(found) < set(choices)
    for key, one in found.items():
        ends = one.values if isinstance(one, Among) else (one.low, one.high)
        least, most = LIMITS.get(key, (-math.inf, math.inf))
        assert all(least <= value <= most for value in ends)
        value = choices[key].value
        if key != "optimizer.lr":  # found by a range test
            assert value in ends if isinstance(one, Among) else one.low <= value <= one.high
    measured = space.usual(recipe.decided("optimizer.lr", 0.02, "measured"))["optimizer.lr"]
    assert measured == Range(0.002, 0.2, log=True)


def test_a_space_that_somebody_wrote_overrules_adds_and_takes_out(tmp_path: Path) -> None:
    file = tmp_path / "space.yaml"
    file.write_text(
        "optimizer.lr: {low: 1e-4, high: 1e-1, log: true}\n"
        "augment:\n  mixup: [0, 0.2, 0.4]\n  rotate: null\n"
        "network.depth: [[1, 1, 1, 1], [2, 2, 2, 2]]\n"
        "batch: {low: 16, high: 64, step: 16}\n"
    )
    recipe = planned(PHOTOS)
    found = space.merged(recipe, space.read(file), own={"augment.crop"})
    assert found["optimizer.lr"] == Range(1e-4, 1e-1, log=True)
    assert found["augment.mixup"] == Among((0.0, 0.2, 0.4))
    assert found["network.depth"] == Among(((1, 1, 1, 1), (2, 2, 2, 2)))
    assert found["batch"] == Range(16, 64, step=16)
    assert "augment.rotate" not in found and "augment.crop" not in found
    assert "augment.cutmix" in found
    assert space.from_data(json.loads(json.dumps(space.as_data(found)))) == found


@pytest.mark.parametrize(
    ("wrong", "said", "hint"),
    [
        ({"optimiser.lr": [1, 2]}, "optimiser.lr", "'optimizer.lr'"),
        ({"augment.mixpu": [0, 1]}, "augment.mixpu", "'augment.mixup'"),
        ({"optimizer.lr": {"low": 1, "hihg": 2}}, "optimizer.lr", "'high'"),
        ({"optimizer.lr": {"low": 1, "high": 2, "logg": True}}, "logg", "'log'"),
        ({"optimizer.lr": {"low": 0.1, "high": 0.01}}, "from 0.1 to 0.01", "rise"),
        ({"optimizer.lr": {"low": 0, "high": 0.01, "log": True}}, "holds 0", "1e-12"),
        ({"augment.mixup": {"low": 0, "high": 0.4, "log": True}}, "from 0 to 0.4", "above 0"),
        ({"optimizer.name": {"low": 1, "high": 2}}, "no number", "low"),
        ({"network.dropout": [0.1, 2.0]}, "holds 2", "0.95"),
        ({"network.dropout": [0.1]}, "fewer than two", "low"),
        ({"batch": ["a", "b"]}, "batch", "--set"),
        ({"seed": [0, 1]}, "all trials share", "--set"),
        ({"val": [0.1, 0.2]}, "all trials share", "--set"),
        ([1, 2], "key: range", "low"),
    ],
)
def test_a_wrong_space_is_one_sentence_with_the_fix(wrong: Any, said: str, hint: str) -> None:
    with pytest.raises(ChoiceError) as caught:
        space.read(wrong) if isinstance(wrong, dict) else space.read(_yaml(wrong))
    assert said in caught.value.message
    assert hint in caught.value.hint


def _yaml(value: Any) -> Any:
    path = Path(os.environ["QUICKSTUDY_CACHE"]).with_name("space.yaml")
    path.write_text(json.dumps(value))
    return path


def test_a_space_of_another_kind_or_with_nothing_left_is_refused() -> None:
    with pytest.raises(ChoiceError, match=r"table\.bins"):
        space.merged(planned(PHOTOS), space.read({"table.bins": [8, 16]}), set())
    recipe = planned(PHOTOS)
    with pytest.raises(ChoiceError, match="nothing to search"):
        space.merged(recipe, {}, set(space.usual(recipe)))


@pytest.mark.parametrize("time_", [60.0, 180.0, 600.0, 3_600.0, 36_000.0])
@pytest.mark.parametrize("trials", [None, 3, 40])
@pytest.mark.parametrize("few", [False, True])
def test_rungs_fill_their_time_and_grow(time_: float, trials: int | None, few: bool) -> None:
    found = rungs(100.0, 100.0 + time_, trials, few=few)
    assert found[-1].until == pytest.approx(100.0 + time_)
    lengths = [one.seconds for one in found]
    assert lengths == sorted(lengths)
    began = [100.0, *(one.until for one in found)]
    for begins, one in zip(began, found, strict=False):
        assert one.fitting(begins) >= 3  # the plan's own and two others
    if len(found) > 1:
        assert lengths[0] >= LEAST
        assert found[0].fitting(100.0) > found[-1].fitting(began[-2])


def test_a_first_trial_that_saw_little_makes_the_others_longer() -> None:
    some = rungs(0, 600, None)
    assert too_short(2.0, some, 575.0)
    assert not too_short(9.0, some, 575.0)
    assert not too_short(None, some, 575.0)  # only the last layer: passes say nothing
    assert not too_short(2.0, some, 60.0)  # nothing longer fits
    longer = rungs(25, 600, None, least=2.5 * some[0].seconds)
    assert longer[0].seconds >= 2.5 * some[0].seconds


class At:
    """A clock that only trials move."""

    def __init__(self) -> None:
        self.at, self.stages = 10.0, {}

    def spent(self) -> float:
        return self.at


Score = Callable[[Mapping[str, Any], float], float | str]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Searching]:
    """What makes a search whose trials are no processes: a function scores their recipes."""

    def make(
        score: Score,
        *,
        budget: float = 1200.0,
        trials: int | None = None,
        slow: float = 1.0,
        **asked: Any,
    ) -> Searching:
        def fake(folder: Path, spec: Mapping[str, Any], limit: float, watch: Any) -> Outcome:
            recipe, seconds = spec["recipe"], spec["budget"]
            for key, value in recipe.items():
                coerce(key, value)
            ran.append(dict(recipe) | {"seconds": seconds})
            found = score(recipe, seconds)
            for share in (0.25, 0.5, 0.75):
                val = found * share if isinstance(found, float) else None
                state, why = watch(share, val)
                if state:
                    clock.at += seconds * share
                    return Outcome(state, seconds * share, why)
            clock.at += seconds
            if isinstance(found, str):
                return Outcome("FAIL", seconds, found)
            settled = {key: recipe[key] for key in KEYS if key in recipe}
            settled |= {"optimizer.lr": recipe["optimizer.lr"] or 0.02}
            told = {"score": found, "loss": 1 - found, "score_name": "accuracy"}
            told["passes"] = seconds / slow
            return Outcome("COMPLETE", seconds, told={**told, "settled": settled})

        clock, ran = At(), []
        monkeypatch.setattr(searching, "run_trial", fake)
        memory = optuna.storages.InMemoryStorage()  # no disk: a hundred flushes a test
        monkeypatch.setattr(study_room, "_journal", lambda path: memory)
        monkeypatch.setattr(keeping, "write_whole", lambda path, text: path.write_text(text))
        monkeypatch.setattr(Job, "keep", lambda job: None)
        folder = tmp_path / f"search{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        recipe = planned(DIGITS, budget=budget / 2)
        job = Job("digits", None, {}, {}, budget, 0, None, folder, recipe)
        job.clock = clock  # type: ignore[assignment]
        search = Search(folder, budget, "test", trials, None, "digits", asked)
        lead(folder)
        at = Searching(search, job, Study(folder, None, 0, "test"), recipe)
        at.ran_recipes = ran  # type: ignore[attr-defined]
        return at

    return make


def hill(recipe: Mapping[str, Any], seconds: float) -> float:
    """The best at a rate of 0.05 without mixup; more time helps all alike."""
    off = abs(math.log10((recipe["optimizer.lr"] or 0.02) / 0.05)) + recipe["augment.mixup"]
    return 0.9 - 0.2 * off + 0.01 * math.log(seconds / 25)


def searched(at: Searching) -> list[dict[str, Any]]:
    at.plan_first(at.search.budget / 2)
    halving.halve(at)
    return boards.board(at.study, at.search.space)


def test_the_search_begins_with_the_plan_and_ends_with_better(
    made: Callable[..., Searching],
) -> None:
    at = made(hill)
    rows = searched(at)
    ran = at.ran_recipes  # type: ignore[attr-defined]
    plan = at.recipe.choices()
    first = {key: value for key, value in ran[0].items() if key in plan}
    without = {"budget", "rehearsal", "suspects", "data_curve", "race"}
    assert {k: v for k, v in first.items() if k not in without} == {
        key: choice.value for key, choice in plan.items() if key not in without
    }
    best = boards.winner(rows)
    assert best is not None
    assert not best["plan"] and best["rung"] == len(at.search.rungs) - 1 > 0
    own = next(row for row in rows if row["plan"] and row["rung"] == best["rung"])
    assert best["val_score"] > own["val_score"]  # at equal time
    assert {row["seconds"] for row in rows if row["rung"] == best["rung"]} == {best["seconds"]}
    assert at.spent() <= at.search.budget / 2 + best["seconds"]
    assert len({json.dumps(row["differs"]) for row in rows if row["rung"] == 0}) > 5
    said = at.tell()["sentences"][0]
    assert f"trial {boards.root(best)}, of {boards.recipes(rows)} tried" in said
    assert f"against {boards.score_words('accuracy', own['val_score'])} of the plan's own" in said
    some = [row for row in rows if row["state"] == "pruned"]
    assert some and all("% of its time" in row["why"] for row in some)


def test_no_recipe_wins_that_is_only_as_good_as_the_plan(made: Callable[..., Searching]) -> None:
    at = made(lambda recipe, seconds: 0.8)
    rows = searched(at)
    best = boards.winner(rows)
    assert best is not None and best["plan"]
    at.importance = at.study.importances(at.search.space)
    assert "it was kept" in at.tell()["sentences"][0]


def test_failures_are_told_with_their_reason_and_the_search_goes_on(
    made: Callable[..., Searching],
) -> None:
    def score(recipe: Mapping[str, Any], seconds: float) -> float | str:
        return "out of memory" if recipe["batch"] != 64 else hill(recipe, seconds)

    at = made(score, batch=[32, 64, 128])
    rows = searched(at)
    failed = [row for row in rows if row["state"] == "failed"]
    assert failed and {row["why"] for row in failed} == {"out of memory"}
    assert all(row["differs"]["batch"] != 64 for row in failed)
    best = boards.winner(rows)
    assert best is not None and best["differs"].get("batch", 64) == 64


def test_where_even_the_plan_fails_the_others_are_tried(made: Callable[..., Searching]) -> None:
    def score(recipe: Mapping[str, Any], seconds: float) -> float | str:
        return "NaN" if recipe["optimizer.lr"] is None else hill(recipe, seconds)

    rows = searched(made(score))
    best = boards.winner(rows)
    assert best is not None and not best["plan"]
    rows = searched(made(lambda recipe, seconds: "NaN"))
    assert boards.winner(rows) is None
    assert {row["state"] for row in rows} == {"failed"}


def test_slow_learning_gets_fewer_and_longer_trials(made: Callable[..., Searching]) -> None:
    quick = made(hill)
    searched(quick)
    slow = made(hill, slow=12.0)
    rows = searched(slow)
    assert slow.search.rungs[0].seconds >= 60.0 > quick.search.rungs[0].seconds
    assert boards.recipes(rows) >= 3
    assert slow.ran_recipes[0]["seconds"] < slow.search.rungs[0].seconds  # type: ignore[attr-defined]


def test_where_no_time_is_left_for_trials_the_plan_is_learnt(
    made: Callable[..., Searching],
) -> None:
    at = made(hill, budget=120.0)
    at.job.clock.at = 59.0  # type: ignore[attr-defined]
    assert searched(at) == []
    assert at.ran == 0


def test_the_number_of_trials_is_kept_to(made: Callable[..., Searching]) -> None:
    at = made(hill, trials=4, budget=3600.0)
    rows = searched(at)
    assert boards.recipes(rows) == 4
    assert {boards.root(row) for row in rows} == set(range(4))


def test_what_mattered_is_what_the_score_depends_on(made: Callable[..., Searching]) -> None:
    at = made(hill, budget=3600.0)
    searched(at)
    shares, among = at.importance = at.study.importances(at.search.space)
    assert among >= 8
    assert sum(shares.values()) == pytest.approx(1.0)
    assert set(sorted(shares, key=lambda key: -shares[key])[:2]) == {
        "optimizer.lr",
        "augment.mixup",
    }
    told = at.tell()
    page = search_section({"search": told, "task": "classification"})
    assert "optimizer.lr" in page and "<svg" in page and "chosen" in page
    assert page.count("<tr>") == len(told["board"]) + page.count("<thead>")
    json.dumps(told)


def test_a_search_that_is_stopped_goes_on_where_it_was(made: Callable[..., Searching]) -> None:
    def stop(recipe: Mapping[str, Any], seconds: float) -> float:
        at.job.stop.asked = len(at.ran_recipes) == 4  # type: ignore[attr-defined]
        return hill(recipe, seconds)

    at = made(stop)
    searched(at)
    cut = at.ran_recipes[-1]  # type: ignore[attr-defined]
    assert [t.state.name for t in at.study.trials()] == [*["COMPLETE"] * 3, "FAIL", "WAITING"]
    at.keep()
    leave(at.search.folder)
    kept = kept_search(at.search.folder)
    assert (kept.stage, kept.rung, kept.space) == ("race", 0, at.search.space)
    assert kept.rungs == at.search.rungs
    again = Searching(kept, at.job, Study(kept.folder, None, 0, "test"), at.recipe)
    at.job.stop.asked = False
    again.recall()
    assert again.best == pytest.approx(at.best)
    halving.revive(again)
    halving.halve(again)
    repeated = at.ran_recipes[4]  # type: ignore[attr-defined]
    assert repeated == cut
    rows = boards.board(again.study, kept.space)
    assert boards.winner(rows)["rung"] == len(kept.rungs) - 1  # type: ignore[index]


def test_trials_whose_process_is_no_more_are_begun_again(made: Callable[..., Searching]) -> None:
    at = made(hill)
    at.plan_first(at.search.budget / 2)
    lost = at.study.ask_first(at.search.space, at.planned())
    halving.revive(at)
    (waiting,) = at.study.trials("WAITING")
    again = at.study.ask(at.search.space)
    assert again.number == waiting.number
    assert values(at.search.space, again) == values(at.search.space, lost)
    rows = boards.board(at.study, at.search.space)
    cut = next(row for row in rows if row["number"] == lost.number)
    assert (cut["state"], cut["why"]) == ("failed", "its search was cut short")


def test_others_run_trials_beside_the_leader(made: Callable[..., Searching]) -> None:
    def score(recipe: Mapping[str, Any], seconds: float) -> float:
        if len(at.ran_recipes) == 5:  # type: ignore[attr-defined]
            at.search.stage = "learn"
            at.keep()  # the leader says that the search is over
        return hill(recipe, seconds)

    at = made(score)
    at.plan_first(at.search.budget / 2)
    before = kept_search(at.search.folder)
    beside = Searching(
        before, at.job, Study(before.folder, None, 1, "test"), at.recipe, leads=False
    )
    halving.help_out(beside)
    assert beside.ran == 4
    rows = boards.board(at.study, at.search.space)
    assert len(rows) == 5 and all(row["state"] in ("done", "pruned") for row in rows)


def test_arrays_are_kept_for_the_trials(tmp_path: Path) -> None:
    x, y = np.arange(96, dtype=np.uint8).reshape(2, 4, 4, 3), np.array(["cat", "dog"])
    asking.refuse_code((x, y), None, {})
    job = Job((x, y), None, {}, {}, 600.0, 0, None, tmp_path)
    search = asking.begun(job, {}, None, None)
    for found, given in zip(source_of(kept_search(tmp_path).source), (x, y), strict=True):
        assert found.dtype == given.dtype and (found == given).all()
    assert search.folder == tmp_path
    with pytest.raises(ChoiceError, match="cannot be searched"):
        asking.refuse_code((x, [object(), 1]), None, {})


@pytest.mark.parametrize("url", [None, "sqlite:///{}/search.db"], ids=["journal", "SQLite"])
def test_a_study_lives_in_a_file_or_any_storage(tmp_path: Path, url: str | None) -> None:
    url = url and url.format(tmp_path)
    some = {"optimizer.lr": Range(1e-4, 1e-1, log=True), "batch": Among((16, 32))}
    study = Study(tmp_path, url, 0, "one")
    trial = study.ask_first(some, {"optimizer.lr": 0.01, "batch": 16})
    study.tell(trial, "COMPLETE", {"score": 0.9, "loss": 0.2})
    again = Study(tmp_path, url, 0, "one")
    assert [t.user_attrs["score"] for t in again.trials("COMPLETE")] == [0.9]
    assert (tmp_path / "search.journal").exists() == (url is None)
    with pytest.raises(RunError, match="storage cannot be used"):
        Study(tmp_path, "nosuch://place", 0, "one")


def test_one_process_leads(tmp_path: Path) -> None:
    assert lead(tmp_path)
    (tmp_path / "search.leader").write_text(f"1 {os.uname().nodename}")
    assert not lead(tmp_path)  # process 1 lives
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / "search.leader").write_text(f"{dead.pid} {os.uname().nodename}")
    assert lead(tmp_path)
    leave(tmp_path)
    assert not (tmp_path / "search.leader").exists()


# A trial as a process: what it says, how it dies.


def ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, **options: Any) -> Outcome:
    """Run some code as a trial's process."""
    from quickstudy.search import trials

    head = "import json, os, sys, time, signal; from pathlib import Path; f = Path(sys.argv[1])\n"
    monkeypatch.setattr(trials, "_MAIN", head + code)
    limit, watch = options.get("limit", 20.0), options.get("watch", lambda share, val: GO_ON)
    spec = {"budget": 10.0, "cache": str(tmp_path / "cache")}
    return run_trial(tmp_path / "trial", spec, limit, watch)


WRITE = "(f / {!r}).write_text(json.dumps({!r}))\n"


def test_a_trial_that_ends_tells_its_score(tmp_path: Path, monkeypatch: Any) -> None:
    told = {"score": 0.9, "loss": 0.3, "settled": {}, "passes": None}
    outcome = ended(tmp_path, monkeypatch, WRITE.format(RESULT, told).replace("null", "None"))
    assert outcome.state == "COMPLETE"
    assert outcome.told == {"score": 0.9, "loss": 0.3, "settled": {}}


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (WRITE.format(FAILED, {"why": "the loss is not a number"}) + "sys.exit(3)", "not a number"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "probably out of memory"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "crashed (SIGSEGV)"),
        ("raise ValueError('by chance')", "code 1: ValueError: by chance"),
        ("pass", "code 0: nothing said"),
        (WRITE.format(RESULT, {"score": "much"}), "code 0"),
    ],
)
def test_a_trial_that_fails_says_why(tmp_path: Path, monkeypatch: Any, code: str, why: str) -> None:
    outcome = ended(tmp_path, monkeypatch, code)
    assert outcome.state == "FAIL"
    assert why in outcome.why


def test_a_trial_that_hangs_is_stopped(tmp_path: Path, monkeypatch: Any) -> None:
    began = time.perf_counter()
    outcome = ended(tmp_path, monkeypatch, "time.sleep(60)", limit=0.5)
    assert (outcome.state, time.perf_counter() - began < 20) == ("FAIL", True)
    assert "had not ended" in outcome.why


def test_a_trial_is_watched_through_its_log(tmp_path: Path, monkeypatch: Any) -> None:
    line = {"stage": "train", "fraction": 0.5, "val": 0.75, "seconds": 1}
    code = f"(f / 'log.jsonl').write_text({json.dumps(line)!r} + chr(10) + '{{')\ntime.sleep(60)"
    heard: list[tuple[float, float]] = []

    def watch(share: float, val: float | None) -> tuple[str, str]:
        if val is None:
            return GO_ON
        heard.append((share, val))
        return "PRUNED", "worse"

    outcome = ended(tmp_path, monkeypatch, code, watch=watch)
    assert (outcome.state, outcome.why, heard) == ("PRUNED", "worse", [(0.5, 0.75)])


def test_of_equal_scores_the_lower_loss_leads() -> None:
    rng = random.Random(0)
    for _ in range(100):
        score, loss = rng.random(), 3 * rng.random()
        assert worth(score, loss) > worth(score, loss + 0.01)
        assert worth(score + 0.01, loss + 3) > worth(score, loss)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"budget": 30}, "too short"),
        ({"trials": 1}, "no number of trials"),
        ({"storage": "search.db"}, "no storage"),
        ({"space": {"seed": [1, 2]}}, "seed"),
        ({"loss": lambda scores, target: scores.sum()}, "is code"),
        ({"source": {"a": 1}}, "cannot be searched"),
        ({"resume": "no/such"}, "holds no search"),
        ({"resume": "no/such", "budget": 60}, "keeps its choices"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(
    options: dict[str, Any], said: str, shapes: Path, tmp_path: Path
) -> None:
    given = {"source": shapes, "out": tmp_path / "run", **options}
    if "resume" in options:
        given = {"resume": tmp_path / options["resume"], "budget": options.get("budget")}
    with pytest.raises((ChoiceError, RunError)) as caught:
        tune(**given)
    assert said in caught.value.message
    assert not (tmp_path / "run").exists()


# The whole: real processes, a real run.

FEW = {"epochs": 2, "picture.size": 16, "picture.start_size": 16, "network.width": 0.25}
FEW |= {"compute.threads": 1}


@pytest.fixture(scope="module")
def tuned(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    cache = pytest.MonkeyPatch()
    cache.setenv("QUICKSTUDY_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    heard: list[Any] = []
    try:
        run = tune(
            shapes,
            out=tmp_path_factory.mktemp("tuned") / "run",
            budget="10m",
            trials=2,
            space={"optimizer.lr": [1e-6, 1e-7]},  # no match for the plan
            settings=FEW,
            weights="none",
            listen=heard.append,
        )
    finally:
        cache.undo()
    return run, heard


def test_a_search_hands_over_a_run_as_any_other(tuned: Any, shapes: Path) -> None:
    run, heard = tuned
    assert {"model", "report.html", "report.json", "recipe.yaml", "trials"} < {
        path.name for path in run.folder.iterdir()
    }
    assert not (run.folder / "search.leader").exists()
    told = json.loads((run.folder / "report.json").read_text())["search"]
    assert told["recipes"] == 2 and len(told["board"]) == 2
    assert (told["winner"], told["plan"]) == (0, 0)
    assert "it was kept" in told["sentences"][0]
    assert 'id="search"' in run.report.read_text()
    answer = quickstudy.load(run.folder / "model").predict(next((shapes / "disc").iterdir()))
    assert answer.label in {"cross", "disc", "square"}
    said = [one.said for one in heard if one.said]
    assert any("trial 1" in line for line in said)
    assert any(one.stage == "search" for one in heard)
    assert run.recipe.budget == 600


def test_no_trial_of_a_search_asks_the_test(tuned: Any) -> None:
    run, _ = tuned
    for folder in sorted((run.folder / "trials").iterdir()):
        lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        stages = {line["stage"] for line in lines}
        assert "train" in stages
        assert not stages & {"evaluate", "know", "save"}
        assert {path.name for path in folder.iterdir()} == {
            *("log.jsonl", "recipe.yaml", "run.json", "trial.json", "result.json", "said.txt")
        }
    told = [json.loads((path / RESULT).read_text()) for path in (run.folder / "trials").iterdir()]
    assert {one["n"] for one in told} == {run.facts["val"]["n"]}
    lines = (run.folder / "log.jsonl").read_text().splitlines()
    stages = [json.loads(line)["stage"] for line in lines]
    assert stages.index("evaluate") > len(stages) - 1 - stages[::-1].index("train")


def test_a_search_that_has_ended_is_not_gone_on_with(tuned: Any) -> None:
    with pytest.raises(RunError, match="has ended"):
        tune(resume=tuned[0].folder)
