"""Two workers of a core each against one, and a run whose workers are killed again and again.

python benchmarks/cluster.py speed [torchrun|ray] [EPOCHS]
python benchmarks/cluster.py losses [torchrun|ray] [KILLS] [EPOCHS]
python benchmarks/cluster.py grow ray [EPOCHS]

The photographs of cats and dogs at 64 px, from scratch. `speed`: a batch of 64 for one worker, of
128 for two, each worker one thread (and, with torchrun, pinned to a core of its own); the pictures
a second are the median over the points of the run's own curve, a second or more apart, so that
neither starting nor validating counts. `losses`: the run is started as for two workers, and one of
them, at random, is killed (SIGKILL) some seconds after the last start began to learn; then the same
run without. `grow`: a Ray cluster of two nodes on this machine, one of which is killed; when the
other has gone on for a while, a new one comes. Everything is bound to this machine; Ray has its own
folder and is stopped in the end.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import measuring

PICTURES = measuring.SHARED / "data" / "cats_dogs" / "train"
SIZE, EACH = 64, 64
_LEARNT = 4.0  # seconds of learning before the next worker is killed


def settings(batch: int, epochs: float) -> list[str]:
    """Return what both kinds of run are told: nothing of it is measured or chosen by the clock."""
    return [
        "--budget", "1h", "--weights", "none", "--network", "compact", "--device", "cpu", "--seed",
        "0", "--set", f"epochs={epochs:g}", f"batch={batch}", f"picture.size={SIZE}",
        f"picture.start_size={SIZE}", "compute.threads=1", "compute.precision=float32",
        "optimizer.lr=0.02", "suspects=keep", "data_curve=never",
    ]  # fmt: skip


def command(how: str, workers: int, out: Path, batch: int, epochs: float) -> list[str]:
    """Return the command that learns with so many workers."""
    learn = ["-m", "quickstudy", "learn", str(PICTURES), "--out", str(out)]
    learn += settings(batch, epochs)
    if how == "ray":
        return [sys.executable, *learn, "--on", f"ray?workers={workers}&cores=1"]
    if workers == 1:
        return ["taskset", "-c", "0", sys.executable, *learn]
    pinned = 'exec taskset -c "$LOCAL_RANK" "$0" "$@"'
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    run += [str(workers), "--max-restarts", "100", "--no-python", "bash", "-c", pinned]
    return [*run, sys.executable, *learn]


def environment(cache: Path) -> dict[str, str]:
    """Return the environment of a run: its own cache, a Ray of its own, no reports to anybody."""
    own = {"QUICKSTUDY_CACHE": str(cache), "OMP_NUM_THREADS": "1", "RAY_AUTH_MODE": "disabled"}
    quiet = {"RAY_worker_niceness": "0", "RAY_TMPDIR": str(cache / "ray")}
    return {**os.environ, **own, **quiet, "HF_HUB_OFFLINE": "1"}


def rate(facts: dict[str, Any], batch: int) -> float:
    """Return pictures a second: the median over the points of the curve."""
    curve = facts["curves"]
    found = [
        (b["step"] - a["step"]) * batch / (b["seconds"] - a["seconds"])
        for a, b in itertools.pairwise(curve)
        if b["seconds"] - a["seconds"] > 0.5 and b["step"] > a["step"]
    ]
    return statistics.median(found)


def ended(out: Path) -> dict[str, Any]:
    """Return the report of a run."""
    found: dict[str, Any] = json.loads((out / "report.json").read_text())
    return found


def speed(how: str, epochs: float, folder: Path) -> dict[str, Any]:
    """Learn with one worker, with two, and both once more."""
    rates: dict[int, list[float]] = {1: [], 2: []}
    said = []
    for turn in range(2):
        for workers in (1, 2):
            out, batch = folder / f"{how}-{workers}-{turn}", EACH * workers
            words = command(how, workers, out, batch, epochs * workers)
            done = subprocess.run(words, env=environment(folder / "cache"), capture_output=True)
            assert done.returncode == 0, done.stderr.decode()[-3000:]
            facts = ended(out)
            rates[workers].append(rate(facts, batch))
            said += [e["what"] for e in facts["events"] if "times the examples" in e["what"]]
            print(f"{workers} worker(s): {rates[workers][-1]:.0f} pictures/s", flush=True)
    one, two = max(rates[1]), max(rates[2])
    print(f"{how}: {two / one:.2f} times ({two:.0f} against {one:.0f} pictures/s); it says: {said}")
    return {"one": rates[1], "two": rates[2], "times": two / one, "said": said}


def workers_of(how: str, parent: int) -> list[int]:
    """Return the processes that learn, of a run."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            lines = dict(line.split(":\t", 1) for line in status.read_text().splitlines())
            words = (status.parent / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (OSError, ValueError):
            continue
        pid = int(status.parent.name)
        if how == "torchrun" and int(lines["PPid"]) == parent and "quickstudy" in words:
            found.append(pid)
        if how == "ray" and "RayTrainWorker" in words and _under(pid, parent):
            found.append(pid)
    return found


def _under(pid: int, parent: int) -> bool:
    while pid > 1:
        if pid == parent:
            return True
        try:
            text = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            return False
        pid = int(next(line for line in text.splitlines() if line.startswith("PPid")).split()[1])
    return False


def killed(how: str, kills: int, words: list[str], out: Path, cache: Path) -> float:
    """Run a command, killing a worker at random `kills` times; return the seconds that it took."""
    rng, began = random.Random(0), time.monotonic()
    with (out.parent / "killed.log").open("wb") as said:
        run = subprocess.Popen(words, env=environment(cache), stdout=said, stderr=said)
        log, last = out / "log.jsonl", 0
        for number in range(kills):
            while run.poll() is None:  # until it has learnt for a while since the last start
                lines = log.read_text().splitlines() if log.is_file() else []
                if how == "torchrun" and _learnt(lines[last:]) >= _LEARNT:
                    break
                if how == "ray" and time.monotonic() - began > 30 + 25 * number:
                    break
                time.sleep(0.2)
            if run.poll() is not None:
                print(f"it ended after {number} kills", flush=True)
                break
            last = len(log.read_text().splitlines()) if log.is_file() else 0
            there = workers_of(how, run.pid)
            if there:
                os.kill(rng.choice(there), signal.SIGKILL)
                print(f"killed {number + 1} of {len(there)} workers", flush=True)
        code = run.wait()
    assert code == 0, (out.parent / "killed.log").read_text()[-3000:]
    return time.monotonic() - began


def _learnt(lines: list[str]) -> float:
    """Return for how many seconds a run has learnt, by the lines of its log."""
    seconds = [told["seconds"] for told in map(json.loads, lines) if told["stage"] == "train"]
    return max(seconds) - min(seconds) if seconds else 0.0


def losses(how: str, kills: int, epochs: float, folder: Path) -> dict[str, Any]:
    """Compare a run whose workers are killed with one whose are not."""
    found: dict[str, Any] = {}
    for name, times in (("killed", kills), ("whole", 0)):
        out = folder / name / "run"
        out.parent.mkdir()
        words = command(how, 2, out, 2 * EACH, epochs)
        took = killed(how, times, words, out, folder / "cache")
        facts = ended(out)
        test = facts["test"]
        events = [e["what"] for e in facts["events"]]
        found[name] = {"accuracy": test["accuracy"], "steps": facts["steps"], "seconds": took}
        found[name]["events"] = [event for event in events if "worker" in event]
        print(name, json.dumps(found[name]), flush=True)
    return found


def grow(epochs: float, folder: Path) -> dict[str, Any]:
    """Learn on two nodes, of which one goes and another comes; return what was said of it."""
    os.environ.update(environment(folder / "cache"))
    from ray.cluster_utils import Cluster

    here: dict[str, Any] = {"num_cpus": 1, "node_ip_address": "127.0.0.1"}
    nodes = Cluster(initialize_head=True, head_node_args={**here, "include_dashboard": False})
    try:
        second = nodes.add_node(**here)
        nodes.wait_for_nodes()
        out = folder / "grown"
        words = command("ray", 2, out, 2 * EACH, epochs)
        words[-1] = "ray?workers=1-2&cores=1"
        own = {**environment(folder / "cache"), "RAY_ADDRESS": nodes.address}
        with (folder / "grown.log").open("w+") as said:
            run = subprocess.Popen(words, env=own, stdout=said, stderr=said)
            _wait_for(run, folder / "grown.log", "learn together", "2 workers")
            time.sleep(20)
            nodes.remove_node(second, allow_graceful=False)
            _wait_for(run, folder / "grown.log", "1 of 2 went on")
            time.sleep(20)
            nodes.add_node(**here)
            _wait_for(run, folder / "grown.log", "2 workers now")
            assert run.wait(600) == 0, (folder / "grown.log").read_text()[-3000:]
        facts = ended(out)
    finally:
        nodes.shutdown()
    events = [e["what"] for e in facts["events"] if "worker" in e["what"]]
    return {"accuracy": facts["test"]["accuracy"], "steps": facts["steps"], "events": events}


def _wait_for(run: subprocess.Popen[bytes], log: Path, *any_of: str) -> None:
    """Wait until a run has said one of these, 5 minutes at most."""
    deadline = time.monotonic() + 300
    while not any(words in log.read_text() for words in any_of):
        assert run.poll() is None and time.monotonic() < deadline, log.read_text()[-3000:]
        time.sleep(0.5)
    print(f"it said: {any_of[0]}", flush=True)


if __name__ == "__main__":
    what, how, *numbers = [*sys.argv[1:3], *["torchrun"][len(sys.argv) - 2 :], *sys.argv[3:]]
    with tempfile.TemporaryDirectory(prefix="qs") as kept:
        (Path(kept) / "cache").mkdir()
        if what == "speed":
            told = speed(how, float(numbers[0]) if numbers else 3.0, Path(kept))
        elif what == "grow":
            told = grow(float(numbers[0]) if numbers else 40.0, Path(kept))
        else:
            many = int(numbers[0]) if numbers else 10
            told = losses(how, many, float(numbers[1]) if numbers[1:] else 20.0, Path(kept))
    print(json.dumps({"machine": measuring.machine(), what: told}))
