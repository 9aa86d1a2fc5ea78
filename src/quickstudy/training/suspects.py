"""Labels that are probably wrong, by confident learning (Northcutt, Jiang and Chuang, 2021).

A network that has not learnt from an example is asked about it: by cross-validation on the frozen
body's features. Where it is as sure of another class as it usually is of that class's own examples,
the example's label is a suspect. "Confident Learning: Estimating Uncertainty in Dataset Labels",
Journal of Artificial Intelligence Research 70, 1373-1411.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from quickstudy.training import head

#: Out-of-fold probability of another class from which a doubted example is not learnt from.
CERTAIN = 0.8
#: Share of a class that is left out at most: where more is doubted, the network may be at fault.
MOST = 0.3
#: Share of the examples that a list of suspects goes on to, as long as another class is likelier.
LISTED = 0.06

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Suspects:
    """How far each of ``N`` labels is to be believed."""

    margin: Floats
    """Normalised margin ``N``: 0 where another class is certain, 1 where its own label is."""
    own: Floats
    """Probability of its own label, ``N``."""
    instead: Ints
    """The likeliest other class, ``N``."""
    doubted: Bools
    """Off the diagonal of the confident joint, and less likely than another class, ``N``."""
    joint: Floats
    """Estimated share of examples labelled i that are truly j, ``K K``; the sum is 1."""

    @property
    def other(self) -> Floats:
        """Return the probability of the likeliest other class, ``N``."""
        return self.own + 1 - 2 * self.margin

    @property
    def noise(self) -> float:
        """Return the share of labels estimated to be wrong."""
        return float(1 - np.trace(self.joint))

    @property
    def order(self) -> Ints:
        """Return all examples, the most suspicious first: those doubted, then by margin."""
        return np.lexsort((self.margin, ~self.doubted)).astype(np.int64)


def suspects(labels: Ints, probabilities: NDArray[np.floating[Any]]) -> Suspects:
    """Judge `labels` (class numbers ``N``) by out-of-fold `probabilities` ``N K``.

    A class is *confident* for an example where its probability reaches the mean that the examples
    of that label have; an example counts for the likeliest of its confident classes, and is doubted
    where that is not its label.

    >>> p = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.1, 0.9]])
    >>> found = suspects(np.array([0, 0, 0, 1, 1]), p)
    >>> found.doubted.tolist(), found.instead[2].item(), found.order[0].item()
    ([False, False, True, False, False], 1, 2)
    """
    p = np.asarray(probabilities, np.float64)
    n, k = p.shape
    if k < 2 or len(labels) != n:
        raise ValueError("there must be two classes at least, and a label for each row")
    here = np.arange(n)
    counts = np.bincount(labels, minlength=k)
    own = p[here, labels]
    usual = np.bincount(labels, own, minlength=k) / np.maximum(1, counts)
    confident = (p >= usual - 1e-12) & (counts > 0)
    likeliest = np.where(confident, p, -1.0).argmax(1)
    counted = confident.any(1)
    others = p.copy()
    others[here, labels] = -1.0
    instead = others.argmax(1)
    doubted = counted & (likeliest != labels) & (own < others[here, instead])
    joint = np.zeros((k, k))
    np.add.at(joint, (labels[counted], likeliest[counted]), 1.0)
    return Suspects(
        margin=(own - others[here, instead] + 1) / 2,
        own=own,
        instead=instead.astype(np.int64),
        doubted=doubted,
        joint=_calibrated(joint, counts),
    )


def _calibrated(joint: Floats, counts: Ints) -> Floats:
    """Scale each row of the confident joint to its label's count, and all to a sum of 1."""
    rows = joint.sum(1)
    joint = np.where(rows[:, None] > 0, joint, np.eye(len(joint)))
    scaled: Floats = joint / joint.sum(1, keepdims=True) * counts[:, None]
    return scaled / max(1, int(counts.sum()))


def certain(found: Suspects, labels: Ints) -> Bools:
    """Return which examples to leave out of learning, ``N``: the doubted that are certain enough.

    Of a class `MOST` at most, the most suspicious.

    >>> p = np.repeat([[0.98, 0.02], [0.03, 0.97], [0.04, 0.96]], [9, 1, 10], axis=0)
    >>> given = np.repeat([0, 1], 10)
    >>> certain(suspects(given, p), given).nonzero()[0].tolist()
    [9]
    """
    out = found.doubted & (found.other >= CERTAIN)
    for label in np.unique(labels[out]).tolist():
        there = np.flatnonzero(out & (labels == label))
        most = int(MOST * (labels == label).sum())
        out[there[np.argsort(found.margin[there], kind="stable")[most:]]] = False
    return out


def listed(found: Suspects, labels: Ints, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the doubted examples, the most suspicious first, as the report names them.

    Where they are fewer than `LISTED` of all, those follow that are likelier another class. Each
    has its place `row`, `label`, the class it probably is (`instead`), and its `probability`.
    """
    most = min(round(LISTED * len(labels)), int((found.margin < 0.5).sum()))
    return [
        {
            "row": place,
            "label": str(names[labels[place]]),
            "instead": str(names[found.instead[place]]),
            "probability": float(found.other[place]),
        }
        for place in found.order[: max(most, int(found.doubted.sum()))].tolist()
    ]


def of_features(
    x: NDArray[np.floating[Any]],
    labels: Ints,
    groups: Ints | None = None,
    *,
    seed: int = 0,
    views: int = 1,
) -> Suspects:
    """Judge `labels` (class numbers ``N``) by a frozen network's features ``N D``, without a run.

    The L2 strength of the last layers is chosen by cross-validation. Equal `groups` (``N``, -1:
    alone) are asked together, so that copies do not vouch for each other. With several `views`,
    `x` holds all examples seen one way, then another (``views * N``). For the list see `listed`.

    >>> rng = np.random.default_rng(0)
    >>> truth = np.repeat([0, 1], 30)
    >>> given = np.where(np.arange(60) == 7, 1, truth)
    >>> x = rng.normal(size=(60, 4)) + 5 * truth[:, None]
    >>> listed(of_features(x, given), given, ["cat", "dog"])[0]["row"]
    7
    """
    z, n, outputs = x.astype(np.float32), len(labels), int(labels.max()) + 1
    alone = np.full(n, -1) if groups is None else groups
    apart = np.where(alone < 0, alone.max(initial=0) + 1 + np.arange(n), alone)
    y, together = np.tile(labels, views), np.tile(apart, views)
    loss = F.cross_entropy
    fitted = head.fit(z.copy(), torch.from_numpy(y), outputs, loss, together, seed)
    p = out_of_fold(z, y, outputs, loss, together, seed, fitted.strength, views=views)
    return suspects(labels, p)


def out_of_fold(
    x: NDArray[np.float32],
    y: Ints,
    outputs: int,
    loss_of: head.Loss,
    groups: Ints,
    seed: int,
    strength: float,
    *,
    views: int = 1,
) -> Floats:
    """Return the probabilities ``N K`` that last layers give to examples they have not learnt from.

    Features `x` ``N D`` (which it may change) are split into five folds, equal `groups` (-1: alone)
    into one; a last layer of L2 `strength` learns from the others. With several `views` the rows
    are those of all examples seen one way, then another (``views * N``); their mean counts.
    """
    z, target = torch.from_numpy(x), torch.from_numpy(y)
    z.sub_(z.mean(0)).div_(z.std(0).clamp_min(1e-6))  # knows no label
    fold = torch.from_numpy(head.folds(groups, np.random.default_rng([seed, 5])))
    found = torch.zeros(len(z), outputs)
    for number in range(int(fold.max()) + 1):
        learn, ask = fold != number, fold == number
        if learn.any() and ask.any():
            # From zero: what another fold has learnt knows the labels of this one.
            weight, bias = head.solve(z[learn], target[learn], outputs, loss_of, strength)
            found[ask] = z[ask] @ weight.T + bias
    return shares(found, views)


def shares(scores: Tensor, views: int) -> Floats:
    """Return probabilities ``N K`` for scores ``views * N K``."""
    found = scores.double().softmax(1).reshape(views, -1, scores.shape[1]).mean(0)
    return np.asarray(found.numpy(), np.float64)
