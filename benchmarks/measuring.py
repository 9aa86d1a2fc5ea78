"""What the benchmarks share: run a command, note wall-clock and peak memory, keep a result."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from datetime import date
from pathlib import Path
from typing import Any

SHARED = Path(__file__).resolve().parents[2] / "shared"
RESULTS = Path(__file__).resolve().parent / "results"


def machine() -> str:
    """Return the machine in a line."""
    name = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    import torch

    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    return f"{name}, {os.cpu_count()} cores, {versions}"


def timed(command: list[str], cache: Path, folder: Path) -> tuple[dict[str, Any], float, float]:
    """Run a command that prints JSON; return that, wall-clock seconds and peak memory in MB.

    Memory is the resident set of the process, sampled 20 times a second: file pages that it maps
    count, as the system counts them.
    """
    environment = {**os.environ, "QUICKSTUDY_CACHE": str(cache)}
    began = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, cwd=folder
    )
    peak = [0.0]

    def watch() -> None:
        while process.poll() is None:
            try:
                status = Path(f"/proc/{process.pid}/status").read_text()
            except OSError:
                return
            for line in status.splitlines():
                if line.startswith("VmHWM"):
                    peak[0] = max(peak[0], int(line.split()[1]) / 1024)
            time.sleep(0.05)

    watcher = threading.Thread(target=watch)
    watcher.start()
    out, err = process.communicate()
    took = time.perf_counter() - began
    watcher.join()
    if process.returncode:
        raise SystemExit(f"{command} failed:\n{err.decode()}")
    return json.loads(out), took, peak[0]


def learn(*words: str | Path) -> tuple[dict[str, Any], float, float]:
    """Run `quickstudy learn` with an empty cache, from command to saved model."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = [sys.executable, "-m", "quickstudy", "learn", *map(str, words)]
        command += ["--json", "--out", str(folder / "run")]
        return timed(command, folder / "cache", folder)


def keep(name: str, title: str, rows: list[dict[str, Any]]) -> None:
    """Write a result with date, machine and command, and print it."""
    head = list(rows[0])
    command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
    lines = [
        f"# {title}",
        "",
        f"{date.today().isoformat()} · {machine()} · `python benchmarks/{command}`",
        "",
        "| " + " | ".join(head) + " |",
        "|" + "---|" * len(head),
        *("| " + " | ".join(str(row[h]) for h in head) + " |" for row in rows),
        "",
    ]
    text = "\n".join(lines)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{date.today().isoformat()}-{name}.md").write_text(text)
    print(text)
