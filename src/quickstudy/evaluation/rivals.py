"""A rival on the same examples: who is better, and how sure that is."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quickstudy.errors import SourceError
from quickstudy.evaluation.classification import Scores
from quickstudy.evaluation.intervals import (
    Estimate,
    Floats,
    Interval,
    Scored,
    affordable,
    counts,
    percentiles,
    share,
    wilson,
)
from quickstudy.evaluation.ranking import mean_average_precision, mean_over_labels, ranked
from quickstudy.evaluation.regression import columns, of_means, scales
from quickstudy.evaluation.words import fraction, percent

_RESAMPLES = 1000
_SLACK = 1.001  # a guess is matched within a thousandth of its loss


def rival(
    truth: NDArray[Any],
    ours: NDArray[Any],
    theirs: NDArray[Any],
    metric: str,
    *,
    name: str = "Gradient-boosted trees",
    many: str = "rows",
    seed: int = 0,
) -> dict[str, Any]:
    """Compare two sets of answers to the same examples: the `test.trees` object of report.json.

    `metric` is ``accuracy`` (`truth` and answers are class numbers ``N``), ``R2`` (numbers ``N T``)
    or ``mAP`` (truth 0 or 1, answers probabilities, ``N K``). The difference is ours less theirs,
    paired by example: of accuracies with Newcombe's interval (1998, method 10), which holds where
    few answers differ; of the others with the percentile interval of a paired bootstrap. `verdict`
    is ``beaten`` (the rival is clearly worse), ``better`` or ``equal`` (no clear difference).
    """
    if len(truth) == 0:
        raise SourceError("There is no example to test on.", "Add examples, or a test part.")
    if metric == "accuracy":
        main, difference = _of_accuracy(np.asarray(ours == truth), np.asarray(theirs == truth))
    elif metric in ("R2", "mAP"):
        main, difference = _bootstrapped(truth, ours, theirs, metric, seed)
    else:
        raise ValueError(f"no such metric: {metric}")
    low, high = difference.interval
    verdict = "beaten" if low > 0 else "better" if high < 0 else "equal"
    return {
        "name": name,
        "metric": metric,
        "main": main.value,
        "interval": list(main.interval),
        "difference": difference.value,
        "difference_interval": list(difference.interval),
        "verdict": verdict,
        "sentence": _sentence(name, many, metric, main, difference, verdict),
    }


def no_better_than_guess(train: Scored) -> str | None:
    """Return the sentence on a network that does not even fit what it learnt from, or None.

    `train` are scores on the examples learnt from. Classes are also asked about their log loss:
    where one class is rare, a network may have learnt much and still answer the common one.
    """
    main, guess = train.main, train.main_of_guess
    if main is None or guess is None or train.beats_baseline:
        return None
    if isinstance(train, Scores):
        shares = train.confusion.sum(axis=1) / train.n
        surprise = -sum(float(p) * math.log(p) for p in shares if p > 0)
        if train.log_loss.value * _SLACK < surprise and train.log_loss.interval[1] < surprise:
            return None
    better = "no better" if main.value <= guess else "not clearly better"
    said = f"{_score(train.main_name, main.value)} against {_score(train.main_name, guess)}"
    return (
        "This network cannot express the rule: even on the examples it learnt from it is "
        f"{better} than a guess ({said}). A larger one may: more layers, or wider ones."
    )


def _of_accuracy(ours: NDArray[Any], theirs: NDArray[Any]) -> tuple[Estimate, Estimate]:
    """Return the rival's accuracy, and ours less theirs; both are right or wrong, ``N``."""
    n = len(ours)
    both, we, they = (int(x.sum()) for x in (ours & theirs, ours & ~theirs, ~ours & theirs))
    return share(both + they, n), Estimate((we - they) / n, paired(both, we, they, n))


def paired(both: int, first: int, second: int, n: int) -> Interval:
    """Return the 95 % interval of a difference of two paired shares (Newcombe 1998, method 10).

    Of `n` pairs `both` are right twice, `first` and `second` only once: in Statistics in Medicine
    17, 2635-2650.

    >>> [round(end, 4) for end in paired(36, 12, 2, 50)]
    [0.0569, 0.3404]
    """
    neither = n - both - first - second
    one, two = (both + first) / n, (both + second) / n
    low1, high1 = wilson(both + first, n)
    low2, high2 = wilson(both + second, n)
    margins = (both + first) * (second + neither) * (both + second) * (first + neither)
    cross = float(both * neither - first * second)
    if cross > 0:
        cross = max(cross - n / 2, 0.0)
    phi = cross / math.sqrt(margins) if margins else 0.0

    def half(a: float, b: float) -> float:
        return math.sqrt(max(0.0, a * a - 2 * phi * a * b + b * b))

    return one - two - half(one - low1, high2 - two), one - two + half(high1 - one, two - low2)


def _bootstrapped(
    truth: NDArray[Any], ours: NDArray[Any], theirs: NDArray[Any], metric: str, seed: int
) -> tuple[Estimate, Estimate]:
    """Return the rival's score, and ours less theirs, of examples drawn together."""
    resampled = mean_average_precisions if metric == "mAP" else r2s
    whole, drawn = resampled(truth, ours, theirs, np.random.default_rng(seed))
    first, second = drawn
    return (
        percentiles(whole[1], second),
        percentiles(whole[0] - whole[1], first - second),
    )


#: The scores of two sides, and of both for every resample, ``2 R``.
_Both = tuple[list[float], Floats]


def mean_average_precisions(
    truth: NDArray[Any], ours: NDArray[Any], theirs: NDArray[Any], rng: np.random.Generator
) -> _Both:
    """Return both mean average precisions, and those of paired resamples; all are ``N K``."""
    sides = [ranked(truth, np.asarray(each, np.float64)) for each in (ours, theirs)]
    whole = [mean_average_precision(truth, each) for each in (ours, theirs)]
    resamples = affordable(_RESAMPLES, 2 * truth.size)
    found = [
        [mean_over_labels(np.stack([one.drawn(times) for one in side], axis=1)) for side in sides]
        for times in counts(len(truth), resamples, rng)
    ]
    return whole, np.concatenate(found, axis=1)


def r2s(
    truth: NDArray[Any], ours: NDArray[Any], theirs: NDArray[Any], rng: np.random.Generator
) -> _Both:
    """Return both R2, the mean over the numbers, and those of paired resamples; all ``N T``."""
    true = np.asarray(truth, np.float64)
    varies = np.ptp(true, axis=0) > 0
    if not varies.any():
        raise ValueError("the truth never varies: it has no R2")
    scale = scales(true)
    y, sides = (true / scale)[:, varies], []
    y = y - y.mean(axis=0)
    for each in (ours, theirs):
        sides.append(columns(y, ((np.asarray(each, np.float64) - true) / scale)[:, varies]))

    def r2(means: Floats) -> Floats:
        found: Floats = of_means(*np.split(means, 4, axis=1))[0].mean(axis=1)
        return found

    whole = [float(r2(side.mean(axis=0, keepdims=True))[0]) for side in sides]
    found = [
        [r2(times @ side / len(true)) for side in sides]
        for times in counts(len(true), _RESAMPLES, rng)
    ]
    return whole, np.concatenate(found, axis=1)


def _score(metric: str, value: float) -> str:
    """Return a score with its sign of percent, or with its name."""
    return f"R2 {fraction(value)}" if metric == "R2" else f"{percent(value)} %"


def _sentence(
    name: str, many: str, metric: str, main: Estimate, difference: Estimate, verdict: str
) -> str:
    """Return who is better, by how much, and how sure that is."""

    def signed(value: float) -> str:
        if metric == "R2":
            return f"{value:+.3f}"
        return f"{100 * value:+.1f}"

    low, high = difference.interval
    points = "" if metric == "R2" else " points"
    said = {
        "beaten": "the network is better",
        "better": "they are better here, so consider them",
        "equal": "no clear difference",
    }[verdict]
    return (
        f"{name} score {_score(metric, main.value)} on the same {many}: {said} (difference "
        f"{signed(difference.value)}{points}, 95 % sure: {signed(low)} to {signed(high)})."
    )
