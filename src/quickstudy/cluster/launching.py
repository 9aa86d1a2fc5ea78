"""One machine with several GPUs: `learn` starts a process for each of them itself."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from typing import IO

import torch
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from quickstudy.cluster.group import Group
from quickstudy.cluster.joining import WAITING, group
from quickstudy.errors import RunError
from quickstudy.recipe import Recipe

_FOLLOW = "from quickstudy.learning.together import follow_here; follow_here()"
_HERE, _PORT = "127.0.0.1", "QUICKSTUDY_PORT"
_READY = "ready"  # in the store from when the first process is
_ENDING = 10.0  # seconds to end by themselves
_WORTH_IT = 60.0  # seconds left: starting takes some ten


def processes(recipe: Recipe, left: float) -> int:
    """Return how many processes are to learn what a recipe says with `left` seconds: one a GPU."""
    if recipe.compute.device != "cuda" or (recipe.epochs is None and left < _WORTH_IT):
        return 1
    return torch.cuda.device_count()


@dataclass
class Launched:
    """The processes that were started beside this one; they wait at a store until that is ready."""

    store: TCPStore
    ready: bool = False
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)
    said: list[IO[bytes]] = field(default_factory=list)

    def join(self) -> Group:
        """Return the group of all of them; waits until they have come. Raises `RunError`."""
        self.store.set(_READY, "")
        self.ready = True
        try:
            return group(self.store, 0, len(self.started) + 1)
        except RunError as problem:
            said = self.last_words()
            raise RunError(f"{problem.message} ({said})" if said else problem.message) from problem

    def last_words(self) -> str:
        """Return the last line that one of them has said of what went wrong; '' for none."""
        for file in self.said:
            file.seek(0)
            lines = file.read().decode(errors="replace").strip().splitlines()
            if lines:
                return lines[-1]
        return ""

    def end(self) -> None:
        """Wait until they have ended; those that do not are ended."""
        for process in self.started:
            try:
                process.wait(_ENDING if self.ready else 0.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for file in self.said:
            file.close()


def called() -> Group:
    """Return the group of those that were started with this process, once the first is ready.

    That may be decoding for hours until then. Raises `RunError` where one does not come.
    """
    numbers = [int(os.environ[name]) for name in (_PORT, "RANK", "WORLD_SIZE")]
    store = TCPStore(_HERE, numbers[0], is_master=False, timeout=WAITING)
    store.wait([_READY], WAITING)
    return group(store, *numbers[1:])


def launch(many: int) -> Launched:
    """Start all but the first of `many` processes; they wait for the first to `join`."""
    made = Launched(TCPStore(_HERE, 0, is_master=True, wait_for_workers=False))
    for rank in range(1, many):
        numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": many, _PORT: made.store.port}
        own = {key: str(value) for key, value in numbers.items()}
        said = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `end`
        words = [sys.executable, "-c", _FOLLOW]
        made.said.append(said)
        made.started.append(
            subprocess.Popen(
                words,
                env={**os.environ, **own, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                start_new_session=True,  # Ctrl-C is for the first one, which tells the others
            )
        )
    return made
