"""Catalog -> Facts: how many, how balanced, how quick to decode, and what the kind asks; a sample.

Facts are all that `recipe` knows of the data, so that planning needs neither files nor torch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from quickstudy import kinds
from quickstudy.catalog import TEST, Catalog
from quickstudy.errors import ExampleError
from quickstudy.kinds import NOUNS, PictureFacts, SoundFacts, TableFacts

#: Examples looked at. 512 put a median within a few percent and take about half a second; of a
#: table the rows that are looked at tell which words its columns hold.
SAMPLES = {"image": 512, "sound": 512, "table": 100_000}


@dataclass(frozen=True)
class Facts:
    """What planning needs to know of the examples; seconds of wall-clock."""

    examples: int
    learnable: int
    """Those that the source does not keep for the test."""
    classes: int
    """Classes, labels or numbers."""
    smallest_class: int
    """Of several labels or numbers: all examples, as of the largest."""
    largest_class: int
    test_given: bool
    seconds_to_decode: float
    """Forecast for all examples, all cores."""
    seen: PictureFacts | SoundFacts | TableFacts
    """What only this kind of example has."""
    task: str = "classification"
    """What is asked."""
    task_why: str = "one label an example"
    suggested: str = ""
    """The groups that names suggest and nobody declared, in words: ``6 groups (...)``."""

    room: float = math.inf
    """Bytes that decoded examples may take on the disk of the cache."""

    @property
    def imbalance(self) -> float:
        """Largest class over smallest."""
        return self.largest_class / max(1, self.smallest_class)

    @property
    def kind(self) -> str:
        """What sort of examples these are."""
        return self.seen.kind

    @property
    def picture(self) -> PictureFacts:
        """What pictures have."""
        assert isinstance(self.seen, PictureFacts)  # the catalog's kind decides
        return self.seen

    @property
    def sound(self) -> SoundFacts:
        """What recordings have."""
        assert isinstance(self.seen, SoundFacts)
        return self.seen

    @property
    def table(self) -> TableFacts:
        """What tables have."""
        assert isinstance(self.seen, TableFacts)
        return self.seen


def survey(catalog: Catalog, *, cores: int, max_pixels: int, seed: int = 0) -> Facts:
    """Look at up to `SAMPLE` examples of `catalog`, none of those that its source gives to test.

    Raises `ExampleError` only through the reader of in-memory sources; unreadable files are
    passed over here and named by the decoding stage.
    """
    rng = np.random.default_rng(seed)
    picked = rng.permutation(np.flatnonzero(catalog.given != TEST))[: SAMPLES[catalog.kind]]

    def one(i: int) -> tuple[int, Any] | None:
        try:
            return i, kinds.look(catalog.kind, catalog.read(i), max_pixels)
        except ExampleError:
            return None  # decoding meets every file again and names this one with its reason

    began = time.perf_counter()
    if catalog.kind == "table":  # a thread would cost more than a row
        found = [(i, catalog.read(i)) for i in picked.tolist()]
    else:
        with ThreadPoolExecutor(cores) as pool:
            found = [each for each in pool.map(one, picked.tolist()) if each]
    took = time.perf_counter() - began
    looks = [each for _, each in found]
    learnable = int((catalog.given != TEST).sum())
    counts = np.full(len(catalog.classes), learnable)
    if catalog.task == "classification":
        given = catalog.labels[catalog.given != TEST]
        counts = np.bincount(given, minlength=len(catalog.classes))
    labels = catalog.labels[np.array([i for i, _ in found], np.int64)]
    seconds = took / max(1, len(picked)) * len(catalog) * kinds.unseen(catalog.kind, looks)
    return Facts(
        examples=len(catalog),
        learnable=learnable,
        task=catalog.task,
        task_why=catalog.task_why,
        classes=len(catalog.classes),
        smallest_class=int(counts.min()),
        largest_class=int(counts.max()),
        test_given=bool((catalog.given == TEST).any()),
        seconds_to_decode=seconds,
        seen=kinds.summed_up(catalog.kind, looks, labels, catalog.columns, rng),
    )


def said(catalog: Catalog, most: int = 12) -> Sequence[str]:
    """Return the first lines a user reads: how many examples of which class."""
    many = NOUNS[catalog.kind][1]
    if catalog.task == "regression":
        names = ", ".join(catalog.classes[:most])
        return [f"Found {len(catalog):,} {many}, each with its {names}"]
    counts = sorted(catalog.counts().items(), key=lambda item: (-item[1], item[0]))
    shown = " · ".join(f"{name} {n:,}" for name, n in counts[:most])
    more = f" · and {len(counts) - most} more" if len(counts) > most else ""
    what = "in {} classes" if catalog.task == "classification" else "with any of {} labels"
    return [f"Found {len(catalog):,} {many} {what.format(len(counts))}: {shown}{more}"]


def remarks(seen: Facts, most: int = 8) -> Sequence[str]:
    """Return what is to be said of a table's columns: what they hold, what is left out or odd."""
    if not isinstance(seen.seen, TableFacts):
        return []
    found = seen.table.remarks()
    more = len(found) - most
    rest = [f"and {more:,} more columns with a note: see the report"] if more > 0 else []
    return [seen.table.sentence(), *found[:most], *rest]
