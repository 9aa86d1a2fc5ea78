"""How quick each runtime is with a model, here: cold and warm, one example and many at once."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quickstudy.errors import ModelError, QuickstudyError
from quickstudy.export import FORMATS, export
from quickstudy.export.reporting import tell_report
from quickstudy.folders import write_whole
from quickstudy.model import Model, load
from quickstudy.model.examples import decoded, examples_in
from quickstudy.runtimes.answering import Answering
from quickstudy.runtimes.choosing import exports_in, folder_of, named
from quickstudy.runtimes.exported import TOLD, told_in
from quickstudy.runtimes.sessions import CODE, LIBRARIES, runs_here
from quickstudy.runtimes.timing import Timed, interleaved

TORCH = "torch"
MANY = 32
_ROUNDS, _ROUNDS_MANY, _COLD = 30, 5, 3
_SECONDS = 4.0  # for each batch size, all runtimes together
#: In a process of its own, as a user's: from nothing to the first answer.
_FIRST = (
    "import sys, numpy, quickstudy; piece = numpy.load(sys.argv[1], allow_pickle=False); "
    "model = quickstudy.load(sys.argv[2], runtime=sys.argv[3]); model.told([piece])"
)

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Row:
    """One runtime."""

    runtime: str
    cold: float
    """Seconds from the start of Python to the first answer, the file opened anew; the median."""
    one: Timed
    many: Timed
    difference: float
    """The largest from torch's answers; of numbers in their own deviations."""
    size: int
    """Bytes of its files."""

    def as_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        return asdict(self)


@dataclass(frozen=True)
class Bench:
    """All runtimes, the quickest for one example first."""

    rows: Sequence[Row]
    left_out: Mapping[str, str]
    """Exports and formats that were not measured, and why."""
    real: bool
    """Whether the examples were real ones, of the run's test."""


def bench(
    model: str | Path, *, make: bool = False, code: bool = False, tell: Tell | None = None
) -> Bench:
    """Time torch and every export of a model that runs here; keep the times in ``export.json``.

    With `make`, formats that are lacking are exported first. Formats that may hold code are opened
    only with `code`. Decoding is not timed. Raises `ModelError` for what is no model's folder.
    """
    say = tell or (lambda _: None)
    folder = folder_of(Path(model))
    left_out = _made(folder, code, say) if make else {}
    plain = load(folder, "cpu")
    asked: dict[str, Answering] = {TORCH: plain}
    for name, place in exports_in(folder).items():
        try:
            if told_in(place)["to"] in CODE and not code:
                left_out[name] = "opening it may run code; if you trust it: --code"
                continue
            asked[name] = named(folder, name)
        except QuickstudyError as problem:
            left_out[name] = problem.message
    pieces, real = _pieces(plain, folder)
    say(f"one example and {MANY}, by {', '.join(asked)}, in turn")
    one = interleaved(_calls(asked, pieces[:1]), _ROUNDS, seconds=_SECONDS)
    many = interleaved(_calls(asked, pieces), _ROUNDS_MANY, seconds=_SECONDS)
    say("cold, each in a process of its own")
    cold = _cold(folder, list(asked), pieces[0])
    wanted, scale = plain.told(pieces)[0], np.array(getattr(plain.task, "std", ()) or [1.0])
    rows = [
        Row(
            name,
            cold[name],
            one[name],
            many[name],
            float((np.abs(answering.told(pieces)[0] - wanted) / scale).max()),
            _size(folder, name),
        )
        for name, answering in asked.items()
    ]
    found = Bench(sorted(rows, key=lambda row: row.one.median), left_out, real)
    _keep(folder, found)
    return found


def _made(folder: Path, code: bool, say: Tell) -> dict[str, str]:
    """Export what is lacking; return what could not be, and why."""
    there, refused = exports_in(folder), {}
    for name in FORMATS:
        if name in there or name not in LIBRARIES or (name in CODE and not code):
            continue
        if not runs_here(name):
            refused[name] = f"{LIBRARIES[name]} is not installed"
            continue
        try:
            export(folder, name, tell=say)
        except QuickstudyError as problem:
            refused[name] = problem.message
    return refused


def _calls(
    asked: Mapping[str, Answering], pieces: Sequence[NDArray[Any]]
) -> dict[str, Callable[[], object]]:
    return {name: partial(answering.told, pieces) for name, answering in asked.items()}


def _pieces(model: Model, folder: Path) -> tuple[list[NDArray[Any]], bool]:
    """Return `MANY` decoded examples, real ones where the run's are there: a view of each."""
    how = model.preparation
    run = folder.parent
    some = decoded(run, how, examples_in(run, "test")[:MANY])
    found = [piece for piece in some if piece is not None]
    if not found:
        return _made_up(model), False
    if model.kind == "sound":  # a window of each: recordings are of any length
        found = [how.view(piece, 0) for piece in found]
    return [found[i % len(found)] for i in range(MANY)], True


def _made_up(model: Model) -> list[NDArray[Any]]:
    """Return noise in the shape of what the model takes."""
    how: Any = model.preparation
    rng = np.random.default_rng(0)
    if model.kind == "image":
        shape = (MANY, 1, how.decode_size, how.decode_size, 3)
        return list(rng.integers(0, 256, shape, dtype=np.uint8))
    if model.kind == "sound":
        return list((rng.standard_normal((MANY, how.size)) / 10).astype(np.float16))
    return list(rng.standard_normal((MANY, 1, model.spec.size)).astype(np.float32))


def _cold(folder: Path, names: Sequence[str], piece: NDArray[Any]) -> dict[str, float]:
    """Return seconds from the start of a process to its first answer, each in turn."""
    took: dict[str, list[float]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as place:
        file = Path(place, "piece.npy")
        np.save(file, piece)
        for _ in range(_COLD):
            for name in names:
                path = folder if name == TORCH else exports_in(folder)[name]
                to = TORCH if name == TORCH else told_in(path)["to"]
                command = [sys.executable, "-c", _FIRST, str(file), str(path.resolve()), to]
                began = time.perf_counter()
                done = subprocess.run(command, cwd=place, capture_output=True, env=os.environ)
                took[name].append(time.perf_counter() - began)
                if done.returncode:
                    last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
                    raise ModelError(
                        f"{name} does not answer in a process of its own: {' '.join(last)[:300]}",
                        "Export the model again.",
                    )
    return {name: statistics.median(each) for name, each in took.items()}


def _size(folder: Path, name: str) -> int:
    if name == TORCH:
        return sum(one.stat().st_size for one in folder.iterdir() if one.is_file())
    return sum(one.stat().st_size for one in exports_in(folder)[name].iterdir())


def _keep(folder: Path, found: Bench) -> None:
    """Write the times into each ``export.json``, by which `load` takes the quickest.

    Raises `RunError` on a full disk or a missing permission.
    """
    torch = next(row for row in found.rows if row.runtime == TORCH)
    for row in found.rows:
        if row is torch:
            continue
        place = exports_in(folder)[row.runtime]
        told = told_in(place)
        told["measured"] = {
            **told["measured"],
            "milliseconds": row.one.median,
            f"milliseconds_{MANY}": row.many.median,
            "cold_seconds": row.cold,
            "milliseconds_torch": torch.one.median,
        }
        write_whole(place / TOLD, json.dumps(told, indent=1))
    tell_report(folder)
