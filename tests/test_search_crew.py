"""`torchrun -m quickstudy tune`: all processes try recipes, then all learn by the best."""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import quickstudy as qs
from crews import CHOICES, NETWORK, Processes
from quickstudy.search import searching
from quickstudy.search.trials import Outcome

pytest.importorskip("optuna")
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks processes")


def run_trial(folder: Path, spec: Mapping[str, Any], limit: float, watch: Any) -> Outcome:
    """In place of a process: the lower the learning rate, the better. 1 and 2 begin together."""
    folder.mkdir(parents=True)
    began = time.time()
    pair = [folder.with_name(name) for name in ("001", "002")]
    while folder in pair and not all(one.is_dir() for one in pair) and time.time() < began + 60:
        time.sleep(0.05)
    time.sleep(0.2)
    recipe = spec["recipe"]
    (folder / "done.json").write_text(
        json.dumps([int(os.environ["RANK"]), began, time.time(), recipe["compute.threads"]])
    )
    score = 0.9 - recipe["optimizer.lr"]
    told = {"score": score, "loss": 0.1, "score_name": "accuracy", "settled": recipe}
    return Outcome("COMPLETE", 0.5, told={**told, "passes": None})


def tune(source: Path, out: Path) -> dict[str, Any]:
    """Search; return what was said and what the report tells."""
    searching.run_trial = run_trial  # type: ignore[attr-defined]
    settings = {key: value for key, value in CHOICES.items() if key != "compute.threads"}
    settings["epochs"] = 2
    heard: list[str] = []
    run = qs.tune(source, out=out, budget="1h", trials=5, device="cpu", network=NETWORK,
                  settings=settings, space={"optimizer.lr": [0.02, 0.01, 0.005]},
                  listen=lambda p: heard.append(p.said))  # fmt: skip
    return {"said": [one.strip() for one in heard if one], "facts": dict(run.facts)}


def test_all_processes_run_trials_and_learn_together(shapes: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    first, second = Processes(lambda: tune(shapes, out)).results()
    assert isinstance(first, dict), first
    assert second == "SystemExit: 0"
    told = first["facts"]["search"]
    assert told["recipes"] == 5
    _readable_elsewhere(out / "search.journal")
    done = [json.loads(path.read_text()) for path in sorted(out.glob("trials/*/done.json"))]
    ranks, begins, ends, threads = zip(*done, strict=True)
    assert set(ranks) == {0, 1} and len(done) == len(told["board"])
    beside = [n for n in range(len(done)) if any(begins[n] < ends[m] and begins[m] < ends[n]
              for m in range(len(done)) if ranks[n] != ranks[m])]  # fmt: skip
    assert beside
    assert set(threads) == {max(1, len(os.sched_getaffinity(0)) // 2)}
    events = [one["what"] for one in first["facts"]["events"]]
    assert any("learn together: 7.5 of each 15" in event for event in events), events
    assert not any("were lost" in event for event in events)


def _readable_elsewhere(journal: Path) -> None:
    """Plain Optuna, and so its dashboard, reads names, values and how each trial went."""
    optuna = pytest.importorskip("optuna")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a journal is experimental, it says
        file = optuna.storages.journal.JournalFileBackend(str(journal))
        study = optuna.load_study(study_name=None, storage=optuna.storages.JournalStorage(file))
    assert (study.study_name, study.direction.name) == ("quickstudy", "MAXIMIZE")
    rates = [trial.params["optimizer.lr"] for trial in study.trials]
    assert study.best_params["optimizer.lr"] == min(rates)
    first = study.trials[0]
    assert first.user_attrs == {"rung": 0, "plan": True, "score": 0.88, "loss": 0.1, "seconds": 0.5}
    assert first.value == pytest.approx(0.88 - 0.001 * 0.1)


def test_a_restart_finds_its_search(shapes: Path, tmp_path: Path) -> None:
    """As torchrun does after a process was lost: all begin anew, with the same name."""
    out, launch = tmp_path / "run", {"TORCHELASTIC_RUN_ID": "test"}

    def lost() -> dict[str, Any]:
        honest = searching.Searching.finish

        def die(at: Any, *given: Any) -> None:
            honest(at, *given)
            os._exit(1)

        searching.Searching.finish = die  # type: ignore[method-assign]
        return tune(shapes, out)

    assert "killed" in Processes(lost, **launch).results()
    first, second = Processes(lambda: tune(shapes, out), **launch).results()
    assert isinstance(first, dict), first
    assert second == "SystemExit: 0"
    rows = first["facts"]["search"]["board"]
    assert len({row["number"] for row in rows if row["state"] == "done"}) >= 4
    said = "a worker was lost and another came: 2 went on from the last checkpoint"
    assert said in first["said"]
