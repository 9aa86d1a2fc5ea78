"""Learning while another program uses a core: with the number of threads fixed, and with `Crew`.

python benchmarks/crew.py
"""

from __future__ import annotations

import subprocess
import sys
import time

import torch

import measuring
from quickstudy.hardware import keep_memory, usable_cores
from quickstudy.network import Spec, build
from quickstudy.training.crew import Crew

SECONDS = 12.0
ALONE = 2.0  # seconds before the other program comes


def learning(adaptive: bool, others: int) -> float:
    """Return examples a second over the whole stretch, trials included."""
    spectra = {"rate": 8000, "fft": 256, "hop": 80, "mels": 48, "low": 20.0, "high": 4000.0}
    network = build(Spec("compact", 10, 5600, width=0.5, sound=spectra)).module
    network.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    x = torch.randn(64, 5600) * 0.1
    torch.set_num_threads(usable_cores())
    crew = Crew(usable_cores(), steady=not adaptive)
    steps, began = 0, time.perf_counter()
    busy: list[subprocess.Popen[bytes]] = []
    while time.perf_counter() - began < SECONDS:
        at = time.perf_counter()
        if len(busy) < others and at - began > ALONE:
            command = [sys.executable, "-c", "while True: pass"]
            busy.append(subprocess.Popen(command, start_new_session=True))
        network.zero_grad()
        network(x).sum().backward()
        crew.stepped(64, time.perf_counter() - at)
        steps += 1
    crew.home()
    for process in busy:
        process.kill()
        process.wait()
    return 64 * steps / (time.perf_counter() - began)


def main() -> None:
    keep_memory()
    learning(False, 0)
    rows = []
    for name, others in (("nobody else", 0), ("another program on one core, after 2 s", 1)):
        turns = [(learning(False, others), learning(True, others)) for _ in range(3)]
        fixed, crew = (sorted(turn[i] for turn in turns)[1] for i in (0, 1))
        rows.append(
            {
                "cores used by": name,
                "fixed threads, examples/s": f"{fixed:.0f}",
                "crew, examples/s": f"{crew:.0f}",
                "ratio (median of 3 turns, A B A B)": f"{crew / fixed:.2f}",
            }
        )
    measuring.keep("crew", "Threads beside other programs", rows)


if __name__ == "__main__":
    main()
