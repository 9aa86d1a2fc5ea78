"""Measured, not assumed; and undone where it does not help."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest

from quickstudy import hardware
from quickstudy.clock import Clock, Stop, ctrl_c
from quickstudy.errors import ChoiceError
from quickstudy.hardware import speed


def test_survey_tells_what_is_here() -> None:
    found = hardware.survey("cpu")
    assert 1 <= found.cores <= (os.cpu_count() or 1)
    assert found.memory > 2**28
    assert found.device == "cpu"
    assert "core" in found.sentence()


def test_an_unknown_device_is_named() -> None:
    with pytest.raises(ChoiceError, match="warp9"):
        hardware.survey("warp9")


def test_quicken_measures_and_says_so() -> None:
    before = hardware.survey("cpu")
    after = hardware.quicken(before)
    assert after.gigaflops > 0.1
    assert "GFLOP/s" in after.measured[0]
    assert replace(after, gigaflops=0.0, memory_kept=False, measured=()) == before


def test_memory_setting_is_taken_back_where_it_does_not_help(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    speeds, kept = iter([100.0, 90.0]), []
    monkeypatch.setattr(speed, "_convolution_speed", lambda _: next(speeds))
    monkeypatch.setattr(speed, "keep_memory", lambda keep=True: kept.append(keep) or True)
    found = hardware.quicken(hardware.survey("cpu"))
    assert kept == [True, False]
    assert not found.memory_kept
    assert found.gigaflops == 100.0
    assert "not kept" in found.measured[0]


def test_the_quickest_of_several_calls_counts() -> None:
    naps = iter([0.03, 0.02, 0.005, 0.02] + [0.02] * 20)
    took = hardware.seconds_per_call(lambda: time.sleep(next(naps)), least=0.05)
    assert 0.005 <= took < 0.015


def test_the_clock_counts_what_a_killed_run_spent() -> None:
    clock = Clock(budget=100.0, before=40.0)
    assert 59.0 < clock.left() <= 60.0
    with clock.stage("nap"):
        time.sleep(0.02)
        with clock.stage("nap inside"):
            time.sleep(0.2)
    assert clock.stages["nap inside"] >= 0.2 > clock.stages["nap"] >= 0.02  # each second once


_INTERRUPTED = """
import signal
from quickstudy.clock import Stop, ctrl_c
stop, before = Stop(), signal.getsignal(signal.SIGINT)
with ctrl_c(stop):
    signal.raise_signal(signal.SIGINT)
    assert stop.asked
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        print("interrupted")
assert signal.getsignal(signal.SIGINT) is before
"""


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_ctrl_c_once_asks_and_twice_interrupts() -> None:
    """In a process of its own: what else runs in that of the tests may hear a signal too."""
    done = subprocess.run([sys.executable, "-c", _INTERRUPTED], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "interrupted\n"), done.stderr


def test_ctrl_c_leaves_other_threads_alone() -> None:
    before, seen = signal.getsignal(signal.SIGINT), []

    def work() -> None:
        with ctrl_c(Stop()):
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


def test_bfloat16_counts_where_the_device_computes_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Older GPUs only emulate it, and Apple's are not asked."""
    asked: list[bool] = []

    def supported(including_emulation: bool = True) -> bool:
        asked.append(including_emulation)
        return False

    monkeypatch.setattr("torch.cuda.is_bf16_supported", supported)
    assert not hardware.bfloat16_is_quick("cuda:99")
    assert asked == [False]
    assert not hardware.bfloat16_is_quick("mps")
    assert hardware.bfloat16_is_quick("cpu") == hardware.survey("cpu").bfloat16
