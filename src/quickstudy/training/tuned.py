"""The quickest way to compute this lesson's steps here, kept for the runs that come after.

Where epochs are given nothing is timed and nothing recalled: neither the clock nor what was
measured before may decide. Whether the usual precision answers as float32 does is compared even so.

How large a batch is changes what is learnt. Only on a GPU is it measured, whose speed nobody can
tell beforehand: there the smallest is taken that is about as quick as the quickest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import torch
from torch import nn

from quickstudy.batches import Batches
from quickstudy.hardware import (
    Hardware,
    Tuned,
    Way,
    keep_memory,
    keeps_memory,
    physical_cores,
    recall,
    remember,
    same_answers,
    seconds_per_call,
    tune,
)
from quickstudy.recipe import Recipe
from quickstudy.training.lesson import Lesson
from quickstudy.training.trial import LessonTrial

_ALLOWED = (3.0, 12.0)  # seconds for measuring, at least and at most
_SHARE = 0.03  # of the time left, between those
_AT_MOST = 0.2  # of the time left, however little that is
_PATIENCE = 2.0  # times those, where steps take longer than forecast
_STEPS = 24  # that measuring takes, about
_COMPARED = 32  # examples whose answers are compared where nothing is timed
_FEWEST = 8  # examples that a step is timed with
_STALE = 1.5  # times what was kept: measured anew
_BATCHES = (64, 128, 256, 512, 1024)
_A_PASS = 16  # steps, at least: as the plan has it
_NEARLY = 0.9  # of the most examples a second: smaller batches take more steps
#: Axis -> the key of the recipe that says it.
KEYS = {
    "memory_kept": "compute.allocator",
    "memory_format": "compute.memory_format",
    "precision": "compute.precision",
    "threads": "compute.threads",
}


def asked(recipe: Recipe) -> dict[str, Any]:
    """Return what the recipe says about each axis; what is ``auto`` is not in it."""
    compute = recipe.compute
    said = {
        "memory_kept": {"keep": True, "return": False}.get(compute.allocator, "auto"),
        "memory_format": compute.memory_format,
        "precision": compute.precision,
        "threads": compute.threads,
    }
    return {axis: value for axis, value in said.items() if value != "auto"}


def usual(hardware: Hardware, recipe: Recipe) -> Way:
    """Return the way taken where nothing is measured."""
    precision = "bfloat16" if hardware.bfloat16 else "float32"
    way = Way(hardware.memory_kept, "channels_last", precision, hardware.cores)
    return replace(way, **asked(recipe))


def options(hardware: Hardware, recipe: Recipe) -> dict[str, tuple[Any, ...]]:
    """Return the values of each axis to choose from; first what PyTorch does as installed."""
    cpu = hardware.device == "cpu"
    fewer = dict.fromkeys((hardware.cores, physical_cores(), max(1, hardware.cores // 2)))
    half = [p for p in ("bfloat16", "float16") if getattr(hardware, p)]
    found: dict[str, tuple[Any, ...]] = {
        "memory_kept": (False, True) if cpu and keeps_memory() else (hardware.memory_kept,),
        "memory_format": ("contiguous", "channels_last"),
        "precision": ("float32", *half),
        "threads": tuple(fewer) if cpu else (hardware.cores,),
    }
    return found | {axis: (value,) for axis, value in asked(recipe).items()}


def settle_way(lesson: Lesson, batches: Batches) -> None:
    """Settle what the recipe leaves to measuring: precision, memory format, allocator, threads."""
    recipe, hardware = lesson.recipe, lesson.hardware
    left = [axis for axis in KEYS if axis not in asked(recipe)]
    if not left:
        way = usual(hardware, recipe)
    elif lesson.crew.world > 1 and recipe.compute.sharding == "shard":
        precision = asked(recipe).get("precision", "float32")
        way = replace(usual(hardware, recipe), memory_format="contiguous", precision=precision)
        _decide(lesson, way, dict.fromkeys(left, "nobody has room to try the whole network"))
    elif recipe.epochs is not None:
        way, why = _untimed(lesson, batches)
        _decide(lesson, way, {axis: why[axis] for axis in left})
    else:
        found = _measured(lesson, batches)
        way = found.way
        _decide(lesson, way, {axis: found.why[axis] for axis in left})
        found = _settle_batch(lesson, batches, found)
        _forecast(lesson, batches, found)
    torch.set_num_threads(way.threads)
    if hardware.device == "cpu" and way.memory_kept != hardware.memory_kept:
        keep_memory(way.memory_kept)


def _untimed(lesson: Lesson, batches: Batches) -> tuple[Way, dict[str, str]]:
    """Return the usual way, unless its precision answers otherwise: neither is timed."""
    why = "the usual choice here; not timed, so that the same epochs give the same result"
    known = replace(lesson.hardware, memory_kept=keeps_memory())  # whatever was timed
    way, said = usual(known, lesson.recipe), dict.fromkeys(KEYS, why)
    exact = replace(way, precision="float32")
    if "precision" in asked(lesson.recipe) or way == exact:
        return way, said
    trial = LessonTrial.of(lesson, batches)
    with trial.leaving_no_trace():
        same, told = same_answers(trial.cut(_COMPARED), exact, way)
    said["precision"] = f"{why}; {told}"
    return way if same else exact, said


def _decide(lesson: Lesson, way: Way, why: dict[str, str]) -> None:
    for axis, said in why.items():
        value = getattr(way, axis)
        if axis == "memory_kept":
            value = "keep" if value else "return"
        lesson.decide(KEYS[axis], value, said)


def _settle_batch(lesson: Lesson, batches: Batches, found: Tuned) -> Tuned:
    """Settle how many examples a step on a GPU takes; return what its steps take then."""
    recipe, sizes = lesson.recipe, [n for n in _BATCHES if n <= lesson.learnable // _A_PASS]
    if recipe.kind == "table" or not lesson.hardware.device.startswith("cuda"):
        return found
    if not sizes or lesson.crew.world > 1 or "batch" in lesson.fixed:
        return found
    key = {**key_of(lesson), "batches": sizes}
    rates = _kept_rates(recall(key), sizes)
    if rates is None:
        trial = LessonTrial.of(lesson, batches)
        with trial.leaving_no_trace():
            trial.prepare(found.way)
            rates = examples_a_second(trial, sizes)
        remember(key, {"rates": rates})
    if not any(rates):
        return found
    batch, why = smallest(dict(zip(sizes, rates, strict=True)))
    lesson.decide("batch", batch, why)
    seconds = batch / rates[sizes.index(batch)]
    return replace(found, seconds=seconds, plain=found.plain * seconds / found.seconds)


def examples_a_second(trial: LessonTrial, sizes: Sequence[int]) -> list[float]:
    """Return how many examples a second steps of each size do; 0 where memory does not suffice."""
    rates = [0.0] * len(sizes)
    for place, size in enumerate(sizes):
        step = trial.cut(size)
        if step.parts() > 1:
            break  # nor will it for larger ones
        rates[place] = size / seconds_per_call(step.step, least=0.3, most_calls=6)
    return rates


def smallest(rates: Mapping[int, float]) -> tuple[int, str]:
    """Return the smallest batch that does nearly as many examples a second as the best, and why.

    >>> smallest({64: 800.0, 128: 950.0, 256: 1000.0, 512: 0.0})[0]
    128
    """
    most = max(rates.values())
    batch = min(size for size, rate in rates.items() if rate >= _NEARLY * most)
    figures = [
        f"{rate:.0f} with {n}" if rate else f"no memory for {n}" for n, rate in rates.items()
    ]
    return batch, (
        f"measured here, examples/s: {', '.join(figures)}; the smallest that does "
        f"{100 * _NEARLY:.0f} % of the most, for smaller batches take more steps"
    )


def _kept_rates(kept: dict[str, Any] | None, sizes: Sequence[int]) -> list[float] | None:
    """Return what a file of the cache says, if that can be."""
    try:
        rates = [float(rate) for rate in (kept or {})["rates"]]
    except (LookupError, TypeError, ValueError, OverflowError):
        return None
    return rates if len(rates) == len(sizes) and all(0 <= r < 1e9 for r in rates) else None


def _forecast(lesson: Lesson, batches: Batches, found: Tuned) -> None:
    """Note how quick a step is, and how many passes there will be."""
    recipe, steps = lesson.recipe, max(0.0, lesson.clock.left()) / found.seconds
    lesson.step_seconds = found.seconds
    lesson.decide(
        "epochs",
        None,
        f"the clock decides: about {steps * recipe.batch / len(batches):.0f} at the "
        f"{recipe.batch / found.seconds:.0f} examples/s measured, "
        f"{found.plain / found.seconds:.1f} times those of PyTorch as installed",
    )


def _measured(lesson: Lesson, batches: Batches) -> Tuned:
    """Return what was measured here before for the like of this, or now."""
    key, recipe = key_of(lesson), lesson.recipe
    trial = LessonTrial.of(lesson, batches)
    with trial.leaving_no_trace():
        kept = _kept(recall(key), options(lesson.hardware, recipe))
        if kept is not None:
            trial.prepare(kept.way)
            now = seconds_per_call(trial.step, least=0.0, most_calls=2)
            if now <= _STALE * kept.seconds:
                return replace(kept, seconds=now, plain=kept.plain * now / kept.seconds)
        found = _tuned(lesson, trial)
    if found.whole:
        remember(key, {**_as_dict(found), "date": date.today().isoformat()})
    return found


def _tuned(lesson: Lesson, trial: LessonTrial) -> Tuned:
    """Measure on as many examples of the batch as the time allows."""
    recipe, hardware = lesson.recipe, lesson.hardware
    least, most = _ALLOWED
    left = max(0.0, lesson.seconds_left())
    allowed = min(most, max(least, _SHARE * left), _AT_MOST * left)
    first, whole = usual(hardware, recipe), len(trial.x)
    few = trial.cut(_FEWEST)
    few.prepare(first)
    each = seconds_per_call(few.step, least=0.0, most_calls=2) / len(few.x)
    rows = min(whole, max(_FEWEST, int(allowed / _STEPS / each)))
    found = tune(trial.cut(rows), options(hardware, recipe), first, _PATIENCE * allowed)
    more = whole / min(rows, whole)
    return replace(found, seconds=found.seconds * more, plain=found.plain * more)


def _as_dict(found: Tuned) -> dict[str, Any]:
    way = {axis: getattr(found.way, axis) for axis in KEYS}
    return {"way": way, "seconds": found.seconds, "plain": found.plain, "why": dict(found.why)}


def _kept(found: dict[str, Any] | None, possible: dict[str, tuple[Any, ...]]) -> Tuned | None:
    """Return what a file of the cache says, if that is possible here."""
    if found is None:
        return None
    try:
        way = Way(**{axis: found["way"][axis] for axis in KEYS})
        on = f"; measured on {date.fromisoformat(found['date'])}"
        why = {axis: str(found["why"][axis])[:1000] + on for axis in KEYS}
        seconds, plain = float(found["seconds"]), float(found["plain"])
    except (LookupError, TypeError, ValueError, OverflowError):
        return None
    sound = 0 < seconds < 1e6 and 0 < plain < 1e6
    good = all(getattr(way, axis) in values for axis, values in possible.items())
    return Tuned(way, seconds, plain, why) if good and sound else None


def key_of(lesson: Lesson) -> dict[str, Any]:
    """Return what a measurement holds for: this computer, this torch, this network, these sizes."""
    recipe, hardware = lesson.recipe, lesson.hardware
    return {
        "processor": hardware.processor,
        "cores": hardware.cores,
        "device": hardware.gpu or hardware.device,
        "torch": str(torch.__version__),
        "network": recipe.network.name,
        "layers": _digest(lesson.network.module),
        "size": [recipe.start_size, recipe.size],
        "batch": recipe.batch,
        "asked": dict(sorted(asked(recipe).items())),
    }


def _digest(module: nn.Module) -> str:
    """Return what tells networks apart that compute otherwise: layers, and shapes of tensors."""
    layers = [f"{path}:{type(layer).__name__}" for path, layer in module.named_modules()]
    shapes = [f"{name}{tuple(t.shape)}{t.dtype}" for name, t in module.state_dict().items()]
    return hashlib.sha256("\n".join([*layers, *shapes]).encode()).hexdigest()[:16]
