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
    "augment.mixup=0.2", "optimizer.lr=0.02", "batch=16",
]  # fmt: skip


def start(*words: str | Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "quickstudy", "learn", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def wait_for(moment: str, run: Path, process: subprocess.Popen[bytes]) -> None:
    """Wait until the run has got to a moment of its life."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
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
    raise AssertionError(f"the run never got to {moment}: {process.stderr.read().decode()}")


def _step(checkpoint: Path) -> int:
    from quickstudy.training.checkpoints import read

    state = read(checkpoint.parent)
    return 0 if state is None else int(state.facts["step"])


@pytest.fixture(scope="module")
def unbroken(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("unbroken") / "run"
    process = start(shapes, "--out", out, "--set", *CHOICES)
    assert process.wait(120) == 0, process.stderr.read().decode()
    return out


@pytest.mark.parametrize("moment", ["decoding", "the first step", "the second checkpoint"])
def test_kill_and_resume_equals_unbroken(
    unbroken: Path, shapes: Path, tmp_path: Path, moment: str
) -> None:
    run = tmp_path / "run"
    process = start(shapes, "--out", run, "--set", *CHOICES)
    wait_for(moment, run, process)
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    assert not (run / "report.json").exists()
    resumed = start("--resume", run)
    assert resumed.wait(120) == 0, resumed.stderr.read().decode()
    ours = load_file(run / "model" / "weights.safetensors")
    theirs = load_file(unbroken / "model" / "weights.safetensors")
    assert all(ours[name].equal(tensor) for name, tensor in theirs.items())
    assert _test_of(run) == _test_of(unbroken)


def _test_of(run: Path) -> object:
    told = json.loads((run / "report.json").read_text())["test"]
    return {k: told[k] for k in ("accuracy", "confusion", "log_loss")}


def test_ctrl_c_keeps_the_work(shapes: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    settings = [c for c in CHOICES if not c.startswith("epochs")]
    process = start(shapes, "--out", run, "--budget", "60s", "--set", *settings)
    wait_for("the second checkpoint", run, process)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    told = json.loads((run / "report.json").read_text())
    assert told["outcome"]["status"] == "interrupted"
    assert (run / "model" / "weights.safetensors").exists()
    assert b"Ctrl-C" in process.stderr.read()
    # and it can still go on
    assert (run / "checkpoint.safetensors").exists()
