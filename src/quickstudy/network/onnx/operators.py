"""The operators of ONNX that a file may use, each as torch computes it.

Source: the ONNX operator specification, opsets 1 to 25; where one changed between opsets, the
node's own opset decides.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from functools import reduce
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from quickstudy.network.onnx import shapes, spatial
from quickstudy.network.onnx.node import Node, Value, listed
from quickstudy.network.onnx.shapes import each, together

Operator = Callable[..., Any]


def _old_axis(node: Node, a: Tensor, b: Tensor) -> Tensor:
    """Return `b` as opset 6 and older laid it on `a`: its axes begin at `axis`, not at the end."""
    if node.opset < 7 and node.attributes.get("broadcast") and b.ndim:
        axis = node.attributes.get("axis", a.ndim - b.ndim) % a.ndim
        return b.reshape(*b.shape, *[1] * (a.ndim - axis - b.ndim))
    return b


def _two(of_tensors: Operator, of_numbers: Operator) -> Operator:
    """Return the operator of two values that broadcast."""

    def work(node: Node, a: Value, b: Value) -> Value:
        if isinstance(a, Tensor) and isinstance(b, Tensor):
            a, b = together(a, b)
            return of_tensors(a, _old_axis(node, a, b))  # type: ignore[no-any-return]
        if isinstance(a, Tensor) or isinstance(b, Tensor):
            numbers = isinstance(a, list) or isinstance(b, list)
            return of_tensors(*(together(a, b) if numbers else (a, b)))  # type: ignore[no-any-return]
        return each(of_numbers, a, b)

    return work


def _quotient(a: Any, b: Any) -> Any:
    """Return a / b; of whole numbers cut towards zero."""
    if isinstance(a, float) or isinstance(b, float):
        return a / b
    return a // b if (a < 0) == (b < 0) else -(-a // b)


def _divide(a: Any, b: Any) -> Any:
    kinds = (
        v.is_floating_point() if isinstance(v, Tensor) else isinstance(v, float) for v in (a, b)
    )
    return a / b if any(kinds) else torch.div(*together(a, b), rounding_mode="trunc")


def _many(two: Operator) -> Operator:
    return lambda node, *values: reduce(lambda a, b: two(node, a, b), values)


def _pick(largest: bool) -> Operator:
    def of_tensors(a: Any, b: Any) -> Tensor:
        return (torch.maximum if largest else torch.minimum)(*together(a, b))

    return _many(_two(of_tensors, max if largest else min))


_ADD = _two(operator.add, operator.add)


def _mean(node: Node, *values: Value) -> Value:
    total = _many(_ADD)(node, *values)
    return total / len(values)  # type: ignore[no-any-return]


def _one(work: Callable[[Tensor], Tensor]) -> Operator:
    """Return the operator of one tensor without arguments."""
    return lambda node, x: work(shapes.as_tensor(x))


def _power(node: Node, x: Tensor, exponent: Value) -> Tensor:
    return torch.pow(x, exponent if isinstance(exponent, float | int) else together(x, exponent)[1])


def _clip(node: Node, x: Value, *rest: Value) -> Value:
    low, high = (node.given(n, (x, *rest), i) for i, n in enumerate(("min", "max"), 1))
    low, high = (None if v is None else listed(v)[0] for v in (low, high))
    if low is None and high is None:
        return x
    return shapes.as_tensor(x).clamp(low, high)


def _leaky(node: Node, x: Tensor) -> Tensor:
    return F.leaky_relu(x, node.attributes.get("alpha", 0.01))


def _prelu(node: Node, x: Tensor, slope: Tensor) -> Tensor:
    if node.opset < 7 and slope.ndim == 1 and len(slope) > 1:  # then always one a channel
        slope = slope.reshape(-1, *[1] * (x.ndim - 2))
    return torch.where(x < 0, slope * x, x)


def _elu(node: Node, x: Tensor) -> Tensor:
    return F.elu(x, node.attributes.get("alpha", 1.0))


def _celu(node: Node, x: Tensor) -> Tensor:
    return F.celu(x, node.attributes.get("alpha", 1.0))


def _selu(node: Node, x: Tensor) -> Tensor:
    alpha = node.attributes.get("alpha", 1.6732632423543772)
    return torch.mul(F.elu(x, alpha), node.attributes.get("gamma", 1.0507009873554805))


def _hard_sigmoid(node: Node, x: Tensor) -> Tensor:
    alpha, beta = node.attributes.get("alpha", 0.2), node.attributes.get("beta", 0.5)
    return torch.clamp(alpha * x + beta, 0, 1)


def _swish(node: Node, x: Tensor) -> Tensor:
    return x * torch.sigmoid(node.attributes.get("alpha", 1.0) * x)


def _gelu(node: Node, x: Tensor) -> Tensor:
    return F.gelu(x, approximate=node.attributes.get("approximate", "none"))


def _soft_max(work: Operator) -> Operator:
    """Return softmax; before opset 13 over all axes from `axis` on, which is 1."""

    def run(node: Node, x: Tensor) -> Tensor:
        if node.opset >= 13:
            return work(x, node.attributes.get("axis", -1))  # type: ignore[no-any-return]
        axis = node.attributes.get("axis", 1) % x.ndim
        return work(x.flatten(axis), -1).reshape(x.shape)  # type: ignore[no-any-return]

    return run


def _reduce(work: Callable[[Tensor, tuple[int, ...], bool], Tensor]) -> Operator:
    """Return a reduction; `axes` is an input from opset 13 (sum) or 18 (others) on."""

    def run(node: Node, x: Value, *rest: Value) -> Value:
        axes = node.given("axes", (x, *rest), 1)
        if not axes and axes != 0 and node.attributes.get("noop_with_empty_axes", 0):
            return x
        tensor = shapes.as_tensor(x)
        over = tuple(listed(axes)) if axes or axes == 0 else tuple(range(tensor.ndim))
        found = work(tensor, over, bool(node.attributes.get("keepdims", 1)))
        return found if isinstance(x, Tensor) else found.tolist()

    return run


def _product(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
    for axis in sorted((axis % x.ndim for axis in axes), reverse=True):
        x = x.prod(axis, keepdim=keep)
    return x


def _arg_max(node: Node, x: Tensor) -> Tensor:
    if node.attributes.get("select_last_index", 0):
        node.refuse("prefers the last of equals")
    keep = bool(node.attributes.get("keepdims", 1))
    return x.argmax(node.attributes.get("axis", 0), keepdim=keep)


def _gemm(node: Node, a: Tensor, b: Tensor, c: Value = None) -> Tensor:
    a = a.t() if node.attributes.get("transA", 0) else a
    b = b.t() if node.attributes.get("transB", 0) else b
    found = node.attributes.get("alpha", 1.0) * (a @ b)
    return found if c is None else found + node.attributes.get("beta", 1.0) * c  # type: ignore


def linear(node: Node, x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    """Linear (not of ONNX: what Gemm, and MatMul with Add, become): ``x w + b``."""
    found = x @ (w.t() if node.attributes.get("transB", 0) else w)
    found = torch.mul(found, node.attributes.get("alpha", 1.0))
    return found if b is None else found + node.attributes.get("beta", 1.0) * b.flatten()


def _instance_norm(node: Node, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    eps = node.attributes.get("epsilon", 1e-5)
    return F.instance_norm(x, weight=scale, bias=shift, eps=eps)


def _layer_norm(node: Node, x: Tensor, scale: Tensor, shift: Tensor | None = None) -> Tensor:
    sizes = x.shape[node.attributes.get("axis", -1) % x.ndim :]
    shift = None if shift is None else shift.expand(sizes)
    return F.layer_norm(x, sizes, scale.expand(sizes), shift, node.attributes.get("epsilon", 1e-5))


def _group_norm(node: Node, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    groups = node.attributes["num_groups"]
    if node.opset < 21:  # one a group then, one a channel since
        scale, shift = (v.repeat_interleave(x.shape[1] // groups) for v in (scale, shift))
    return F.group_norm(x, groups, scale, shift, node.attributes.get("epsilon", 1e-5))


def _dropout(node: Node, x: Value, *rest: Value) -> Value:
    return x  # of constants; what trains is a layer


_ONE: Mapping[str, Callable[[Tensor], Tensor]] = {
    "Abs": torch.abs, "Erf": torch.erf, "Exp": torch.exp, "HardSwish": F.hardswish,
    "Log": torch.log, "Mish": F.mish, "Neg": torch.neg, "Reciprocal": torch.reciprocal,
    "Relu": F.relu, "Sigmoid": torch.sigmoid, "Softplus": F.softplus, "Softsign": F.softsign,
    "Sqrt": torch.sqrt, "Tanh": torch.tanh,
}  # fmt: skip

#: By name; what is not here is refused.
OPERATORS: Mapping[str, Operator] = MappingProxyType({
    **{name: _one(work) for name, work in _ONE.items()},
    "Add": _ADD,
    "ArgMax": _arg_max,
    "AveragePool": spatial.average_pool,
    "Cast": shapes.cast,
    "CastLike": shapes.cast_like,
    "Celu": _celu,
    "Clip": _clip,
    "Concat": shapes.concat,
    "ConstantOfShape": shapes.constant_of_shape,
    "Conv": spatial.conv,
    "Div": _two(_divide, _quotient),
    "Dropout": _dropout,
    "Elu": _elu,
    "Equal": shapes.equal,
    "Expand": shapes.expand,
    "Flatten": shapes.flatten,
    "Gather": shapes.gather,
    "Gelu": _gelu,
    "Gemm": _gemm,
    "GlobalAveragePool": spatial.global_average_pool,
    "GlobalMaxPool": spatial.global_max_pool,
    "GroupNormalization": _group_norm,
    "HardSigmoid": _hard_sigmoid,
    "Identity": lambda node, x: x,
    "InstanceNormalization": _instance_norm,
    "LayerNormalization": _layer_norm,
    "LeakyRelu": _leaky,
    "Linear": linear,
    "LogSoftmax": _soft_max(torch.log_softmax),
    "LRN": spatial.local_response,
    "MatMul": lambda node, a, b: torch.matmul(*together(a, b)),
    "Max": _pick(largest=True),
    "MaxPool": spatial.max_pool,
    "Mean": _mean,
    "Min": _pick(largest=False),
    "Mul": _two(operator.mul, operator.mul),
    "Pad": spatial.pad,
    "Pow": _power,
    "PRelu": _prelu,
    "ReduceMax": _reduce(torch.amax),
    "ReduceMean": _reduce(torch.mean),
    "ReduceMin": _reduce(torch.amin),
    "ReduceProd": _reduce(_product),
    "ReduceSum": _reduce(torch.sum),
    "Reshape": shapes.reshape,
    "Selu": _selu,
    "Shape": shapes.shape,
    "Slice": shapes.cut,
    "Softmax": _soft_max(torch.softmax),
    "Split": shapes.split,
    "Squeeze": shapes.squeeze,
    "Sub": _two(operator.sub, operator.sub),
    "Sum": _many(_ADD),
    "Swish": _swish,
    "Transpose": shapes.transpose,
    "Unsqueeze": shapes.unsqueeze,
    "Where": shapes.where,
})  # fmt: skip

#: Operators that are layers or constants, and have no function of their own.
LAYERS = frozenset({"BatchNormalization", "Constant"})


def supported(name: str) -> bool:
    """Return whether a file may use the operator."""
    return (name in OPERATORS and name != "Linear") or name in LAYERS
