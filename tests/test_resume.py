"""Killed at any moment, a run goes on and ends as an unbroken one does, bit for bit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

pytestmark = pytest.mark.skipif(os.name != "posix", reason="kill -9 is POSIX's")

CHOICES = [
    "epochs=60", "picture.size=24", "picture.start_size=16", "network.width=0.5",
    "augment.mixup=0.2", "optimizer.lr=0.02", "batch=16", "network.dropout=0.2",
]  # fmt: skip
HEARD = [
    "epochs=24", "network.width=0.25", "augment.mixup=0.2", "augment.mask_time=0.3",
    "augment.noise=0.8", "optimizer.lr=0.02", "batch=16", "rehearsal=0",
]  # fmt: skip


class Started:
    """A `quickstudy learn` at work; what it says goes to a file."""

    def __init__(self, said: Path, *words: str | Path) -> None:
        command = [sys.executable, "-m", "quickstudy", "learn", *map(str, words)]
        self.said = said
        with said.open("wb") as file:
            self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=file)

    def end(self, seconds: float = 120) -> str:
        """Wait until it has ended well; return what it said."""
        try:
            code = self.process.wait(seconds)
        finally:
            self.process.kill()
        assert code == 0, self.said.read_text()
        return self.said.read_text()

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        self.process.send_signal(how)


def wait_for(moment: str, run: Path, started: Started) -> None:
    """Wait until the run has got to a moment of its life."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and started.process.poll() is None:
        checkpoint = run / "checkpoint.safetensors"
        try:
            log = (run / "log.jsonl").read_text()
        except FileNotFoundError:
            log = ""
        reached = {
            "decoding": '"stage": "decode"' in log,
            "the first step": checkpoint.exists(),
            "the second checkpoint": checkpoint.exists() and _step(checkpoint) > 0,
        }
        if reached[moment]:
            return
        time.sleep(0.005)
    started.process.kill()
    raise AssertionError(f"the run never got to {moment}: {started.said.read_text()}")


def _step(checkpoint: Path) -> int:
    from quickstudy.training.checkpoints import read

    state = read(checkpoint.parent)
    return 0 if state is None else int(state.facts["step"])


def test_kill_and_resume_equals_unbroken_for_sound(tones: Path, tmp_path: Path) -> None:
    """The same with everything that is drawn at random for sound: places, speeds, noise, masks."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    Started(tmp_path / "said", tones, "--out", whole, "--set", *HEARD).end()
    started = Started(tmp_path / "said", tones, "--out", cut, "--set", *HEARD)
    wait_for("the second checkpoint", cut, started)
    started.kill()
    started.process.wait(10)
    assert not (cut / "report.json").exists()
    Started(tmp_path / "said", "--resume", cut).end()
    ours, theirs = (load_file(run / "model" / "weights.safetensors") for run in (cut, whole))
    assert ours.keys() == theirs.keys()
    assert all((ours[name] == theirs[name]).all() for name in ours)


def test_killed_three_times_equals_unbroken(shapes: Path, tmp_path: Path) -> None:
    """As it decodes, at its first step, and between two checkpoints: one run after another."""
    whole, run = tmp_path / "whole", tmp_path / "run"
    Started(tmp_path / "said", shapes, "--out", whole, "--set", *CHOICES).end()
    words: tuple[str | Path, ...] = (shapes, "--out", run, "--set", *CHOICES)
    for moment in ("decoding", "the first step", "the second checkpoint"):
        started = Started(tmp_path / "said", *words)
        wait_for(moment, run, started)
        started.kill()
        started.process.wait(10)
        assert not (run / "report.json").exists()
        words = ("--resume", run)
    Started(tmp_path / "said", *words).end()
    ours = load_file(run / "model" / "weights.safetensors")
    theirs = load_file(whole / "model" / "weights.safetensors")
    assert all(ours[name].equal(tensor) for name, tensor in theirs.items())
    assert _test_of(run) == _test_of(whole)


def _test_of(run: Path) -> object:
    told = json.loads((run / "report.json").read_text())["test"]
    return {k: told[k] for k in ("accuracy", "confusion", "log_loss")}


def test_ctrl_c_keeps_the_work(shapes: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    settings = [c for c in CHOICES if not c.startswith("epochs")]
    words = ("--out", run, "--budget", "60s", "--set", *settings)
    started = Started(tmp_path / "said", shapes, *words)
    wait_for("the second checkpoint", run, started)
    started.kill(signal.SIGINT)
    said = started.end(30)
    told = json.loads((run / "report.json").read_text())
    assert told["outcome"]["status"] == "interrupted"
    assert (run / "model" / "weights.safetensors").exists()
    assert "Ctrl-C" in said
    # and it can still go on
    assert (run / "checkpoint.safetensors").exists()
