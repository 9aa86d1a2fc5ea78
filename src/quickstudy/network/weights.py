"""A file of trained weights -> the tensors of a network. Nothing here unpickles.

``.safetensors``, or ``.pth`` through torch's `weights_only`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from quickstudy.errors import WeightsError
from quickstudy.network import Built
from quickstudy.network.standard import RGB
from quickstudy.network.tweaks import adapt_first


def read(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a weights file by name.

    Raises `WeightsError` for a file that is not weights, or that only unpickling could open.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return dict(load_file(path))
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as problem:  # each format raises its own family; all mean the same here
        raise WeightsError(
            f"The weights {path} cannot be read safely: {_first_line(problem)}.",
            "Give a .safetensors file, or a .pth that holds tensors only.",
        ) from problem
    for wrapper in ("state_dict", "model", "model_state_dict"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(wrapper), Mapping):
            loaded = loaded[wrapper]
    if not isinstance(loaded, Mapping) or not all(isinstance(v, Tensor) for v in loaded.values()):
        raise WeightsError(f"The file {path} holds no named tensors.", "Give a state dict.")
    return {str(name).removeprefix("module."): tensor for name, tensor in loaded.items()}


def _first_line(problem: Exception) -> str:
    """Return what torch or safetensors says of a bad file, where it is more than a number."""
    first = next(iter(str(problem).splitlines()), "")
    kind = type(problem).__name__
    return f"{kind} {first}".strip() if len(first) < 12 else first


def put(network: Built, tensors: Mapping[str, Tensor], name: str) -> None:
    """Copy trained tensors into the body; the last layer and auxiliary ones stay fresh.

    Raises `WeightsError` naming the first tensors that do not fit.
    """
    tensors = {_present_name(name): tensor for name, tensor in tensors.items()}
    own = network.module.state_dict()
    fresh = _fresh_prefixes(network)
    ours = {k: v for k, v in own.items() if not k.startswith(fresh)}
    theirs = {
        k: _for_channels(v, own.get(k))
        for k, v in tensors.items()
        if not _replaced(k, network, fresh)
    }
    faults = [f"{k} is not there" for k in ours if k not in theirs and "num_batches" not in k]
    faults += [
        f"{k} is {tuple(theirs[k].shape)}, not {tuple(v.shape)}"
        for k, v in ours.items()
        if k in theirs and theirs[k].shape != v.shape
    ]
    faults += [f"{k} is not in the network" for k in theirs if k not in own]
    if faults:
        more = f", and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise WeightsError(
            f"These weights do not fit {name}: {'; '.join(faults[:3])}{more}.",
            "Name the network they were trained for: --network NAME.",
        )
    auxiliary = {
        k: v
        for k, v in tensors.items()
        if k in own and k not in ours and k not in _last_keys(network) and own[k].shape == v.shape
    }
    network.module.load_state_dict({**theirs, **auxiliary}, strict=False)


def _for_channels(theirs: Tensor, ours: Tensor | None) -> Tensor:
    """Return a first layer's weights for colour as those for our number of channels."""
    if ours is None or theirs.ndim != 4 or ours.ndim != 4 or theirs.shape[1] != RGB:
        return theirs
    same = theirs.shape[0] == ours.shape[0] and theirs.shape[2:] == ours.shape[2:]
    return adapt_first(theirs, ours.shape[1]) if same else theirs


def _present_name(name: str) -> str:
    """Return today's name of a tensor; DenseNet's published files still have older ones."""
    return re.sub(r"(denselayer\d+\.(?:norm|conv))\.(\d)\.", r"\1\2.", name)


def _last_keys(network: Built) -> tuple[str, str]:
    return f"{network.head}.weight", f"{network.head}.bias"


def _fresh_prefixes(network: Built) -> tuple[str, ...]:
    return (f"{network.head}.", "aux", "AuxLogits")


def _replaced(key: str, network: Built, fresh: tuple[str, ...]) -> bool:
    """Whether a file's tensor belongs to a layer that is learnt anew here."""
    is_squeezenet = type(network.module).__name__ == "SqueezeNet"
    old_squeezenet_head = is_squeezenet and key.startswith("classifier.1.")
    return key.startswith(fresh) or old_squeezenet_head


def apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors on the CPU, each in memory of its own, as safetensors has them.

    What a network has tied together is kept once for each name.
    """
    found: dict[str, Tensor] = {}
    places: set[int] = set()
    for name, tensor in tensors.items():
        plain = tensor.detach().cpu().contiguous()
        place = plain.untyped_storage().data_ptr()
        found[name] = plain.clone() if place in places else plain
        places.add(place)
    return found
