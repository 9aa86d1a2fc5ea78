"""What a model's file says -> network, task and preparation, each checked before it is believed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from quickstudy import tasks
from quickstudy.kinds import NOUNS, Preparation, restored
from quickstudy.kinds.table.columns import described as told_of
from quickstudy.network import Spec, build, known
from quickstudy.network.own import PREFIX
from quickstudy.runtimes.checked import (
    MOST_PIXELS,
    MOST_SAMPLES,
    check_preparation,
    check_task,
    check_types,
    demand,
)
from quickstudy.tasks import Task

_MOST_CELLS = 2**28  # of the frames of a window
_SPEC: dict[str, Any] = {
    **{"name": str, "classes": int, "size": int, "width": Real, "dropout": Real},
    **{"auxiliary": bool, "sound": dict | None, "activation": str, "stem": str, "channels": int},
    **{"stack": list | None, "graph": dict | None, "table": dict | None},
    **{"ensemble": dict | None},
}
_MOST_MEMBERS = 64  # of an ensemble


def taken(described: Mapping[str, Any]) -> tuple[Spec, Task, Preparation, dict[str, Any]]:
    """Return what a description says; raises `ValueError` and its kin where it cannot be."""
    kind, facts = described["kind"], described["facts"]
    demand(kind in NOUNS, f"the kind {str(kind)[:40]!r}")
    demand(isinstance(facts, dict), "facts")
    spec, task = Spec.from_dict(described["network"]), tasks.restored(described["task"])
    _check_spec(spec, kind)
    check_task(task, spec.classes)
    preparation: Any = restored(kind, described["preparation"])
    check_preparation(preparation)
    check = {"image": _check_pictures, "sound": _check_sound, "table": _check_rows}[kind]
    check(preparation, spec)
    if spec.ensemble is not None:
        for one in _checked_members(spec, task.name):
            _check_spec(one, kind)
            check(preparation, one)
    return spec, task, preparation, facts


def shell_of(spec: Spec, tensors: Mapping[str, Tensor]) -> nn.Module | None:
    """Return the network without memory; None where it cannot be had so.

    That are networks that are code, and those of timm's whose making needs numbers: of these only
    the name and the number of outputs are free. Raises `ValueError` unless the network has as many
    numbers as the tensors.
    """
    if spec.name.startswith(PREFIX):
        return None
    depth = sum(sum(one.depth) for one in spec.members())
    demand(depth <= len(tensors), f"a depth of {depth}")
    try:
        with torch.device("meta"), _Unfilled():
            shell = build(spec).module
    except (RuntimeError, NotImplementedError) as problem:
        if any(_named(one) == "timm" for one in spec.members()):
            return None
        raise ValueError(str(problem)) from problem
    needed = sum(tensor.numel() for tensor in shell.state_dict().values())
    held = sum(tensor.numel() for tensor in tensors.values())
    demand(needed == held, f"its network has {needed:,} numbers, the weights are {held:,}")
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
    made = (spec.stack, spec.graph, spec.table, spec.ensemble)
    other = any(one is not None for one in made)
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


def _check_spec(spec: Spec, kind: str) -> None:
    check_types(spec, _SPEC)
    most = {"image": MOST_PIXELS, "sound": MOST_SAMPLES, "table": 1}[kind]
    demand(1 <= spec.size <= most, f"the size {spec.size}")
    demand(1 <= spec.channels <= 64, f"{spec.channels} channels")
    demand(all(isinstance(n, int) and n >= 1 for n in spec.depth), f"the depth {spec.depth[:8]}")
    demand((spec.sound is not None) == (kind == "sound"), f"the network is not for {kind}s")
    demand((spec.table is not None) == (kind == "table"), f"the network is not for {kind}s")


def _checked_members(spec: Spec, task: str) -> tuple[Spec, ...]:
    """Return the members of an ensemble, which answer the same question as it."""
    assert spec.ensemble is not None
    told = spec.ensemble["members"]
    demand(spec.ensemble["task"] == task, "an ensemble for another task")
    demand(isinstance(told, list) and 1 <= len(told) <= _MOST_MEMBERS, "the ensemble's members")
    for one in told:
        for key in ("weight", "temperature"):
            number = one[key]
            demand(isinstance(number, Real) and 0 < float(number) < math.inf, f"a member's {key}")
    members = spec.members()
    for member in members:
        demand(member.classes == spec.classes, "a member with other outputs")
        demand(member.ensemble is None, "an ensemble in an ensemble")
        demand(not member.name.startswith(PREFIX), "a member that is code")
    return members


def _check_pictures(how: Any, spec: Spec) -> None:
    demand(how.size == spec.size and how.channels == spec.channels, "another size or channels")


def _check_sound(how: Any, spec: Spec) -> None:
    assert spec.sound is not None  # by `_check_spec`
    rate, fft, hop, mels = (spec.sound[name] for name in ("rate", "fft", "hop", "mels"))
    demand(how.size == spec.size and how.rate == rate, "another size or rate")
    demand(1 <= hop <= fft <= min(65536, spec.size) and 1 <= mels <= 512, "the spectra")
    demand(0 <= spec.sound["low"] < spec.sound["high"] <= rate / 2, "the bands")
    demand(spec.size / hop * fft <= _MOST_CELLS, "the spectra")


def _check_rows(how: Any, spec: Spec) -> None:
    assert spec.table is not None  # by `_check_spec`
    for name in ("words", "gaps"):
        demand(told_of(how.columns)[name] == spec.table[name], f"other {name} of the columns")
