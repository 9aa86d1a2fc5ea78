"""What pictures a graph takes: channels, size, layout, and whether it scales them itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from quickstudy.errors import ChoiceError, WeightsError
from quickstudy.network.onnx.network import tried
from quickstudy.network.onnx.node import number

_UNSCALED = 3.0  # a mean or a scale above this is for pixels of 0 to 255, not of 0 to 1
#: Between a picture and the first node that tells how it lies.
_BEFORE = frozenset({"Add", "Cast", "Clip", "Div", "Gather", "Mul", "Neg", "Pad", "Sub"})


@contextmanager
def whole() -> Iterator[None]:
    """Turn what a damaged description raises inside into a `WeightsError`."""
    try:
        yield
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as problem:
        raise WeightsError(
            f"The description of the network is damaged: {type(problem).__name__} {problem}.",
            "Read the ONNX file again.",
        ) from problem


def graph_input(
    description: Mapping[str, Any],
) -> tuple[int, int | None, int | None, str]:
    """Return channels, height, width (None where free) and ``NCHW`` or ``NHWC``."""
    with whole():
        shape = description["input"]["shape"]
        turns, seen = _first_layer(description)
        if turns is None:
            turns = shape[1] not in (1, 3, 4) and shape[3] in (1, 3, 4)
        channels = (shape[3] if turns else shape[1]) or seen
        if channels is None:
            raise ChoiceError(
                "The network does not say how many channels its pictures have.",
                "Export it with a declared input shape.",
            )
        high, wide = (shape[1], shape[2]) if turns else (shape[2], shape[3])
        return int(channels), high, wide, "NHWC" if turns else "NCHW"


def _first_layer(description: Mapping[str, Any]) -> tuple[bool | None, int | None]:
    """Return whether channels come last, and how many the first layer takes, where it tells."""
    name, turns = "x", None
    for node in description["nodes"]:
        if not node["inputs"] or name not in node["inputs"]:
            continue
        if node["op"] == "Transpose" and node["attributes"].get("perm") == [0, 3, 1, 2]:
            turns = True
        elif node["op"] in ("Conv", "BatchNormalization"):
            kept = description["tensors"].get(node["inputs"][1])
            if kept is None:
                return bool(turns), None
            groups = node["attributes"].get("group", 1)
            return bool(turns), kept["shape"][1] * groups if node["op"] == "Conv" else kept[
                "shape"
            ][0]
        elif node["op"] not in _BEFORE:
            break
        name = node["outputs"][0]
    return turns, None


def square_side(description: Mapping[str, Any]) -> int:
    """Return the side in pixels of the square pictures that the network can be used at.

    What the file says; 224 where it leaves that free and the network takes it. Raises
    `ChoiceError` for a network that takes oblong pictures only.
    """
    with whole():
        channels, _, _, layout = graph_input(description)
        _, size = tried(description, None, 2)
        high, wide = size[:2] if layout == "NHWC" else size[1:]
        if high == wide:
            return high
        side = max(high, wide)
        square = (side, side, channels) if layout == "NHWC" else (channels, side, side)
        try:
            tried(description, None, 2, square)
        except ChoiceError as problem:
            raise ChoiceError(
                f"The network of the file takes pictures of {high} x {wide} only; here pictures "
                "are squares.",
                "Export it for squares, or with height and width left free.",
            ) from problem
        return side


def highest_pixel(description: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> float | None:
    """Return 255 or 1, the largest number of a pixel, where the graph itself scales pictures.

    None where it begins with a layer: then the file does not say what was done to its pictures.
    """
    name = "x"
    known = {**description["constants"], **tensors}
    for node in description["nodes"]:
        if name not in node["inputs"]:
            continue
        op, given = node["op"], [known[i] for i in node["inputs"] if i in known]
        if op == "BatchNormalization" and len(given) == 4:
            return 255.0 if _most(given[2]) > _UNSCALED else None
        if op in ("Add", "Sub", "Mul", "Div") and given:
            most = _most(given[0])
            raw = most < 1 / _UNSCALED if op == "Mul" else most > _UNSCALED
            return 255.0 if raw else 1.0
        if op not in _BEFORE | {"Transpose"}:
            return None
        name = node["outputs"][0]
    return None


def _most(values: Any) -> float:
    found = values if isinstance(values, Tensor) else torch.tensor(number(values))
    return float(found.abs().max())
