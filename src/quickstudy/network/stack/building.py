"""Checked layers and the shape that comes in -> nn.Module, every shape inferred."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from quickstudy.errors import ChoiceError
from quickstudy.network.stack.layers import LAYERS, Layer, Options, Shape, pair
from quickstudy.network.stack.modules import Branches, Residual
from quickstudy.network.stack.reading import read_stack

#: 8 GB of weights; 1 GB for what one layer makes of one example.
MOST_PARAMETERS, MOST_NUMBERS = 2_000_000_000, 2**28
#: These may overwrite their input where the layer before them allows it.
_IN_PLACE = (nn.ReLU, nn.ReLU6, nn.SiLU)


def build_stack(
    layers: str | Path | list[Any] | dict[str, Any], shape: Shape, classes: int
) -> tuple[nn.Module, str]:
    """Return the network with fresh weights, and the path of its last layer, ``F -> classes``.

    `shape` is that of one example: ``(C, H, W)`` for pictures and spectra, ``(F,)`` for tables.
    Names of weights are made of the layers' names and places, as ``residual4.of.conv0.weight``.
    Raises `ChoiceError` that names the layer, the shape that reaches it, and what it needs; nothing
    is allocated before all shapes are known.

    >>> network, last = build_stack("[conv: 8, relu, pool: average, dense: classes]", (3, 9, 9), 2)
    >>> last, tuple(network(torch.zeros(1, 3, 9, 9)).shape)
    ('dense3', (1, 2))
    """
    plain = read_stack(layers)
    last = _last(plain, classes)
    builder = _Builder(classes)
    builder.sequence(plain, "stack", tuple(shape))
    builder.making = True
    module, _, _ = builder.sequence(plain, "stack", tuple(shape))
    return module, last


def same_weights(
    layers: str | Path | list[Any] | dict[str, Any], shape: Shape, other: Shape
) -> bool:
    """Whether the network for one shape also takes the other, as it does without `flatten`."""
    with torch.device("meta"):
        module, _ = build_stack(layers, shape, 2)
        try:
            again, _ = build_stack(layers, other, 2)
        except ChoiceError:
            return False
    first, second = ([t.shape for t in one.state_dict().values()] for one in (module, again))
    return first == second


def _last(layers: Sequence[Any], classes: int) -> str:
    """Return the name of the last layer.

    Raises `ChoiceError` unless that is dense and makes `classes` numbers.
    """
    name, options = next(iter(layers[-1].items()))
    where, hint = f"stack[{len(layers) - 1}]", "End the stack with 'dense: classes'."
    if name == "activation" and options["function"] == "sigmoid":
        hint = f"Leave it out: the loss takes it, and so does the model when it answers. {hint}"
    if name != "dense":
        raise ChoiceError(f"The last layer, {where} ({_word(name, options)}), is not dense.", hint)
    if options["units"] not in ("classes", classes):
        raise ChoiceError(
            f"The last layer, {where} (dense), makes {options['units']} numbers, not {classes}.",
            hint,
        )
    if not options["bias"]:
        raise ChoiceError(f"The last layer, {where} (dense), needs its bias.", "Leave bias out.")
    return f"dense{len(layers) - 1}"


def told(shape: Shape) -> str:
    """Return a shape as messages show it.

    >>> told((3, 32, 32)), told((16,))
    ('N 3 32 32', 'N 16')
    """
    return " ".join(["N", *map(str, shape)])


class _Builder:
    """Walks a stack twice: first to learn all shapes, without memory, then to make the modules."""

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.making = False
        self.known: dict[tuple[str, str, Shape], tuple[Shape, int]] = {}
        self.parameters = 0

    def sequence(
        self, layers: Sequence[Any], path: str, shape: Shape, fresh: bool = False
    ) -> tuple[nn.Sequential, Shape, bool]:
        """Return layers in a row, what they make, and whether that may be overwritten."""
        row = nn.Sequential()
        for number, item in enumerate(layers):
            kind, options = next(iter(item.items()))
            module, shape, fresh = self.layer(kind, options, f"{path}[{number}]", shape, fresh)
            row.add_module(f"{_word(kind, options)}{number}", module)
        return row, shape, fresh

    def layer(
        self, kind: str, options: Options, path: str, shape: Shape, fresh: bool
    ) -> tuple[nn.Module, Shape, bool]:
        """Return one layer, what it makes, and whether that may be overwritten."""
        if kind == "residual":
            return self.residual(options, f"{path}.{kind}", shape)
        if kind == "branches":
            return self.branches(options, f"{path}.{kind}", shape)
        if kind == "repeat":
            row = nn.Sequential()
            for turn in range(options["times"]):
                copy = self.sequence(options["of"], f"{path}.{kind}", shape, fresh)
                row.add_module(f"turn{turn}", copy[0])
                _, shape, fresh = copy
            return row, shape, fresh
        layer, where = LAYERS[kind], f"{path} ({kind})"
        if options.get("units") == "classes":
            options = {**options, "units": self.classes}
        key = (kind, str(options), shape)
        if key not in self.known:
            self.known[key] = _probe(layer, options, where, shape)
        after, parameters = self.known[key]
        if not self.making:
            self.parameters += parameters
            self.afford(where, shape, after)
            return nn.Identity(), after, layer.fresh
        module = _make(layer, options, where, shape)
        if fresh and isinstance(module, _IN_PLACE):
            module.inplace = True
        return module, after, layer.fresh

    def afford(self, where: str, shape: Shape, made: Shape) -> None:
        """Raise `ChoiceError` where memory would not do."""
        if self.parameters > MOST_PARAMETERS or math.prod(made) > MOST_NUMBERS:
            raise ChoiceError(
                f"{where} makes {told(made)} of {told(shape)}, and the network has "
                f"{self.parameters:,} parameters by then: too much.",
                f"At most {MOST_PARAMETERS:,} parameters, and {MOST_NUMBERS:,} numbers an example.",
            )

    def residual(self, options: Options, path: str, shape: Shape) -> tuple[nn.Module, Shape, bool]:
        """Return ``x + f(x)``, with a projection of x where the shapes differ."""
        of, made, fresh = self.sequence(options["of"], path, shape)
        given = options["shortcut"]
        stride = _stride(options["of"])
        if given is None and (made != shape or stride != (1, 1)):
            given = _projection(shape, made, stride) if len(made) == len(shape) else []
        short, shorted = None, shape
        if given:
            short, shorted, _ = self.sequence(given, f"{path}.shortcut", shape)
        if shorted != made:
            raise ChoiceError(
                f"{path}: its layers make {told(made)} of {told(shape)}, but the shortcut makes "
                f"{told(shorted)}; they cannot be added.",
                "Change padding or stride, or give the shortcut: residual: {of: [...], shortcut: "
                "[...]}.",
            )
        return Residual(of, short, in_place=fresh), made, True

    def branches(self, options: Options, path: str, shape: Shape) -> tuple[nn.Module, Shape, bool]:
        """Return layers side by side."""
        made = {
            f"branch{number}": self.sequence(branch, f"{path}[{number}]", shape)
            for number, branch in enumerate(options["of"])
        }
        shapes, concat = [one[1] for one in made.values()], options["join"] == "concat"
        if len({(len(one), one[1:] if concat else one) for one in shapes}) > 1:
            raise ChoiceError(
                f"{path}: of {told(shape)} the branches make {' and '.join(map(told, shapes))}; "
                f"to be joined ({options['join']}) they must be the same"
                + (" but for the channels." if concat else "."),
                "Change padding or stride, so that all branches make the same picture size.",
            )
        out = (sum(one[0] for one in shapes), *shapes[0][1:]) if concat else shapes[0]
        self.afford(path, shape, out)
        joined = Branches({key: one[0] for key, one in made.items()}, options["join"])
        return joined, out, True


def _make(layer: Layer, options: Options, where: str, shape: Shape) -> nn.Module:
    """Return the module of a layer that holds no layers."""
    if len(shape) not in layer.takes:
        raise _wrong_dimensions(where, shape)
    assert layer.make is not None  # by the table
    try:
        return layer.make(options, shape)
    except ValueError as problem:
        raise ChoiceError(
            f"{where} needs {problem}; what reaches it is {told(shape)}.",
            "Change the layer, or what stands before it.",
        ) from problem


def _probe(layer: Layer, options: Options, where: str, shape: Shape) -> tuple[Shape, int]:
    """Return the shape a layer makes and its number of parameters, asking torch without memory."""
    with torch.device("meta"), torch.no_grad():
        module = _make(layer, options, where, shape).eval()
        made = shape
        if not layer.keeps:
            try:
                made = tuple(module(torch.empty(1, *shape)).shape[1:])
            except (RuntimeError, ValueError, TypeError) as problem:
                first = str(problem).splitlines()[0][:200]
                raise ChoiceError(f"{where} cannot take {told(shape)}: {first}.") from problem
    return made, sum(p.numel() for p in module.parameters())


def _word(kind: str, options: Options) -> str:
    """Return what a layer is called among the weights; an activation by its name."""
    function = str(options.get("function", ""))
    return function if kind == "activation" and function.isidentifier() else kind


def _wrong_dimensions(where: str, shape: Shape) -> ChoiceError:
    if len(shape) == 3:
        return ChoiceError(
            f"{where} needs features N F; what reaches it is {told(shape)}.",
            "Put 'pool: average' or 'flatten' before it.",
        )
    return ChoiceError(
        f"{where} needs pictures N C H W; what reaches it is {told(shape)}.",
        "Put it before 'flatten', 'pool: average' and 'dense'; for tables use dense layers.",
    )


def _stride(layers: Sequence[Any]) -> tuple[int, int]:
    """Return by how much layers in a row shrink a picture of any size."""
    height = width = 1
    for item in layers:
        kind, options = next(iter(item.items()))
        if kind == "repeat":
            one = _stride(options["of"])
            factor = (one[0] ** options["times"], one[1] ** options["times"])
        elif kind == "residual":
            factor = _stride(options["of"])
        elif kind == "branches":
            factor = _stride(options["of"][0])
        else:
            factor = pair(options.get("stride") or 1)
        height, width = height * factor[0], width * factor[1]
    return height, width


def _projection(shape: Shape, made: Shape, stride: tuple[int, int]) -> list[Any]:
    """Return the shortcut of ResNet where shapes differ (He et al., 2015, option B)."""
    if len(shape) == 1:
        return [{"dense": {"units": made[0], "bias": False, "dropout": 0.0}}]
    conv, norm = LAYERS["conv"], LAYERS["norm"]
    projected = {"channels": made[0], "kernel": 1, "stride": stride, "bias": False}
    return [
        {"conv": conv.settle({**conv.defaults, **projected})},
        {"norm": norm.settle(norm.defaults)},
    ]
