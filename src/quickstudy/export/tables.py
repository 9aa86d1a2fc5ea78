"""Rows as they are decoded -> answers: the part of an exported graph that is for tables.

What is known of the columns (middle, spread, edges, words) is part of the network already.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


class Rows(nn.Module):
    """Takes ``rows`` ``N F`` float32: NaN where a cell is missing, words as codes."""

    def __init__(self, answering: nn.Module) -> None:
        super().__init__()
        self.answering: Any = answering

    def forward(self, rows: Tensor) -> tuple[Tensor, ...]:
        """Return answers ``N K``, and how unlike what was learnt from each is, ``N``.

        A formula computes in double precision; what it says is told in single.
        """
        return self.answering.told(self.answering.ask(rows).float())
