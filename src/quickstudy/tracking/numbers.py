"""Records and reports as named numbers, as trackers take them."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from quickstudy.progress import Progress
from quickstudy.tracking.contract import Result

_EVERY = 1.0  # seconds between two points of a stage of which only the share done is known


class Points:
    """The numbers of one record after the other: what is new, and not more than is of use."""

    def __init__(self) -> None:
        self._val: float | None = None
        self._stage, self._last = "", -math.inf

    def of(self, progress: Progress) -> dict[str, float]:
        """Return the numbers of a record worth keeping; none of a line that was said.

        The latest score on `val` is in every record: it is a point of its curve once.
        """
        if progress.said:
            return {}
        found: dict[str, float] = {}
        if progress.loss is not None:
            found["train/loss"] = progress.loss
        if progress.val is not None and progress.val != self._val:
            found[f"val/{progress.val_name}"] = self._val = progress.val
        again = progress.stage == self._stage and progress.seconds - self._last < _EVERY
        if not found and again and progress.fraction < 1:
            return {}
        self._stage, self._last = progress.stage, progress.seconds
        found[f"done/{progress.stage.replace(' ', '_')}"] = progress.fraction
        if progress.left is not None:
            found["seconds_left"] = progress.left
        return {name: value for name, value in found.items() if math.isfinite(value)}


def ended(facts: Mapping[str, Any], lines: Sequence[str], model: Path) -> Result:
    """Return what a tracker keeps of a report: scores, recipe, words, where the model is."""
    scores = dict(_scores("test", facts["test"]))
    scores["test/n"] = facts["test"]["n"]
    network = facts["network"]
    told = {
        "val/score": facts["val"]["score"],
        "seconds": facts["seconds"]["total"],
        "steps": facts["steps"],
        "parameters": network["parameters"],
        "flops": network["flops"],
    }
    scores |= {name: float(value) for name, value in told.items() if value is not None}
    recipe = {key: _plain(choice["value"]) for key, choice in facts["recipe"].items()}
    return Result(time.time(), scores, recipe, "\n".join(lines), model)


def _scores(name: str, told: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield each estimate of a report's `test`, and the ends of its 95 % interval."""
    if "accuracy" in told and "interval" in told:
        told = {**told, "accuracy": {"value": told["accuracy"], "interval": told["interval"]}}
    for key, value in told.items():
        if not isinstance(value, Mapping):
            continue
        if set(value) == {"value", "interval"}:
            yield f"{name}/{key}", float(value["value"])
            for end, place in zip(value["interval"], ("low", "high"), strict=True):
                yield f"{name}/{key}_{place}", float(end)
        elif key == "targets":
            for target, scores in value.items():
                yield from _scores(f"{name}/{_word(target)}", scores)


def _word(text: str) -> str:
    """Return a column's name as every tracker takes it."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "_-. ") else "_" for c in text)


def _plain(value: Any) -> str | float | bool:
    if isinstance(value, str | float | int | bool):
        return value
    return "none" if value is None else json.dumps(value, default=str)
