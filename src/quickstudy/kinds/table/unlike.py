"""Rows that cannot be, made of rows: what a network must tell from what it knows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from quickstudy.kinds.table.columns import Column

Piece = NDArray[np.float32]
_FAR = (3.0, 10.0)  # times the range of a column, from its middle


def unlike(
    pieces: Sequence[Piece], columns: Sequence[Column], rng: np.random.Generator
) -> dict[str, list[Piece]]:
    """Return sorts of rows ``1 F`` unlike the `pieces`: mixed, and with numbers far outside."""
    rows = np.concatenate(list(pieces))
    mixed = np.stack([rng.permutation(column) for column in rows.T], 1)
    found = {"cells of different rows": [row[None] for row in mixed]}
    numbers = [one.type != "category" for one in columns for _ in one.features]
    if any(numbers):
        filled = np.where(np.isnan(rows), 0.0, rows)
        low, high = filled.min(0), filled.max(0)
        side = rng.choice([-1.0, 1.0], rows.shape) * rng.uniform(*_FAR, rows.shape)
        far = (low + high) / 2 + side * np.maximum(high - low, 1e-6)
        there = np.where(np.array(numbers), far, rows).astype(np.float32)
        found["numbers far outside"] = [row[None] for row in there]
    return found
