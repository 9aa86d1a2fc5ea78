"""The answers for the views of an example -> one answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def averaged(answers: Tensor, owners: Tensor, n: int) -> Tensor:
    """Return the mean answer ``n K`` for each owner of answers ``V K``; `owners` is ``V``."""
    import torch

    many = torch.bincount(owners, minlength=n)[:, None]
    total = torch.zeros(n, answers.shape[1], dtype=answers.dtype)
    return total.index_add_(0, owners, answers) / many


def members(answers: Tensor) -> Tensor:
    """Return the mean ``N K`` over the members of an ensemble, ``N M K``; others as they are."""
    return answers.mean(1) if answers.ndim == 3 else answers
