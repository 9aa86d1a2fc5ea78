"""Where a network looked: one map over what it was shown, whoever made the network.

Grad-CAM (Selvaraju et al., 2017, arXiv 1610.02391) where there are convolutions or tokens of
patches, SmoothGrad (Smilkov et al., 2017, arXiv 1706.03825) elsewhere. Captum has both, but must be
told the layer, brings matplotlib, and takes a second to import; what it would save is a page.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from quickstudy.network import scores

#: What is asked of scores ``N K`` or ``N M K``: one number for each example, ``N``.
Evidence = Callable[[Tensor], Tensor]

_FINE = 4  # cells of a side that a layer must have, where one has: fewer say nothing of where
_EXTRA = 8  # tokens at most beside those of patches: class token, registers
_LOPSIDED = math.log(2)  # how far a layer's shape may be from the input's
_NOISE, _COPIES = 0.15, 24  # SmoothGrad: share of the input's range, and noisy copies
_BLUR = 16  # SmoothGrad's cells of the longer side
GRAD_CAM, SMOOTH_GRAD = "Grad-CAM", "SmoothGrad"


@dataclass(frozen=True, eq=False)
class Map:
    """How much each place counted for the answer."""

    values: Tensor
    """``N H W``, at least 0."""
    method: str
    """`GRAD_CAM` or `SMOOTH_GRAD`."""
    cells: tuple[int, int]
    """What it was measured in, before it was drawn finer."""


def evidence_for(task: str, output: int) -> Evidence:
    """Return what speaks for one output: the log-odds of a class, the score of a label or number.

    A constant added to the scores of all classes changes no answer; it changes no log-odds either.
    """

    def asked(found: Tensor) -> Tensor:
        found = found.float()
        found = found.mean(1) if found.ndim == 3 else found
        if task != "classification":
            return found[:, output]
        others = torch.cat([found[:, :output], found[:, output + 1 :]], 1)
        return found[:, output] - others.logsumexp(1)

    return asked


def looked(network: nn.Module, x: Tensor, evidence: Evidence, *, both_ways: bool = False) -> Map:
    """Return where in `x`, ``N C H W``, the evidence is that a network in use finds.

    `both_ways` counts what lowers the evidence as well, as is asked of numbers.
    """
    network.eval()
    x = x.detach().clone().requires_grad_()
    with torch.enable_grad():
        with _Listener(x) as heard:
            found = evidence(scores(network, x)).sum()
        cam = _grad_cam(found, heard.layers, both_ways)
        if cam is not None:
            return Map(_finer(cam, x), GRAD_CAM, (cam.shape[1], cam.shape[2]))
        smooth = _smooth_grad(network, x.detach(), evidence, both_ways)
    return Map(_finer(smooth, x), SMOOTH_GRAD, (smooth.shape[1], smooth.shape[2]))


def _finer(cam: Tensor, x: Tensor) -> Tensor:
    size = (x.shape[2], x.shape[3])
    return F.interpolate(cam[:, None], size, mode="bilinear", align_corners=False)[:, 0].detach()


@dataclass(frozen=True, eq=False)
class _Layer:
    """Something a network computed that has places: `lay` turns it into ``N C h w``."""

    value: Tensor
    cells: tuple[int, int]
    lay: Callable[[Tensor], Tensor]


class _Listener(TorchFunctionMode):
    """Hears every function that torch computes, and keeps what still has places.

    Hooks on modules would miss what a network does between them, as where an ONNX file joins two
    convolutions. Only what comes after the first convolution counts, and places never grow again.
    """

    def __init__(self, x: Tensor) -> None:
        super().__init__()
        self.layers: list[_Layer] = []
        self._n = len(x)
        self._shape = self._least = (int(x.shape[2]), int(x.shape[3]))
        self._convolved = False

    def __torch_function__(
        self,
        func: Any,
        types: Sequence[Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Compute, and look at what came out."""
        found = func(*args, **(kwargs or {}))
        if isinstance(found, Tensor) and found.requires_grad and found.is_floating_point():
            self._convolved |= "conv" in getattr(func, "__name__", "")
            if self._convolved and found.ndim in (3, 4) and len(found) == self._n:
                self._keep(found)
        return found

    def _keep(self, found: Tensor) -> None:
        a, b, c = found.shape[1], found.shape[2], found.shape[-1]
        if found.ndim == 4 and self._fits(b, c):
            self._least = (b, c)
            self.layers.append(_Layer(found, (b, c), lambda t: t))
        elif found.ndim == 4 and self._fits(a, b):
            self._least = (a, b)
            self.layers.append(_Layer(found, (a, b), lambda t: t.permute(0, 3, 1, 2)))
        elif found.ndim == 3:
            high, wide = self._least
            extra = a - high * wide
            if b == high * wide:
                lay: Callable[[Tensor], Tensor] = lambda t: t.reshape(*t.shape[:2], high, wide)  # noqa: E731
            elif 0 <= extra <= _EXTRA:
                lay = lambda t: _placed(t[:, extra:], high, wide)  # noqa: E731
            else:
                return
            self.layers.append(_Layer(found, (high, wide), lay))

    def _fits(self, high: int, wide: int) -> bool:
        """Whether so many places are those of the input, made fewer."""
        if min(high, wide) < 2 or high > self._least[0] or wide > self._least[1]:
            return False
        shape = math.log(high / wide) - math.log(self._shape[0] / self._shape[1])
        return abs(shape) <= _LOPSIDED


def _placed(tokens: Tensor, high: int, wide: int) -> Tensor:
    """Return tokens ``N L D`` as ``N D high wide``."""
    return tokens.transpose(1, 2).reshape(len(tokens), -1, high, wide)


def _grad_cam(found: Tensor, layers: Sequence[_Layer], both_ways: bool) -> Tensor | None:
    """Return the map ``N h w`` of the last layer whose places count; nothing where none does.

    After the last attention of a network with a class token, the other tokens count no more.
    """
    fine = [layer for layer in layers if min(layer.cells) >= _FINE] or list(layers)
    if not fine:
        return None
    slopes = torch.autograd.grad(
        found, [layer.value for layer in fine], retain_graph=True, allow_unused=True
    )
    for layer, slope in zip(reversed(fine), reversed(slopes), strict=True):
        if slope is None:
            continue
        weight = layer.lay(slope).mean((2, 3), keepdim=True)
        if not bool(weight.any()):
            continue
        cam = (weight * layer.lay(layer.value)).sum(1)
        return cam.abs() if both_ways else cam.relu()
    return None


def _smooth_grad(network: nn.Module, x: Tensor, evidence: Evidence, both_ways: bool) -> Tensor:
    """Return the mean slope times what is there, over noisy copies, in coarse cells ``N h w``.

    The input is normalised, so that 0 is its usual value: the evidence against a grey picture.
    """
    generator = torch.Generator().manual_seed(0)
    spread = _NOISE * (x.amax((1, 2, 3), keepdim=True) - x.amin((1, 2, 3), keepdim=True))
    total = torch.zeros_like(x)
    for _ in range(_COPIES):
        noise = torch.randn(x.shape, generator=generator).to(x)
        noisy = (x + spread * noise).requires_grad_()
        (slope,) = torch.autograd.grad(evidence(scores(network, noisy)).sum(), noisy)
        total += slope
    counted = (total / _COPIES * x).sum(1)
    cell = max(1, math.ceil(max(x.shape[2:]) / _BLUR))
    pooled = F.avg_pool2d(counted[:, None], cell, ceil_mode=True, count_include_pad=False)[:, 0]
    return pooled.abs() if both_ways else pooled.relu()
