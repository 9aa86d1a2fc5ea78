"""A trial from outside: its process is started, watched, stopped; what it said is read."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import quickstudy
from quickstudy.folders import disk_errors, write_whole
from quickstudy.search.one import FAILED, RESULT, SPEC

_POLL = 0.25  # seconds
_GRACE = 20.0  # seconds, and half of its time, that a trial may overrun before it is killed
_HEAVY = ("*.safetensors", "*.f32", "doubts.json")  # what only an unfinished run needs
_SAID = "said.txt"
_MAIN = "import sys; from quickstudy.search.one import run; run(sys.argv[1:])"
_KILLED = -9  # what a system short of memory ends a process with


@dataclass(frozen=True)
class Outcome:
    """How a trial went: ``COMPLETE``, ``PRUNED``, ``FAIL``, or ``STOPPED`` by somebody."""

    state: str
    seconds: float
    why: str = ""
    told: Mapping[str, Any] | None = None
    """What the trial itself says, where it ended."""


#: Hears (share of the trial's time that is spent, latest score on val); returns why it is to stop:
#: the empty string to go on, else a word for the state and one for the reason.
Watch = Callable[[float, float | None], tuple[str, str]]
GO_ON = ("", "")


def run_trial(folder: Path, spec: Mapping[str, Any], limit: float, watch: Watch) -> Outcome:
    """Run a trial in a process of its own, in `folder`; wait for its end, `limit` seconds at most.

    Nothing that happens to it is raised: all of it is an `Outcome`.
    """
    with disk_errors("a trial's folder"):
        folder.mkdir(parents=True, exist_ok=True)
    began = time.time()
    write_whole(folder / SPEC, json.dumps({**spec, "began": began}))
    root = str(Path(quickstudy.__file__).resolve().parents[1])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, **_own_gpu(), "PYTHONPATH": os.pathsep.join(paths)}
    environment["QUICKSTUDY_CACHE"] = spec["cache"]  # where the examples lie decoded
    command = [sys.executable, "-P", "-c", _MAIN, str(folder.resolve())]
    with (folder / _SAID).open("wb") as said:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,  # closed when this process ends, however it does
            stdout=said,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,  # a Ctrl-C is the search's to deal with
        )
        try:
            outcome = _watched(process, folder, began, limit, spec["budget"], watch)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            if process.stdin is not None:
                process.stdin.close()
    _tidy(folder)
    return outcome or _ended(process.returncode, folder, time.time() - began)


def _own_gpu() -> dict[str, str]:
    """Return what leaves a trial one GPU, where torchrun has started a process for each."""
    place, gpus = os.environ.get("LOCAL_RANK"), torch.cuda.device_count()
    if place is None or gpus < 2:
        return {}
    given = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(gpus)))
    return {"CUDA_VISIBLE_DEVICES": given.split(",")[int(place) % gpus]}


def _watched(
    process: subprocess.Popen[bytes],
    folder: Path,
    began: float,
    limit: float,
    budget: float,
    watch: Watch,
) -> Outcome | None:
    """Wait for the end of a process; return why it was ended before, if so."""
    log = _Log(folder / "log.jsonl")
    while process.poll() is None:
        spent = time.time() - began
        log.read()
        state, why = watch(log.share or min(1.0, spent / max(1.0, budget)), log.val)
        if state:
            return Outcome(state, spent, why)
        if spent > limit:
            return Outcome("FAIL", spent, f"had not ended after {spent:.0f} s, and was stopped")
        time.sleep(_POLL)
    return None


class _Log:
    """What a trial's log has told so far, read as it grows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.at = 0
        self.val: float | None = None
        self.share = 0.0
        """Of the learning, as the trial itself counts."""

    def read(self) -> None:
        """Read what is new; a line that is being written waits for the next time."""
        try:
            with self.path.open("rb") as file:
                file.seek(self.at)
                new = file.read()
        except FileNotFoundError:
            return
        whole, newline, _ = new.rpartition(b"\n")
        self.at += len(whole) + len(newline)
        for line in whole.splitlines():
            try:
                told = json.loads(line)
            except ValueError:
                continue
            if told.get("stage") == "train" and told.get("val") is not None:
                self.val = float(told["val"])
                self.share = max(self.share, float(told["fraction"]))


def _ended(code: int, folder: Path, seconds: float) -> Outcome:
    """Return how a trial ended of its own."""
    result = _read(folder / RESULT)
    if result is not None and isinstance(result.get("score"), int | float):
        return Outcome("COMPLETE", seconds, told={"loss": math.inf, **_known(result)})
    failed = _read(folder / FAILED)
    if failed is not None:
        return Outcome("FAIL", seconds, str(failed.get("why", "")))
    if code == _KILLED:
        return Outcome("FAIL", seconds, "killed by the system: probably out of memory")
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
        return Outcome("FAIL", seconds, f"its process crashed ({name})")
    return Outcome("FAIL", seconds, f"its process ended with code {code}: {_last_line(folder)}")


def _known(result: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in result.items() if value is not None}


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _last_line(folder: Path) -> str:
    try:
        lines = (folder / _SAID).read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return ""
    return next((line.strip()[:200] for line in reversed(lines) if line.strip()), "nothing said")


def _tidy(folder: Path) -> None:
    for pattern in _HEAVY:
        for file in folder.glob(pattern):
            file.unlink(missing_ok=True)


def longest(seconds: float) -> float:
    """Return after how many seconds a trial of `seconds` is taken to hang."""
    return 1.5 * seconds + _GRACE
