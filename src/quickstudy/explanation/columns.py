"""What each column of a row counted for: Shapley values against the most usual row.

Shapley (1953); for what a model says, Strumbelj and Kononenko (2014). Columns are put in one by one
in random orders, from the usual row to the one asked about; what a column adds is averaged over the
orders. The shares add up exactly to the difference of the two answers.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from quickstudy.evaluation.words import figure
from quickstudy.kinds.table.columns import Column
from quickstudy.network.formula import Formula
from quickstudy.network.tabular import Front

#: Rows ``N F`` -> the answer asked about, ``N``.
Ask = Callable[[NDArray[Any]], NDArray[np.float64]]

_ORDERS = 32  # random orders, each also backwards
_EXACT = 10  # columns: up to so many all 2^n rows are asked about
_MOST_ROWS = 40_000
_CELLS = 2**22  # of rows that are held at once: 16 MB


@dataclass(frozen=True)
class Share:
    """What one column counted for."""

    column: str
    cell: str
    """What it says, as one would write it."""
    usual: str
    """What it says in the most usual row."""
    share: float
    """What it adds to the answer: a probability, or the number asked about."""


def usual_row(network: nn.Module, columns: tuple[Column, ...]) -> NDArray[np.float32]:
    """Return the most usual row ``F`` that a network learnt from.

    Of numbers the middle (of a formula's: the mean), of words the commonest.
    """
    sizes = [size for column in columns for size in column.sizes]
    row = np.where(np.array(sizes) > 0, 0.0, np.nan).astype(np.float32)
    for module in network.modules():
        if isinstance(module, Front):
            row[module.numbers.cpu().numpy()] = module.centre.cpu().numpy()
        elif isinstance(module, Formula):
            row[module.places.cpu().numpy()] = module.means.cpu().numpy()
    return row


def shares(
    columns: tuple[Column, ...], row: NDArray[Any], usual: NDArray[Any], ask: Ask
) -> tuple[Share, ...]:
    """Return what each column counted for in a row ``F``, the most first.

    Columns that say what is usual count for nothing.
    """
    places = _places(columns)
    differ = [p for _, p in places if not np.array_equal(row[p], usual[p], equal_nan=True)]
    worth = shapley(len(differ), _player(row, usual, differ, ask))
    of = {tuple(p.tolist()): float(w) for p, w in zip(differ, worth, strict=True)}
    told = [
        Share(
            column.name,
            said(column, row[p]),
            said(column, usual[p]),
            of.get(tuple(p.tolist()), 0.0),
        )
        for column, p in places
    ]
    return tuple(sorted(told, key=lambda one: -abs(one.share)))


def _places(columns: tuple[Column, ...]) -> list[tuple[Column, NDArray[np.int64]]]:
    """Return for each column learnt from where its numbers stand in a row."""
    found, first = [], 0
    for column in columns:
        n = len(column.features)
        if n:
            found.append((column, np.arange(first, first + n)))
        first += n
    return found


def _player(
    row: NDArray[Any], usual: NDArray[Any], places: list[NDArray[np.int64]], ask: Ask
) -> Callable[[NDArray[np.bool_]], NDArray[np.float64]]:
    """Return what answers with some of the columns put in: ``N columns`` -> ``N``."""
    cells = np.concatenate(places) if places else np.empty(0, np.int64)
    whose = np.repeat(np.arange(len(places)), [len(place) for place in places])

    def answered(there: NDArray[np.bool_]) -> NDArray[np.float64]:
        rows = np.repeat(usual[None], len(there), 0)
        rows[:, cells] = np.where(there[:, whose], row[cells], usual[cells])
        return ask(rows)

    return answered


def shapley(
    n: int, worth: Callable[[NDArray[np.bool_]], NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Return the Shapley values of `n` players; `worth` tells of coalitions ``N n`` their worth.

    Exact up to ten players, else the mean over random orders, the same in every call.

    >>> shapley(2, lambda there: there @ np.array([3.0, -1.0]) + 5).tolist()
    [3.0, -1.0]
    """
    if not n:
        return np.empty(0)
    if n <= _EXACT:
        return _exact(n, worth)
    rng = np.random.default_rng(0)
    orders = max(1, min(_ORDERS, _MOST_ROWS // (2 * (n + 1))))
    forwards = [rng.permutation(n) for _ in range(orders)]
    total = np.zeros(n)
    for order in (*forwards, *(one[::-1] for one in forwards)):
        place = np.argsort(order)
        steps = np.array_split(np.arange(n + 1), -(-(n + 1) * n // _CELLS))
        found = [worth(place < some[:, None]) for some in steps]
        total[order] += np.diff(np.concatenate(found))
    return total / (2 * orders)


def _exact(
    n: int, worth: Callable[[NDArray[np.bool_]], NDArray[np.float64]]
) -> NDArray[np.float64]:
    there = np.array(list(itertools.product((False, True), repeat=n)))
    value = worth(there)
    weight = 2.0 ** np.arange(n)[::-1]
    found = np.zeros(n)
    ways = np.array([_ways(size, n) for size in range(n)])
    for player in range(n):
        without = np.flatnonzero(~there[:, player])
        added = value[without + int(weight[player])] - value[without]
        found[player] = (ways[there[without].sum(1)] * added).sum()
    return found


def _ways(size: int, n: int) -> float:
    """Return the share of orders in which just such a coalition of `size` comes first."""
    return 1 / (n * math.comb(n - 1, size))


def said(column: Column, values: NDArray[Any]) -> str:
    """Return what a column's numbers say: a number in its own units, a word, a date's day."""
    first = float(values[0])
    if np.isnan(first):
        return "missing"
    if column.type == "category":
        code = int(first)
        return column.words[code] if code < len(column.words) else "a word not learnt"
    if column.type == "date":
        days = round(first * column.unit + column.origin)
        return str(np.datetime64("1970-01-01") + days)
    return figure(first * column.unit + column.origin, 4)
