"""Sound through an exported graph and through the model: speed, memory, and how alike they answer.

python benchmarks/export_sound.py MODEL [--seconds 600]   # a model's folder, for sound

Speed is of the whole way from samples in memory to answers: the graph is given them at their own
rate; the model resamples in NumPy and computes in torch. One thread each, in turns.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import measuring

_TURNS = 5
_SHAPES = ((8_000, 1), (16_000, 1), (44_100, 2), (48_000, 1))  # Hz, channels
_LENGTHS = (1, 60)  # seconds


def recording(seconds: float, rate: int, channels: int) -> np.ndarray:
    """Return noise ``T C``: what is heard does not matter to the clock."""
    rng = np.random.default_rng(0)
    return 0.1 * rng.standard_normal((round(seconds * rate), channels), dtype=np.float32)


def given(seconds: float, rate: int, channels: int) -> dict[str, Any]:
    """Return what the graph takes."""
    return {"samples": recording(seconds, rate, channels)[None], "rate": np.array(rate)}


def speed(model: Any, session: Any, lengths: tuple[int, ...]) -> list[dict[str, Any]]:
    """Return seconds of sound per second, the median of alternating turns, and the difference."""
    rows = []
    for seconds in lengths:
        for rate, channels in _SHAPES:
            inputs = given(seconds, rate, channels)
            raw = (inputs["samples"][0], rate)

            def by_model(raw: Any = raw) -> Any:
                return model.looked([model.preparation.values(raw)])[0][0]

            def by_graph(inputs: Any = inputs) -> Any:
                return session.run(inputs)["answers"][0]

            apart = float(np.abs(by_model() - by_graph()).max())
            times = [(_took(by_model), _took(by_graph)) for _ in range(_TURNS)]
            slow, quick = np.median(np.array(times), axis=0)
            rows.append(
                {
                    "recording": f"{seconds} s, {rate:,} Hz, {channels} ch",
                    "model, s/s": f"{seconds / slow:,.0f}",
                    "graph, s/s": f"{seconds / quick:,.0f}",
                    "graph / model": f"{slow / quick:.2f}",
                    "largest difference": f"{apart:.1e}",
                }
            )
    return rows


def _took(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def memory(file: Path, seconds: int) -> dict[str, Any]:
    """Return the memory of a process that runs the graph once, 44.1 kHz stereo."""
    command = [sys.executable, __file__, "--once", str(file), "--seconds", str(seconds)]
    with tempfile.TemporaryDirectory() as name:
        none = measuring.timed([*command[:-1], "0"], Path(name), Path(name))
        told, _, peak = measuring.timed(command, Path(name), Path(name))
    return {
        "recording": f"{seconds} s, 44,100 Hz, 2 ch",
        "samples, MB": f"{told['bytes'] / 2**20:,.0f}",
        "peak above an idle process, MB": f"{peak - none[2]:,.0f}",
        "took, s": f"{told['took']:.2f}",
    }


def once(file: Path, seconds: int) -> None:
    """Run the graph on so many seconds, and tell."""
    from quickstudy.runtimes.sessions import open_session

    session = open_session("onnx", file, 1)
    session.run(given(0.5, 8_000, 1))
    inputs = given(max(seconds, 0.5), 44_100, 2)
    took = _took(lambda: session.run(inputs)) if seconds else 0.0
    print(json.dumps({"bytes": inputs["samples"].nbytes if seconds else 0, "took": took}))


def main() -> None:
    """Measure, and keep the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model", nargs="?", type=Path)
    parser.add_argument("--once", type=Path)
    parser.add_argument("--seconds", type=int, default=600)
    asked = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    if asked.once:
        return once(asked.once, asked.seconds)
    import torch

    from quickstudy.export import export
    from quickstudy.model import load
    from quickstudy.runtimes.sessions import open_session

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        written = export(asked.model, "onnx", out=name)[0]
        session = open_session("onnx", written.file, 1)
        rows = speed(load(asked.model, "cpu"), session, _LENGTHS)
        title = "Sound: the exported graph and the model, seconds of sound a second"
        measuring.keep("export-sound", title, rows)
        lengths = [n for n in (1, 60, 600) if n <= asked.seconds]
        found = [memory(written.file, n) for n in lengths]
        measuring.keep("export-sound-memory", "Sound: what the exported graph takes", found)
    return None


if __name__ == "__main__":
    main()
