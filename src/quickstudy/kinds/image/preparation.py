"""How a picture file becomes what the network takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from quickstudy.errors import ExampleError
from quickstudy.kinds.contract import Piece
from quickstudy.kinds.image.decode import MAX_PIXELS, fit, open_picture, suffix_mismatch
from quickstudy.prediction import Segment

if TYPE_CHECKING:
    import torch
    from torch import Tensor

THUMB = 16


@dataclass(frozen=True)
class Preparation:
    """How a picture file becomes ``3 size size``."""

    decode_size: int
    """Pixels, side of the square that files are decoded to."""
    size: int
    """Pixels, side of the square the network sees."""
    fit: Any
    mean: tuple[float, ...]
    std: tuple[float, ...]
    mirror: bool
    """Average the answers for the picture and its mirror image."""
    max_pixels: int = MAX_PIXELS
    channels: int = 3
    """What the network sees: 3 colours, or 1: their mean."""

    kind: ClassVar[str] = "image"
    dtype: ClassVar[str] = "uint8"
    columns: ClassVar[tuple[Any, ...]] = ()

    @classmethod
    def of_recipe(cls, recipe: Any, known: Any = None) -> Preparation:
        """Return what a recipe says."""
        how = recipe.picture
        return cls(
            decode_size=_cache_size(recipe),
            size=how.size,
            fit=how.fit,
            mean=tuple(how.mean),
            std=tuple(how.std),
            mirror=recipe.augment.mirror,
            max_pixels=how.max_pixels,
            channels=recipe.network.channels,
        )

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> Preparation:
        """Return what `as_dict` kept."""
        return cls(**{**kept, "mean": tuple(kept["mean"]), "std": tuple(kept["std"])})

    def as_dict(self) -> dict[str, Any]:
        """Return what `model.json` keeps."""
        return asdict(self)

    @property
    def item(self) -> tuple[int, ...]:
        """Shape of a decoded picture."""
        return (self.decode_size, self.decode_size, 3)

    @property
    def passes(self) -> int:
        """Return 2 where the mirror image is looked at as well."""
        return 2 if self.mirror else 1

    @property
    def key(self) -> str:
        """What decides the cache's content."""
        return f"{self.decode_size} {self.fit} {self.max_pixels} without a gap"

    def decode(self, raw: Any) -> Piece:
        """Return ``1 S S 3`` uint8; raises `ExampleError`.

        Of large JPEG files less is decoded than there is: five times quicker, and on average less
        than a level of 255 from what `values` returns.
        """
        picture = self._opened(raw, self.decode_size)
        really = suffix_mismatch(raw) if isinstance(raw, Path) else None
        return Piece(
            np.ascontiguousarray(fit(picture, self.decode_size, self.fit))[None],
            np.ascontiguousarray(fit(picture, THUMB, "squash")),
            f"is {really}" if really else "",
        )

    def values(self, raw: Any) -> NDArray[np.uint8]:
        """Return what answers are made from, all of a file's pixels, ``1 S S 3`` uint8.

        So that an exported graph, which is given all pixels, answers the same. Raises
        `ExampleError`.
        """
        return np.ascontiguousarray(fit(self._opened(raw), self.decode_size, self.fit))[None]

    def _opened(self, raw: Any, size: int | None = None) -> Image.Image:
        if not isinstance(raw, Path | Image.Image | np.ndarray | bytes):
            raise ExampleError(f"a {type(raw).__name__} is not a path, a picture or an array")
        return open_picture(raw, size=size, max_pixels=self.max_pixels)

    def starts(self, n: int) -> NDArray[np.int64]:
        """Return 0: a picture is seen whole."""
        return np.zeros(1, np.int64)

    def view(self, values: NDArray[Any], start: int) -> NDArray[Any]:
        """Return the picture ``S S 3``."""
        return np.asarray(values[start])

    def timeline(
        self,
        values: NDArray[Any],
        ask: Callable[[NDArray[Any]], NDArray[np.float32]],
        classes: tuple[str, ...],
    ) -> tuple[Segment, ...]:
        """Return nothing: in a picture nothing happens."""
        return ()

    def prepare(self, views: Tensor) -> Tensor:
        """Turn ``N S S 3`` uint8 into ``N channels size size``, normalised."""
        import torch

        from quickstudy.kinds.image.augment import prepare

        x = self._seen(prepare(views, self.size, self.mean, self.std))
        return x.contiguous(memory_format=torch.channels_last)

    def _seen(self, x: Tensor) -> Tensor:
        return x if self.channels == x.shape[1] else x.mean(1, keepdim=True)

    def gather(
        self, pieces: Sequence[NDArray[Any]], how: Any, rng: np.random.Generator
    ) -> tuple[Tensor, ...]:
        """Return ``N S S 3`` uint8."""
        import torch

        return (torch.from_numpy(np.concatenate(pieces)),)

    def vary(
        self, gathered: Sequence[Tensor], size: int, how: Any, generator: torch.Generator
    ) -> Tensor:
        """Return varied, normalised ``N channels size size``."""
        from quickstudy.kinds.image.augment import augment

        return self._seen(augment(gathered[0], size, self.mean, self.std, how, generator))

    def blend(
        self, x: Tensor, target: Tensor, how: Any, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Mixup and CutMix."""
        from quickstudy.kinds.image.augment import blend

        return blend(x, target, how.mixup, how.cutmix, generator)

    def answer(self, ask: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """Return answers ``N K``, averaged with the mirror image's where `mirror` says so."""
        found = ask(x)
        return (found + ask(x.flip(-1))) / 2 if self.mirror else found

    def blank(self, n: int, size: int) -> Tensor:
        """Return black pictures ``n channels size size``."""
        import torch

        x = torch.zeros(n, self.channels, size, size)
        return x.contiguous(memory_format=torch.channels_last)


def _cache_size(recipe: Any) -> int:
    """Return the side that pictures are kept at: a quarter more than trained at when cropping."""
    size: int = recipe.picture.size
    cropped = recipe.method == "scratch" and recipe.augment.crop < 0.6
    return round(size * 1.25 / 8) * 8 if cropped else size
