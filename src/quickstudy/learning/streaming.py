"""Examples too many to decode beforehand: which of them are, and the stream of all to learn from.

What is held out, and a sample of the rest to measure on, is decoded into the cache as ever; to
learn from, examples are decoded as they come.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quickstudy import checking, splitting
from quickstudy.catalog import TRAIN, Catalog, part
from quickstudy.decoding import Decoded
from quickstudy.errors import SourceError
from quickstudy.folders import room
from quickstudy.kinds import NOUNS, Preparation
from quickstudy.learning.job import Job
from quickstudy.recipe import Recipe
from quickstudy.shards.order import Order, window_of
from quickstudy.shards.stream import Stream

Ints = NDArray[np.int64]

_SAMPLE = 20_000  # training examples that are decoded beforehand, at most
_HALF = 0.5  # of the cache, for what is decoded; the other for shards
_UNMIXED = 0.5  # of the classes that a mixed shard would have: with fewer it is said


def divided(job: Job, catalog: Catalog, recipe: Recipe, how: Preparation, cores: int) -> Catalog:
    """Return the part of the catalog that is decoded: all, or what a stream needs beforehand.

    The job then has the stream. The parts are settled here, so that no example of the test is
    learnt from: by class and group as ever; of copies those with the same bytes are known, where
    the shards' index tells. Raises `SourceError` where not even the test fits the cache.
    """
    if not recipe.stream:
        return catalog
    limit = 1e9 * recipe.cache if recipe.cache is not None else room(job.cache)
    most = int(_HALF * limit / bytes_of(how, catalog, job.seconds_each))
    parts = splitting.split(
        catalog.labels,
        given=catalog.given,
        groups=catalog.groups,
        duplicates=_copies(catalog),
        seed=recipe.seed,
        test=recipe.test,
        val=recipe.val,
        most_test=min(splitting.MOST_TEST, most // 2),
        most_val=min(splitting.MOST_VAL, most // 4),
    )
    held = len(parts.val) + len(parts.test)
    if most < held + len(catalog.classes):
        raise SourceError(
            f"The cache of {limit / 1e9:.2g} GB has no room for what is held out: {held:,} "
            f"{NOUNS[catalog.kind][1]}.",
            "Give it more (--set cache=GIGABYTES), or hold out less (--set test=0.05 val=0.02).",
        )
    rng = np.random.default_rng([recipe.seed, 6])
    sample = _sampled(catalog.labels, parts.train, min(_SAMPLE, most - held), rng)
    rows = np.sort(np.concatenate([sample, parts.val, parts.test]))
    job.stream = _stream(job, catalog, recipe, how, parts.train, limit, cores)
    job.stream.beforehand = rows
    _say(job, catalog, job.stream, len(sample))
    return replace(part(catalog, rows), given=parts.part[rows], shards=None)


def joined(job: Job, catalog: Catalog, decoded: Decoded) -> Stream | None:
    """Return the job's stream; what `decoded` has of it need not be decoded again."""
    stream = job.stream
    if stream is None:
        return None
    row_of = np.full(int(stream.numbers.max()) + 1, -1, np.int32)
    learnt = np.flatnonzero(catalog.given[decoded.kept] == TRAIN)
    row_of[stream.beforehand[decoded.kept[learnt]]] = learnt

    def kept(number: int) -> Any:
        row = int(row_of[number])
        return None if row < 0 else decoded.piece(row)

    stream.kept = kept
    return stream


def ended(job: Job) -> None:
    """Note for the report what could not be decoded on the way."""
    if job.stream is not None and (said := job.stream.said()):
        job.notes.append(said)


def bytes_of(how: Preparation, catalog: Catalog, seconds: float) -> float:
    """Return the bytes that one decoded example takes, of a recording as long as most."""
    size = float(np.dtype(how.dtype).itemsize * np.prod(how.item, dtype=np.float64))
    return size * max(1.0, seconds * how.rate) if how.kind == "sound" else size  # type: ignore[attr-defined]


def _copies(catalog: Catalog) -> Ints:
    """Return equal numbers for examples of the same bytes; -1 for one that is alone."""
    none = np.full(len(catalog), -1, np.int64)
    if catalog.shards is None or catalog.shards.contents is None:
        return none
    return checking.same_rows(catalog.shards.contents).group


def _sampled(labels: Ints, train: Ints, most: int, rng: np.random.Generator) -> Ints:
    """Return training examples at random, one of each class at least."""
    mixed = rng.permutation(train)
    _, first = np.unique(labels[mixed], return_index=True)
    others = np.setdiff1d(np.arange(min(most, len(mixed))), first, assume_unique=True)
    chosen = np.concatenate([first, others])[: max(most, len(first))]
    return np.sort(mixed[chosen])


def _stream(
    job: Job,
    catalog: Catalog,
    recipe: Recipe,
    how: Preparation,
    train: Ints,
    limit: float,
    cores: int,
) -> Stream:
    """Return the stream of the training examples, in the order of the shards they are in."""
    shards, holder = np.zeros(len(catalog), np.int64), None  # files are read in any order
    most = 2**31
    if catalog.shards is not None:
        shards, holder = catalog.shards.of.astype(np.int64), catalog.shards.holder
        holder.limit = (1 - _HALF) * limit
        most = max(1, int(holder.limit / (3 * max(1, holder.largest))))  # open, before, after
    numbers = train[np.argsort(shards[train], kind="stable")]
    there, counts = np.unique(shards[numbers], return_counts=True)
    order = Order(counts.astype(np.int64), window_of(counts, most), recipe.seed)
    truth = catalog.truth[numbers]
    made = Stream(numbers, truth, there, order, catalog.read, how, cores, holder)
    made.names = catalog.names
    return made


def _say(job: Job, catalog: Catalog, stream: Stream, sampled: int) -> None:
    many = NOUNS[catalog.kind][1]
    where = f" from {len(stream.shards):,} shards" if catalog.shards is not None else ""
    note = (
        f"{len(stream):,} {many} are learnt from as they come{where}, decoded each time anew; "
        f"{sampled:,} of them beforehand, to measure on"
    )
    notes = [note]
    if catalog.shards is not None and catalog.values is None and _sorted(catalog, stream):
        notes.append(
            "the shards hold few classes each, so that examples of one class come together: "
            "quickstudy pack mixes them"
        )
    job.notes += notes
    for one in notes:
        job.say(f"  {one}")


def _sorted(catalog: Catalog, stream: Stream) -> bool:
    """Whether shards hold clearly fewer classes than they would if they were mixed."""
    k, counts = len(catalog.classes), stream.order.counts
    shard = np.repeat(np.arange(len(counts)), counts)
    pairs = len(np.unique(shard * k + stream.truth))
    frequent = np.bincount(stream.truth, minlength=k) / len(stream)
    expected = sum(float((1 - (1 - frequent) ** n).sum()) for n in counts.tolist())
    return pairs < _UNMIXED * expected
