"""One of several classes: scores, the constant guess, mistakes, and the words for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from quickstudy.errors import SourceError
from quickstudy.evaluation.intervals import (
    CLIP,
    Estimate,
    Floats,
    Interval,
    Ints,
    above,
    draws,
    percentiles,
    share,
    wilson,
)
from quickstudy.evaluation.words import percent


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

    task: ClassVar[str] = "classification"
    main_name: ClassVar[str] = "accuracy"

    @property
    def main(self) -> Estimate:
        """The accuracy."""
        return Estimate(self.accuracy, self.interval)

    @property
    def main_of_guess(self) -> float:
        """The accuracy of always answering the commonest class."""
        return self.baseline_accuracy

    @property
    def beats_baseline(self) -> bool:
        """The whole interval of the accuracy lies above that of the constant guess."""
        return above(self.main, self.baseline_accuracy)

    def as_dict(self) -> dict[str, Any]:
        """Return the `test` object of report.json, without `mistakes`."""
        found: dict[str, Any] = {
            "task": self.task,
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
        balanced_accuracy=percentiles(float(single[0][0]), drawn[0]),
        macro_f1=percentiles(float(single[1][0]), drawn[1]),
        log_loss=percentiles(float(losses.mean()), drawn[2]),
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
        f"(95 % sure: {percent(low)} to {percent(high)} %).",
        f"Guessing the commonest class would score {percent(scores.baseline_accuracy)} %.",
    ]
    confused = _confused(scores)
    return [*said, confused] if confused else said


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
    return share(hits, len(truth))


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
    for at in draws(n, resamples, rng, k):
        means = _means(*_margins(labels[at], predicted[at], k))
        found.append(np.stack([*means, losses[at].mean(axis=1)]))
    balanced, f1, loss = np.concatenate(found, axis=1)
    return balanced, f1, loss
