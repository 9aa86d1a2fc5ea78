"""Operators that move cells about: of tensors, and of the shapes that are computed beside them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from quickstudy.network.onnx.node import Host, Node, Value, check_cells, listed

_MOST_LISTED = 64  # a constant vector longer than this is a tensor, not a shape

_FLOATS, _INTEGERS, _BOOL = {1, 10, 11, 16}, {2, 3, 4, 5, 6, 7, 12, 13}, 9  # TensorProto.DataType


def as_host(value: Tensor) -> Tensor | Host:
    """Return a short vector of whole numbers, or one float, as a list; a scalar as itself."""
    most = 1 if value.is_floating_point() else _MOST_LISTED
    return value.tolist() if value.ndim <= 1 and value.numel() <= most else value


def as_tensor(value: Value, like: Tensor | None = None) -> Tensor:
    """Return a number or a list as a tensor on the device of `like`."""
    if isinstance(value, Tensor):
        return value if like is None else value.to(like.device)
    return torch.tensor(value, device=None if like is None else like.device)


def together(*values: Value) -> list[Tensor]:
    """Return all as tensors on the device of the first tensor among them."""
    tensors = [v for v in values if isinstance(v, Tensor)]
    first = next((t for t in tensors if t.device.type != "cpu"), tensors[0] if tensors else None)
    return [as_tensor(v, first) for v in values]


def each(work: Callable[..., Any], *values: Any) -> Host:
    """Apply `work` to numbers or lists of them, a single one going with every other."""
    if not any(isinstance(v, list) for v in values):
        return work(*values)  # type: ignore[no-any-return]
    length = max(len(v) for v in values if isinstance(v, list))
    rows = [v * length if isinstance(v, list) and len(v) == 1 else v for v in values]
    rows = [v if isinstance(v, list) else [v] * length for v in rows]
    return [work(*row) for row in zip(*rows, strict=True)]


def shape(node: Node, x: Value) -> Value:
    """Shape: of a tensor, or of a shape."""
    if isinstance(x, Tensor):
        sizes = list(x.shape)
    else:
        sizes = [len(x)] if isinstance(x, list) else []
    return sizes[node.attributes.get("start", 0) : node.attributes.get("end")]


def cast(node: Node, x: Value) -> Value:
    """Cast: floats are float32 here, whole numbers int64."""
    to = node.attributes.get("to")
    to = {"FLOAT": 1, "INT32": 6, "INT64": 7, "BOOL": 9}.get(str(to), to)  # opset 1 has names
    if to not in _FLOATS | _INTEGERS | {_BOOL}:
        node.refuse(f"casts to the type {to}")
    if isinstance(x, Tensor):
        kind = torch.float32 if to in _FLOATS else torch.int64 if to in _INTEGERS else torch.bool
        return x if x.is_floating_point() and kind == torch.float32 else x.to(kind)
    return each(float if to in _FLOATS else int if to in _INTEGERS else bool, x)


def cast_like(node: Node, x: Value, like: Value) -> Value:
    """CastLike: to the type of the second."""
    if isinstance(like, Tensor):
        return as_tensor(x, like).to(like.dtype)
    kind = type(listed(like)[0])
    if isinstance(x, Tensor):
        return x.to({float: torch.float32, int: torch.int64, bool: torch.bool}[kind])
    return each(kind, x)


def reshape(node: Node, x: Value, *rest: Value) -> Value:
    """Reshape: 0 keeps an axis, -1 is what is left over."""
    wanted = listed(node.given("shape", (x, *rest), 1))
    if not isinstance(x, Tensor):
        cells = listed(x)
        if wanted in ([-1], [len(cells)], [0]):
            return cells
        if not wanted and len(cells) == 1:
            return cells[0]  # type: ignore[no-any-return]
        x = as_tensor(cells)
    if node.attributes.get("allowzero", 0) and 0 in wanted:
        node.refuse("makes an empty tensor")
    wanted = [x.shape[i] if size == 0 else size for i, size in enumerate(wanted)]
    return x.reshape(wanted)


def flatten(node: Node, x: Tensor) -> Tensor:
    """Flatten: all axes before `axis` into one, all others into another."""
    axis = node.attributes.get("axis", 1)
    if axis == 1:
        return x.flatten(1)
    rows = math.prod(x.shape[:axis]) if axis else 1
    return x.reshape(rows, -1)


def transpose(node: Node, x: Value) -> Value:
    """Transpose: axes in another order."""
    if not isinstance(x, Tensor):
        return x
    return x.permute(node.attributes.get("perm") or list(range(x.ndim))[::-1])


def squeeze(node: Node, x: Value, *rest: Value) -> Value:
    """Squeeze: without axes of length one; `axes` is an input from opset 13 on."""
    axes = node.given("axes", (x, *rest), 1)
    if not isinstance(x, Tensor):
        return x[0] if isinstance(x, list) and len(x) == 1 else x
    if axes is None:
        return x.squeeze()
    sizes = [(axis, x.shape[axis]) for axis in listed(axes)]
    if any(size != 1 for _, size in sizes):
        node.refuse(f"drops axes that are longer than one: {sizes}")
    return x.squeeze(tuple(listed(axes)))


def unsqueeze(node: Node, x: Value, *rest: Value) -> Value:
    """Unsqueeze: with axes of length one; `axes` is an input from opset 13 on."""
    axes = listed(node.given("axes", (x, *rest), 1))
    if not isinstance(x, Tensor):
        if not isinstance(x, list) and axes in ([0], [-1]):
            return [x]
        x = as_tensor(x)
    rank = x.ndim + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


def concat(node: Node, *parts: Value) -> Value:
    """Concat: along one axis."""
    if not any(isinstance(part, Tensor) for part in parts):
        return [cell for part in parts for cell in listed(part)]
    return torch.cat(together(*parts), node.attributes.get("axis", 1))


def split(node: Node, x: Tensor, *rest: Value) -> tuple[Tensor, ...]:
    """Split: into as many parts as there are outputs, equal ones unless told."""
    axis, count = node.attributes.get("axis", 0), len(node.outputs)
    sizes = node.given("split", (x, *rest), 1)
    if sizes is None:
        sizes = -(-x.shape[axis] // node.attributes.get("num_outputs", count))
    found: tuple[Tensor, ...] = torch.split(x, sizes, axis)
    return found


def cut(node: Node, x: Value, *rest: Value) -> Value:
    """Slice: `starts`, `ends`, `axes`, `steps` are inputs from opset 10 on."""
    given = (x, *rest)
    starts, ends = listed(node.given("starts", given, 1)), listed(node.given("ends", given, 2))
    axes = listed(node.given("axes", given, 3, list(range(len(starts)))))
    steps = listed(node.given("steps", given, 4, [1] * len(starts)))
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if not isinstance(x, Tensor):
            x = listed(x)[start:end:step]
        elif step > 0:
            x = x[(slice(None),) * (axis % x.ndim) + (slice(start, end, step),)]
        else:  # torch has no negative steps
            kept = range(*slice(start, end, step).indices(x.shape[axis]))
            x = x.index_select(axis, torch.tensor(list(kept), device=x.device))
    return x


def gather(node: Node, x: Value, at: Value) -> Value:
    """Gather: the cells at some indices of one axis."""
    axis = node.attributes.get("axis", 0)
    if not isinstance(x, Tensor):
        return each(lambda i: listed(x)[i], at)
    if isinstance(at, int):
        return x.select(axis, at)
    index = as_tensor(at, x)
    index = torch.where(index < 0, index + x.shape[axis], index)
    found = x.index_select(axis, index.flatten())
    axis %= x.ndim
    return found.reshape(*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])


def expand(node: Node, x: Value, *rest: Value) -> Value:
    """Expand: repeat axes of length one."""
    sizes = listed(node.given("shape", (x, *rest), 1))
    x = as_tensor(x)
    rank = max(x.ndim, len(sizes))
    own, sizes = ([1] * (rank - len(s)) + list(s) for s in (x.shape, sizes))
    sizes = [b if a == 1 else a for a, b in zip(own, sizes, strict=True)]
    check_cells(sizes, node)
    return x.expand(sizes)


def constant_of_shape(node: Node, sizes: Value) -> Value:
    """ConstantOfShape: one number everywhere."""
    value, wanted = node.attributes.get("value", 0.0), listed(node.given("shape", (sizes,), 0))
    check_cells(wanted, node)
    if len(wanted) == 1 and wanted[0] <= _MOST_LISTED:
        return [value] * wanted[0]
    return torch.full(wanted, value) if wanted else value


def where(node: Node, condition: Value, yes: Value, no: Value) -> Value:
    """Where: cell by cell one or the other."""
    if any(isinstance(v, Tensor) for v in (condition, yes, no)):
        asked, first, second = together(condition, yes, no)
        return torch.where(asked, first, second)
    return each(lambda c, a, b: a if c else b, condition, yes, no)


def equal(node: Node, a: Value, b: Value) -> Value:
    """Equal: cell by cell."""
    if any(isinstance(v, Tensor) for v in (a, b)):
        return torch.eq(*together(a, b))
    return each(lambda x, y: x == y, a, b)
