"""Recipe -> nn.Module: by name, as a stack, as a formula, from a file, or somebody's own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from quickstudy.errors import ChoiceError
from quickstudy.functions import Function
from quickstudy.network.ensemble import Ensemble
from quickstudy.network.formula import Formula
from quickstudy.network.hearing import Hearing
from quickstudy.network.keras import Keras
from quickstudy.network.onnx import build_graph
from quickstudy.network.own import PREFIX, check, last_linear, made
from quickstudy.network.spec import Spec
from quickstudy.network.stack import build_stack
from quickstudy.network.standard import drop_auxiliary, known, main_and_auxiliary, names
from quickstudy.network.tabular import Front, Tabular
from quickstudy.network.tweaks import Tweaks
from quickstudy.network.tweaks import build as build_tweaked
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


@dataclass(frozen=True, eq=False)
class Built:
    """A network and the dotted path of its last layer, '' where that is not a linear one."""

    module: nn.Module
    head: str
    compiled: Callable[[Tensor], Any] | None = None
    """What computes the module in training, in its place."""

    @property
    def last(self) -> nn.Linear:
        """The last layer: ``features -> classes``."""
        layer = self.module.get_submodule(self.head)
        assert isinstance(layer, nn.Linear)  # by construction in `build`
        return layer

    def beside(self) -> list[nn.Parameter]:
        """Return what is no matrix with a row per output: the last layer's, and Keras's kernels."""
        kernels = (m.parameters() for m in self.module.modules() if isinstance(m, Keras))
        last = self.last.parameters() if self.head else ()
        return [*last, *itertools.chain.from_iterable(kernels)]

    def learned(self) -> dict[str, float]:
        """Return the parameters that the expressions in it have learnt, by name."""
        found: dict[str, float] = {}
        for path, layer in self.module.named_modules():
            if isinstance(layer, Function):
                found |= {_place(path, name): value for name, value in layer.values().items()}
        return found


def _place(path: str, name: str) -> str:
    return name if path in ("", "function") else f"{path}.{name}"


def build(spec: Spec, own: Any = None) -> Built:
    """Return the network with fresh weights.

    `own` is the network itself, or what makes it, where the spec names one that is code. Raises
    `ChoiceError` for an unknown name, or a network that does not fit what it is to see.
    """
    if (spec.stack is not None) != (spec.name == "stack"):
        raise ChoiceError(
            f"The network '{spec.name}' "
            + ("has layers of its own." if spec.stack is not None else "has no layers."),
            "A stack has the network.name 'stack', and its layers in network.stack.",
        )
    if spec.ensemble is not None:
        return _together(spec, spec.ensemble)
    if spec.table is not None:
        return _for_rows(spec, own)
    if spec.sound is not None:
        return _for_sound(spec, own)
    module, head = _body(spec, (spec.channels, spec.size, spec.size), stem_stride(spec.size), own)
    return Built(module, head)


def _together(spec: Spec, of: Mapping[str, Any]) -> Built:
    """Return an ensemble; it has no last layer."""
    members = [build(one).module for one in spec.members()]
    weights, temperatures = (
        [float(one[key]) for one in of["members"]] for key in ("weight", "temperature")
    )
    return Built(Ensemble(members, weights, temperatures, of["task"]), "")


def _body(spec: Spec, shape: tuple[int, ...], stride: int, own: Any) -> tuple[nn.Module, str]:
    """Return the network for inputs of a shape ``C H W`` or ``F``, and where its last layer is."""
    if spec.name.startswith(PREFIX):
        if own is None:
            raise ChoiceError(
                f"This network is code: '{spec.name.removeprefix(PREFIX)}'.",
                "Give it again: load(folder, network=...), or learn(..., network=...).",
            )
        module = made(own, spec.classes)
        check(module, torch.zeros(2, *shape), spec.classes)
        return module, last_linear(module, spec.classes)
    if spec.graph is not None:
        return build_graph(spec.graph, spec.classes, spec.dropout, shape)
    if spec.stack is not None:
        return build_stack(spec.stack, shape, spec.classes)
    tweaks = Tweaks(
        activation=spec.activation,
        width=spec.width,
        depth=spec.depth,
        stem="small" if spec.stem == "small" else "",
        dropout=spec.dropout,
        channels=shape[0],
    )
    module, head = build_tweaked(spec.name, spec.classes, tweaks, stride=stride)
    if not spec.auxiliary:
        drop_auxiliary(module)
    return module, head


def _for_sound(spec: Spec, own: Any) -> Built:
    """Return a network behind its spectra: of one channel, or of three where those are expected."""
    assert spec.sound is not None
    wide = spec.name != "compact" and spec.stack is None and not spec.name.startswith(PREFIX)
    channels, fft = spec.channels if wide else 1, spec.sound["fft"]
    frames = 1 + (spec.size + fft // 2 * 2 - fft) // spec.sound["hop"]  # as `LogMel` pads
    body, head = _body(spec, (channels, spec.sound["mels"], frames), SPECTRA_STRIDE, own)
    with torch.device("cpu"):  # the spectra are computed, even where all else is without memory
        module = Hearing(body, channels=channels, **spec.sound)
    return Built(module, f"body.{head}" if head else "")


def _for_rows(spec: Spec, own: Any) -> Built:
    """Return a network for the rows of a table."""
    assert spec.table is not None
    words, gaps = spec.table["words"], spec.table["gaps"]
    if spec.name == "tabm":
        return Built(
            Tabular(
                words,
                gaps,
                spec.classes,
                width=max(8, round(128 * spec.width)),
                blocks=spec.depth[0] if spec.depth else 2,
                members=spec.table["members"],
                dropout=spec.dropout,
                bins=spec.table["bins"],
            ),
            "",
        )
    if spec.stack is None and not spec.name.startswith(PREFIX):
        return Built(Formula(spec.name, spec.table, outputs=spec.classes), "")
    front = Front(words, gaps)
    body, head = _body(spec, (front.width,), 1, own)
    return Built(Behind(front, body), f"body.{head}" if head else "")


class Behind(nn.Module):
    """A network behind what makes features of the rows of a table: ``N F -> N classes``."""

    def __init__(self, front: Front, body: nn.Module) -> None:
        super().__init__()
        self.front, self.body = front, body

    def fit_statistics(self, values: NDArray[Any]) -> None:
        """Learn what is needed of the training rows ``N F``, and of no others."""
        self.front.fit_statistics(values)

    def forward(self, x: Tensor) -> Tensor:
        """Compute."""
        out: Tensor = self.body(self.front(x))
        return out


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
    """Return the scores ``N classes`` (``N M classes`` of an ensemble), without auxiliary ones."""
    return main_and_auxiliary(network(x))[0]
