"""Every layer of a stack: its options, the shapes it takes, and the module it becomes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from torch import nn

from quickstudy.functions import activation
from quickstudy.network.compact import Gate
from quickstudy.network.stack import modules
from quickstudy.network.stack.options import (
    REQUIRED,
    Option,
    flag,
    layers,
    lists,
    number,
    sides,
    text,
    units,
    whole,
    word,
)
from quickstudy.network.standard import Head

Options = dict[str, Any]
Shape = tuple[int, ...]
"""Of one example: ``(C, H, W)`` or ``(F,)``."""

#: Beyond these a layer is a slip, or an attempt to fill the memory.
MOST_CHANNELS, MOST_KERNEL, MOST_TIMES = 65_536, 1_024, 1_000


@dataclass(frozen=True)
class Layer:
    """One sort of layer; `make` turns its options and the incoming shape into a module."""

    options: Mapping[str, Option]
    make: Callable[[Options, Shape], nn.Module] | None = None
    """None for layers that hold layers. Raises `ValueError` saying what it needs."""
    short: str = ""
    """The option that ``LAYER: VALUE`` gives."""
    settle: Callable[[Options], Options] = lambda options: options
    """Fill in what depends on other options; raises `ValueError` for what does not go together."""
    takes: tuple[int, ...] = (1, 3)
    """Numbers of dimensions of the shapes it takes."""
    fresh: bool = False
    """Whether it makes a new tensor that its backward does not need: the next may overwrite it."""
    keeps: bool = False
    """Whether the shape stays."""

    @property
    def defaults(self) -> Options:
        """The options that need not be given."""
        given = {name: option.default for name, option in self.options.items()}
        return {name: value for name, value in given.items() if value is not REQUIRED}


def pair(value: Any) -> tuple[int, int]:
    """Return (height, width)."""
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _settle_conv(options: Options) -> Options:
    if options["depthwise"] and options["groups"] != 1:
        raise ValueError("give depthwise or groups, not both")
    if options["channels"] is None and not options["depthwise"]:
        raise ValueError("channels is missing: how many the layer makes, as conv: {channels: 64}")
    if options["padding"] is None:
        both = zip(pair(options["kernel"]), pair(options["dilation"]), strict=True)
        height, width = (dilation * (kernel - 1) // 2 for kernel, dilation in both)
        options["padding"] = height if height == width else [height, width]
    return options


def _conv(options: Options, shape: Shape) -> nn.Module:
    ins = shape[0]
    groups = ins if options["depthwise"] else options["groups"]
    outs = options["channels"] or ins
    if ins % groups or outs % groups:
        raise ValueError(f"channels in ({ins}) and out ({outs}) that {groups} groups divide")
    window(options, shape)
    conv = nn.Conv2d(
        ins,
        outs,
        pair(options["kernel"]),
        pair(options["stride"]),
        pair(options["padding"]),
        pair(options["dilation"]),
        groups,
        options["bias"],
    )
    if not conv.weight.is_meta:
        # He et al., 2015, by what goes out of each group: as torchvision's ResNet begins
        nn.init.normal_(
            conv.weight, 0.0, math.sqrt(2 * groups / (outs * conv.weight[0, 0].numel()))
        )
        if conv.bias is not None:
            nn.init.zeros_(conv.bias)
    return conv


def window(options: Options, shape: Shape) -> None:
    """Raise `ValueError` where a window does not fit into the padded picture."""
    names = ("kernel", "padding", "dilation") if "kernel" in options else ("size", "padding")
    sizes, paddings, *rest = (pair(options[name]) for name in names)
    dilations = rest[0] if rest else (1, 1)
    for side, size, padding, dilation in zip(shape[1:], sizes, paddings, dilations, strict=True):
        if (spans := dilation * (size - 1) + 1) > side + 2 * padding:
            raise ValueError(f"at least {spans} pixels a side (padding: {padding} on both)")


def _settle_norm(options: Options) -> Options:
    if options["kind"] == "group":
        options["groups"] = options["groups"] or 32  # Wu and He, 2018
    elif options["groups"] is not None:
        raise ValueError("groups is for kind: group")
    return options


def _norm(options: Options, shape: Shape) -> nn.Module:
    kind, eps, channels, table = options["kind"], options["eps"], shape[0], len(shape) == 1
    if kind == "batch":
        batch = nn.BatchNorm1d if table else nn.BatchNorm2d
        return batch(channels, eps, options["momentum"])
    if kind == "layer":
        return nn.LayerNorm(channels, eps) if table else modules.ChannelNorm(channels, eps)
    if kind == "group":
        if channels % options["groups"]:
            raise ValueError(f"channels that {options['groups']} groups divide")
        if math.prod(shape) == options["groups"]:
            raise ValueError("more than one number in each group")
        return nn.GroupNorm(options["groups"], channels, eps)
    if table or shape[1] * shape[2] == 1:
        raise ValueError("pictures of more than one pixel, N C H W")
    return nn.InstanceNorm2d(channels, eps, affine=True)


def _settle_pool(options: Options) -> Options:
    if options["size"] is None:
        if options["stride"] is not None or options["padding"] or options["ceil"]:
            raise ValueError("size is missing; without it the whole picture is pooled")
        return options
    if options["stride"] is None:
        options["stride"] = options["size"]
    both = zip(pair(options["padding"]), pair(options["size"]), strict=True)
    if any(2 * padding > size for padding, size in both):
        raise ValueError("padding can be half of size at most")
    return options


def _pool(options: Options, shape: Shape) -> nn.Module:
    if options["size"] is None:
        return modules.GlobalPool(options["kind"])
    window(options, shape)
    size, stride, padding = (pair(options[name]) for name in ("size", "stride", "padding"))
    if options["kind"] == "max":
        return nn.MaxPool2d(size, stride, padding, ceil_mode=options["ceil"])
    return nn.AvgPool2d(size, stride, padding, ceil_mode=options["ceil"])


def _dense(options: Options, shape: Shape) -> nn.Module:
    units, dropout = options["units"], options["dropout"]
    dense = Head(shape[0], units, dropout)
    if not options["bias"]:
        dense.register_parameter("bias", None)
    return dense


def _settle_activation(options: Options) -> Options:
    _check_activation(options["function"])
    return options


@lru_cache(256)  # networks repeat theirs; each is read in 0.1 ms
def _check_activation(function: str) -> None:
    activation(function)


def _activation(options: Options, shape: Shape) -> nn.Module:
    return activation(options["function"])


def _pad(options: Options, shape: Shape) -> nn.Module:
    height, width = pair(options["size"])
    if options["kind"] == "reflect" and (height >= shape[1] or width >= shape[2]):
        raise ValueError(f"more than {height} x {width} pixels to reflect")
    kinds = {
        "zero": nn.ZeroPad2d,
        "reflect": nn.ReflectionPad2d,
        "replicate": nn.ReplicationPad2d,
    }
    return kinds[options["kind"]]((width, width, height, height))


LAYERS: dict[str, Layer] = {
    "conv": Layer(
        {
            "channels": whole(1, MOST_CHANNELS, None),
            "kernel": sides(1, MOST_KERNEL, 3),
            "stride": sides(1, MOST_KERNEL, 1),
            "padding": sides(0, MOST_KERNEL, None),
            "dilation": sides(1, MOST_KERNEL, 1),
            "groups": whole(1, MOST_CHANNELS, 1),
            "depthwise": flag(False),
            "bias": flag(True),
        },
        _conv,
        "channels",
        _settle_conv,
        takes=(3,),
        fresh=True,
    ),
    "norm": Layer(
        {
            "kind": word("batch", "layer", "group", "instance", default="batch"),
            "groups": whole(1, MOST_CHANNELS, None),
            "eps": number(0, 1, 1e-5, ends="(]"),
            "momentum": number(0, 1, 0.1, ends="(]"),
        },
        _norm,
        "kind",
        _settle_norm,
        fresh=True,
        keeps=True,
    ),
    "activation": Layer(
        {"function": text("a name or an expression in x")},
        _activation,
        "function",
        _settle_activation,
        keeps=True,  # each number on its own, by the rules of `activation`
    ),
    "pool": Layer(
        {
            "kind": word("average", "max"),
            "size": sides(1, MOST_KERNEL, None),
            "stride": sides(1, MOST_KERNEL, None),
            "padding": sides(0, MOST_KERNEL, 0),
            "ceil": flag(False),
        },
        _pool,
        "kind",
        _settle_pool,
        takes=(3,),
    ),
    "pad": Layer(
        {
            "size": sides(1, MOST_KERNEL),
            "kind": word("zero", "reflect", "replicate", default="zero"),
        },
        _pad,
        "size",
        takes=(3,),
    ),
    "flatten": Layer({}, lambda options, shape: nn.Flatten()),
    "dense": Layer(
        {
            "units": units(MOST_CHANNELS),
            "bias": flag(True),
            "dropout": number(0, 1, 0.0, ends="[)"),
        },
        _dense,
        "units",
        takes=(1,),
        fresh=True,
    ),
    "dropout": Layer(
        {"rate": number(0, 1, ends="[)")},
        lambda options, shape: nn.Dropout(options["rate"]),
        "rate",
        keeps=True,
    ),
    "gate": Layer({}, lambda options, shape: Gate(shape[0]), takes=(3,), fresh=True, keeps=True),
    "residual": Layer({"of": layers(), "shortcut": layers(None)}, short="of"),
    "branches": Layer(
        {"of": lists(), "join": word("concat", "add", "multiply", default="concat")}, short="of"
    ),
    "repeat": Layer({"times": whole(1, MOST_TIMES), "of": layers()}),
}
