"""A network by name with tweaks as data: activation, width, depth, stem, dropout, channels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from quickstudy.errors import ChoiceError, did_you_mean
from quickstudy.network import activations, standard
from quickstudy.network.compact import DEPTH, Compact

MOST_BLOCKS = 200  # in a stage: ResNet-1202 of He et al., 2015
_SHAPED = "the compact network, torchvision's ResNets, ResNeXts and wide ResNets, and GoogLeNet"


@dataclass(frozen=True)
class Tweaks:
    """What differs from the network as published; the defaults change nothing."""

    activation: str = ""
    """A name or an expression in `x`, in the place of every activation; empty: the usual ones."""
    width: float = 1.0
    """Times the usual channels, each a multiple of 8."""
    depth: tuple[int, ...] = ()
    """Blocks of each stage; empty: the usual ones."""
    stem: Literal["", "small"] = ""
    """``small``: 3 x 3, nothing shrunk before the first stage: for pictures of some 32 pixels."""
    dropout: float = 0.0
    """Share of the features dropped before the last layer; at 0 a network's own dropout stays."""
    channels: int = 3
    """Channels of the input: 1 for grey, 3 for colour, or any other number."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "depth", tuple(self.depth))  # JSON has lists only
        faults = [
            (not (math.isfinite(self.width) and self.width > 0), "width", "a number above 0"),
            (not 0 <= self.dropout < 1, "dropout", "a share from 0 to under 1"),
            (self.channels < 1, "channels", "a whole number from 1"),
            (
                not all(1 <= blocks <= MOST_BLOCKS for blocks in self.depth),
                "depth",
                f"a list of whole numbers from 1 to {MOST_BLOCKS}",
            ),
        ]
        for wrong, key, must in faults:
            if wrong:
                raise ChoiceError(
                    f"network.{key} = {_said(getattr(self, key))} cannot be.", f"It is {must}."
                )
        if self.stem not in ("", "small"):
            near = did_you_mean(self.stem, ("small",)) or "It is small, or left out."
            raise ChoiceError(f"There is no stem '{self.stem}'.", near)

    @property
    def shaped(self) -> tuple[str, ...]:
        """The tweaks among these that give another number of layers or other shapes."""
        found = {"width": self.width != 1, "depth": bool(self.depth), "stem": bool(self.stem)}
        return tuple(key for key, there in found.items() if there)


def _said(value: object) -> str:
    return str(list(value)) if isinstance(value, tuple) else str(value)


def build(name: str, classes: int, tweaks: Tweaks, *, stride: int = 2) -> tuple[nn.Module, str]:
    """Return `name` so tweaked, untrained, and the dotted path of its last layer.

    ``N channels S S -> N classes``; `stride` is how much the compact network's usual stem shrinks
    (1, 2 or 4). Raises `ChoiceError` where the network does not take a tweak, and says which do.
    """
    if name == "compact":
        module, head = _compact(classes, tweaks, stride)
    elif tweaks.shaped:
        module = _shaped(name, classes, tweaks)
        head = standard.finish(module, classes, tweaks.dropout)
    else:
        module, head = standard.build(name, classes, tweaks.dropout, tweaks.channels)
    if tweaks.activation:
        activations.replace(module, tweaks.activation, name)
    return module, head


def _compact(classes: int, tweaks: Tweaks, stride: int) -> tuple[nn.Module, str]:
    _check_stages("compact", tweaks.depth, DEPTH)
    module = Compact(
        classes,
        width=tweaks.width,
        stride=1 if tweaks.stem else stride,
        ins=tweaks.channels,
        depth=tweaks.depth or DEPTH,
    )
    module.head = standard.Head(module.head.in_features, classes, tweaks.dropout)
    return module, "head"


def _shaped(name: str, classes: int, tweaks: Tweaks) -> nn.Module:
    if standard.known(name) == "torchvision":
        from quickstudy.network import googlenets, resnets

        small = tweaks.stem == "small"
        if name in resnets.names():
            _check_stages(name, tweaks.depth, resnets.depth(name))
            return resnets.build(
                name,
                classes,
                width=tweaks.width,
                depth=tweaks.depth,
                small=small,
                channels=tweaks.channels,
            )
        if name == "googlenet":
            _check_stages(name, tweaks.depth, googlenets.DEPTH, googlenets.MOST_BLOCKS)
            return googlenets.Inceptions(
                classes,
                width=tweaks.width,
                depth=tweaks.depth,
                small=small,
                channels=tweaks.channels,
            )
    keys = " and ".join(f"network.{key}" for key in tweaks.shaped)
    raise ChoiceError(
        f"'{name}' cannot be built with another {keys}.",
        f"{_SHAPED[0].upper()}{_SHAPED[1:]} take width, depth and stem; every network takes "
        "activation, dropout and channels.",
    )


def _check_stages(
    name: str, depth: tuple[int, ...], usual: tuple[int, ...], most: int = MOST_BLOCKS
) -> None:
    if depth and (len(depth) != len(usual) or max(depth) > most):
        raise ChoiceError(
            f"network.depth = {list(depth)} does not fit '{name}': it has {len(usual)} stages"
            + (f" of at most {most} blocks." if len(depth) == len(usual) else "."),
            f"Give the blocks of each stage; usual is {_said(usual)}.",
        )


def keeps_weights(tweaks: Tweaks) -> tuple[bool, str]:
    """Return whether trained weights fit a network so tweaked, and what to say of it, if anything.

    >>> keeps_weights(Tweaks(width=0.5))
    (False, 'trained weights do not fit another width')
    """
    if tweaks.shaped:
        return False, f"trained weights do not fit another {' and '.join(tweaks.shaped)}"
    notes = []
    if tweaks.activation:
        notes.append("they were trained with another activation: fine-tuning has to adapt them")
    if tweaks.channels != standard.RGB:
        notes.append(f"those of the first layer are for colour, adapted to {tweaks.channels}")
    return True, "; ".join(notes)


def adapt_first(weight: Tensor, channels: int) -> Tensor:
    """Return a first layer's trained weights ``O 3 ...`` for another number of channels.

    One channel gets the sum over red, green and blue, so that a grey picture gives what its three
    equal colours gave; more get the three in turn, scaled so that equal channels give the same
    again (as timm does).
    """
    colours = weight.shape[1]
    if channels == colours:
        return weight
    if channels == 1:
        return weight.sum(1, keepdim=True)
    turns = -(-channels // colours)
    repeated = weight.repeat(1, turns, *(1 for _ in weight.shape[2:]))[:, :channels]
    return repeated * (colours / channels)
