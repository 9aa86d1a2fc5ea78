"""How a sound file becomes what the network takes: samples at the network's own rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from quickstudy.errors import ExampleError
from quickstudy.kinds.contract import Piece
from quickstudy.kinds.sound.decode import Recording, open_recording, suffix_mismatch
from quickstudy.kinds.sound.resampling import Resampler
from quickstudy.kinds.sound.timeline import timeline
from quickstudy.prediction import Segment

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_OVERLAP = 2  # windows that hear each moment of a recording longer than one
_FAR_BEYOND = 100.0  # times full scale
_STEPS = 3  # of a timeline, in the span that each listens to


@dataclass(frozen=True)
class Preparation:
    """How a sound file becomes windows of ``size`` samples at ``rate`` Hz."""

    rate: int
    """Hz: what every file is resampled to."""
    size: int
    """Samples the network hears at once."""
    span: int
    """Samples that one step of a timeline listens to."""
    long: int
    """Samples: what is longer gets a timeline."""

    kind: ClassVar[str] = "sound"
    dtype: ClassVar[str] = "float16"
    columns: ClassVar[tuple[Any, ...]] = ()
    item: ClassVar[tuple[int, ...]] = ()
    passes: ClassVar[int] = 1

    @classmethod
    def of_recipe(cls, recipe: Any, known: Any = None) -> Preparation:
        """Return what a recipe says."""
        how = recipe.sound
        span, long = (round(seconds * how.rate) for seconds in (how.span, how.long))
        return cls(how.rate, recipe.size, span, long)

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> Preparation:
        """Return what `as_dict` kept."""
        return cls(**kept)

    def as_dict(self) -> dict[str, Any]:
        """Return what `model.json` keeps."""
        return asdict(self)

    @property
    def key(self) -> str:
        """What decides the cache's content."""
        return str(self.rate)

    def decode(self, raw: Any) -> Piece:
        """Return all samples, ``T`` float16 (16 bits hold more than any microphone gives).

        Raises `ExampleError`.
        """
        from quickstudy.kinds.sound.thumb import thumb

        values, remarks = self._opened(raw)
        if isinstance(raw, Path) and (really := suffix_mismatch(raw)):
            remarks.append(f"is {really}")
        return Piece(values, thumb(values, self.rate), "; ".join(remarks))

    def values(self, raw: Any) -> NDArray[np.float16]:
        """Return the values of `decode` alone, without torch; raises `ExampleError`."""
        return self._opened(raw)[0]

    def _opened(self, raw: Any) -> tuple[NDArray[np.float16], list[str]]:
        """Return the samples, and what is odd about them."""
        if not isinstance(raw, Path | bytes) and not (isinstance(raw, tuple) and len(raw) == 2):
            raise ExampleError(f"a {type(raw).__name__} is not a path or (samples, rate)")
        recording = open_recording(raw)
        return self._read(recording), list(recording.remarks)

    def _read(self, recording: Recording) -> NDArray[np.float16]:
        """Return all samples at our rate; an hour takes little more memory than it keeps.

        The network hears no level, so what is far beyond full scale is brought down to what 16
        bits hold.
        """
        resampler = Resampler(recording.rate, self.rate)
        kept, scale = bytearray(), 1.0
        for block in recording.blocks():
            peak = float(np.abs(block).max(initial=0))
            if peak * scale > _FAR_BEYOND:
                before = np.frombuffer(kept, np.float16) * np.float16(1 / (peak * scale))
                kept, scale = bytearray(before.tobytes()), 1 / peak
            kept += _sixteen(resampler.push(block) * scale)
        kept += _sixteen(resampler.rest() * scale)
        return np.frombuffer(kept, np.float16)

    def starts(self, n: int) -> NDArray[np.int64]:
        """Return where windows begin that overlap by half and together hear all of `n` samples."""
        if n <= self.size:
            return np.zeros(1, np.int64)
        count = 1 + math.ceil(_OVERLAP * (n - self.size) / self.size)
        return np.linspace(0, n - self.size, count).round().astype(np.int64)

    def view(self, values: NDArray[Any], start: int) -> NDArray[Any]:
        """Return one window ``size``; a shorter recording lies in its middle."""
        found = values[start : start + self.size]
        if len(found) == self.size:
            return found
        first = (self.size - len(found)) // 2
        window = np.zeros(self.size, found.dtype)  # `np.pad` takes longer than some networks
        window[first : first + len(found)] = found
        return window

    def timeline(
        self,
        values: NDArray[Any],
        ask: Callable[[NDArray[Any]], NDArray[np.float32]],
        classes: tuple[str, ...],
    ) -> tuple[Segment, ...]:
        """Return what is heard when, for recordings clearly longer than those learnt from."""
        if len(values) <= self.long:
            return ()

        def view(part: NDArray[Any]) -> NDArray[Any]:
            return self.view(part, 0)

        hop = max(1, round(self.span / _STEPS))
        return timeline(values, self.rate, view, ask, classes, hop=hop, across=_STEPS)

    def prepare(self, views: Tensor) -> Tensor:
        """Turn windows ``N size`` into float32."""
        return views.float()

    def gather(
        self, pieces: Sequence[NDArray[Any]], how: Any, rng: np.random.Generator
    ) -> tuple[Tensor, ...]:
        """Return ``N T`` float16, each row beginning at 0, and how long each is, ``N``."""
        most = math.ceil(self.size * (1 + how.speed))
        cut = []
        for values in pieces:
            spare = len(values) - most
            first = int(rng.integers(0, spare + 1)) if spare > 0 else 0
            cut.append(values[first : first + most])
        lengths = np.array([len(values) for values in cut])
        rows = np.zeros((len(cut), int(lengths.max())), np.float16)
        for row, values in zip(rows, cut, strict=True):
            row[: len(values)] = values
        import torch

        return torch.from_numpy(rows), torch.from_numpy(lengths)

    def vary(
        self, gathered: Sequence[Tensor], size: int, how: Any, generator: torch.Generator
    ) -> Tensor:
        """Return varied windows ``N size``."""
        from quickstudy.kinds.sound.augment import augment

        return augment(gathered[0], gathered[1], size, how, generator)

    def blend(
        self, x: Tensor, target: Tensor, how: Any, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Mixup."""
        from quickstudy.kinds.sound.augment import mix

        return mix(x, target, how.mixup, generator)

    def answer(self, ask: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """Return answers ``N K``."""
        return ask(x)

    def blank(self, n: int, size: int) -> Tensor:
        """Return silence ``n size``."""
        import torch

        return torch.zeros(n, size)


def _sixteen(x: NDArray[np.float32]) -> bytes:
    most = np.finfo(np.float16).max
    return bytes(np.clip(x, -most, most).astype(np.float16).tobytes())
