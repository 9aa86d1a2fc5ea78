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

from quickstudy.catalog import TEST, Catalog, Suggested, catalog_suggested
from quickstudy.decoding import Decoded
from quickstudy.errors import RunError
from quickstudy.evaluation import percent, wilson
from quickstudy.kinds import planned
from quickstudy.learning.job import Job
from quickstudy.learning.planning import build_network, spec_of
from quickstudy.model import Model
from quickstudy.recipe import Recipe
from quickstudy.splitting import Split
from quickstudy.training import Lesson, Stopped, Taught, teach

_LISTED = 6
_ENOUGH = 10  # examples that a score needs to be worth telling
_HELD = 1 / 6  # of the examples, at least, in the groups that a rehearsal does without
_MOST_HELD = 1 / 3
_LEAST_SECONDS = 8.0  # a rehearsal shorter than this would tell nothing


@dataclass(frozen=True, eq=False)
class Groups:
    """The groups that names suggest, as the split deals with them."""

    suggested: Suggested
    declared: bool
    """Somebody declared them, and the source's own test shares them all the same."""
    group: NDArray[np.int64]
    """Of each decoded example, ``N``; -1 for none."""
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
    found = _groups(catalog)
    if found is None:
        return None
    suggested, declared = found
    group = suggested.group[decoded.kept]
    learnt = np.unique(group[np.concatenate([parts.train, parts.val])])
    new = (group >= 0) & ~np.isin(group, learnt)
    few = int(new[parts.test].sum()) < _ENOUGH
    groups = Groups(suggested, declared, group, new, few)
    words = ", ".join(suggested.words[:3])
    job.say(
        f"  {groups.who()} ({words}, ...): the report scores those met in learning and new ones "
        "apart"
    )
    return groups


def seconds(job: Job, recipe: Recipe, groups: Groups | None) -> float:
    """Return the seconds to keep for a rehearsal; 0 where there is to be none."""
    if groups is None or not groups.all_met or not recipe.rehearsal:
        return 0.0
    kept = recipe.rehearsal * job.clock.left()
    return kept if kept >= _LEAST_SECONDS or job.fixed_length else 0.0


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
    be told.
    """
    rows, labels, found = test
    right, new = found.argmax(1) == labels, groups.new[rows]
    told: dict[str, Any] = {
        "declared": groups.declared,
        "field": groups.suggested.field,
        "count": len(groups.suggested.words),
        "examples": list(groups.suggested.words[:6]),
        "known": _score(right[~new], "test"),
        "new": _score(right[new], "test"),
        "held": [],
    }
    if told["known"] is None and len(lesson.val) >= _ENOUGH:
        hits = round(taught.val_accuracy * len(lesson.val))
        told["known"] = _score(np.arange(len(lesson.val)) < hits, "val")
    if told["new"] is None and lesson.later and not job.stop.asked:
        held = _held(groups.group[lesson.train], job.seed)
        answered = _rehearse(job, lesson, taught, groups.group, held, classes)
        told["new"] = _score(answered, "rehearsal") if answered is not None else None
        told["held"] = [groups.suggested.words[i] for i in held.tolist()]
    return told


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
) -> NDArray[np.bool_] | None:
    """Learn once more without the groups `held`; return which of their examples came out right.

    None where it failed, Ctrl-C ended it, or a class would have nothing left to learn from.
    """
    out = np.isin(group, held)
    train, val = lesson.train[~out[lesson.train]], lesson.val[~out[lesson.val]]
    asked = np.concatenate([lesson.train, lesson.val])
    asked = asked[out[asked]]
    if not len(val) or len(np.unique(lesson.labels[train])) < len(classes):
        return None
    recipe = taught.recipe
    if recipe.method == "finetune":
        recipe = recipe.decided("method", "head", "a rehearsal has no time for more")
    folder = job.folder / "rehearsal"
    folder.mkdir(exist_ok=True)
    network = build_network(recipe, len(classes))
    again = replace(
        lesson,
        network=network,
        recipe=recipe,
        train=train,
        val=val,
        test_views=lesson.decoded.views(asked),
        folder=folder,
        later=0.0,
        decided=lambda _: None,
        candidates=[],
        events=[],
        listen=lambda progress: job.listen(replace(progress, stage="rehearse")),
    )
    try:
        learnt = teach(again)
    except (Stopped, RunError) as problem:
        if isinstance(problem, RunError):
            job.say(f"  The rehearsal failed: {problem.message} The model itself is whole.")
        return None
    if job.stop.asked:
        return None  # half learnt: its score would say nothing
    how = planned(learnt.recipe, learnt.temperature)
    spec = spec_of(learnt.recipe, len(classes), auxiliary=False)
    model = Model(network.module, spec, classes, how)
    pieces = (lesson.decoded.piece(row) for row in asked.tolist())
    right = model.probabilities(pieces).argmax(1) == lesson.labels[asked]
    shutil.rmtree(folder)
    return np.asarray(right)
