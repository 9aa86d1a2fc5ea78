"""Groups on both sides of the test: how good is the model on those it has met, and on new ones?

Recordings of one speaker on both sides of a split make a score flatter: the model may have learnt
the speaker. Where file names suggest groups (see `catalog.naming`), the report gives both scores.
Where every group of the test is also among those learnt from, the second score comes from a
*rehearsal*: the same recipe learns once more, without some groups, and is asked about those.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from quickstudy.catalog import TEST, Catalog, Suggested, catalog_suggested
from quickstudy.decoding import Decoded
from quickstudy.errors import RunError
from quickstudy.evaluation import percent, wilson
from quickstudy.kinds import planned
from quickstudy.learning.building import build_network, learn_statistics, spec_of
from quickstudy.learning.job import Job
from quickstudy.model import Model
from quickstudy.recipe import Recipe
from quickstudy.splitting import Split
from quickstudy.training import VIEWS, Lesson, Stopped, Taught, teach

_LISTED = 6
_ENOUGH = 10  # examples that a score needs to be worth telling
_MOST_NAMES = 200_000  # of examples in shards: more take a gigabyte to be looked through
_HELD = 1 / 6  # of the examples, at least, in the groups that a rehearsal does without
_MOST_HELD = 1 / 3
_ASKING = 0.2  # of a rehearsal's time
_FEWEST_ASKED = 50
_LEAST_SECONDS = 8.0  # a rehearsal shorter than this would tell nothing


@dataclass(frozen=True, eq=False)
class Groups:
    """The groups that names suggest, as the split deals with them."""

    suggested: Suggested
    declared: bool
    """Somebody declared them, and the source's own test shares them all the same."""
    group: NDArray[np.int64]
    """Of each decoded example, ``N``; -1 for none."""
    known: NDArray[np.bool_]
    """Of each example, ``N``: its group is among those learnt from."""
    new: NDArray[np.bool_]
    """Of each example, ``N``: it has a group, and that is nowhere among those learnt from."""
    all_met: bool
    """Too few of the test are new to tell anything."""

    def who(self) -> str:
        """Return in words which groups these are."""
        count = len(self.suggested.words)
        if self.declared:
            return f"The source's own test shares the {count} declared groups with what is learnt"
        return f"The names suggest {count} groups by {self.suggested.field}"


def _groups(catalog: Catalog) -> tuple[Suggested, bool] | None:
    """Return the groups to score apart, and whether somebody declared them.

    Declared groups are kept on one side, and are none to score apart; but a test that the source
    brings stays as it is, and may share them.
    """
    if catalog.task != "classification":
        return None
    if catalog.shards is not None and len(catalog) > _MOST_NAMES:
        return None
    declared = catalog.groups >= 0
    if not declared.any():
        found = catalog_suggested(catalog)
        return None if found is None else (found, False)
    given = catalog.given == TEST
    if not np.isin(catalog.groups[given & declared], catalog.groups[~given]).any():
        return None
    count = int(catalog.groups.max()) + 1
    words = catalog.group_names or tuple(f"group {i + 1}" for i in range(count))
    return Suggested("your declaration", words, catalog.groups, ""), True


def suspected(catalog: Catalog) -> str:
    """Return in words which groups a rehearsal is needed for; nothing where none is."""
    groups = _groups(catalog)
    if groups is None:
        return ""
    found, _ = groups
    learnt = np.unique(found.group[catalog.given != TEST])
    tested = found.group[catalog.given == TEST]
    if len(tested) and int((~np.isin(tested, learnt)).sum()) >= _ENOUGH:
        return ""  # the test itself tells how it does on new ones
    return f"{len(found.words)} groups by {found.field}, such as {found.words[0]}"


def met(job: Job, catalog: Catalog, decoded: Decoded, parts: Split) -> Groups | None:
    """Return the groups that the test shares with what is learnt from, and say so."""
    found = None if job.stream is not None else _groups(catalog)
    if found is None:
        return None
    suggested, declared = found
    group = suggested.group[decoded.kept]
    learnt = np.unique(group[np.concatenate([parts.train, parts.val])])
    known = (group >= 0) & np.isin(group, learnt)
    new = (group >= 0) & ~known
    few = int(new[parts.test].sum()) < _ENOUGH
    groups = Groups(suggested, declared, group, known, new, few)
    words = ", ".join([word for word in suggested.words if word][:3])
    job.say(f"  {groups.who()} ({words}, ...)")
    return groups


def seconds(job: Job, recipe: Recipe, groups: Groups | None) -> float:
    """Return the seconds to keep for a rehearsal, the same after a kill; 0 for none."""
    if job.later is None:
        instance = isinstance(job.code.get("network"), nn.Module)  # cannot begin anew
        needed = groups is not None and groups.all_met and not instance
        kept = recipe.rehearsal * job.clock.left() if needed else 0.0
        job.later = kept if kept >= _LEAST_SECONDS or job.fixed_length else 0.0
        job.keep()
    return job.later


def scored(
    job: Job,
    lesson: Lesson,
    taught: Taught,
    groups: Groups,
    test: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.floating[Any]]],
    classes: tuple[str, ...],
) -> dict[str, Any]:
    """Return what the report says of groups; `test` is rows, labels, probabilities.

    `known` is the score on groups met in learning, `new` on those never met; None where it cannot
    be told. `rehearsed` is that of a rehearsal on groups it had met: what `new` compares with.
    """
    rows, labels, found = test
    right = found.argmax(1) == labels
    told: dict[str, Any] = {
        "declared": groups.declared,
        "field": groups.suggested.field,
        "count": len(groups.suggested.words),
        "examples": [word for word in groups.suggested.words if word][:_LISTED],
        "known": _score(right[groups.known[rows]], "test"),
        "new": _score(right[groups.new[rows]], "test"),
        "rehearsed": None,
        "held": [],
    }
    if told["known"] is None:
        told["known"] = _of_val(taught, lesson, "val")
    if told["new"] is None and lesson.later and not job.stop.asked:
        held = _held(groups.group[lesson.train], job.seed)
        answered = _rehearse(job, lesson, taught, groups.group, held, classes)
        if answered is not None:
            right, told["rehearsed"] = answered
            told["new"] = _score(right, "rehearsal")
            told["held"] = [groups.suggested.words[i] for i in held.tolist()]
    return told


def _of_val(taught: Taught, lesson: Lesson, how: str) -> dict[str, Any] | None:
    hits = round(taught.val_score * len(lesson.val))
    return _score(np.arange(len(lesson.val)) < hits, how)


def sentence(groups: Groups, told: Mapping[str, Any]) -> list[str]:
    """Say both scores in plain words."""
    known, new = told["known"], told["new"]
    who = f"{groups.who()}."
    if new is None:
        return [f"{who} All were met in learning: on new ones it may do worse."]
    low, high = new["interval"]
    without = ", ".join(told["held"][:_LISTED]) + (", ..." if len(told["held"]) > _LISTED else "")
    how = f", learning again without {without}" if new["from"] == "rehearsal" else ""
    said = f"On groups never met: {percent(new['accuracy'])} % of {new['n']:,}{how}"
    said += f" (95 % sure: {percent(low)} to {percent(high)} %, if other groups are alike)."
    if told["rehearsed"] is not None:
        beside = percent(told["rehearsed"]["accuracy"])
        said += f" That rehearsal, quicker than the run, scored {beside} % on groups it had met."
    if known is None:
        return [who, said]
    part = " on val" if known["from"] == "val" else ""
    return [
        who,
        f"On groups met in learning: {percent(known['accuracy'])} % of {known['n']:,}{part}.",
        said,
    ]


def _score(right: NDArray[np.bool_], how: str) -> dict[str, Any] | None:
    """Return a share of right answers with its interval; None where there are too few."""
    n, k = len(right), int(right.sum())
    if n < _ENOUGH:
        return None
    return {"n": n, "accuracy": k / n, "interval": list(wilson(k, n)), "from": how}


def _held(group: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Return the groups that a rehearsal does without: a sixth of the examples or more."""
    there, counts = np.unique(group[group >= 0], return_counts=True)
    order = np.random.default_rng([seed, len(there)]).permutation(len(there))
    reached = np.cumsum(counts[order]) / counts.sum() >= _HELD - 0.01
    most = max(1, int(_MOST_HELD * len(there)))
    return np.sort(there[order[: min(most, int(np.argmax(reached)) + 1)]])


def _rehearse(
    job: Job,
    lesson: Lesson,
    taught: Taught,
    group: NDArray[np.int64],
    held: NDArray[np.int64],
    classes: tuple[str, ...],
) -> tuple[NDArray[np.bool_], dict[str, Any] | None] | None:
    """Learn once more without the groups `held`; return which of their examples came out right.

    Beside it stands the score on the rest of `val`. None where there was too little time, it
    failed, Ctrl-C ended it, or a class would have nothing left to learn from.
    """
    out = np.isin(group, held)
    asked = np.concatenate([lesson.train, lesson.val])
    asked = _affordable(lesson, asked[out[asked]], job.seed)
    away = np.isin(lesson.families, lesson.families[out])  # their duplicates under another name too
    train, val = lesson.train[~away[lesson.train]], lesson.val[~away[lesson.val]]
    if job.clock.left() < _LEAST_SECONDS and not job.fixed_length:
        job.say("  No time was left for a rehearsal.")
        return None
    if not len(val) or len(np.unique(lesson.truth[train])) < len(classes):
        return None
    again = _without(job, lesson, taught.recipe, train, val)
    again.test_views = lesson.decoded.views(asked)
    learn_statistics(again)
    try:
        learnt = teach(again)
    except (Stopped, RunError) as problem:
        if isinstance(problem, RunError):
            job.say(f"  The rehearsal failed: {problem.message} The model itself is whole.")
        return None
    if job.stop.asked:
        return None  # half learnt: its score would say nothing
    how = lesson.decoded.how
    spec = spec_of(learnt.recipe, len(classes), how, auxiliary=False)
    model = Model(again.network.module, spec, learnt.task, planned(learnt.recipe, how))
    pieces = (lesson.decoded.piece(row) for row in asked.tolist())
    right = np.asarray(model.answers(pieces).argmax(1) == lesson.truth[asked])
    shutil.rmtree(again.folder)
    return right, _of_val(learnt, again, "rehearsal")


def _without(
    job: Job,
    lesson: Lesson,
    recipe: Recipe,
    train: NDArray[np.int64],
    val: NDArray[np.int64],
) -> Lesson:
    """Return the lesson of a rehearsal: a new network, fewer examples, a folder of its own."""
    if recipe.method == "finetune":
        recipe = recipe.decided("method", "head", "a rehearsal has no time for more")
    recipe = recipe.decided("suspects", "keep", "left out already")
    recipe = recipe.decided("data_curve", "never", "drawn already")
    recipe = recipe.decided("race", 1, "raced already")
    folder = job.folder / "rehearsal"
    folder.mkdir(exist_ok=True)
    return replace(
        lesson,
        network=build_network(recipe, lesson.outputs, lesson.decoded.how, job.code),
        recipe=recipe,
        train=train,
        val=val,
        val_views=lesson.decoded.views(val, VIEWS),
        folder=folder,
        later=0.0,
        decided=lambda _: None,
        candidates=[],
        events=[],
        teacher=None,
        listen=lambda progress: job.listen(replace(progress, stage="rehearse")),
    )


def _affordable(lesson: Lesson, rows: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Return as many of `rows`, at random, as a fifth of a rehearsal's time allows to ask about."""
    each = lesson.decoded.views(rows) / max(1, len(rows)) * lesson.test_seconds()
    most = max(_FEWEST_ASKED, int(_ASKING * lesson.later / max(1e-9, each)))
    return np.sort(np.random.default_rng(seed).permutation(rows)[:most])
