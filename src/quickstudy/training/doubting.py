"""What a lesson does about labels that are probably wrong: found once, kept, left out or listed.

What was found is written to the run's folder at once: a run that goes on after a kill leaves out
the same examples, however much time it has left by then.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from quickstudy.batches import in_order
from quickstudy.folders import write_whole
from quickstudy.kinds.views import averaged
from quickstudy.network import scores
from quickstudy.training import head
from quickstudy.training.lesson import DOUBTING, Lesson
from quickstudy.training.suspects import Bools, Ints, certain, listed, out_of_fold, shares, suspects

#: Name in the run's folder, until it has ended.
FILE = "suspects.json"
#: Probability of another class from which a network doubts a label that it has learnt from.
LIKELIER = 0.5
#: More right on train than on val, as a share, and a network no longer tells which label is wrong:
#: with 1.5 points between all flips came first, with 40 a quarter.
BY_HEART = 0.05
KNOWS = 0.8
_VIEWS = 4  # of one example, at most


def asked(lesson: Lesson) -> bool:
    """Whether labels are to be doubted at all: they are classes, two at least."""
    classes = lesson.task.name == "classification" and lesson.outputs > 1
    return classes and lesson.recipe.suspects != "keep"


def known(lesson: Lesson, rows: Ints) -> Bools | None:
    """Return which of `rows` are left out as found before a kill, ``N``; None where nothing is."""
    path = lesson.folder / FILE
    try:
        kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if kept["asked"] != _stamp(lesson):
            return None
        found, doubts = list(kept["suspects"]), dict(kept["doubts"])
        out = np.array([o["row"] for o in found if o["left_out"]], np.int64)
    except (OSError, ValueError, LookupError, TypeError):
        return None
    lesson.suspects[:], lesson.doubts = found, doubts
    _without(lesson, out)
    return np.isin(rows, out)


def noted(lesson: Lesson, rows: Ints, p: NDArray[np.float64], how: str, whom: str) -> Bools:
    """Judge the labels of `rows` by probabilities ``N K``; return which are left out, ``N``.

    The lesson's `val` stays whole, for without what a network gets wrong it would flatter it. `how`
    names the method for the report, `whom` says who was asked.
    """
    learnt = np.isin(rows, lesson.train)
    labels = lesson.truth[rows]
    found = suspects(labels, p)
    if how == "learnt":  # thresholds by its own examples are too high: it has learnt those
        found = replace(found, doubted=found.other > LIKELIER)
    leave = lesson.recipe.suspects == "leave_out"
    out = certain(found, labels) & leave
    lesson.suspects[:] = [
        {
            **one,
            "row": int(rows[one["row"]]),
            "part": "train" if learnt[one["row"]] else "val",
            "left_out": bool(out[one["row"]]),
        }
        for one in listed(found, labels, lesson.task.outputs)
    ]
    lesson.doubts = {"looked": len(rows), "how": how, "noise": found.noise}
    kept = {"asked": _stamp(lesson), "suspects": lesson.suspects, "doubts": lesson.doubts}
    write_whole(lesson.folder / FILE, json.dumps(kept))
    if n := int((out & learnt).sum()):
        why = (
            f"{n:,} of {int(learnt.sum()):,} training labels are almost certainly wrong, asked of "
            f"{whom} that had not learnt from them: left out, and named in the report"
        )
        lesson.decide("suspects", "leave_out", why)
        lesson.happened(why)
    _without(lesson, rows[out])
    return out


def no_time(lesson: Lesson) -> None:
    """Say that the budget was too short to doubt labels; a run that goes on keeps to it."""
    why = "the budget left no time to doubt labels"
    lesson.decide("suspects", "keep", why)
    lesson.happened(why)


def of_body(
    lesson: Lesson,
    rows: Ints,
    x: NDArray[np.float32],
    groups: Ints,
    loss_of: head.Loss,
    fitted: head.Fitted,
) -> Bools:
    """Return which of `rows` are not to be learnt from, ``N``, asked of a frozen body's features.

    `rows` are those of train, then `val`; `x` holds their features, all views one after another,
    `fitted` has learnt from train alone. Examples of train are asked out of fold, those of `val`
    by `fitted`.
    """
    labels, views = lesson.truth[rows], len(x) // len(rows)
    learnt = np.arange(len(rows)) < len(rows) - len(lesson.val)
    train, seed = np.tile(learnt, views), lesson.recipe.seed
    p = np.empty((len(rows), lesson.outputs))
    y = np.tile(labels, views)[train]
    how = (lesson.outputs, loss_of, groups[train], seed, fitted.strength)
    p[learnt] = out_of_fold(x[train], y, *how, views=views)
    p[~learnt] = shares(torch.from_numpy(x[~train]) @ fitted.weight.T + fitted.bias, views)
    return noted(lesson, rows, p, "features", "networks")


def of_learnt(lesson: Lesson) -> None:
    """List what a network trained from scratch takes for another class, though it learnt the label.

    It cannot doubt what it has learnt by heart, and it is too late to leave anything out.
    """
    recipe = lesson.recipe
    scratch = recipe.method == "scratch" and recipe.kind != "table"
    if not scratch or not asked(lesson) or lesson.stop.asked:
        return
    if recipe.suspects == "leave_out":
        why = "a network from scratch has learnt from all by the time that it can doubt a label"
        lesson.decide("suspects", "list", why)
    rows = np.concatenate([lesson.train, lesson.val])
    if known(lesson, rows) is not None:
        return
    with lesson.clock.stage("doubt"):
        some = _affordable(lesson, rows)
        if not len(some):
            no_time(lesson)
            return
        p = _answers(lesson, some)
        if why := _cannot(lesson, some, p):
            lesson.decide("suspects", "keep", why)
        else:
            noted(lesson, some, p, "learnt", "the network itself")


def _cannot(lesson: Lesson, rows: Ints, p: NDArray[np.float64]) -> str:
    """Say why a network's answers ``N K`` tell nothing of the labels it has learnt from."""
    right, new = p.argmax(1) == lesson.truth[rows], np.isin(rows, lesson.val)
    known, unknown = right[~new], right[new]
    if not len(known) or not len(unknown):
        return "there is no val to tell whether the network has learnt its labels by heart"
    by_heart, knows = float(known.mean()), float(unknown.mean())
    said = f"it agrees with {by_heart:.0%} of the labels of train and {knows:.0%} of those of val"
    if by_heart - knows > BY_HEART:
        return f"the network has learnt its labels by heart ({said})"
    return f"the network is wrong too often ({said})" if knows < KNOWS else ""


def _affordable(lesson: Lesson, rows: Ints) -> Ints:
    """Return as many rows, at random, as `DOUBTING` of the budget allows to ask about."""
    if lesson.recipe.epochs is not None:
        return rows
    each = lesson.forward * lesson.decoded.views(rows, _VIEWS) / len(rows)
    most = int(DOUBTING * lesson.clock.budget / max(each, 1e-9))
    rng = np.random.default_rng([lesson.recipe.seed, 7])
    return rows if len(rows) <= most else np.sort(rng.permutation(rows)[:most])


@torch.inference_mode()
def _answers(lesson: Lesson, rows: Ints) -> NDArray[np.float64]:
    """Return the network's answers ``N K`` to examples, seen one way."""
    lesson.network.module.eval()
    whose, found = [], []
    for owners, x in in_order(
        lesson.decoded, rows, lesson.recipe.compute.device, head.BATCH, most=_VIEWS
    ):
        whose.append(owners)
        answers = lesson.task.answers(scores(lesson.network.module, x).float())
        found.append(answers.cpu().numpy())
    return averaged(np.concatenate(whose), np.concatenate(found), len(rows))


def _without(lesson: Lesson, rows: Ints) -> None:
    lesson.train = lesson.train[~np.isin(lesson.train, rows)]


def _stamp(lesson: Lesson) -> str:
    """Return what tells a lesson's examples from those of another, before any is left out."""
    rows = np.concatenate([lesson.train, lesson.val])
    return f"{zlib.crc32(np.asarray(rows, np.int64).tobytes()):08x}"
