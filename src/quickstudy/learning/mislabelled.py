"""Labels that are probably wrong, found without a run: what `quickstudy check` lists of them.

Rows of a table are asked of trees, pictures of a network whose trained weights are at hand, as
`learn` asks them: each by what has not learnt from it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from quickstudy import decoding, facts, hardware, kinds
from quickstudy.catalog import Catalog
from quickstudy.catalog.merging import part
from quickstudy.checking import NOTE, WARNING, Duplicates, Finding, Looked
from quickstudy.clock import Stop
from quickstudy.errors import ChoiceError, QuickstudyError, SourceError, WeightsError
from quickstudy.folders import cache_folder
from quickstudy.kinds import NOUNS
from quickstudy.kinds.image.decode import MAX_PIXELS
from quickstudy.kinds.table.columns import described
from quickstudy.learning import trees
from quickstudy.learning.building import build_network
from quickstudy.learning.suspects import of_rows
from quickstudy.network import Built, hub
from quickstudy.recipe import Offer, Recipe, plan
from quickstudy.splitting import unions
from quickstudy.training import head
from quickstudy.training.doubting import KNOWS
from quickstudy.training.suspects import Ints, Suspects, listed, of_features

#: Examples asked about, at most, at random: some minutes of pictures, seconds of rows.
MOST = {"image": 5_000, "table": 20_000}
_FEWEST = 30
_BUDGET = 600.0  # seconds, as `learn` unasked: then it uses the same decoded pictures
_LONG = 60.0  # seconds: what may take longer is said
_NOT_CLASSES = "only classes can be doubted: not numbers, and not several labels at once"
_NOT_SOUND = "no trained weights are for recordings; `learn` doubts labels when it has learnt"

#: (stage, share done, line to say).
Tell = Callable[[str, float, str], None]


@dataclass(frozen=True)
class Doubted:
    """The suspects, the most suspicious first; or why there are none."""

    findings: tuple[Finding, ...] = ()
    why_not: str = ""


class _CannotTell(Exception):  # noqa: N818 - an answer, not an error
    """Why labels cannot be doubted."""


def refuse_weights(asked: str | None) -> None:
    """Raise `WeightsError` or `ChoiceError` for weights that cannot be, before any work."""
    if asked in (None, "none"):
        return
    try:
        hub.offers(None, asked, reach=False)
    except ChoiceError as problem:
        hint = "Let the file's name begin with the network's, as resnet18.safetensors does."
        raise ChoiceError(problem.message, hint) from problem


def mislabelled(
    catalog: Catalog,
    looked: Looked,
    twins: Duplicates,
    weights: str | None,
    tell: Tell,
    stop: Stop,
) -> Doubted:
    """Return which labels are probably wrong, of all parts; nothing is downloaded.

    `weights` is a file, ``none``, or None for those in the hubs' caches. Equal examples (`twins`
    of those `looked` at) and groups are asked about together. Raises `ChoiceError` for weights
    where they have no meaning, `WeightsError` for those that do not fit.
    """
    if catalog.kind != "image" and weights not in (None, "none"):
        many = NOUNS[catalog.kind][1]
        raise ChoiceError(f"There are no trained weights for {many}.", "Leave --weights out.")
    try:
        _check(catalog, looked)
        same = np.full(len(catalog), -1, np.int64)
        same[np.array(looked.rows, np.int64)] = twins.group
        groups = unions(catalog.groups, same)
        if catalog.kind == "table":
            who, (rows, found) = "trees", _of_table(catalog, looked, groups, tell, stop)
        else:
            who, (rows, found) = "networks", _of_pictures(catalog, groups, weights, tell, stop)
        if stop.asked:
            raise head.Stopped
        return Doubted(_findings(catalog, rows, found, who))
    except _CannotTell as problem:
        return Doubted(why_not=str(problem))
    except head.Stopped:
        return Doubted(why_not="you stopped that")


def _check(catalog: Catalog, looked: Looked) -> None:
    if catalog.task != "classification":
        raise _CannotTell(_NOT_CLASSES)
    if catalog.kind == "sound":
        raise _CannotTell(_NOT_SOUND)
    there = catalog.labels[np.array(looked.rows, np.int64)]
    if len(np.unique(there)) < 2:
        raise _CannotTell("all have the same label")
    if len(there) < _FEWEST:
        raise _CannotTell(f"{len(there)} {NOUNS[catalog.kind][1]} are too few to tell")


def _some(catalog: Catalog, rows: Ints, tell: Tell) -> Ints:
    """Return the rows to ask about, at random where they are too many; say so."""
    most = MOST[catalog.kind]
    if len(rows) <= most:
        return rows
    many = NOUNS[catalog.kind][1]
    tell("check", 0.0, f"Doubting the labels of {most:,} of {len(rows):,} {many}, at random")
    return np.sort(np.random.default_rng(0).permutation(rows)[:most])


def _of_table(
    catalog: Catalog, looked: Looked, groups: Ints, tell: Tell, stop: Stop
) -> tuple[Ints, Suspects]:
    rows = _some(catalog, np.array(looked.rows, np.int64), tell)
    tell("check", 0.0, "")
    seen = facts.survey(catalog, cores=1, max_pixels=MAX_PIXELS)
    try:
        how: Any = kinds.planned(SimpleNamespace(kind="table"), seen.seen)
    except SourceError as problem:
        raise _CannotTell(_as_reason(problem)) from problem
    pieces = how.decode_many([catalog.read(row) for row in rows.tolist()])
    read = np.array([not isinstance(piece, str) for piece in pieces])
    if read.sum() < _FEWEST:
        raise _CannotTell("too few rows say anything")
    x = np.concatenate([piece.values for piece in pieces if not isinstance(piece, str)])
    x = trees.without_rare(x.astype(np.float64), described(how.columns)["words"])
    asked = [0]

    def goes_on() -> bool:
        tell("check", asked[0] / 5, "")
        asked[0] += 1
        return not stop.asked

    rows = rows[read]
    return rows, of_rows(x, catalog.labels[rows], groups[rows], goes_on=goes_on)


def _of_pictures(
    catalog: Catalog, groups: Ints, weights: str | None, tell: Tell, stop: Stop
) -> tuple[Ints, Suspects]:
    offers, why = hub.offers(None, weights, reach=False)
    if not offers:
        raise _CannotTell(f"{why}; `learn` doubts labels when it has learnt")
    rows = _some(catalog, np.arange(len(catalog)), tell)
    some = catalog if len(rows) == len(catalog) else part(catalog, rows)
    machine = hardware.quicken(hardware.survey())
    seen = facts.survey(some, cores=machine.cores, max_pixels=MAX_PIXELS)
    own: dict[str, tuple[Any, str]] = {}
    if weights is not None:
        why = offers[0].why
        own = {
            "network.name": (offers[0].network, why),
            "network.weights": (offers[0].weights, why),
        }
    recipe = plan(seen, machine, _BUDGET, offers, own=own, no_offer=why)
    if recipe.network.weights == "none":
        raise _CannotTell(recipe.why["network.weights"])
    _forecast(recipe, offers, len(some), machine, tell)
    how = kinds.planned(recipe, seen.seen)
    try:
        network = build_network(recipe, len(some.classes), how, {})
        decoded = _decoded(some, how, machine.cores, tell, stop)
    except (WeightsError, SourceError) as problem:
        if weights is not None and isinstance(problem, WeightsError):
            raise
        raise _CannotTell(_as_reason(problem)) from problem
    x, views = _features(network, decoded, recipe, tell, stop)
    kept = rows[decoded.kept]
    tell("check", 0.0, "")
    return kept, of_features(x, catalog.labels[kept], groups[kept], views=views)


def _forecast(
    recipe: Recipe, offers: list[Offer], n: int, machine: hardware.Hardware, tell: Tell
) -> None:
    name = recipe.network.name
    flops = next((one.flops for one in offers if one.network == name), 0.0)
    seconds = 0.7 * (1 + _mirrors(recipe)) * n * flops / (machine.gigaflops * 1e9)
    about = f" (about {seconds / 60:.0f} min; Ctrl-C leaves it)" if seconds > _LONG else ""
    tell("check", 0.0, f"Doubting labels with {name}{about}")


def _decoded(
    catalog: Catalog, how: kinds.Preparation, cores: int, tell: Tell, stop: Stop
) -> decoding.Decoded:
    def each(share: float) -> None:
        tell("decode", share, "")
        if stop.asked:
            raise head.Stopped

    return decoding.decode(catalog, how, cache_folder(), cores, each)


def _features(
    network: Built, decoded: decoding.Decoded, recipe: Recipe, tell: Tell, stop: Stop
) -> tuple[Any, int]:
    """Return features ``views * N D``, and how many views: with the mirror images where allowed."""
    views = (False, True) if _mirrors(recipe) else (False,)
    rows, found = np.arange(len(decoded)), []
    with tempfile.TemporaryDirectory() as folder:
        for number, mirrored in enumerate(views):

            def each(done: int, before: int = number) -> bool:
                tell("features", (before + done / len(rows)) / len(views), "")
                return not stop.asked

            file = Path(folder) / f"{number}.f32"
            how: Any = {"mirrored": mirrored, "each": each}
            found.append(head.features(network, decoded, rows, recipe, file, **how))
    return np.concatenate(found), len(views)


def _mirrors(recipe: Recipe) -> bool:
    return bool(getattr(recipe.augment, "mirror", False))


def _findings(catalog: Catalog, rows: Ints, found: Suspects, who: str) -> tuple[Finding, ...]:
    """Return the suspects that are more likely another class than all others together."""
    labels = catalog.labels[rows]
    agrees = float((found.margin >= 0.5).mean())
    guess = np.bincount(labels).max() / len(labels)
    if agrees < guess + 2 * np.sqrt(guess * (1 - guess) / len(labels)):
        raise _CannotTell(f"{who} tell these classes apart no better than by guessing")
    fix = "Look at each; mend the label where it is wrong."
    if agrees < KNOWS:
        fix += f" Many are only hard to tell: {who} agree with {agrees:.0%} of all labels."
    return tuple(
        Finding(
            check="label",
            name=str(catalog.names[rows[one["row"]]]),
            problem=f"labelled {one['label']!r}, probably {one['instead']!r} "
            f"({100 * one['probability']:.0f} %)",
            severity=WARNING if agrees >= KNOWS else NOTE,
            fix=fix,
            row=int(rows[one["row"]]),
        )
        for one in listed(found, labels, catalog.classes)
        if one["probability"] > 0.5
    )


def _as_reason(problem: QuickstudyError) -> str:
    return problem.message.rstrip(".")
