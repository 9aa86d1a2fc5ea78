"""Scores with error bars, the baseline of a constant guess, mistakes, and the words for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quickstudy.errors import SourceError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Interval = tuple[float, float]

CLIP = 1e-7
"""Least probability the log loss reckons with: a certain mistake costs 16.1 nats, not infinity."""
_DRAWS = 2_000_000  # bootstrap draws held at once: some 50 MB


@dataclass(frozen=True)
class Estimate:
    """A score and its 95 % interval."""

    value: float
    interval: Interval

    def as_dict(self) -> dict[str, Any]:
        """Return the estimate as plain JSON values."""
        return {"value": self.value, "interval": list(self.interval)}


@dataclass(frozen=True)
class ClassScore:
    """The scores of one class; None where there is nothing to divide by.

    `n` examples are of this class. Precision is None when the class was never predicted; recall
    and F1 are None when no example is of it.
    """

    n: int
    precision: float | None
    precision_interval: Interval
    recall: float | None
    recall_interval: Interval
    f1: float | None

    def as_dict(self) -> dict[str, Any]:
        """Return the scores as plain JSON values."""
        return {
            "n": self.n,
            "precision": self.precision,
            "precision_interval": list(self.precision_interval),
            "recall": self.recall,
            "recall_interval": list(self.recall_interval),
            "f1": self.f1,
        }


@dataclass(frozen=True, eq=False)
class Scores:
    """How good a model is on examples it never saw; every interval is of 95 %.

    `confusion` has shape ``K K``: rows true, columns predicted, in the order of `classes`.
    """

    classes: tuple[str, ...]
    n: int
    accuracy: float
    interval: Interval
    baseline_class: str
    baseline_accuracy: float
    balanced_accuracy: Estimate
    macro_f1: Estimate
    log_loss: Estimate
    top5: Estimate | None
    per_class: tuple[ClassScore, ...]
    confusion: Ints
    left_out: tuple[tuple[str, str], ...] = ()
    """Name and reason of every example that was not scored."""

    def as_dict(self) -> dict[str, Any]:
        """Return the `test` object of report.json, without `mistakes`."""
        found: dict[str, Any] = {
            "n": self.n,
            "accuracy": self.accuracy,
            "interval": list(self.interval),
            "baseline": {"class": self.baseline_class, "accuracy": self.baseline_accuracy},
            "balanced_accuracy": self.balanced_accuracy.as_dict(),
            "macro_f1": self.macro_f1.as_dict(),
            "log_loss": self.log_loss.as_dict(),
            "per_class": {
                name: each.as_dict()
                for name, each in zip(self.classes, self.per_class, strict=True)
            },
            "confusion": self.confusion.tolist(),
        }
        if self.top5 is not None:
            found["top5"] = self.top5.as_dict()
        return found


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


def score(
    labels: Ints,
    probabilities: NDArray[np.floating],
    *,
    classes: Sequence[str],
    baseline_class: int,
    seed: int = 0,
    resamples: int = 1000,
) -> Scores:
    """Score predicted `probabilities` (shape ``N K``) against `labels` (shape ``N``).

    Shares of examples carry Wilson's interval; balanced accuracy, macro F1 and log loss (nats) the
    percentile interval of the bootstrap over examples (Efron 1979). Balanced accuracy and macro F1
    are means over the classes that have an example. `baseline_class` is the constant guess: the
    commonest class of the train part. Raises `SourceError` when there is no example.
    """
    n, k = probabilities.shape
    if n == 0:
        raise SourceError("There is no example to test on.", "Add examples, or a test part.")
    if len(labels) != n or len(classes) != k or not np.isfinite(probabilities).all():
        raise ValueError("probabilities must be finite, N K, with N labels and K classes")
    predicted = probabilities.argmax(axis=1)
    confusion = np.bincount(labels * k + predicted, minlength=k * k).reshape(k, k)
    truth = probabilities[np.arange(n), labels].astype(np.float64)
    losses = -np.log(np.clip(truth, CLIP, 1.0))
    drawn = _bootstrap(labels, predicted, losses, k, seed, resamples)
    single = _means(*_margins(labels[None], predicted[None], k))
    right = int(np.trace(confusion))
    return Scores(
        classes=tuple(classes),
        n=n,
        accuracy=right / n,
        interval=wilson(right, n),
        baseline_class=classes[baseline_class],
        baseline_accuracy=float((labels == baseline_class).mean()),
        balanced_accuracy=_estimate(float(single[0][0]), drawn[0]),
        macro_f1=_estimate(float(single[1][0]), drawn[1]),
        log_loss=_estimate(float(losses.mean()), drawn[2]),
        top5=_top5(probabilities, truth, labels) if k > 5 else None,
        per_class=tuple(_per_class(confusion, c) for c in range(k)),
        confusion=confusion,
    )


def mistakes(labels: Ints, probabilities: NDArray[np.floating], most: int = 24) -> list[int]:
    """Return the numbers of the wrong predictions, the most confident first.

    `labels` has shape ``N``, `probabilities` ``N K``.

    >>> mistakes(np.array([0, 0, 1]), np.array([[0.4, 0.6], [0.1, 0.9], [0.0, 1.0]]))
    [1, 0]
    """
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    sure = probabilities[wrong].max(axis=1, initial=0)
    order = np.argsort(-sure, kind="stable")[:most]
    return [int(i) for i in wrong[order]]


def sentence(scores: Scores, *, one: str, many: str) -> list[str]:
    """Say the scores in plain words: accuracy, baseline, and the most frequent mistake if any."""
    low, high = scores.interval
    said = [
        f"{percent(scores.accuracy)} % correct on {scores.n:,} {one if scores.n == 1 else many} "
        f"it never saw (95 % sure: {percent(low)} to {percent(high)} %).",
        f"Guessing the commonest class would score {percent(scores.baseline_accuracy)} %.",
    ]
    confused = _confused(scores)
    return [*said, confused] if confused else said


def percent(share: float) -> str:
    """Return a share in percent, without the sign; only the whole is 100 and only nothing is 0.

    >>> [percent(x) for x in (0.967, 0.5, 1.0, 0.9996, 0.0, 0.0004, 0.93999)]
    ['96.7', '50', '100', '99.96', '0', '0.04', '94.0']
    """
    value = 100 * share
    if abs(value - round(value)) < 1e-9:
        return str(round(value))
    for digits in range(1, 9):
        text = f"{value:.{digits}f}"
        if 0 < float(text) < 100:
            return text
    return text


def _confused(scores: Scores) -> str:
    """Return the sentence on the commonest mistake; of equal ones, the most one-sided."""
    wrong = scores.confusion.copy()
    np.fill_diagonal(wrong, 0)
    most, total = int(wrong.max()), int(wrong.sum())
    if most == 0 or (most == 1 and total > 1):
        return ""
    rows, columns = np.nonzero(wrong == most)
    at = int(np.argmin(wrong[columns, rows]))
    true, taken, back = rows[at], columns[at], int(wrong[columns[at], rows[at]])
    pair = f"'{scores.classes[true]}' taken for '{scores.classes[taken]}'"
    if total == 1:
        return f"Its only mistake: {pair}."
    other = "the other way round " + (f"{back}" if back else "never")
    return f"Most often mistaken: {pair} ({most:,} times; {other})."


def _top5(probabilities: NDArray[np.floating], truth: Floats, labels: Ints) -> Estimate:
    """Return how often the true class is among the five most probable; ties count in order."""
    above = (probabilities > truth[:, None]).sum(axis=1)
    before = np.arange(probabilities.shape[1]) < labels[:, None]
    tied = ((probabilities == truth[:, None]) & before).sum(axis=1)
    hits = int((above + tied < 5).sum())
    return Estimate(hits / len(truth), wilson(hits, len(truth)))


def _per_class(confusion: Ints, c: int) -> ClassScore:
    """Return the scores of class number `c`."""
    hit, n, called = (int(x) for x in (confusion[c, c], confusion[c].sum(), confusion[:, c].sum()))
    return ClassScore(
        n=n,
        precision=hit / called if called else None,
        precision_interval=wilson(hit, called),
        recall=hit / n if n else None,
        recall_interval=wilson(hit, n),
        f1=2 * hit / (n + called) if n else None,
    )


def _margins(labels: Ints, predicted: Ints, k: int) -> tuple[Ints, Ints, Ints]:
    """Return hits, true and predicted counts by class (``R K``) of resamples (``R N``)."""
    rows = len(labels)
    shift = np.arange(rows)[:, None] * k
    right = labels == predicted
    hits = np.bincount((labels + shift)[right], minlength=rows * k)
    true = np.bincount((labels + shift).ravel(), minlength=rows * k)
    called = np.bincount((predicted + shift).ravel(), minlength=rows * k)
    return hits.reshape(rows, k), true.reshape(rows, k), called.reshape(rows, k)


def _means(hits: Ints, true: Ints, called: Ints) -> tuple[Floats, Floats]:
    """Return balanced accuracy and macro F1 (shape ``R``) over the classes with an example."""
    present = true > 0
    recall = hits / np.maximum(true, 1)
    f1 = 2 * hits / np.maximum(true + called, 1)
    count = present.sum(axis=1)
    return recall.sum(axis=1) / count, (f1 * present).sum(axis=1) / count


def _bootstrap(
    labels: Ints, predicted: Ints, losses: Floats, k: int, seed: int, resamples: int
) -> tuple[Floats, Floats, Floats]:
    """Return balanced accuracy, macro F1 and log loss of examples drawn with replacement."""
    rng = np.random.default_rng(seed)
    n = len(labels)
    found = []
    for rows in _chunks(resamples, max(1, _DRAWS // max(n, k))):
        at = rng.integers(0, n, (rows, n))
        means = _means(*_margins(labels[at], predicted[at], k))
        found.append(np.stack([*means, losses[at].mean(axis=1)]))
    balanced, f1, loss = np.concatenate(found, axis=1)
    return balanced, f1, loss


def _chunks(total: int, size: int) -> Iterator[int]:
    """Yield sizes of at most `size` that add up to `total`."""
    for start in range(0, total, size):
        yield min(size, total - start)


def _estimate(value: float, drawn: Floats) -> Estimate:
    """Return a value with the 2.5th and 97.5th percentile of its resamples."""
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Estimate(value, (float(low), float(high)))
