"""What a model's file says -> network, task and preparation, each checked before it is believed.

A checksum finds damage; it does not say that whoever wrote the file meant well.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from numbers import Real
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from quickstudy import tasks
from quickstudy.errors import ModelError
from quickstudy.kinds import NOUNS, Preparation, restored
from quickstudy.kinds.table.columns import described as told_of
from quickstudy.network import Spec, build, known
from quickstudy.network.own import PREFIX
from quickstudy.tasks import Task

#: What a description that is not as we write it makes of the code that reads it.
_DAMAGE = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)
_MOST_PIXELS = 4096  # of a side
_MOST_SAMPLES = 60 * 192_000  # that a network hears at once
_MOST_CELLS = 2**28  # of the frames of a window
_MOST_SCALE = 1e6
_SPEC: dict[str, Any] = {
    **{"name": str, "classes": int, "size": int, "width": Real, "dropout": Real},
    **{"auxiliary": bool, "sound": dict | None, "activation": str, "stem": str, "channels": int},
    **{"stack": list | None, "graph": dict | None, "table": dict | None},
}
_COLUMN: dict[str, Any] = {
    **{"name": str, "rare": int, "gaps": bool, "origin": Real, "unit": Real},
    **{"form": str, "hours": bool, "why": str},
}
_PICTURE: dict[str, Any] = {
    **{"decode_size": int, "size": int, "mirror": bool, "max_pixels": int, "channels": int},
}


@contextmanager
def believing(folder: Path) -> Iterator[None]:
    """Turn what a wrong description makes of the code inside into a `ModelError`."""
    try:
        yield
    except _DAMAGE as problem:
        what = f"{type(problem).__name__}: {str(problem)[:200]}"
        raise ModelError(
            f"The description in {folder} is not what Quickstudy writes ({what}).",
            "Copy the model's folder again from where it was made.",
        ) from problem


def taken(described: Mapping[str, Any]) -> tuple[Spec, Task, Preparation, dict[str, Any]]:
    """Return what a description says; raises `ValueError` and its kin where it cannot be."""
    kind, facts = described["kind"], described["facts"]
    _demand(kind in NOUNS, f"the kind {str(kind)[:40]!r}")
    _demand(isinstance(facts, dict), "facts")
    spec, task = Spec.from_dict(described["network"]), tasks.restored(described["task"])
    _check_spec(spec, kind)
    _check_task(task, spec)
    preparation: Any = restored(kind, described["preparation"])
    {"image": _check_pictures, "sound": _check_sound, "table": _check_rows}[kind](preparation, spec)
    return spec, task, preparation, facts


def shell_of(spec: Spec, tensors: Mapping[str, Tensor]) -> nn.Module | None:
    """Return the network without memory; None where it cannot be had so.

    That are networks that are code, and those of timm's whose making needs numbers: of these only
    the name and the number of outputs are free. Raises `ValueError` unless the network has as many
    numbers as the tensors.
    """
    if spec.name.startswith(PREFIX):
        return None
    _demand(sum(spec.depth) <= len(tensors), f"the depth {list(spec.depth)[:8]}")
    try:
        with torch.device("meta"), _Unfilled():
            shell = build(spec).module
    except (RuntimeError, NotImplementedError) as problem:
        if _named(spec) == "timm":
            return None
        raise ValueError(str(problem)) from problem
    needed = sum(tensor.numel() for tensor in shell.state_dict().values())
    held = sum(tensor.numel() for tensor in tensors.values())
    _demand(needed == held, f"its network has {needed:,} numbers, the weights are {held:,}")
    return shell


def network_of(spec: Spec, shell: nn.Module | None, own: Any) -> nn.Module:
    """Return the network, its parameters yet to be filled; of code that it is, with `own`."""
    if spec.name.startswith(PREFIX):
        return build(spec, own).module
    if shell is not None and _named(spec) in ("compact", "torchvision") and not _computed(shell):
        shell._apply(_with_memory)  # type: ignore[no-untyped-call]
        return shell
    with _Unfilled():
        return build(spec).module


def _named(spec: Spec) -> str:
    """Return whose a network as published is; nothing for any other."""
    other = spec.stack is not None or spec.graph is not None or spec.table is not None
    return "" if other or spec.activation else known(spec.name)


def _computed(shell: nn.Module) -> bool:
    """Whether a network without memory has tensors that no file of weights holds."""
    kept = shell.state_dict().keys()
    loose = (value for module in shell.modules() for value in vars(module).values())
    return any(t.is_meta for name, t in shell.named_buffers() if name not in kept) or any(
        isinstance(value, Tensor) for value in loose
    )


def _with_memory(tensor: Tensor) -> Tensor:
    return torch.empty_like(tensor, device="cpu") if tensor.is_meta else tensor


class _Unfilled(TorchFunctionMode):
    """Leave out the random first values of parameters, which those of the file replace."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _FILLING and isinstance(args[0], nn.Parameter):
            return args[0]
        return func(*args, **(kwargs or {}))


_FILLING = {Tensor.normal_, Tensor.uniform_}


def _demand(fine: bool, what: str) -> None:
    if not fine:
        raise ValueError(what)


def _check_types(what: object, kinds: Mapping[str, Any]) -> None:
    for name, kind in kinds.items():
        value = getattr(what, name)
        _demand(isinstance(value, kind), f"{name} is {str(value)[:40]!r}")


def _check_spec(spec: Spec, kind: str) -> None:
    _check_types(spec, _SPEC)
    most = {"image": _MOST_PIXELS, "sound": _MOST_SAMPLES, "table": 1}[kind]
    _demand(1 <= spec.size <= most, f"the size {spec.size}")
    _demand(1 <= spec.channels <= 64, f"{spec.channels} channels")
    _demand(all(isinstance(n, int) and n >= 1 for n in spec.depth), f"the depth {spec.depth[:8]}")
    _demand((spec.sound is not None) == (kind == "sound"), f"the network is not for {kind}s")
    _demand((spec.table is not None) == (kind == "table"), f"the network is not for {kind}s")


def _check_task(task: Task, spec: Spec) -> None:
    words = task.outputs
    _demand(isinstance(words, tuple) and all(isinstance(w, str) for w in words), "outputs")
    _demand(len(words) == spec.classes, f"{len(words)} outputs of a network of {spec.classes}")
    _demand(0 < getattr(task, "temperature", 1.0) < math.inf, "the temperature")
    _demand(0 <= getattr(task, "threshold", 0.5) <= 1, "the threshold")
    for name in ("mean", "std"):
        scale = getattr(task, name, ())
        _demand(len(scale) in (0, len(words)), f"{name} of {len(scale)} numbers")
        _demand(all(map(math.isfinite, scale)), name)
    _demand(len(getattr(task, "mean", ())) == len(getattr(task, "std", ())), "mean and std")
    _demand(all(one > 0 for one in getattr(task, "std", ())), "std")


def _check_pictures(how: Any, spec: Spec) -> None:
    _check_types(how, _PICTURE)
    _demand(how.size == spec.size and how.channels == spec.channels, "another size or channels")
    _demand(1 <= how.decode_size <= _MOST_PIXELS, f"the decode_size {how.decode_size}")
    _demand(how.fit in ("crop", "pad", "squash"), f"the fit {str(how.fit)[:40]!r}")
    _demand(len(how.mean) == len(how.std) == 3, "mean and std are of three colours")
    _demand(all(abs(one) <= _MOST_SCALE for one in (*how.mean, *how.std)), "mean and std")
    _demand(all(one >= 1 / _MOST_SCALE for one in how.std), "std")


def _check_sound(how: Any, spec: Spec) -> None:
    _check_types(how, dict.fromkeys(("rate", "size", "span", "long"), int))
    assert spec.sound is not None  # by `_check_spec`
    rate, fft, hop, mels = (spec.sound[name] for name in ("rate", "fft", "hop", "mels"))
    _demand(how.size == spec.size and how.rate == rate, "another size or rate")
    _demand(2000 <= rate <= 192_000, f"the rate {rate}")
    _demand(1 <= hop <= fft <= min(65536, spec.size) and 1 <= mels <= 512, "the spectra")
    _demand(0 <= spec.sound["low"] < spec.sound["high"] <= rate / 2, "the bands")
    _demand(spec.size / hop * fft <= _MOST_CELLS, "the spectra")
    _demand(0 < how.span <= how.size and how.long > 0, "the timeline")


def _check_rows(how: Any, spec: Spec) -> None:
    for column in how.columns:
        _check_types(column, _COLUMN)
        _demand(column.type in ("number", "category", "date", "left out"), "a column's type")
        _demand(all(isinstance(word, str) for word in column.words), "a column's words")
        _demand(math.isfinite(column.origin) and 0 < column.unit < math.inf, "a column's unit")
    assert spec.table is not None  # by `_check_spec`
    for name in ("words", "gaps"):
        _demand(told_of(how.columns)[name] == spec.table[name], f"other {name} of the columns")
