"""Processes that learn together in tests: forked, so that nothing is imported again."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import socket
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch

import quickstudy as qs
from quickstudy.cluster import following
from quickstudy.kinds.image import augment
from quickstudy.training import loop

#: Nothing random but the first weights, and no batch norm: parts of a batch sum up to the whole.
CHOICES = {
    "epochs": 6, "picture.size": 16, "picture.start_size": 16, "batch": 15, "optimizer.lr": 0.02,
    "augment.mirror": False, "augment.crop": 1.0, "augment.rotate": 0.0, "augment.colour": 0.0,
    "augment.mixup": 0.0, "augment.cutmix": 0.0, "suspects": "keep", "data_curve": "never",
    "rehearsal": 0.0, "compute.threads": 1, "compute.precision": "float32",
    "optimizer.name": "sgd",
}  # fmt: skip


def _port() -> int:
    """Return a free port that no connection is given by chance until it is bound again."""
    for port in random.sample(range(15_000, 32_000), 100):
        with socket.socket() as free, suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


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

    def results(self, seconds: float = 300) -> list[Any]:
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


def dying_at(step: int, source: Path, out: Path, **more: Any) -> dict[str, Any]:
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
    return learn(source, out, **more)
