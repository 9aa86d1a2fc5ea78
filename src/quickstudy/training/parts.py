"""Tensors of which each of several processes holds a part: torch's `DTensor`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def in_parts(tensor: Tensor) -> bool:
    """Whether other processes hold other parts of it."""
    return hasattr(tensor, "full_tensor")  # to import its class takes half a second


def whole(tensor: Any) -> Tensor:
    """Return a tensor whole; where it is in parts all processes must ask for it."""
    found: Tensor = tensor.full_tensor() if in_parts(tensor) else tensor
    return found


def part_like(like: Any, tensor: Tensor) -> Tensor:
    """Return the part of a whole tensor that this process holds of one `like` it."""
    if not in_parts(like) or in_parts(tensor):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    here = tensor.to(like.device)
    return distribute_tensor(here, like.device_mesh, like.placements, src_data_rank=None)


def norm_of(tensors: Sequence[Tensor]) -> Tensor:
    """Return the norm of all numbers in them, those that other processes hold too."""
    both = [t for t in tensors if in_parts(t)], [t for t in tensors if not in_parts(t)]
    norms = [whole(torch.nn.utils.get_total_norm(some)) for some in both if some]
    return norms[0] if len(norms) == 1 else torch.nn.utils.get_total_norm(norms)
