"""The last layer, learnt on the frozen body's features of as many examples as there is time for."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from quickstudy.recipe import LOSSES
from quickstudy.training import doubting, head
from quickstudy.training.curve import of_features
from quickstudy.training.lesson import Lesson

#: Features learnt from, 4 bytes each: 64 MB, held twice, so that memory stays flat.
_MOST_NUMBERS = 2**24
#: Training examples whose features tell later what is unknown.
_MOST_SEEN = 2_000


def teach_head(lesson: Lesson) -> Callable[[], None]:
    """Learn the last layer on frozen features; return what learns it again with `val` as well."""
    lesson.seen = lesson.held = None
    rows = _affordable(lesson, np.concatenate([lesson.train, lesson.val]))
    x = _features(lesson, rows, "features", mirrored=False)
    y, groups = _targets(lesson, rows), lesson.families[rows]
    learn = np.arange(len(rows) - len(lesson.val))
    if _mirrors(lesson, len(rows)):
        y, groups = torch.cat([y, y]), with_mirrors(groups)
        x = np.concatenate([x, _features(lesson, rows, "mirrored", mirrored=True)])
        learn = np.concatenate([learn, learn + len(rows)])
    _keep_seen(lesson, rows, x)
    loss_of = lesson.task.convex(lesson.class_weights())

    def fit(
        which: NDArray[np.int64],
        known: head.Fitted | None = None,
        strengths: Sequence[float] = head.STRENGTHS,
    ) -> head.Fitted:
        how = (lesson.outputs, loss_of, groups[which], lesson.recipe.seed, known, strengths)
        fitted = head.fit(x[which], y[which], *how)
        head.install(lesson.network, fitted)
        return fitted

    began, first = lesson.clock.spent(), fit(learn)
    took = lesson.clock.spent() - began

    def time_for(times: float) -> bool:
        in_time = lesson.recipe.epochs is not None or lesson.seconds_left() > times * took
        return in_time and not lesson.stop.asked

    with lesson.clock.stage("doubt"):
        out = _doubted(lesson, rows, x, groups, loss_of, first, time_for(1.0))
        whole = np.flatnonzero(~np.tile(out, len(x) // len(rows)))
        if out.any():  # what is left may need less holding back
            how = (None if time_for(1.0) else first, head.weaker(first.strength))
            first = fit(np.intersect1d(learn, whole), *how)
    if lesson.recipe.data_curve != "never":
        with lesson.clock.stage("data curve"):
            kept = np.flatnonzero(~out)
            some = (rows[kept], x[kept], y[kept])
            lesson.curve = of_features(lesson, *some, loss_of, first.strength)
    if time_for(0.5):
        _hold_out(lesson, rows, x, y, groups, loss_of, first, np.isin(np.arange(len(x)), whole))
    _tell(lesson, first)

    def refit() -> None:
        fit(whole, first)

    return refit


def _tell(lesson: Lesson, fitted: head.Fitted) -> None:
    lesson.happened("last layer: " + fitted.why())
    usual = LOSSES[lesson.task.name][0]
    if lesson.recipe.loss.name != usual:
        asked = lesson.recipe.loss.name
        lesson.happened(f"the last layer alone was learnt with {usual}; {asked} is of fine-tuning")


def _keep_seen(lesson: Lesson, rows: NDArray[np.int64], x: NDArray[np.float32]) -> None:
    """Let the lesson keep features of some of its training rows: `rows` are those, then `val`.

    `x` holds features ``views * N D``, one view of all after another; their means are kept.
    """
    n = len(rows) - len(lesson.val)
    some = np.random.default_rng([lesson.recipe.seed, 6]).permutation(n)[:_MOST_SEEN]
    views = x.reshape(-1, len(rows), x.shape[1])
    lesson.seen = rows[some], views[:, some].mean(0)


def _doubted(
    lesson: Lesson,
    rows: NDArray[np.int64],
    x: NDArray[np.float32],
    groups: NDArray[np.int64],
    loss_of: head.Loss,
    fitted: head.Fitted,
    in_time: bool,
) -> NDArray[np.bool_]:
    """Return which of `rows` are not to be learnt from, ``N``: as before a kill, or found now."""
    none = np.zeros(len(rows), bool)
    if not doubting.asked(lesson):
        return none
    before = doubting.known(lesson, rows)
    if before is not None:
        return before
    if lesson.stop.asked:  # a run that goes on will doubt them
        return none
    if not in_time:  # five fits at one strength: under a fifth of the first, measured
        doubting.no_time(lesson)
        return none
    return doubting.of_body(lesson, rows, x, groups, loss_of, fitted)


def _hold_out(
    lesson: Lesson,
    rows: NDArray[np.int64],
    x: NDArray[np.float32],
    y: Tensor,
    groups: NDArray[np.int64],
    loss_of: head.Loss,
    fitted: head.Fitted,
    learn: NDArray[np.bool_],
) -> None:
    """Let the lesson keep what last layers say of examples that they did not learn from.

    `rows` are those of train, then `val`; `x` holds their features, all views one after another,
    `learn` says which may be learnt from, and `fitted` has learnt from those of train. Not where
    the model will look at more views than these, or where all of train belong together.
    """
    views, n = len(x) // len(rows), len(rows) - len(lesson.val)
    apart = head.folds(groups[:n], np.random.default_rng(0)).max() > 0
    if views != lesson.passes or not apart:
        return
    with lesson.clock.stage("know"):
        train = np.tile(np.arange(len(rows)) < n, views)
        how = (loss_of, groups[train], lesson.recipe.seed, fitted.strength, learn[train])
        found = torch.empty(len(x), lesson.outputs)
        found[train] = head.across_folds(x[train], y[train], lesson.outputs, *how)
        found[~train] = torch.from_numpy(x[~train]) @ fitted.weight.T + fitted.bias
        lesson.held = rows, found, torch.arange(len(rows)).repeat(views)


def _targets(lesson: Lesson, rows: NDArray[np.int64]) -> Tensor:
    """Return class numbers ``N``, or what the network is taught, ``N K``."""
    truth = lesson.truth[rows]
    if lesson.task.name == "classification":
        return torch.from_numpy(truth)
    return lesson.task.encoded(truth).float()


def with_mirrors(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number groups ``N`` so that each example and its mirror image, ``2 N``, are in one."""
    alone = np.where(groups < 0, groups.max(initial=0) + 1 + np.arange(len(groups)), groups)
    return np.tile(alone, 2)


def _affordable(lesson: Lesson, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Drop training rows, at random, that the budget leaves no time for; `val` stays, last."""
    seconds = 0.8 * lesson.seconds_left()
    most = max(lesson.outputs * 20, int(seconds / max(lesson.forward, 1e-9)))
    if lesson.recipe.epochs is not None:
        most = len(rows)
    views = lesson.passes
    most = min(most, _MOST_NUMBERS // (views * lesson.network.last.in_features))
    if len(rows) <= most:
        return rows
    spare = max(lesson.outputs * 10, most - len(lesson.val))
    kept = np.random.default_rng(lesson.recipe.seed).permutation(len(lesson.train))[:spare]
    lesson.happened(
        f"time and memory sufficed for the features of {spare:,} of {len(lesson.train):,} "
        "training examples"
    )
    return np.concatenate([lesson.train[np.sort(kept)], lesson.val])


def _mirrors(lesson: Lesson, n: int) -> bool:
    """Whether mirror images are to be learnt from too: allowed, and there is time."""
    if lesson.passes < 2 or lesson.stop.asked:
        return False
    if lesson.recipe.epochs is not None:
        return True
    if lesson.seconds_left() > 1.1 * n * lesson.forward + 3.0:
        return True
    if lesson.seconds_left() < 0:
        lesson.decide("augment.mirror", False, "the budget leaves no time for a second view")
    return False


def _features(
    lesson: Lesson, rows: NDArray[np.int64], name: str, *, mirrored: bool
) -> NDArray[np.float32]:
    def each(done: int) -> bool:
        lesson.said("features", done / len(rows))
        return not lesson.stop.asked

    recipe = lesson.recipe.decided("compute.precision", lesson.forward_precision, "")
    return head.features(
        lesson.network,
        lesson.decoded,
        rows,
        recipe,
        lesson.folder / f"{name}-{zlib.crc32(rows.tobytes()):08x}.f32",  # these rows, no others
        mirrored=mirrored,
        each=each,
    )
