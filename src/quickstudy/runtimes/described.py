"""What an export says of its model, as JSON: written once, read wherever it runs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from quickstudy import tasks
from quickstudy.calibration import Calibration
from quickstudy.calibration import restored as promises_of
from quickstudy.kinds import NOUNS, Preparation, restored
from quickstudy.runtimes.checked import check_preparation, check_task, demand
from quickstudy.tasks import Task

#: Task, preparation, facts, what can be promised (the sets alone: what is unknown the graph says),
#: and above which ``unlike`` an example is none of these; None: the model cannot tell.
Described = tuple[Task, Preparation, Mapping[str, Any], Calibration, float | None]


def describe(
    task: Task, preparation: Preparation, calibration: Calibration, facts: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a model as ``described`` of ``export.json`` and of a file's own metadata."""
    kept = calibration.as_dict()
    if calibration.sets is not None:
        kept["sets"]["ordered"] = calibration.sets.ordered.tolist()
    return {
        "kind": preparation.kind,
        "task": task.as_dict(),
        "preparation": preparation.as_dict(),
        "calibration": kept,
        "facts": dict(facts),
    }


def taken(described: Mapping[str, Any]) -> Described:
    """Return what `describe` wrote; raises `ValueError` and its kin where it cannot be."""
    kind, facts = described["kind"], described["facts"]
    demand(kind in NOUNS, f"the kind {str(kind)[:40]!r}")
    demand(isinstance(facts, dict), "facts")
    task = tasks.restored(described["task"])
    check_task(task, len(task.outputs))
    demand(len(task.outputs) > 0, "no outputs")
    preparation = restored(kind, described["preparation"])
    check_preparation(preparation)
    sets, unknown = (described["calibration"][name] for name in ("sets", "unknown"))
    ordered = {"sets.ordered": np.array(sets["ordered"], np.float64)} if sets else {}
    kept = promises_of({"sets": sets, "unknown": None}, ordered, task.name, len(task.outputs))
    threshold: float | None = None
    if unknown is not None:
        limit = unknown["threshold"]
        threshold = math.inf if limit is None else float(limit)
        demand(not math.isnan(threshold), "what is unknown")
    return task, preparation, facts, kept, threshold
