"""What somebody asked for -> a `Job`: checked before anything is read, with a folder of its own."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from datetime import timedelta
from numbers import Real
from pathlib import Path
from typing import Any

from quickstudy.errors import ChoiceError, RunError
from quickstudy.folders import disk_errors, new_folder
from quickstudy.functions import as_text
from quickstudy.learning.choosing import check_choices, with_stack
from quickstudy.learning.job import Job, Own, told
from quickstudy.network.own import PREFIX
from quickstudy.recipe import Recipe, assemble, coerce
from quickstudy.recipe.coercion import brief
from quickstudy.recipe.published import taken
from quickstudy.training import checkpoints

_FUNCTIONS = ("network.activation", "loss.name")  # may be given as graphs of PyTensor's

BUDGET = "10m"
_CODE = ("network", "loss", "optimizer")
_FOREVER = 1e8  # seconds: three years
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def seconds(budget: str | float | timedelta) -> float:
    """Return a budget in seconds: of a number, a timedelta, or text as ``90s``, ``10m``, ``1h30m``.

    Raises `ChoiceError` for anything else and for under 5 seconds.

    >>> seconds("1h30m")
    5400.0
    """
    found = 0.0
    if isinstance(budget, timedelta):
        found = budget.total_seconds()
    elif isinstance(budget, Real):
        found = float(min(budget, _FOREVER))
    elif isinstance(budget, str):
        text = budget.strip().lower().replace(" ", "")
        parts = re.findall(r"(\d+(?:\.\d+)?)(min|[smh]?)", text)
        if parts and "".join(number + unit for number, unit in parts) == text:
            found = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if not 5 <= found < _FOREVER:
        raise ChoiceError(
            f"'{brief(budget)}' is no budget.", "Write it as 90s, 10m or 2h; at least 5s."
        )
    return found


def new_job(
    source: Any,
    test: Any,
    columns: dict[str, str | None],
    own: Mapping[str, Any],
    settings: Mapping[str, Any] | None,
    recipe: str | Path | None,
    budget: str | float | None,
    seed: int | None,
    device: str | None,
    out: str | Path | None,
) -> Job:
    """Check a request and give it a folder.

    Raises `ChoiceError` for what does not fit, `RunError` where nothing can be written.
    """
    if source is None:
        raise ChoiceError("No source was given.", "quickstudy learn FOLDER")
    chosen = with_stack(_chosen({**own, "compute.device": device}, settings, recipe))
    _check_given(chosen, own)
    check_choices(chosen)
    if seed is not None:
        seed = coerce("seed", seed)
        if seed < 0:
            raise ChoiceError(f"The seed {seed} is below 0.", "Give 0, 1, 2, ...")
    kept_budget = chosen.pop("budget", (None, ""))[0]
    kept_seed = chosen.pop("seed", (None, ""))[0]
    wanted = seconds(budget if budget is not None else kept_budget or BUDGET)
    made = True
    if out is not None:
        folder = Path(out)
        made = not folder.exists()
        with disk_errors("the run's folder"):
            folder.mkdir(parents=True, exist_ok=True)
        refuse_used(folder)
    else:
        folder = new_folder(Path("runs"), run_name(source))
    settled_seed = seed if seed is not None else kept_seed if kept_seed is not None else 0
    where = chosen.get("compute.device", (None, ""))[0]
    return Job(source, test, dict(columns), chosen, wanted, settled_seed, where, folder, made=made)


def _chosen(
    options: Mapping[str, Any], settings: Mapping[str, Any] | None, recipe: str | Path | None
) -> Own:
    """Return what somebody chose: options win over settings, settings over a recipe's file."""
    chosen: Own = {}
    if settings is not None and not isinstance(settings, Mapping):
        raise ChoiceError(
            f"The settings are no mapping: {brief(settings)}.", "Write them as {'epochs': 3}."
        )
    if recipe is not None and not isinstance(recipe, str | Path):
        raise ChoiceError(f"A {type(recipe).__name__} is no recipe.", "Give the name of a file.")
    if recipe is not None:
        chosen = taken(recipe)
    given = {key: value for key, value in options.items() if value is not None}
    for key, value in {**(settings or {}), **given}.items():
        plain = str(value) if isinstance(value, Path) else value
        plain = as_text(value) if key in _FUNCTIONS and not isinstance(value, str) else plain
        chosen[key] = (coerce(key, plain), "you set it")
    return chosen


def _is_code(value: Any) -> bool:
    return str(value).startswith(PREFIX)


def refuse_changes(*choices: Any) -> None:
    """Raise `ChoiceError` if any choice is made for a run that goes on: it has made its own."""
    given = (one for one in choices if one is not None and not _is_empty(one))
    if made := [brief(choice) for choice in given]:
        raise ChoiceError(
            f"A run that goes on keeps its choices; it cannot take {', '.join(made)}.",
            "Leave that out, or learn anew without --resume.",
        )


def _is_empty(choice: Any) -> bool:
    """Whether it is a collection of nothing, as the command line has where nothing was set."""
    return isinstance(choice, Mapping | list | tuple) and not choice


def resumed_job(
    folder: Path, source: Any, test: Any, given: tuple[dict[str, Any], dict[str, Any]]
) -> Job:
    """Return the job of a run's folder; what was Python, a source or code, must be `given` again.

    Raises `RunError` for a folder that holds no run.
    """
    refuse_changes(*(value for key, value in given[0].items() if not _is_code(value)))
    path = folder / "run.json"
    if not path.is_file():
        raise RunError(f"{folder} holds no run to go on with.", "Give a folder as runs/NAME-1.")
    if (folder / "report.html").is_file() and not (folder / checkpoints.NAME).is_file():
        raise RunError(
            f"The run in {folder} has ended: there is nothing to go on with.",
            f"Its report: {folder / 'report.html'}; learn again: quickstudy learn SOURCE",
        )
    kept, own, recipe = _kept(path)
    if source is None and kept["source"] is None:
        raise RunError(
            "That run learnt from a Python object, which must be given again.",
            "qs.learn(source, resume=folder)",
        )
    if test is None and kept["test"] is None and kept["tested"]:
        raise RunError(
            "That run is tested on a Python object, which must be given again.",
            "qs.learn(source, test=test, resume=folder)",
        )
    _check_code(own, given)
    return Job(
        source if source is not None else kept["source"],
        test if test is not None else kept["test"],
        kept["columns"],
        own,
        kept["budget"],
        kept["seed"],
        recipe.compute.device if recipe is not None else kept["device"],
        folder,
        recipe,
        most=kept["most"],
        later=kept.get("later"),
        stamp=kept["stamp"],
        launch=kept["launch"],
        workers=kept["workers"],
        code=given[1],
        spent_before=_spent(folder, kept["spent"]),
    )


#: Keys that recipes had not always, with what runs did before.
_SINCE = {
    "suspects": ["keep", "the run began before labels were doubted"],
    "data_curve": ["never", "the run began before less data was tried"],
    "stream": [False, "the run began when all was decoded beforehand"],
    "cache": [None, "half of what is free on its disk"],
    "race": [1, "the run began before recipes raced"],
    "compute.allocator": ["keep", "the run began before this was a choice"],
    "compute.sharding": ["auto", "settled by the memory of all, where several learn"],
}
_KEPT: dict[str, Any] = {
    **{"source": str | None, "test": str | None, "columns": dict, "own": dict, "budget": Real},
    **{"seed": int, "device": str | None, "spent": Real, "most": int, "later": Real | None},
    **{"stamp": str, "launch": str, "workers": list, "tested": bool, "recipe": dict | None},
}


def _kept(path: Path) -> tuple[dict[str, Any], Own, Recipe | None]:
    """Return what a run's file keeps, what of it somebody chose, and the recipe so far.

    Raises `RunError` for a file that no run has written so.
    """
    try:
        new: dict[str, Any] = {
            "later": None,
            "launch": "",
            "workers": [],
        }  # that runs had not always
        kept = {**new, **json.loads(path.read_text(encoding="utf-8"))}
        wrong = [key for key, kind in _KEPT.items() if not isinstance(kept[key], kind)]
        if wrong:
            raise ValueError(f"'{wrong[0]}' is {brief(kept[wrong[0]])}")
        own = {k: (coerce(k, v), str(why)) for k, (v, why) in kept["own"].items()}
        recipe = None
        if kept["recipe"] is not None:
            told = {**_SINCE, **kept["recipe"]}
            values = {k: coerce(k, v) for k, (v, _) in told.items()}
            recipe = assemble(values, {k: str(why) for k, (_, why) in told.items()})
    except (OSError, LookupError, TypeError, ValueError, AttributeError, RecursionError) as problem:
        raise RunError(
            f"{path} is not what a run writes: {type(problem).__name__}: {brief(str(problem))}.",
            "It was altered or cut short: learn again with quickstudy learn SOURCE.",
        ) from problem
    return kept, own, recipe


def _check_code(own: Mapping[str, Any], given: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Raise `RunError` unless a run that goes on is given the code that it began with."""
    for what in _CODE:
        before = str(own.get(f"{what}.name", ("", ""))[0])
        now = str(given[0].get(f"{what}.name", ""))
        hint = f"qs.learn(..., {what}={before.removeprefix(PREFIX)}, resume=folder)"
        if _is_code(before) and not now:
            raise RunError(f"That run's {what} is code, which must be given again.", hint)
        if now and now != before:
            named = before.removeprefix(PREFIX) or "the one it chose"
            raise RunError(
                f"That run's {what} is {named}, not {now.removeprefix(PREFIX)}.",
                hint if _is_code(before) else f"Leave {what} out.",
            )


def _check_given(chosen: Own, own: Mapping[str, Any]) -> None:
    """Raise `ChoiceError` where a recipe or a setting names code, which only Python can give."""
    for what in _CODE:
        named = str(chosen.get(f"{what}.name", ("", ""))[0])
        if _is_code(named) and own.get(f"{what}.name") is None:
            raise ChoiceError(
                f"The {what} {named.removeprefix(PREFIX)} is code, which a recipe does not hold.",
                f"Give it beside the recipe: qs.learn(..., {what}=...).",
            )


def _spent(folder: Path, kept: float) -> float:
    """Return the seconds the run had spent when it was last heard of."""
    log = folder / "log.jsonl"
    last = kept
    if log.is_file():
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines()[-3:]:
            try:
                last = max(last, float(json.loads(line)["seconds"]))
            except (ValueError, LookupError, TypeError, RecursionError):
                continue  # the line that the kill cut short
    return last


def refuse_used(folder: Path) -> None:
    """Raise `RunError` for a folder that holds a run."""
    if (folder / "run.json").exists():
        raise RunError(
            f"{folder} holds a run already.",
            f"Choose another --out, or go on with it: quickstudy learn --resume {folder}",
        )


def run_name(source: Any) -> str:
    """Return the name of a source's runs."""
    kind = "arrays" if isinstance(source, tuple) else type(source).__name__.lower()
    stem = Path(os.fspath(source)).absolute().name if told(source) else kind
    while Path(stem).suffix.lower() in (".zip", ".tar", ".gz", ".tgz", ".csv", ".tsv", ".parquet"):
        stem = Path(stem).stem
    return re.sub(r"[^\w.-]+", "_", stem).strip("._") or "run"
