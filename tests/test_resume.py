"""Killed at any moment, a run goes on and ends as an unbroken one does, bit for bit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from processes import Process, command
from quickstudy.training import loop

pytestmark = pytest.mark.skipif(os.name != "posix", reason="kill -9 is POSIX's")

CHOICES = [
    "epochs=16", "picture.size=24", "picture.start_size=16", "network.width=0.25",
    "augment.mixup=0.2", "optimizer.lr=0.02", "batch=16", "network.dropout=0.2",
]  # fmt: skip
HEARD = [
    "epochs=10", "network.width=0.25", "augment.mixup=0.2", "augment.mask_time=0.3",
    "augment.noise=0.8", "optimizer.lr=0.02", "batch=16", "rehearsal=0",
]  # fmt: skip


def often(*words: str) -> int:
    """Do a command that keeps a checkpoint each 20 steps: no second one is waited for."""

    def save(saver: Any, now: Any) -> None:
        if now.step % 20 == 0:
            loop.checkpoints.write(saver.folder, now.state())

    loop._Saver.save_if_due = save  # type: ignore[method-assign]
    return command(*words)


def begun(said: Path, *words: str | Path) -> Process:
    return Process(said, often, "learn", *map(str, words))


def gone_on(run: Path) -> None:
    """Go on in a process that shares nothing with those before it, the order of sets least."""
    command = [sys.executable, "-m", "quickstudy", "learn", "--resume", str(run)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr


def wait_for(moment: str, run: Path, started: Process) -> None:
    """Wait until the run has got to a moment of its life."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and started.process.is_alive():
        checkpoint = run / "checkpoint.safetensors"
        try:
            log = (run / "log.jsonl").read_text()
        except FileNotFoundError:
            log = ""
        reached = {
            "decoding": '"stage": "decode"' in log,
            "the first step": checkpoint.exists(),
            "the second checkpoint": _step(checkpoint) > 0,
        }
        if reached[moment]:
            return
        time.sleep(0.005)
    raise AssertionError(f"the run never got to {moment}: {started.said.read_text()}")


def _step(checkpoint: Path) -> int:
    try:
        with safe_open(checkpoint, framework="pt") as file:
            return int(json.loads(file.metadata()["facts"])["step"])
    except (FileNotFoundError, SafetensorError):
        return 0


def killed_at(moment: str, run: Path, said: Path, *words: str | Path) -> None:
    started = begun(said, *words)
    try:
        wait_for(moment, run, started)
    finally:
        started.kill()
    assert not (run / "report.json").exists()


def test_kill_and_resume_equals_unbroken_for_sound(tones: Path, tmp_path: Path) -> None:
    """The same with everything that is drawn at random for sound: places, speeds, noise, masks."""
    whole, cut, said = tmp_path / "whole", tmp_path / "cut", tmp_path / "said"
    begun(said, tones, "--out", whole, "--set", *HEARD).end(500)
    killed_at("the second checkpoint", cut, said, tones, "--out", cut, "--set", *HEARD)
    gone_on(cut)
    ours, theirs = (load_file(run / "model" / "weights.safetensors") for run in (cut, whole))
    assert ours.keys() == theirs.keys()
    assert all((ours[name] == theirs[name]).all() for name in ours)


def test_killed_three_times_equals_unbroken(shapes: Path, tmp_path: Path) -> None:
    """As it decodes, at its first step, and between two checkpoints: one run after another."""
    whole, run, said = tmp_path / "whole", tmp_path / "run", tmp_path / "said"
    begun(said, shapes, "--out", whole, "--set", *CHOICES).end(500)
    words: tuple[str | Path, ...] = (shapes, "--out", run, "--set", *CHOICES)
    for moment in ("decoding", "the first step", "the second checkpoint"):
        killed_at(moment, run, said, *words)
        words = ("--resume", run)
    gone_on(run)
    ours = load_file(run / "model" / "weights.safetensors")
    theirs = load_file(whole / "model" / "weights.safetensors")
    assert all(ours[name].equal(tensor) for name, tensor in theirs.items())
    assert _test_of(run) == _test_of(whole)


def _test_of(run: Path) -> object:
    told = json.loads((run / "report.json").read_text())["test"]
    return {k: told[k] for k in ("accuracy", "confusion", "log_loss")}


def test_ctrl_c_keeps_the_work(shapes: Path, tmp_path: Path) -> None:
    run, said = tmp_path / "run", tmp_path / "said"
    settings = [c for c in CHOICES if not c.startswith("epochs")]
    started = begun(said, shapes, "--out", run, "--budget", "60s", "--set", *settings)
    try:
        wait_for("the second checkpoint", run, started)
        os.kill(started.process.pid or 0, signal.SIGINT)
        started.end(300)
    finally:
        started.kill()
    told = json.loads((run / "report.json").read_text())
    assert told["outcome"]["status"] == "interrupted"
    assert (run / "model" / "weights.safetensors").exists()
    assert "Ctrl-C" in said.read_text()
    # and it can still go on
    assert (run / "checkpoint.safetensors").exists()


@pytest.mark.parametrize(
    ("budget", "writing", "apart"),
    [(10, 0.0, 2.0), (600, 0.0, 12.0), (36_000, 0.0, 30.0), (10, 0.5, 10.5), (10, 2.0, 32.0)],
)
def test_how_often_a_checkpoint_is_kept(
    budget: float, writing: float, apart: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, kept = 0.0, []

    def write(*_: object) -> None:
        nonlocal now
        kept.append(now)
        now += writing

    monkeypatch.setattr(loop, "time", SimpleNamespace(perf_counter=lambda: now))
    monkeypatch.setattr(loop.checkpoints, "write", write)
    saver, learning = loop._Saver(tmp_path, budget, last=0.0), SimpleNamespace(state=dict)
    while now < 100:
        saver.save_if_due(learning)  # type: ignore[arg-type]
        now += 0.25
    assert kept[0] == min(30.0, max(2.0, budget / 50))
    assert len(kept) > 2 and {two - one for one, two in pairwise(kept)} == {apart}
