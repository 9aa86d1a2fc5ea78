"""Catalog -> Facts: how many, how balanced, how quick to decode, and what the kind asks; a sample.

Facts are all that `recipe` knows of the data, so that planning needs neither files nor torch.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from quickstudy import kinds
from quickstudy.catalog import TEST, Catalog
from quickstudy.errors import ExampleError
from quickstudy.kinds import NOUNS, PictureFacts, SoundFacts

#: Examples looked at. 512 put a median within a few percent and take about half a second.
SAMPLE = 512


@dataclass(frozen=True)
class Facts:
    """What planning needs to know of the examples; seconds of wall-clock."""

    examples: int
    learnable: int
    """Those that the source does not keep for the test."""
    classes: int
    smallest_class: int
    largest_class: int
    test_given: bool
    seconds_to_decode: float
    """Forecast for all examples, all cores."""
    seen: PictureFacts | SoundFacts
    """What only this kind of example has."""
    suggested: str = ""
    """The groups that names suggest and nobody declared, in words: ``6 groups (...)``."""

    @property
    def imbalance(self) -> float:
        """Largest class over smallest."""
        return self.largest_class / max(1, self.smallest_class)

    @property
    def kind(self) -> str:
        """What sort of examples these are."""
        return "sound" if isinstance(self.seen, SoundFacts) else "image"

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


def survey(catalog: Catalog, *, cores: int, max_pixels: int, seed: int = 0) -> Facts:
    """Look at up to `SAMPLE` examples of `catalog`, none of those that its source gives to test.

    Raises `ExampleError` only through the reader of in-memory sources; unreadable files are
    passed over here and named by the decoding stage.
    """
    rng = np.random.default_rng(seed)
    picked = rng.permutation(np.flatnonzero(catalog.given != TEST))[:SAMPLE]

    def one(i: int) -> tuple[int, Any] | None:
        try:
            return i, kinds.look(catalog.kind, catalog.read(i), max_pixels)
        except ExampleError:
            return None  # decoding meets every file again and names this one with its reason

    began = time.perf_counter()
    with ThreadPoolExecutor(cores) as pool:
        found = [each for each in pool.map(one, picked.tolist()) if each]
    took = time.perf_counter() - began
    looks = [each for _, each in found]
    counts = np.bincount(catalog.labels[catalog.given != TEST], minlength=len(catalog.classes))
    labels = catalog.labels[np.array([i for i, _ in found], np.int64)]
    seconds = took / max(1, len(picked)) * len(catalog) * kinds.unseen(catalog.kind, looks)
    return Facts(
        examples=len(catalog),
        learnable=int((catalog.given != TEST).sum()),
        classes=len(catalog.classes),
        smallest_class=int(counts.min()),
        largest_class=int(counts.max()),
        test_given=bool((catalog.given == TEST).any()),
        seconds_to_decode=seconds,
        seen=kinds.summed_up(catalog.kind, looks, labels, len(catalog.classes), rng),
    )


def said(catalog: Catalog, most: int = 12) -> Sequence[str]:
    """Return the first lines a user reads: how many examples of which class."""
    counts = sorted(catalog.counts().items(), key=lambda item: (-item[1], item[0]))
    shown = " · ".join(f"{name} {n:,}" for name, n in counts[:most])
    more = f" · and {len(counts) - most} more" if len(counts) > most else ""
    many = NOUNS[catalog.kind][1]
    return [f"Found {len(catalog):,} {many} in {len(counts)} classes: {shown}{more}"]
