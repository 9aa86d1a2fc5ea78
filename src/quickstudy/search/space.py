"""What a search varies: keys of the recipe, each with a range or with a list of choices."""

from __future__ import annotations

import json
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any, TypeAlias

from quickstudy.errors import ChoiceError, did_you_mean
from quickstudy.recipe import KEYS_OF, PREFIX, Recipe, coerce, is_formula
from quickstudy.recipe.coercion import brief
from quickstudy.recipe.limits import LIMITS
from quickstudy.recipe.yaml_text import parse, read_file

_FORM = "Write it as 'optimizer.lr: {low: 0.0001, high: 0.1, log: true}', 'batch: [16, 32]'."
#: What all trials share: else their scores on val would be of different examples, or not compare.
_SHARED = (
    *("kind", "task", "budget", "seed", "test", "val", "rehearsal", "suspects", "data_curve"),
    *("stream", "cache", "race", "epochs", "compute.device", "compute.sharding", "table.trees"),
    "picture.max_pixels",
)
_WIDEST = (1e-4, 1e-1)  # learning rates, where the plan's own could not be measured


@dataclass(frozen=True)
class Range:
    """A number from `low` to `high`; `log`: as likely in each power of ten; `step` apart."""

    low: float
    high: float
    log: bool = False
    step: float | None = None


@dataclass(frozen=True)
class Among:
    """One of a few values."""

    values: tuple[Any, ...]


#: Dotted key of the recipe -> what it may be.
Space: TypeAlias = dict[str, Range | Among]


def usual(recipe: Recipe) -> Space:
    """Return what is varied unasked about a plan: what data decides, and no arithmetic can say.

    Empty where nothing is left open, as with a formula that L-BFGS fits to the bottom.
    """
    if recipe.optimizer.name == "lbfgs":
        return {}
    space: Space = {"optimizer.lr": _rate(recipe.optimizer.lr)}
    decay = recipe.optimizer.weight_decay
    if decay > 0:
        space["optimizer.weight_decay"] = Range(decay / 10, min(10.0, decay * 10), log=True)
    space["batch"] = Among(tuple(n for n in (recipe.batch // 2, recipe.batch, recipe.batch * 2)
                                 if n >= 4))  # fmt: skip
    if recipe.task == "classification":
        space["loss.label_smoothing"] = Range(0.0, 0.2)
    name = recipe.network.name
    as_it_is = name == "stack" or name.startswith(PREFIX) or is_formula(name, recipe.kind)
    if not as_it_is and not name.lower().endswith(".onnx"):
        space["network.dropout"] = Range(0.0, 0.5)
    if name in ("compact", "tabm"):
        width = recipe.network.width
        space["network.width"] = Among((width / 2, width, width * 2))
    space |= _OF_KIND[recipe.kind](recipe)
    return space


def _rate(planned: float | None) -> Range:
    if planned is None:
        return Range(*_WIDEST, log=True)
    least, most = LIMITS["optimizer.lr"]
    return Range(max(least, planned / 10), min(most, planned * 10), log=True)


def _pictures(recipe: Recipe) -> Space:
    gentle = recipe.method != "scratch"
    grey = recipe.augment is not None and getattr(recipe.augment, "colour", 0.0) == 0
    space: Space = {
        "augment.crop": Range(0.2, 1.0),
        "augment.rotate": Range(0.0, 30.0),
        "augment.mixup": Range(0.0, 0.2 if gentle else 0.4),
        "augment.cutmix": Range(0.0, 0.3 if gentle else 0.6),
    }
    return space if grey else {**space, "augment.colour": Range(0.0, 0.5)}


def _sounds(recipe: Recipe) -> Space:
    return {
        "augment.shift": Range(0.0, 1.0),
        "augment.speed": Range(0.0, 0.2),
        "augment.gain": Range(0.0, 12.0),
        "augment.noise": Range(0.0, 1.0),
        "augment.mask_time": Range(0.0, 0.4),
        "augment.mask_bands": Range(0.0, 0.4),
        "augment.mixup": Range(0.0, 0.4),
    }


def _tables(recipe: Recipe) -> Space:
    if recipe.network.name != "tabm":
        return {}
    return {"table.members": Among((8, 16, 32)), "table.bins": Among((8, 16, 32))}


_OF_KIND = {"image": _pictures, "sound": _sounds, "table": _tables}


def read(given: str | Path | Mapping[str, Any] | None) -> dict[str, Range | Among | None]:
    """Return the space that somebody wrote, in a YAML file or a mapping; None takes a key out.

    Raises `ChoiceError` for a file that is no such YAML, for unknown keys ("did you mean"), and for
    ranges that a recipe cannot hold.
    """
    if given is None:
        return {}
    if isinstance(given, Mapping):
        loaded: Any = given
    else:
        where = f"The space {given}"
        loaded, _ = parse(read_file(Path(given), where, _FORM), where, _FORM)
    if not isinstance(loaded, Mapping):
        raise ChoiceError("A space has 'key: range' lines, and there are none.", _FORM)
    found: dict[str, Range | Among | None] = {}
    for key, value in _flat(loaded).items():
        _check_key(key)
        found[key] = None if value is None else _one(key, value)
    return found


def _flat(loaded: Mapping[Any, Any]) -> dict[str, Any]:
    """Return dotted keys, also of what is nested by section, as a recipe's file is."""
    sections = {key.partition(".")[0] for keys in KEYS_OF.values() for key in keys if "." in key}
    flat: dict[str, Any] = {}
    for key, value in loaded.items():
        if key in sections and isinstance(value, Mapping):
            flat.update({f"{key}.{brief(inner)}": part for inner, part in value.items()})
        else:
            flat[brief(key)] = value
    return flat


def _check_key(key: str) -> None:
    known = {one for keys in KEYS_OF.values() for one in keys} - set(_SHARED)
    if key in _SHARED:
        raise ChoiceError(
            f"{key} cannot be searched: all trials share it, so that their scores compare.",
            f"Fix it for the whole search: --set {key}=..., or leave it out.",
        )
    if key not in known:
        hint = did_you_mean(key, known) or "All settings are in docs/recipe.md."
        raise ChoiceError(f"The space names '{key}', which is no setting.", hint)


def _one(key: str, value: Any) -> Range | Among:
    if isinstance(value, list | tuple):
        if len(value) < 2:
            raise ChoiceError(f"The space of {key} has fewer than two choices.", _FORM)
        among = tuple(coerce(key, one) for one in value)
        for one in among:
            _check_limits(key, one)
        return Among(among)
    known = {"low", "high", "log", "step"}
    told = value if isinstance(value, Mapping) else {}
    if strange := [brief(word) for word in told if word not in known]:
        hint = did_you_mean(strange[0], known) or _FORM
        raise ChoiceError(f"The space of {key} has a word '{strange[0]}'.", hint)
    if not {"low", "high"} <= set(told):
        raise ChoiceError(f"The space of {key} is {brief(value)}: no range and no list.", _FORM)
    if not _is_number(key):
        raise ChoiceError(f"{key} is no number: it takes a list of choices, not a range.", _FORM)
    low, high = (float(_number(key, value[end])) for end in ("low", "high"))
    log, step = value.get("log", False), value.get("step")
    step = float(_number(key, step)) if step is not None else None
    if not isinstance(log, bool) or (log and step is not None) or (step is not None and step <= 0):
        raise ChoiceError(f"The space of {key}: log is true or false, and has no step.", _FORM)
    if not low < high or (log and low <= 0):
        raise ChoiceError(
            f"The range of {key} runs from {low:g} to {high:g}.",
            "Let it rise; with 'log: true' from above 0.",
        )
    return Range(low, high, log, step)


def _is_number(key: str) -> bool:
    return _plain(key) in (int, float)


def _plain(key: str) -> Any:
    """Return the type of a key without the `None` that it may also be."""
    hint = next(keys[key] for keys in KEYS_OF.values() if key in keys)
    is_union = typing.get_origin(hint) in (UnionType, typing.Union)
    return typing.get_args(hint)[0] if is_union else hint


def _number(key: str, value: Any) -> float:
    """Return an end of a range as its key has it."""
    found = coerce(key, value)
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise ChoiceError(f"The range of {key} has an end {brief(value)}.", _FORM)
    _check_limits(key, found)
    return found


def _check_limits(key: str, value: Any) -> None:
    if key in LIMITS and isinstance(value, int | float):
        least, most = LIMITS[key]
        if not least <= value <= most:
            raise ChoiceError(
                f"The space of {key} holds {value:g}.", f"From {least:g} to {most:g} is possible."
            )


def merged(recipe: Recipe, asked: Mapping[str, Range | Among | None], own: set[str]) -> Space:
    """Return what is varied: the usual, without what somebody fixed (`own`), then what was asked.

    Raises `ChoiceError` where nothing is left, or a key is of another kind.
    """
    strange = [key for key in asked if key not in KEYS_OF[recipe.kind]]
    if strange:
        raise ChoiceError(
            f"The space names {', '.join(strange)}, which the recipe has not: these are of the "
            f"kind '{recipe.kind}'.",
            "Leave it out.",
        )
    space: Space = {key: one for key, one in usual(recipe).items() if key not in own}
    for key, one in asked.items():
        if one is None:
            space.pop(key, None)
        else:
            space[key] = one
    if not space:
        raise ChoiceError(
            "There is nothing to search: every choice is fixed, or found exactly.",
            "Name what to vary with --space FILE, or take quickstudy learn.",
        )
    return space


def as_data(space: Mapping[str, Range | Among]) -> dict[str, Any]:
    """Return a space as JSON has it.

    >>> as_data({"batch": Among((16, 32))})
    {'batch': [16, 32]}
    """
    told: dict[str, Any] = {}
    for key, one in space.items():
        if isinstance(one, Among):
            told[key] = [list(value) if isinstance(value, tuple) else value for value in one.values]
        else:
            told[key] = {"low": one.low, "high": one.high, "log": one.log}
            told[key] |= {} if one.step is None else {"step": one.step}
    return told


def from_data(told: Mapping[str, Any]) -> Space:
    """Return the space of `as_data`."""
    return {key: _one(key, value) for key, value in told.items()}


def packed(value: Any) -> Any:
    """Return a choice as Optuna keeps it: a list as its JSON text.

    >>> packed((2, 2)), unpacked("network.depth", "[2, 2]"), packed(16)
    ('[2, 2]', (2, 2), 16)
    """
    return json.dumps(value) if isinstance(value, list | tuple) else value


def unpacked(key: str, value: Any) -> Any:
    """Return what `packed` kept, as the recipe has it."""
    lists = not isinstance(_plain(key), type) and typing.get_origin(_plain(key)) in (tuple, list)
    return coerce(key, json.loads(value) if lists and isinstance(value, str) else value)


def is_whole(key: str) -> bool:
    """Return whether a key holds whole numbers.

    >>> is_whole("batch"), is_whole("optimizer.lr")
    (True, False)
    """
    return _plain(key) is int
