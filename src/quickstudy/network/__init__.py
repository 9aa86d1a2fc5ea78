"""Recipe -> nn.Module: the compact network, torchvision's and timm's, for pictures and sound."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor, nn

from quickstudy.network import standard
from quickstudy.network.compact import Compact
from quickstudy.network.hearing import Hearing
from quickstudy.network.standard import drop_auxiliary, known, main_and_auxiliary, names
from quickstudy.recipe.pictures import stem_stride
from quickstudy.recipe.sounds import STRIDE as SPECTRA_STRIDE

__all__ = [
    "Built",
    "Spec",
    "body_only",
    "build",
    "drop_auxiliary",
    "known",
    "main_and_auxiliary",
    "names",
    "parameters",
    "scores",
]


@dataclass(frozen=True)
class Spec:
    """What is needed to build a network again: text and numbers, no code."""

    name: str
    classes: int
    size: int
    width: float = 1.0
    dropout: float = 0.0
    auxiliary: bool = False
    """With the extra classifiers that only training uses (GoogLeNet, Inception)."""
    sound: Mapping[str, Any] | None = None
    """For sound: rate, fft, hop, mels, low, high of the spectra; `size` is then in samples."""

    def as_dict(self) -> dict[str, Any]:
        """Return what `model.json` keeps."""
        return asdict(self)

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> Spec:
        """Return the spec that `as_dict` kept."""
        return cls(**kept)


@dataclass(frozen=True, eq=False)
class Built:
    """A network and the dotted path of its last layer."""

    module: nn.Module
    head: str

    @property
    def last(self) -> nn.Linear:
        """The last layer: ``features -> classes``."""
        layer = self.module.get_submodule(self.head)
        assert isinstance(layer, nn.Linear)  # by construction in `build`
        return layer


def build(spec: Spec) -> Built:
    """Return the network with fresh weights.

    Raises `ChoiceError` for an unknown name.
    """
    ins = 3 if spec.sound is None or spec.name != "compact" else 1
    if spec.name == "compact":
        stride = stem_stride(spec.size) if spec.sound is None else SPECTRA_STRIDE
        module: nn.Module = Compact(spec.classes, width=spec.width, stride=stride, ins=ins)
        module.head = standard.Head(module.head.in_features, spec.classes, spec.dropout)  # type: ignore
        head = "head"
    else:
        module, head = standard.build(spec.name, spec.classes, spec.dropout)
        if not spec.auxiliary:
            drop_auxiliary(module)
    if spec.sound is None:
        return Built(module, head)
    return Built(Hearing(module, channels=ins, **spec.sound), f"body.{head}")


@contextmanager
def body_only(network: Built) -> Iterator[nn.Module]:
    """Lend the network without its last layer: ``N 3 S S -> N features``."""
    parent, _, name = network.head.rpartition(".")
    holder, last = network.module.get_submodule(parent), network.last
    setattr(holder, name, nn.Identity())
    try:
        yield network.module
    finally:
        setattr(holder, name, last)


def parameters(module: nn.Module) -> int:
    """Return how many numbers are learnt."""
    return sum(p.numel() for p in module.parameters())


def scores(network: nn.Module, x: Tensor) -> Tensor:
    """Return the scores ``N classes`` of ``N 3 S S`` or ``N T``, without auxiliary ones."""
    return main_and_auxiliary(network(x))[0]
