"""What every kind offers: one contract, which one test runs over all kinds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from quickstudy.prediction import Segment

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from quickstudy.kinds.table.columns import Column


@dataclass(frozen=True, eq=False)
class Piece:
    """One example decoded, and what was met on the way."""

    values: NDArray[Any]
    """``n ...`` of the kind's `dtype` and `item` shape: one picture, or ``n`` samples."""
    thumb: NDArray[np.uint8]
    """``16 16 3``: what near-duplicates are found by."""
    remark: str = ""
    """What is odd about the file, though it is used."""


class Preparation(Protocol):
    """How a file becomes what the network takes; saved with the model as `as_dict`."""

    kind: ClassVar[str]
    dtype: ClassVar[str]
    """NumPy's name for the numbers that are kept in the cache."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """Of a table its columns, in the order of a row's cells; of other kinds nothing."""

    @property
    def item(self) -> tuple[int, ...]:
        """Shape of one item of the cache: ``S S 3`` of a picture, nothing for a sample."""

    @property
    def size(self) -> int:
        """What the network is used at: pixels of a side, or samples of a window."""

    @property
    def passes(self) -> int:
        """How often the network looks at one view when it answers."""

    @property
    def key(self) -> str:
        """What decides the cache's content, besides the files."""

    def as_dict(self) -> dict[str, Any]:
        """Return what `model.json` keeps."""

    def decode(self, raw: Any) -> Piece:
        """Return an example decoded; raises `ExampleError`."""

    def values(self, raw: Any) -> NDArray[Any]:
        """Return the values of `decode` alone, without torch: all that an answer needs."""

    def starts(self, n: int) -> NDArray[np.int64]:
        """Return where the views begin that together show all of an example of `n` items."""

    def view(self, values: NDArray[Any], start: int) -> NDArray[Any]:
        """Return one view of a decoded example, all of one shape."""

    def timeline(
        self,
        values: NDArray[Any],
        ask: Callable[[NDArray[Any]], NDArray[np.float32]],
        classes: tuple[str, ...],
    ) -> tuple[Segment, ...]:
        """Return what is heard when in a decoded example; nothing where that is no question.

        `ask` returns the answers ``V K`` of views.
        """

    def prepare(self, views: Tensor) -> Tensor:
        """Turn views as `view` gives them into what the network takes, on their device."""

    def gather(
        self, pieces: Sequence[NDArray[Any]], how: Any, rng: np.random.Generator
    ) -> tuple[Tensor, ...]:
        """Put decoded examples together to learn from, ``N`` of them."""

    def vary(
        self, gathered: Sequence[Tensor], size: int, how: Any, generator: torch.Generator
    ) -> Tensor:
        """Turn what `gather` gave into varied input of the network; `how` is a recipe's augment."""

    def blend(
        self, x: Tensor, target: Tensor, how: Any, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Mix inputs and targets ``N K`` with others of the same batch."""

    def answer(self, ask: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """Return answers ``N K`` about what `prepare` gave; `ask` looks at it once."""

    def blank(self, n: int, size: int) -> Tensor:
        """Return `n` empty inputs of the network."""
