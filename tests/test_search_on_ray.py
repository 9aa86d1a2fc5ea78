"""`tune --on ray`: trials on a local cluster of two workers, one of which is killed."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from quickstudy.cluster import connected
from quickstudy.errors import ChoiceError, RunError
from quickstudy.search import flow, tune

ray = pytest.importorskip("ray")
pytest.importorskip("optuna")

from quickstudy.search.on_ray import check_reach  # noqa: E402 - needs Ray

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc"),
    pytest.mark.filterwarnings("ignore"),  # Ray's own, of its threads and sockets
]

ON = "ray?workers=2&cores=1"
FEW = {"epochs": 1, "picture.size": 16, "picture.start_size": 16, "network.width": 0.25}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A local cluster of two cores, whatever the machine has."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    ray.init("local", num_cpus=2, include_dashboard=False, _node_ip_address="127.0.0.1",
             logging_level="ERROR", log_to_driver=False)  # fmt: skip
    yield ray
    ray.shutdown()


def worker_of(trial: Path) -> int | None:
    """Return the process that watches a trial's process, which has the folder as its argument."""
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes().split(b"\0")
            if os.fsencode(trial.resolve()) in words:
                return int((place / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it has ended meanwhile
    return None


def kill_worker_of(trial: Path, killed: list[int]) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and not killed:
        if (trial / "log.jsonl").exists() and (found := worker_of(trial)):
            os.kill(found, signal.SIGKILL)
            killed.append(found)
        time.sleep(0.05)


def test_trials_run_beside_each_other_and_one_may_be_lost(
    cluster: Any, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, killed = tmp_path / "run", []
    killer = threading.Thread(target=kill_worker_of, args=(out / "trials" / "001", killed))
    killer.start()
    learnt: list[Any] = []
    monkeypatch.setattr(flow, "learn", lambda *given, **how: learnt.append((given, how)))
    tune(
        shapes,
        out=out,
        budget="10m",
        trials=3,
        space={"optimizer.lr": [1e-6, 1e-7]},
        settings=FEW,
        weights="none",
        on=ON,
    )
    killer.join()
    assert len(killed) == 1
    told = json.loads((out / "search.json").read_text())["told"]
    rows = {row["number"]: row for row in told["board"]}
    assert {n: row["state"] for n, row in rows.items()} == {0: "done", 1: "failed", 2: "done"}
    assert "its worker was lost: The actor died" in rows[1]["why"]
    specs = [json.loads((out / "trials" / f"00{n}" / "trial.json").read_text()) for n in range(3)]
    ended = [(out / "trials" / f"00{n}" / "result.json") for n in (0, 2)]
    assert specs[1]["began"] < ended[1].stat().st_mtime  # beside each other
    assert {spec["recipe"]["compute.threads"] for spec in specs} == {1}
    ((given, how),) = learnt  # the rest is what `learn --on` does
    assert (given, how["on"], how["resume"]) == ((None,), ON, out)


def test_a_cluster_that_no_search_can_be_led_on(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ChoiceError, match="from outside a cluster"):
        tune("photos", on="ray://head:10001")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ChoiceError, match="torchrun"):
        tune("photos", on="ray")


def test_machines_that_do_not_see_the_run_are_named(cluster: Any, tmp_path: Path) -> None:
    with connected(ON) as there:
        check_reach(there, tmp_path, "s3://bucket/shards/", None)
        with pytest.raises(RunError, match=r"does not see .*/nothing") as caught:
            check_reach(there, tmp_path / "nothing", str(tmp_path), None)
        assert "share" in caught.value.hint
        with pytest.raises(RunError, match="has 64 CPU"):
            check_reach(replace(there, takes={"CPU": 64.0}), tmp_path, str(tmp_path), None)
