"""What is needed to build a network again: text and numbers, no code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Spec:
    """What is needed to build a network again: text and numbers, no code."""

    name: str
    classes: int
    """Outputs: classes, labels or numbers."""
    size: int
    """Pixels of a side, samples of a window; 1 for a row."""
    width: float = 1.0
    dropout: float = 0.0
    auxiliary: bool = False
    """With the extra classifiers that only training uses (GoogLeNet, Inception)."""
    sound: Mapping[str, Any] | None = None
    """For sound: rate, fft, hop, mels, low, high of the spectra; `size` is then in samples."""
    activation: str = ""
    depth: tuple[int, ...] = ()
    stem: str = ""
    channels: int = 3
    stack: list[Any] | None = None
    """The layers of a network written as a stack."""
    graph: Mapping[str, Any] | None = None
    """What an ONNX file says of its network."""
    table: Mapping[str, Any] | None = None
    """For tables: columns, words and gaps of each, members, bins."""
    ensemble: Mapping[str, Any] | None = None
    """Of several networks as one: `task`, and of `members` weight, temperature and `network`."""

    def members(self) -> tuple[Spec, ...]:
        """Return what is needed to build each network of an ensemble; of any other, its own."""
        if self.ensemble is None:
            return (self,)
        return tuple(Spec.from_dict(one["network"]) for one in self.ensemble["members"])

    def as_dict(self) -> dict[str, Any]:
        """Return what `model.json` keeps."""
        kept = asdict(self)
        if self.ensemble is None:
            del kept["ensemble"]  # what is none loads where these are not known yet
        return kept

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> Spec:
        """Return the spec that `as_dict` kept."""
        return cls(**{**kept, "depth": tuple(kept.get("depth", ()))})
