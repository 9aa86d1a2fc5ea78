"""Decoded examples -> the views that the network is asked about, and their answers -> one each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quickstudy.kinds.contract import Preparation


def in_views(
    pieces: Iterable[NDArray[Any]], how: Preparation, batch: int, *, most: int | None = None
) -> Iterator[tuple[NDArray[np.int64], NDArray[Any]]]:
    """Yield views of decoded examples, at most `batch` at a time, and whose they are.

    With `most`, an example that takes more views is shown in so many, spread evenly over it.
    """
    owners: list[int] = []
    views: list[NDArray[Any]] = []
    for owner, values in enumerate(pieces):
        starts = how.starts(len(values))
        if most is not None and len(starts) > most:
            starts = starts[np.linspace(0, len(starts) - 1, most).round().astype(np.int64)]
        for start in starts.tolist():
            owners.append(owner)
            views.append(how.view(values, start))
            if len(views) == batch:
                yield np.array(owners), np.stack(views)
                owners, views = [], []
    if views:
        yield np.array(owners), np.stack(views)


def averaged(
    owners: NDArray[np.int64], answers: NDArray[np.floating], n: int
) -> NDArray[np.float64]:
    """Return the mean answer ``n K`` for each owner of answers ``V K``; `owners` is ``V``.

    >>> averaged(np.array([0, 1, 1]), np.array([[1.0], [0.0], [0.5]]), 2).tolist()
    [[1.0], [0.25]]
    """
    total = np.zeros((n, answers.shape[1]))
    np.add.at(total, owners, answers)
    found: NDArray[np.float64] = total / np.bincount(owners, minlength=n)[:, None]
    return found
