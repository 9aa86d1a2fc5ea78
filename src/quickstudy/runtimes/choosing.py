"""Which export of a model answers in its place, and why the others do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from quickstudy.errors import ChoiceError, ModelError, did_you_mean
from quickstudy.runtimes.checked import believing
from quickstudy.runtimes.exported import INT8, TOLD, Exported, is_export, sha256, told_in
from quickstudy.runtimes.sessions import CODE, LIBRARIES, runs_here

SUMS = "checksums.sha256"
EXPORTS = "exports"


def folder_of(path: Path) -> Path:
    """Return the model's folder of a path that may be its run's."""
    inside = path / "model"
    return inside if not (path / SUMS).is_file() and (inside / SUMS).is_file() else path


def no_model(path: Path) -> ModelError:
    """Return what to raise for a path that is no model's folder."""
    what = ": it is an export, which gives answers alone" if is_export(path) else ""
    hint = "Give the folder of a run, or RUN/model."
    return ModelError(f"{path} is not a Quickstudy model{what}.", hint)


def exports_in(model: Path) -> dict[str, Path]:
    """Return the exports in a model's folder: the name of each, and its folder."""
    found = model / EXPORTS
    inside = sorted(found.iterdir()) if found.is_dir() else []
    return {one.name: one for one in inside if (one / TOLD).is_file() and one.name[0] != "."}


def quickest(path: str | Path, threads: int | None = None) -> tuple[Exported | None, str]:
    """Return the quickest export in a model's folder that may be believed, and why others may not.

    It is of this very model, has passed parity, is installed, is what was written, and reading it
    runs no code. By what was measured as it was exported; first onnx, where nothing was.
    """
    folder = folder_of(Path(path))
    why = []
    fit: list[tuple[float, int, Path]] = []
    for name, place in exports_in(folder).items():
        try:
            told = told_in(place)
            with believing(place):
                if told["to"] in CODE or INT8 in told:
                    continue  # never unasked: opening may run code; 8-bit answers differ
                if reason := _unfit(told, folder):
                    why.append(f"{EXPORTS}/{name} {reason}")
                else:
                    order = list(LIBRARIES).index(told["to"])
                    fit.append((_milliseconds(told), order, place))
        except ModelError as problem:
            why.append(f"{EXPORTS}/{name}: {problem.message}")
    for _, _, place in sorted(fit):
        try:
            return Exported.open(place, threads), "; ".join(why)
        except ModelError as problem:
            why.append(f"{EXPORTS}/{place.name}: {problem.message}")
    return None, "; ".join(why)


def named(path: str | Path, runtime: str, threads: int | None = None) -> Exported:
    """Return a model's export by name.

    Raises `ModelError` for no model; `ChoiceError` where it has none, or an unfit one.
    """
    folder = folder_of(Path(path))
    if not (folder / SUMS).is_file():
        raise no_model(Path(path))
    there = exports_in(folder)
    if runtime not in there:
        known = ["torch", *there]
        raise ChoiceError(
            f"{folder} has no export '{runtime[:40]}'.",
            did_you_mean(runtime, known)
            or f"It has: {', '.join(known)}. Make one: quickstudy export MODEL --to {runtime[:40]}",
        )
    told = told_in(there[runtime])
    with believing(there[runtime]):
        reason = _unfit(told, folder)
    if reason and runs_here(told["to"]):
        raise ChoiceError(f"{there[runtime]} {reason}.", "Export the model again.")
    return Exported.open(there[runtime], threads, runtime=runtime)  # or it is not installed


def _unfit(told: dict[str, Any], folder: Path) -> str:
    """Return why an export may not answer for a model's folder; nothing where it may."""
    sums = folder / SUMS
    if not sums.is_file() or told["model"] != sha256(sums):
        return "was made of another model"
    if told["parity"]["passed"] is not True:
        return "has not passed parity"
    if not runs_here(told["to"]):
        return f"cannot run here: {LIBRARIES.get(told['to'], told['to'])} is not installed"
    return ""


def _milliseconds(told: dict[str, Any]) -> float:
    """Return how long one example took as it was exported; without a measurement, infinity."""
    found = (told.get("measured") or {}).get("milliseconds")
    return float(found) if isinstance(found, int | float) else float("inf")
