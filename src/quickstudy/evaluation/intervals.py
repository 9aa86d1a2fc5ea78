"""Scores with 95 % intervals: Wilson's for a share of examples, the bootstrap's for the rest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Interval = tuple[float, float]

CLIP = 1e-7
"""Least probability the log loss reckons with: a certain mistake costs 16.1 nats, not infinity."""
_DRAWS = 2_000_000  # examples drawn at once: some 50 MB
_WORK = 400_000_000  # examples x labels x resamples: some seconds
_FEWEST = 100  # resamples, however large the test


@dataclass(frozen=True)
class Estimate:
    """A score and its 95 % interval."""

    value: float
    interval: Interval

    def as_dict(self) -> dict[str, Any]:
        """Return the estimate as plain JSON values."""
        return {"value": self.value, "interval": list(self.interval)}


class Scored(Protocol):
    """What the scores of every task have in common."""

    @property
    def task(self) -> str:
        """``classification``, ``regression`` or ``multilabel``."""

    @property
    def n(self) -> int:
        """Examples that were scored."""

    @property
    def main(self) -> Estimate | None:
        """The score that counts, higher is better; None where the truth leaves it undefined."""

    @property
    def main_name(self) -> str:
        """``accuracy``, ``R2`` or ``mAP``."""

    @property
    def main_of_guess(self) -> float | None:
        """The main score of the best constant answer to the examples learnt from."""

    @property
    def beats_baseline(self) -> bool:
        """The whole interval of the main score lies above that of the constant answer."""

    @property
    def left_out(self) -> tuple[tuple[str, str], ...]:
        """Name and reason of every example that was not scored."""

    def as_dict(self) -> dict[str, Any]:
        """Return the `test` object of report.json, without `mistakes`."""


def above(main: Estimate | None, guess: float | None) -> bool:
    """Return whether the whole interval of a score lies above the score of a guess."""
    return main is not None and guess is not None and main.interval[0] > guess


def wilson(k: int, n: int, confidence: float = 0.95) -> Interval:
    """Return the score interval of a share of `k` in `n` (Wilson 1927, equation 4).

    >>> [round(end, 4) for end in wilson(81, 263)]
    [0.2553, 0.3662]
    """
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share, scale = k / n, 1 + z * z / n
    middle = (share + z * z / (2 * n)) / scale
    half = z / scale * float(np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)))
    low = 0.0 if k == 0 else max(0.0, middle - half)
    high = 1.0 if k == n else min(1.0, middle + half)
    return low, high


def share(k: int, n: int) -> Estimate:
    """Return a share of `k` in `n` with Wilson's interval."""
    return Estimate(k / n, wilson(k, n))


def draws(n: int, resamples: int, rng: np.random.Generator, width: int = 0) -> Iterator[Ints]:
    """Yield chunks ``R N`` of `n` examples drawn with replacement (Efron 1979).

    `width` is how many numbers the caller makes of each row where that is more than `n`.
    """
    size = max(1, _DRAWS // max(n, width))
    for start in range(0, resamples, size):
        yield rng.integers(0, n, (min(size, resamples - start), n))


def counts(n: int, resamples: int, rng: np.random.Generator) -> Iterator[NDArray[np.int32]]:
    """Yield chunks ``R N`` of how often each example was drawn: all that a mean needs."""
    for at in draws(n, resamples, rng):
        rows = len(at)
        at += np.arange(rows)[:, None] * n
        yield np.bincount(at.ravel(), minlength=rows * n).reshape(rows, n).astype(np.int32)


def affordable(resamples: int, cells: int) -> int:
    """Return fewer resamples where each must sort out many `cells` (examples times labels)."""
    return min(resamples, max(_FEWEST, _WORK // cells))


def percentiles(value: float, drawn: Floats) -> Estimate:
    """Return a value with the 2.5th and 97.5th percentile of its resamples.

    Resamples that leave the score undefined (NaN) do not count.
    """
    kept = drawn[~np.isnan(drawn)]
    low, high = np.percentile(kept if len(kept) else [value], [2.5, 97.5])
    return Estimate(value, (float(low), float(high)))


def medians(values: Floats, resamples: int, rng: np.random.Generator) -> Floats:
    """Return the medians of `resamples` bootstrap samples, without drawing the samples.

    The j-th smallest of n drawn examples is example number floor(n U), with U the j-th smallest of
    n uniform numbers: Beta(j, n + 1 - j). The cost does not grow with n, but for one sort.
    """
    n, ordered = len(values), np.sort(values)
    lower = (n + 1) // 2

    def at(u: Floats) -> Floats:
        found: Floats = ordered[np.minimum((n * u).astype(np.int64), n - 1)]
        return found

    u = rng.beta(lower, n + 1 - lower, resamples)
    if n % 2:
        return at(u)
    beyond = u + (1 - u) * rng.beta(1, n - lower, resamples)  # the least of those above u
    return (at(u) + at(beyond)) / 2
