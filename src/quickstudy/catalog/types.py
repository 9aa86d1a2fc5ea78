"""What a catalog is: every example found, its label, and every problem met on the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from quickstudy.shards import Store

#: One example before decoding: a file, an opened picture, an array ``H W`` / ``H W C``, samples
#: with their rate (Hz), the cells of a row, or the bytes of a file.
Raw: TypeAlias = Path | Image | NDArray[Any] | tuple[Any, ...] | bytes

#: As in `quickstudy.tasks`, which loads torch; a test compares.
TASKS = ("classification", "multilabel", "regression")
TRAIN, VAL, TEST, FREE = 0, 1, 2, -1
#: The names of the parts, in the order of their numbers.
PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class LeftOut:
    """One example that was not used, and why."""

    name: str
    reason: str


@dataclass(frozen=True, eq=False)
class Shards:
    """Of examples that lie in shards: where each is. Arrays have shape ``N``."""

    of: NDArray[np.int32]
    """The number of its shard; -1 for one that is in none."""
    contents: NDArray[np.uint64] | None
    """A digest of its bytes; None where nobody has read them."""
    holder: Store
    """What fetches them."""

    def part(self, rows: NDArray[np.int64]) -> Shards:
        """Return this of some examples."""
        contents = None if self.contents is None else self.contents[rows]
        return Shards(self.of[rows], contents, self.holder)

    def beside(self, more: int) -> Shards:
        """Return this with so many examples more that are in no shard of these."""
        return Shards(np.concatenate([self.of, np.full(more, -1, np.int32)]), None, self.holder)


@dataclass(frozen=True, eq=False)
class Catalog:
    """All examples of a source.

    `classes` are the names of what is asked: classes, labels, or numbers. `labels` holds indices
    into `classes`; where no class is asked for, equal numbers for examples that are alike, so that
    they are spread evenly over the parts. `given` holds `TRAIN`, `VAL` or `TEST` where the source
    itself says so and `FREE` where not; `groups` holds a number per example, equal numbers for
    examples that must stay on one side of a split (-1: alone). All three have shape ``N``.
    """

    kind: str
    """``image``, ``sound`` or ``table``."""
    source: str
    """The source as the user named it."""
    classes: tuple[str, ...]
    names: Sequence[str]
    """One name per example, as a user would recognise it (a path, or ``row 12``)."""
    labels: NDArray[np.int64]
    given: NDArray[np.int8]
    groups: NDArray[np.int64]
    read: Callable[[int], Raw]
    """Example number -> `Raw`. Safe to call from several threads."""
    stamp: str
    """A fingerprint: equal for equal files (names, sizes, times) or equal arrays."""
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()
    """Plain sentences the user should read (a class missing from a part, ...)."""
    group_names: tuple[str, ...] = ()
    """The word of group number i, where groups come from words ('' for one without)."""
    task: str = "classification"
    """What is asked: ``classification``, ``multilabel`` or ``regression``."""
    task_why: str = "one label an example"
    values: NDArray[np.float64] | None = None
    """Of several labels 0 or 1, or numbers: ``N K``, in the order of `classes`."""
    columns: tuple[str, ...] = ()
    """Of a table whose rows are the examples: the columns that `read` gives."""
    target: tuple[str, ...] | None = None
    """The columns that hold what is true; None where there are none."""
    shards: Shards | None = None
    """Where the examples are, if that is in shards."""

    def __len__(self) -> int:
        return len(self.names)

    @property
    def truth(self) -> NDArray[Any]:
        """What is true of each example: class numbers ``N``, or `values` ``N K``."""
        return self.labels if self.values is None else self.values

    def counts(self) -> dict[str, int]:
        """Return how many examples each class or label has, in the order of `classes`."""
        if self.task == "regression":
            return {}
        if self.values is not None:
            found = self.values.sum(0)
        else:
            found = np.bincount(self.labels, minlength=len(self.classes))
        return {name: int(n) for name, n in zip(self.classes, found, strict=True)}
