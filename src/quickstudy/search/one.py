"""One trial, in a process of its own, as `trials` starts it: `main` with its folder.

A crash, a process killed for want of memory, or one that hangs ends this trial and no more. It
learns as `learn` does, on the same split, and ends before the test: a search must not see that.
"""

from __future__ import annotations

import json
import math
import os
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn

from quickstudy.errors import QuickstudyError, RunError

NO_TIME = "its time ended before learning began"
SPEC, RESULT, FAILED = "trial.json", "result.json", "failed.json"
_CODE = 3  # of a trial that says itself why it failed


def run(words: list[str]) -> NoReturn:
    """Run the trial of a folder and end at once: what is torn down slowly could crash yet."""
    code = main(words)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main(words: list[str]) -> int:
    """Run the trial of a folder; return 0, or 3 where its file `FAILED` says why."""
    folder = Path(words[0])
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        told = learnt(folder)
    except QuickstudyError as problem:
        return _failed(folder, problem.message)
    except MemoryError:
        return _failed(folder, "out of memory")
    except Exception as problem:  # reported as the trial's reason; the search goes on
        traceback.print_exc()
        line = (str(problem).strip().splitlines() or [""])[0]
        return _failed(folder, f"{type(problem).__name__}: {line}"[:300])
    if told["score"] is None:
        return _failed(folder, "the score on val is not a number")
    _write(folder / RESULT, told)
    return 0


def learnt(folder: Path) -> dict[str, Any]:
    """Learn as the folder's `SPEC` says, up to the test; return what the search wants to know."""
    from quickstudy.clock import Clock, ctrl_c
    from quickstudy.learning import taught
    from quickstudy.progress import silent

    spec = json.loads((folder / SPEC).read_text(encoding="utf-8"))
    job = job_of(spec, folder)
    clock = Clock(spec["budget"], max(0.0, time.time() - spec["began"]))
    with job.working(clock, silent), ctrl_c(job.stop):
        ended = taught(job)
    trained = ended.taught.trained
    if trained is not None and trained.step == 0:  # its score would be of chance
        raise RunError(NO_TIME, "Give a larger --budget.")
    if spec["keeps"]:
        from quickstudy.search.members import keep

        keep(ended, folder)
    loss = ended.taught.candidates[-1]["val_loss"] if ended.taught.candidates else math.inf
    chosen = [one["val_loss"] for one in ended.taught.candidates if one["chosen"]]
    return {
        "score": _number(ended.taught.val_score),
        "loss": _number(chosen[0] if chosen else loss),
        "score_name": ended.taught.task.score_name,
        "passes": trained.curves[-1]["epoch"] if trained and trained.curves else None,
        "settled": {key: c.value for key, c in ended.taught.recipe.choices().items()},
        "n": len(ended.parts.val),
    }


def job_of(spec: dict[str, Any], folder: Path) -> Any:
    """Return the job of a trial: its recipe is given, so nothing is planned."""
    from quickstudy.learning.job import Job
    from quickstudy.recipe import assemble, coerce

    recipe = assemble({key: coerce(key, value) for key, value in spec["recipe"].items()}, {})
    return Job(
        source_of(spec["source"]),
        spec["test"],
        spec["columns"],
        {key: (coerce(key, value), "") for key, value in spec["own"].items()},
        spec["budget"],
        spec["seed"],
        spec["device"],
        folder,
        recipe,
        most=spec["most"],
        later=0.0,
        stamp=spec["stamp"],
        asks_test=False,
    )


def source_of(told: Any) -> Any:
    """Return a source as a search keeps it: a path, or two arrays in files."""
    import numpy as np

    if isinstance(told, list):
        return tuple(np.load(name, allow_pickle=False) for name in told)
    return told


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _failed(folder: Path, why: str) -> int:
    _write(folder / FAILED, {"why": why})
    return _CODE


def _write(path: Path, told: dict[str, Any]) -> None:
    from quickstudy.folders import write_whole

    write_whole(path, json.dumps(told))


def _end_with_parent() -> None:
    """End when the search does, even one that was killed: its end of this pipe then closes."""
    os.read(0, 1)
    os._exit(1)
