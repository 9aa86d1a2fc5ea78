"""Several processes learn as one does; told by the first, lost one by one, gone on together."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import socket
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import quickstudy as qs
from quickstudy import cluster
from quickstudy.cluster import following, joining
from quickstudy.cluster.office import Office
from quickstudy.cluster.working import Teller
from quickstudy.kinds.image import augment
from quickstudy.network import Built
from quickstudy.progress import Progress
from quickstudy.training import loop

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks processes")

#: Nothing random but the first weights, and no batch norm: parts of a batch sum up to the whole.
CHOICES = {
    "epochs": 6, "picture.size": 16, "picture.start_size": 16, "batch": 15, "optimizer.lr": 0.02,
    "augment.mirror": False, "augment.crop": 1.0, "augment.rotate": 0.0, "augment.colour": 0.0,
    "augment.mixup": 0.0, "augment.cutmix": 0.0, "suspects": "keep", "data_curve": "never",
    "rehearsal": 0.0, "compute.threads": 1, "compute.precision": "float32",
    "optimizer.name": "sgd",
}  # fmt: skip


def _port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Processes:
    """The same function in several processes, as torchrun starts it; forked: no imports again."""

    def __init__(self, function: Callable[[], Any], world: int = 2, **env: str) -> None:
        many = multiprocessing.get_context("fork")
        port, self.pipes = _port(), []
        self.processes = []
        for rank in range(world):
            ours, theirs = many.Pipe()
            own = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "MASTER_PORT": port}
            told = {"MASTER_ADDR": "127.0.0.1", **{k: str(v) for k, v in own.items()}, **env}
            process = many.Process(target=_run, args=(function, told, theirs))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads
                process.start()
            theirs.close()
            self.pipes.append(ours)
            self.processes.append(process)

    def results(self, seconds: float = 120) -> list[Any]:
        """Return what each has returned, or the error that it raised."""
        deadline, found = time.monotonic() + seconds, []
        try:
            for pipe in self.pipes:
                there = pipe.poll(max(0.0, deadline - time.monotonic()))
                try:
                    found.append(pipe.recv() if there else "late")
                except EOFError:
                    found.append("killed")
        finally:
            for process in self.processes:
                process.join(5)
                process.kill()
        return found


def _run(function: Callable[[], Any], env: dict[str, str], pipe: Any) -> None:
    os.environ.update(env)
    torch.set_num_threads(1)
    try:
        pipe.send(function())
    except BaseException as problem:
        pipe.send(f"{type(problem).__name__}: {problem}")
    finally:
        pipe.close()
        os._exit(0)  # without what pytest would do at an exit


NETWORK = [{"conv": 8}, "relu", {"pool": "average"}, {"dense": "classes"}]


def learn(source: Path, out: Path, **more: Any) -> dict[str, Any]:
    """Learn; return what was said, what the report tells, and the weights."""
    choices = CHOICES | more.pop("settings", {})
    augment._STRETCH = augment._SHIFT = 0.0  # in this process, forked for it, alone
    heard: list[str] = []
    run = qs.learn(source, out=out, settings=choices, budget="1h", device="cpu", network=NETWORK,
                   listen=lambda p: heard.append(p.said), **more)  # fmt: skip
    return {
        "events": [one["what"] for one in run.facts["events"]],
        "steps": run.facts["steps"],
        "said": [one.strip() for one in heard if one],
        "weights": {k: v.numpy() for k, v in run.model.network.state_dict().items()},
    }


def same(ours: dict[str, Any], theirs: dict[str, Any], tolerance: float) -> None:
    assert ours["weights"].keys() == theirs["weights"].keys()
    for name, values in theirs["weights"].items():
        np.testing.assert_allclose(ours["weights"][name], values, rtol=0, atol=tolerance)


@pytest.fixture(scope="module")
def alone(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one process learns."""
    out = tmp_path_factory.mktemp("alone") / "run"
    (found,) = Processes(lambda: learn(shapes, out), 1).results()
    assert isinstance(found, dict), found
    return found


def dying_at(step: int, source: Path, out: Path) -> dict[str, Any]:
    """Learn, killed at a step, one after a checkpoint: only those that follow, of several."""
    honest = loop.step_once

    def cut(now: Any, *more: Any) -> float:
        if now.step == step and (now.crew.rank or now.crew.world == 1):
            os.kill(os.getpid(), signal.SIGKILL)
        return honest(now, *more)

    def save(saver: Any, now: Any) -> None:
        if now.step == step - 1:
            loop.checkpoints.write(saver.folder, now.state())

    loop.step_once = following.step_once = cut
    loop._Saver.save_if_due = save  # type: ignore[method-assign]
    return learn(source, out)


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


def test_a_mistake_lets_the_others_go(tmp_path: Path) -> None:
    first, second = Processes(lambda: learn(tmp_path / "nothing", tmp_path / "run")).results(30)
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
