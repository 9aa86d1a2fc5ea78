"""Operators with a window over height and width: convolution, pooling, padding, LRN."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from quickstudy.network.onnx.node import Node, Value, listed

Sides = tuple[int, int, int, int]
"""Cells added left, right, above, below: the order of `torch.nn.functional.pad`."""


def pair(attributes: Mapping[str, Any], name: str) -> tuple[int, int]:
    """Return `strides` or `dilations` of height and width, 1 where it is left out."""
    found = attributes.get(name) or [1, 1]
    return int(found[0]), int(found[1])


def sides(
    attributes: Mapping[str, Any], kernel: Sequence[int], size: Sequence[int] | None
) -> Sides | None:
    """Return the padding of a window, or None where only the input's `size` will tell.

    ``SAME_UPPER`` and ``SAME_LOWER``, as TensorFlow has it, give as many windows as strides fit
    into the input; an odd cell goes below and right, or above and left.
    """
    mode = attributes.get("auto_pad", "NOTSET") or "NOTSET"
    if mode == "VALID":
        return 0, 0, 0, 0
    if mode == "NOTSET":
        top, left, bottom, right = attributes.get("pads") or [0, 0, 0, 0]
        return left, right, top, bottom
    if size is None:
        return None
    steps, gaps = pair(attributes, "strides"), pair(attributes, "dilations")
    around: list[int] = []
    for cells, k, step, gap in zip(size[-2:], kernel, steps, gaps, strict=True):
        total = max((-(-cells // step) - 1) * step + (k - 1) * gap + 1 - cells, 0)
        half = total // 2
        around = [
            *((half, total - half) if mode == "SAME_UPPER" else (total - half, half)),
            *around,
        ]
    return around[0], around[1], around[2], around[3]


def conv(node: Node, x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    """Conv: with any padding; of pictures only."""
    around = sides(node.attributes, w.shape[2:], x.shape)
    assert around is not None  # the size is given
    if any(around):
        x = F.pad(x, around)
    steps, gaps = pair(node.attributes, "strides"), pair(node.attributes, "dilations")
    return F.conv2d(x, w, b, steps, 0, gaps, node.attributes.get("group", 1))


def _extended(node: Node, x: Tensor) -> tuple[Sides, Sides]:
    """Return a pooling window's declared padding, and what makes plain flooring do the same."""
    kernel = node.attributes["kernel_shape"]
    declared = sides(node.attributes, kernel, x.shape)
    assert declared is not None  # the size is given
    if not node.attributes.get("ceil_mode", 0):
        return declared, declared
    steps, gaps = pair(node.attributes, "strides"), pair(node.attributes, "dilations")
    left, right, top, bottom = declared
    enough = []
    for axis, (before, after) in enumerate(((top, bottom), (left, right))):
        cells, reach = x.shape[2 + axis], gaps[axis] * (kernel[axis] - 1) + 1
        windows = -(-(cells + before + after - reach) // steps[axis]) + 1
        if (windows - 1) * steps[axis] >= cells + before:
            windows -= 1  # the last window would begin beyond the picture
        enough.append(max((windows - 1) * steps[axis] + reach - cells - before, 0))
    return declared, (left, enough[1], top, enough[0])


def _pool_window(node: Node) -> tuple[list[int], tuple[int, int]]:
    kernel = node.attributes.get("kernel_shape")
    if not isinstance(kernel, list) or len(kernel) != 2:
        node.refuse(f"has a window of the shape {kernel}")
    return kernel, pair(node.attributes, "strides")


def max_pool(node: Node, x: Tensor) -> Tensor:
    """MaxPool: padding never wins."""
    kernel, steps = _pool_window(node)
    gaps = pair(node.attributes, "dilations")
    _, around = _extended(node, x)
    left, right, top, bottom = around
    if left == right and top == bottom and 2 * left <= kernel[1] and 2 * top <= kernel[0]:
        return F.max_pool2d(x, kernel, steps, (top, left), gaps)
    return F.max_pool2d(F.pad(x, around, value=-torch.inf), kernel, steps, 0, gaps)


def average_pool(node: Node, x: Tensor) -> Tensor:
    """AveragePool: padding counts only if `count_include_pad`, a last overhanging window never."""
    kernel, steps = _pool_window(node)
    if pair(node.attributes, "dilations") != (1, 1):
        node.refuse("has a dilated window")
    counted = bool(node.attributes.get("count_include_pad", 0))
    declared, around = _extended(node, x)
    left, right, top, bottom = around
    plain = left == right and top == bottom and 2 * left <= kernel[1] and 2 * top <= kernel[0]
    if plain and declared == around:
        return F.avg_pool2d(x, kernel, steps, (top, left), False, counted)
    real = torch.ones(1, 1, *x.shape[2:], device=x.device, dtype=x.dtype)
    if counted:
        real = F.pad(real, declared, value=1.0)
    rest = [a - d for a, d in zip(around, declared, strict=True)] if counted else list(around)
    share = F.avg_pool2d(F.pad(real, rest), kernel, steps)
    return F.avg_pool2d(F.pad(x, around), kernel, steps) / share


def global_average_pool(node: Node, x: Tensor) -> Tensor:
    """GlobalAveragePool: the mean over all positions."""
    return x.mean(tuple(range(2, x.ndim)), keepdim=True)


def global_max_pool(node: Node, x: Tensor) -> Tensor:
    """GlobalMaxPool: the largest of all positions."""
    return x.amax(tuple(range(2, x.ndim)), keepdim=True)


def local_response(node: Node, x: Tensor) -> Tensor:
    """LRN: ``x / (bias + alpha / size * sum of squares nearby) ** beta`` (Krizhevsky et al., 2012).

    torch's own is centred otherwise where `size` is even.
    """
    size = node.attributes["size"]
    alpha, beta = node.attributes.get("alpha", 1e-4), node.attributes.get("beta", 0.75)
    squares = F.pad(x.square().unsqueeze(1), (0, 0, 0, 0, (size - 1) // 2, size // 2))
    near = F.avg_pool3d(squares, (size, 1, 1), stride=1).squeeze(1)
    return x / torch.pow(node.attributes.get("bias", 1.0) + alpha * near, beta)


def pad(node: Node, x: Tensor, *rest: Value) -> Tensor:
    """Pad: `pads` and the value are inputs from opset 11 on, `axes` from 18."""
    given = (x, *rest)
    old = node.attributes.get("paddings")  # opset 1
    sizes = old if old is not None else listed(node.given("pads", given, 1))
    axes = listed(node.given("axes", given, 3, list(range(x.ndim))))
    around = [0] * (2 * x.ndim)
    for place, axis in enumerate(axes):
        at = 2 * (x.ndim - 1 - axis % x.ndim)
        around[at : at + 2] = [sizes[place], sizes[place + len(axes)]]
    mode = node.attributes.get("mode", "constant")
    if mode == "constant":
        value = node.given("value", given, 2, 0.0)
        return F.pad(x, around, value=float(listed(value)[0]))
    if mode not in ("reflect", "edge", "wrap"):
        node.refuse(f"has the mode '{mode}'")
    while len(around) > 2 and around[-2:] == [0, 0]:
        around = around[:-2]
    return F.pad(x, around, mode={"edge": "replicate", "wrap": "circular"}.get(mode, mode))
