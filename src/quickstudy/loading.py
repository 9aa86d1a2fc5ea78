"""A path -> what answers: a model's folder, or an export of it; torch only where it is needed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from quickstudy.errors import ChoiceError
from quickstudy.runtimes.choosing import named, quickest
from quickstudy.runtimes.exported import Exported, is_export

if TYPE_CHECKING:
    from quickstudy.model import Model

TORCH = "torch"
Answers: TypeAlias = "Model | Exported"


def load(
    folder: str | Path,
    device: str | None = None,
    network: Any = None,
    runtime: str | None = None,
) -> Answers:
    """Return the model of a folder, checked against its checksums; runs no code from it.

    An export, its folder or file, is answered by its runtime alone, without torch. A model's folder
    with `exports` answers through the quickest that is installed and has passed parity, unless
    `runtime` says ``torch`` or names another; `Model.runtime` tells. On a `device`, or with a
    `network` given again (one that is code, an nn.Module or what makes one, has to be), it is
    torch that answers. Raises `ModelError` for a folder that is no model, was altered or cut short,
    or is of a newer format; `ChoiceError` for a device or a runtime that cannot be used.
    """
    if is_export(folder):
        _only_here(folder, device, network)
        return _export(folder, runtime)
    from dataclasses import replace

    from quickstudy.model import load as load_model

    model = load_model(folder, device, network)
    if runtime not in (None, TORCH):
        _only_here(folder, device, network)
        return replace(model, through=named(folder, str(runtime)))
    if runtime == TORCH or device is not None or network is not None or not model.on_processor:
        return model
    through, why = quickest(folder)
    return replace(model, through=through, why=why)


def answering(path: str | Path, device: str | None = None, runtime: str | None = None) -> Answers:
    """Return what `load` does, without loading a network, nor torch, that would not be asked."""
    if is_export(path) or device is not None or runtime == TORCH:
        return load(path, device, runtime=runtime)
    if runtime is not None:
        return named(path, runtime)
    found = None if _graphics_driver() else quickest(path)[0]
    return found or load(path)


def _graphics_driver() -> bool:
    """Whether CUDA's driver is there: then torch tells whether a GPU would be quicker."""
    windows = Path(os.environ.get("SYSTEMROOT", "/"), "System32", "nvcuda.dll")
    return any(one.exists() for one in (Path("/dev/nvidiactl"), Path("/dev/dxg"), windows))


def _export(path: str | Path, runtime: str | None) -> Exported:
    found = Exported.open(path, runtime=runtime)
    if runtime not in (None, found.to, found.runtime):
        raise ChoiceError(
            f"{path} is an export to {found.to}; it cannot be run by {runtime}.",
            "Leave the runtime out, or give the model's folder.",
        )
    return found


def _only_here(path: str | Path, device: str | None, network: Any) -> None:
    if device not in (None, "cpu") or network is not None:
        what = "another network" if network is not None else f"the device '{device}'"
        raise ChoiceError(
            f"{path} is answered by an export, which knows nothing of {what}.",
            "Leave it out, or give the model's folder and runtime torch.",
        )
