"""Numbers: how far off, R2, the guess of the average, the largest errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from quickstudy.errors import SourceError
from quickstudy.evaluation.intervals import (
    Estimate,
    Floats,
    above,
    counts,
    medians,
    percentiles,
)

_POINTS = 400  # of a picture of predicted against true
_BINS = 20  # of a histogram of errors
_NEVER_VARIED = 1e-12  # share of the variance that rounding leaves


@dataclass(frozen=True)
class TargetScore:
    """The scores of one number, in its own unit; R2 is None where the truth never varies.

    `median` is the median absolute error; `guess` the constant answer and `guess_...` its scores.
    """

    r2: Estimate | None
    mae: Estimate
    rmse: Estimate
    median: Estimate
    guess: float
    guess_r2: float | None
    guess_mae: float
    guess_rmse: float

    def as_dict(self) -> dict[str, Any]:
        """Return the scores as plain JSON values."""
        return {
            "r2": self.r2.as_dict() if self.r2 else None,
            "mae": self.mae.as_dict(),
            "rmse": self.rmse.as_dict(),
            "median": self.median.as_dict(),
            "baseline": {
                "value": self.guess,
                "r2": self.guess_r2,
                "mae": self.guess_mae,
                "rmse": self.guess_rmse,
            },
        }


@dataclass(frozen=True, eq=False)
class NumberScores:
    """How good a model is at numbers it never saw; every interval is of 95 %.

    `main` is R2, the mean over the numbers whose truth varies; `main_of_guess` that of always
    answering the averages of the train part.
    """

    targets: tuple[str, ...]
    n: int
    main: Estimate | None
    main_of_guess: float | None
    per_target: tuple[TargetScore, ...]
    points: tuple[Floats, ...]
    """Of each number ``P 2``: true and predicted, at most 400 examples drawn at random."""
    errors: tuple[Floats, ...]
    """Of each number ``N``: predicted less true."""
    left_out: tuple[tuple[str, str], ...] = ()
    """Name and reason of every example that was not scored."""

    task: ClassVar[str] = "regression"
    main_name: ClassVar[str] = "R2"

    @property
    def beats_baseline(self) -> bool:
        """The whole interval of R2 lies above that of guessing the averages."""
        return above(self.main, self.main_of_guess)

    def as_dict(self) -> dict[str, Any]:
        """Return the `test` object of report.json, without `mistakes`."""
        return {
            "task": self.task,
            "n": self.n,
            "r2": self.main.as_dict() if self.main else None,
            "baseline": {"r2": self.main_of_guess},
            "targets": {
                name: {
                    **one.as_dict(),
                    "points": [[_short(x) for x in pair] for pair in points.tolist()],
                    "errors": _histogram(errors),
                }
                for name, one, points, errors in zip(
                    self.targets, self.per_target, self.points, self.errors, strict=True
                )
            },
        }


def score_numbers(
    truth: NDArray[Any],
    predicted: NDArray[Any],
    *,
    targets: Sequence[str],
    baseline: NDArray[Any],
    seed: int = 0,
    resamples: int = 1000,
) -> NumberScores:
    """Score `predicted` numbers against the `truth`, both of shape ``N T``.

    R2 is 1 - (squared errors / squared distances from the mean of these examples). Intervals are
    percentiles of the bootstrap over examples (Efron 1979). `baseline` (``T``) is the constant
    guess, the average of the train part. Raises `SourceError` when there is no example.
    """
    true, said, guess = _checked(truth, predicted, baseline, len(targets))
    rng = np.random.default_rng(seed)
    scale, varies = scales(true), np.ptp(true, axis=0) > 0
    y = true / scale
    y, e, g = y - y.mean(axis=0), (said - true) / scale, (guess - true) / scale
    whole, base = (of_means(*np.split(columns(y, off).mean(axis=0), 4)) for off in (e, g))
    drawn = _bootstrap(columns(y, e), resamples, rng)
    kept = rng.permutation(len(true))[:_POINTS]

    def one(t: int) -> TargetScore:
        r2, mae, rmse = (each[:, t] for each in drawn)
        size = np.abs(said[:, t] - true[:, t])
        return TargetScore(
            r2=percentiles(float(whole[0][t]), r2) if varies[t] else None,
            mae=percentiles(float(size.mean()), mae * scale[t]),
            rmse=percentiles(float(whole[2][t] * scale[t]), rmse * scale[t]),
            median=percentiles(float(np.median(size)), medians(size, resamples, rng)),
            guess=float(guess[t]),
            guess_r2=float(base[0][t]) if varies[t] else None,
            guess_mae=float(base[1][t] * scale[t]),
            guess_rmse=float(base[2][t] * scale[t]),
        )

    main = None
    if varies.any():
        main = percentiles(whole[0][varies].mean().item(), drawn[0][:, varies].mean(axis=1))
    return NumberScores(
        targets=tuple(targets),
        n=len(true),
        main=main,
        main_of_guess=float(base[0][varies].mean()) if varies.any() else None,
        per_target=tuple(one(t) for t in range(len(targets))),
        points=tuple(np.stack([true[kept, t], said[kept, t]], 1) for t in range(len(targets))),
        errors=tuple((said - true).T),
    )


def worst(truth: NDArray[Any], predicted: NDArray[Any], most: int = 24) -> list[int]:
    """Return the numbers of the examples with the largest errors, the largest first.

    Errors (``N T``) are measured against how much each number varies, and joined by Pythagoras.

    >>> worst(np.array([[1.0], [2.0], [3.0]]), np.array([[1.5], [2.0], [1.0]]))
    [2, 0]
    """
    true = np.asarray(truth, np.float64)
    off = np.abs(np.asarray(predicted, np.float64) - true) / scales(true)
    size = np.sqrt((off**2).sum(axis=1))
    order = np.argsort(-size, kind="stable")[:most]
    return [int(i) for i in order if size[i] > 0]


def _checked(
    truth: NDArray[Any], predicted: NDArray[Any], baseline: NDArray[Any], targets: int
) -> tuple[Floats, Floats, Floats]:
    """Return the three as they are reckoned with, or raise."""
    true, said, guess = (np.asarray(x, np.float64) for x in (truth, predicted, baseline))
    if len(true) == 0:
        raise SourceError("There is no example to test on.", "Add examples, or a test part.")
    if true.shape[1:] != (targets,) or said.shape != true.shape or guess.shape != (targets,):
        raise ValueError("truth and predicted must be N T, with T targets and T baselines")
    if not all(np.isfinite(x).all() for x in (true, said, guess)):
        raise ValueError("truth, predicted and baseline must be finite")
    return true, said, guess


def scales(true: Floats) -> Floats:
    """Return the standard deviation of each number ``T``; 1 where it never varies."""
    largest = np.abs(true).max(axis=0)
    most = np.where(largest > 0, largest, 1.0)  # squares of large numbers overflow
    spread = (true / most).std(axis=0) * most
    found: Floats = np.where((np.ptp(true, axis=0) > 0) & (spread > 0), spread, 1.0)
    return found


def columns(y: Floats, off: Floats) -> Floats:
    """Return ``N 4T``, the means of which give every score: truth and error, and their squares."""
    return np.concatenate([y, y**2, np.abs(off), off**2], axis=1)


def of_means(y: Floats, y2: Floats, size: Floats, off2: Floats) -> tuple[Floats, Floats, Floats]:
    """Return R2, MAE and RMSE of the means of columns; R2 is NaN where the truth never varies."""
    spread = y2 - y**2
    whole = np.where(spread > _NEVER_VARIED, spread, np.nan)
    return 1 - off2 / whole, size, np.sqrt(off2)


def _bootstrap(
    made: Floats, resamples: int, rng: np.random.Generator
) -> tuple[Floats, Floats, Floats]:
    """Return R2, MAE and RMSE, each ``R T``, of examples drawn with replacement."""
    n = len(made)
    found = [times @ made / n for times in counts(n, resamples, rng)]
    return of_means(*np.split(np.concatenate(found), 4, axis=1))


def _histogram(errors: Floats) -> dict[str, Any]:
    """Return equal bins about 0 for all but the largest hundredth, and how many lie beyond."""
    reach = float(np.quantile(np.abs(errors), 0.99, method="higher")) or 1.0
    found, edges = np.histogram(errors, bins=_BINS, range=(-reach, reach))
    return {
        "edges": [_short(edge) for edge in edges.tolist()],
        "counts": found.tolist(),
        "below": int((errors < -reach).sum()),
        "above": int((errors > reach).sum()),
    }


def _short(value: float) -> float:
    """Return a number to six significant digits: a picture shows no more."""
    return float(f"{value:.6g}")
