"""Parts of a test on which a model does worse than elsewhere, by more than chance would make it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quickstudy.evaluation.intervals import Interval, wilson

FEWEST = 10
"""Examples that a slice needs, and the rest as well."""
CHANCE = 0.05
"""How often any slice at all is called worse where none is."""


@dataclass(frozen=True, eq=False)
class Part:
    """A slice as it is asked about: by what, which one, and which examples ``N`` belong to it."""

    by: str
    """As ``brightness``."""
    name: str
    """As ``the darkest quarter``."""
    inside: NDArray[np.bool_]


@dataclass(frozen=True)
class Slice:
    """How a model does on one slice, and on all other examples."""

    by: str
    name: str
    n: int
    score: float
    """Of classes and labels the share that is right; of numbers the mean absolute error."""
    interval: Interval
    rest: float
    p: float
    """How often chance makes it worse by as much, after Holm's correction for all slices."""

    @property
    def worse(self) -> bool:
        """Whether it is worse than the rest by more than chance would make it."""
        return self.p <= CHANCE

    def as_dict(self) -> dict[str, Any]:
        """Return the slice as plain JSON values."""
        return {
            "by": self.by,
            "name": self.name,
            "n": self.n,
            "score": self.score,
            "interval": list(self.interval),
            "rest": self.rest,
            "p": self.p,
            "worse": self.worse,
        }


def slices_of_shares(right: NDArray[np.bool_], parts: Sequence[Part]) -> list[Slice]:
    """Return how often each part is `right` (``N``), the likeliest to be worse first.

    Each is tested against the rest by Fisher's exact test, one-sided; p are corrected by Holm
    (1979), so that in 95 of 100 tests of an even model no slice is called worse.
    """
    found = []
    for part in _large(parts, len(right)):
        inside, n = part.inside, int(part.inside.sum())
        hits, others = int(right[inside].sum()), int(right[~inside].sum())
        p = fisher_less(hits, n, others, len(right) - n)
        rest = others / (len(right) - n)
        found.append(Slice(part.by, part.name, n, hits / n, wilson(hits, n), rest, p))
    return _corrected(found)


def slices_of_errors(errors: NDArray[np.float64], parts: Sequence[Part]) -> list[Slice]:
    """Return the mean of the absolute `errors` (``N``) on each part, the likeliest worse first.

    Each is tested against the rest by ranks (Mann and Whitney 1947), which a few huge errors do
    not sway; intervals of means are Student's by the normal distribution.
    """
    ranks = _ranks(errors)
    found = []
    for part in _large(parts, len(errors)):
        inside, n = part.inside, int(part.inside.sum())
        mean, half = float(errors[inside].mean()), 1.96 * float(errors[inside].std(ddof=1))
        half /= math.sqrt(n)
        p = _higher_ranks(ranks, inside)
        ends = (max(0.0, mean - half), mean + half)
        rest = float(errors[~inside].mean())
        found.append(Slice(part.by, part.name, n, mean, ends, rest, p))
    return _corrected(found)


def quarters(values: NDArray[np.floating[Any]], by: str, low: str, high: str) -> list[Part]:
    """Return the quarters of the examples by a value (``N``, NaN belongs to none).

    `low` and `high` name the ends: ``darkest`` and ``brightest``. Where values recur the quarters
    are uneven; those that would hold nothing, or everything, are left out.
    """
    known = np.isfinite(values)
    if not known.any():
        return []
    edges = np.quantile(values[known], [0.25, 0.5, 0.75])
    place = np.searchsorted(edges, values, side="left")
    names = [f"the {end} quarter" for end in (low, f"second {low}", f"second {high}", high)]
    return [Part(by, name, known & (place == number)) for number, name in enumerate(names)]


def fisher_less(hits: int, n: int, others: int, m: int) -> float:
    """Return how often as few of `n` are right as `hits`, where `others` of the `m` others are.

    Fisher's exact test, one-sided: the lower tail of the hypergeometric distribution.

    >>> round(fisher_less(3, 10, 18, 20), 6)
    0.001657
    """
    total = hits + others

    def log_choose(a: int, b: int) -> float:
        return math.lgamma(a + 1) - math.lgamma(b + 1) - math.lgamma(a - b + 1)

    whole = log_choose(n + m, total)
    least = max(0, total - m)
    tail = (log_choose(n, k) + log_choose(m, total - k) - whole for k in range(least, hits + 1))
    return min(1.0, math.fsum(math.exp(one) for one in tail))


def holm(p: Sequence[float]) -> list[float]:
    """Return p corrected so that any is at most 0.05 by chance once in 20 (Holm 1979).

    >>> [round(one, 4) for one in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p)), key=lambda i: p[i])
    found, largest = [0.0] * len(p), 0.0
    for place, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p) - place) * p[i]))
        found[i] = largest
    return found


def _large(parts: Sequence[Part], n: int) -> list[Part]:
    return [part for part in parts if FEWEST <= int(part.inside.sum()) <= n - FEWEST]


def _corrected(found: list[Slice]) -> list[Slice]:
    """Return slices with p corrected for how many there are, the smallest first."""
    p = holm([one.p for one in found])
    order = sorted(range(len(found)), key=lambda i: (found[i].p, found[i].score))
    return [replace(found[i], p=p[i]) for i in order]


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ranks ``N`` from 1; ties share the mean of theirs."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    found: NDArray[np.float64] = (last - (count - 1) / 2)[place]
    return found


def _higher_ranks(ranks: NDArray[np.float64], inside: NDArray[np.bool_]) -> float:
    """Return how often chance gives the inside such high ranks: normal, corrected for ties."""
    n, m = int(inside.sum()), int((~inside).sum())
    total = n + m
    spread = float(ranks.var(ddof=1)) * n * m / total
    if spread <= 0:
        return 1.0
    z = (float(ranks[inside].sum()) - n * (total + 1) / 2 - 0.5) / math.sqrt(spread)
    return 0.5 * math.erfc(z / math.sqrt(2))
