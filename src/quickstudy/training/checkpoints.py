"""Checkpoints: everything training needs to go on, in one file that is whole or not there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from quickstudy.errors import RunError
from quickstudy.folders import write_whole
from quickstudy.network.weights import apart

NAME = "checkpoint.safetensors"


@dataclass
class State:
    """Tensors by name, and facts (JSON): step, seconds spent, curves, events."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any] = field(default_factory=dict)


def write(folder: Path, state: State) -> None:
    """Write the checkpoint of a run. Raises `RunError` on a full disk; the last one stays."""
    facts = {"facts": json.dumps(state.facts)}
    write_whole(folder / NAME, save(apart(state.tensors), metadata=facts))


def read(folder: Path) -> State | None:
    """Return the checkpoint of a run, or None where there is none yet.

    Raises `RunError` for a file that is damaged.
    """
    path = folder / NAME
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})["facts"])
            return State({key: file.get_tensor(key) for key in file.keys()}, facts)  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError, OSError) as problem:
        raise RunError(
            f"The checkpoint {path} is damaged: {problem}.",
            "Remove it to begin that run's training again.",
        ) from problem


def pack_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the optimiser's state as named tensors; plain numbers too, marked as such."""
    found = {}
    for number, state in optimizer.state_dict()["state"].items():
        for name, value in state.items():
            if isinstance(value, Tensor):
                found[f"optimizer.{number}.{name}"] = value
            elif isinstance(value, int | float):
                kind = torch.float64 if isinstance(value, float) else torch.int64
                found[f"optimizer.{number}.{name}.number"] = torch.tensor(value, dtype=kind)
    for at, group in enumerate(optimizer.param_groups):
        step = group.get("step")  # some of timm's count there
        if isinstance(step, Tensor):
            found[f"group.{at}"] = step.clone()
        elif step is not None:
            found[f"group.{at}.number"] = torch.tensor(step)
    return found


def unpack_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `pack_optimizer` took."""
    loaded = optimizer.state_dict()
    state: dict[int, dict[str, Any]] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, number, name, *plain = key.split(".")
            state.setdefault(int(number), {})[name] = value.item() if plain else value
    loaded["state"] = state
    for at, group in enumerate(loaded["param_groups"]):
        if f"group.{at}" in tensors:
            group["step"] = tensors[f"group.{at}"].clone()
        elif f"group.{at}.number" in tensors:
            group["step"] = tensors[f"group.{at}.number"].item()
    optimizer.load_state_dict(loaded)


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors with `prefix.` before each name."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose name begins with `prefix.`, without it."""
    head = f"{prefix}."
    return {k.removeprefix(head): v for k, v in tensors.items() if k.startswith(head)}
