"""Several processes learn as one does; told by the first, lost one by one, gone on together."""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn

import quickstudy as qs
from crews import Processes, dying_at, learn, same
from quickstudy import cluster
from quickstudy.cluster import following, joining
from quickstudy.cluster.office import Office
from quickstudy.cluster.working import Teller
from quickstudy.network import Built
from quickstudy.progress import Progress
from quickstudy.training import loop

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks processes")


@pytest.fixture(scope="module")
def alone(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one process learns."""
    out = tmp_path_factory.mktemp("alone") / "run"
    (found,) = Processes(lambda: learn(shapes, out), 1).results()
    assert isinstance(found, dict), found
    return found


def test_workers_are_lost_and_come_and_learn_what_one_does(
    shapes: Path, tmp_path: Path, alone: dict[str, Any]
) -> None:
    """As torchrun does: two, of which one is killed; the one left, killed too; then two again."""
    out, launch = tmp_path / "run", {"TORCHELASTIC_RUN_ID": "test"}
    lost, killed = Processes(lambda: dying_at(12, shapes, out), **launch).results()
    assert killed == "killed"
    assert str(lost).startswith("LostError: A worker was lost")
    assert Processes(lambda: dying_at(20, shapes, out), 1, **launch).results() == ["killed"]
    first, second = Processes(lambda: learn(shapes, out), **launch).results()
    assert isinstance(first, dict), first
    assert second == "SystemExit: 0"
    assert "2 workers now, where there was 1" in first["said"]
    assert "went on from the checkpoint at step 19" in first["events"]
    assert "workers were lost or came 2 times: 2, then 1, then 2 learnt together" in first["events"]
    assert any("learn together: 7.5 of each 15" in event for event in first["events"])
    assert first["steps"] == alone["steps"] == round(6 * 90 / 15)
    same(first, alone, 1e-4)
    assert not any("worker" in line for line in alone["said"] + alone["events"])


def asked_to_stop_too_late(source: Path, out: Path) -> dict[str, Any]:
    """Learn, as where torchrun ends process 0 for another one died before the first step."""
    honest, came = loop._begin, following.Follower._come_in

    def begun(*given: Any) -> Any:
        found = honest(*given)
        os.kill(os.getpid(), signal.SIGTERM)
        return found

    def gone(*given: Any) -> Any:
        came(*given)
        os.kill(os.getpid(), signal.SIGKILL)

    loop._begin, following.Follower._come_in = begun, gone  # type: ignore[method-assign]
    return learn(source, out)


def test_what_ends_for_a_lost_worker_says_so(shapes: Path, tmp_path: Path) -> None:
    """Not as if somebody had asked the run to stop, with a model that has learnt nothing."""
    found = Processes(lambda: asked_to_stop_too_late(shapes, tmp_path / "run")).results()
    assert str(found[0]).startswith("LostError: A worker was lost"), found
    assert found[1] == "killed"


def come_late() -> int:
    """Join, the second process later than the first one; return how many have come."""
    if os.environ["RANK"] == "1":
        time.sleep(2)
    return cluster.joined().world


def test_addresses_of_those_lost_are_not_called_again() -> None:
    """Torchrun keeps its store when it starts all again: what the last ones left is still there."""
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    own = {"MASTER_PORT": str(store.port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
    for _ in range(2):
        assert Processes(come_late, **own).results() == [2, 2]


def failing(name: str, source: Path, out: Path) -> dict[str, Any]:
    """Learn, where the first process fails in or after its fifth step."""
    honest = getattr(loop, name)

    def spoilt(now: Any, *more: Any) -> Any:
        if now.step == 5:
            raise qs.QuickstudyError("The disk is full.", "Free some space.")
        return honest(now, *more)

    setattr(loop, name, spoilt)  # not in `following`: in the first process alone
    return learn(source, out)


@pytest.mark.parametrize(("where", "end"), [("step_once", "LostError"), ("_tell", "SystemExit: 0")])
def test_an_error_of_the_first_is_no_riddle(
    shapes: Path, tmp_path: Path, where: str, end: str
) -> None:
    """Nobody waits for ever; those that can still be told go quietly."""
    first, second = Processes(lambda: failing(where, shapes, tmp_path / "run")).results()
    assert str(first).startswith("QuickstudyError: The disk is full."), first
    assert str(second).startswith(end), second


def test_a_mistake_lets_the_others_go(tmp_path: Path) -> None:
    first, second = Processes(lambda: learn(tmp_path / "nothing", tmp_path / "run")).results()
    assert first.startswith("SourceError")
    assert second == "SystemExit: 0"


# -- one step ------------------------------------------------------------------------------------


class Odd(nn.Module):
    """A network with a part that gets no gradient."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.used, self.idle = nn.Linear(4, 3), nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.used(x)


class Bent(nn.Module):
    """A loss that learns something itself."""

    def __init__(self) -> None:
        super().__init__()
        self.bend = nn.Parameter(torch.tensor(1.5))

    def forward(self, scores: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return ((scores - target).abs() ** self.bend).mean()


def one_step(spoil: bool = False, room: int = 99) -> dict[str, Any]:
    """Compute a step on 9 examples: 5 of one process, 4 of the other."""
    crew = cluster.joined()
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(9, 4))).float()
    target = torch.from_numpy(rng.normal(size=(9, 3))).float()
    x, target = x[crew.rank :: crew.world], target[crew.rank :: crew.world]
    if spoil and crew.rank == 1:
        x[0, 0] = math.nan
    module, loss = Odd(), Bent()
    if crew.rank == 1:
        module.used.register_forward_pre_hook(lambda _, given: _refuse(len(given[0]) > room))
    recipe: Any = SimpleNamespace(
        batch=9, compute=SimpleNamespace(device="cpu", precision="float32")
    )
    value, parts = crew.compute(Built(module, ""), recipe, loss, x, target)
    again, _ = crew.compute(Built(module, ""), recipe, loss, x, target, parts)
    grads = {name: None if p.grad is None else p.grad.numpy()
             for name, p in (*module.named_parameters(), *loss.named_parameters())}  # fmt: skip
    joining.left(crew)
    return {"loss": (value, again), "parts": parts, "grads": grads}


def _refuse(refused: bool) -> None:
    if refused:
        raise MemoryError("out of memory")


@pytest.mark.parametrize("room", [99, 2])
def test_a_step_of_two_is_a_step_of_one(room: int) -> None:
    """Parts of different sizes, a memory that ends, a loss that learns, an idle parameter."""
    ((whole,), halves) = (
        Processes(one_step, world).results() if world == 1 else
        Processes(lambda: one_step(room=room), world).results() for world in (1, 2)
    )  # fmt: skip
    for half in halves:
        assert half["loss"] == pytest.approx(whole["loss"], rel=1e-6)
        assert half["parts"] == (1 if room == 99 else 2)
        for name, grad in whole["grads"].items():
            if grad is not None:
                np.testing.assert_allclose(half["grads"][name], grad, rtol=1e-5, atol=1e-7)
        assert half["grads"]["used.weight"].tobytes() == halves[0]["grads"]["used.weight"].tobytes()


def test_a_loss_that_is_no_number_is_seen_by_all() -> None:
    for half in Processes(lambda: one_step(spoil=True)).results():
        assert all(math.isnan(loss) for loss in half["loss"])


@pytest.mark.parametrize("text", ["roy", "ray://", "ray://head", "ray?workers=no", "ray?worker=2",
                                  "ray?workers=3-1", "ray?cores=0", "http://head:1"])  # fmt: skip
def test_a_place_that_is_none(text: str) -> None:
    with pytest.raises(qs.QuickstudyError, match="is no place to learn on"):
        cluster.place(text)


def test_an_office_keeps_what_a_run_far_away_says_and_writes(tmp_path: Path) -> None:
    office = Office()
    teller = Teller(office.put, tmp_path)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_bytes(b"one")
    (tmp_path / "gone").write_bytes(b"soon")
    teller(Progress("train", 1.5, 0.25))
    teller.send()
    assert office.contents() == {"model/weights": b"one", "gone": b"soon"}
    assert [Progress(**line) for line in office.said(0)] == [Progress("train", 1.5, 0.25)]
    (tmp_path / "gone").unlink()
    (tmp_path / "model" / "weights").write_bytes(b"two, longer")
    office.ask_to_stop()
    teller.end()
    assert office.contents() == {"model/weights": b"two, longer"}
    assert office.said(1) == []
    assert teller.stop.asked


def test_a_start_of_processes_finds_the_run_that_it_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, kept in (("a", '{"launch": "mine"}'), ("b", "{"), ("c", '{"launch": "other"}')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text(kept)
    runs = [tmp_path / name for name in "zcba"]
    for key in ("TORCHELASTIC_RUN_ID", "TORCHELASTIC_ERROR_FILE", joining.LAUNCH):
        monkeypatch.delenv(key, raising=False)
    assert (cluster.launch(), cluster.unfinished(runs)) == ("", None)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")  # torchrun's, where nobody names one
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", "/tmp/logs/mine/attempt_2/0/error.json")
    assert (cluster.launch(), cluster.unfinished(runs)) == ("mine", tmp_path / "a")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "other")
    assert cluster.unfinished(runs) == tmp_path / "c"


def test_gpus_of_one_machine_need_no_flag(shapes: Path, tmp_path: Path, alone: Any) -> None:
    """Tried with two processes on the CPU: `learn` starts the other one itself."""

    def both() -> dict[str, Any]:
        cluster.processes = lambda recipe, left: 2
        return learn(shapes, tmp_path / "run")

    (found,) = Processes(both, 1).results()
    assert isinstance(found, dict), found
    assert "2 workers on one machine, one for each GPU" in found["said"]
    same(found, alone, 0.01)  # the other one shifts its pictures a little
