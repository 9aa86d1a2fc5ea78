"""Another activation throughout a network, whoever made it.

An activation is a function of one number that stands between a network's layers. The sigmoids that
gate (squeeze and excite), softmax, and the kernels of linear attention are none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quickstudy.errors import ChoiceError
from quickstudy.functions import activation as make

_TORCH = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU),
    *(nn.SiLU, nn.Mish, nn.Hardswish, nn.Hardtanh, nn.Tanh, nn.Softplus, nn.Softsign),
)
#: timm's networks that have activations of their own: an activation and a factor or a power.
_TIMM = frozenset({"GammaAct", "QuickGELU", "SquaredReLU", "StarReLU"})
#: timm's layers that normalise and activate in one formula.
_MERGED = ("EvoNorm2d", "FilterResponseNormTlu2d", "InplaceAbn")
#: What linear attention puts in the place of softmax: it must stay above 0.
_KERNELS = frozenset({"kernel_func"})


def _is_activation(module: nn.Module) -> bool:
    kind = type(module)
    if kind.__module__.startswith("timm.layers.activations"):
        return "sigmoid" not in kind.__name__.lower()
    return isinstance(module, _TORCH) or (
        kind.__module__.startswith("timm.") and kind.__name__ in _TIMM
    )


def _normalise(self: nn.Module, x: Tensor) -> Tensor:
    out: Tensor = self.active(self.bn(self.conv(x)))  # type: ignore[operator]
    return out


def _auxiliary(self: nn.Module, x: Tensor) -> Tensor:
    x = torch.flatten(self.conv(F.adaptive_avg_pool2d(x, (4, 4))), 1)  # type: ignore[operator]
    out: Tensor = self.fc2(self.dropout(self.active(self.fc1(x))))  # type: ignore[operator]
    return out


def _dense(self: nn.Module, x: Tensor) -> Tensor:
    x = F.adaptive_avg_pool2d(self.active(self.features(x)), (1, 1))  # type: ignore[operator]
    out: Tensor = self.classifier(torch.flatten(x, 1))  # type: ignore[operator]
    return out


def _linear_attention(self: nn.Module, x: Tensor) -> Tensor:
    """Compute MobileViTv2's attention to itself (Mehta and Rastegari, 2022): ``N C P L``."""
    wide = self.embed_dim
    query, key, value = self.qkv_proj(x).split([1, wide, wide], dim=1)  # type: ignore[operator]
    score = self.attn_drop(F.softmax(query, dim=-1))  # type: ignore[operator]
    context = (key * score).sum(dim=-1, keepdim=True)
    out: Tensor = self.out_drop(self.out_proj(self.active(value) * context))  # type: ignore[operator]
    return out


#: Classes whose `forward` calls an activation as a function -> the same with `self.active`.
_FUNCTIONAL: dict[str, Callable[[nn.Module, Tensor], Tensor]] = {
    "torchvision.models.googlenet.BasicConv2d": _normalise,
    "torchvision.models.googlenet.InceptionAux": _auxiliary,
    "torchvision.models.inception.BasicConv2d": _normalise,
    "torchvision.models.densenet.DenseNet": _dense,
    "timm.models.mobilevit.LinearSelfAttention": _linear_attention,
}


def _forward(kind: type[nn.Module]) -> Callable[[nn.Module, Tensor], Tensor] | None:
    names = (f"{parent.__module__}.{parent.__qualname__}" for parent in kind.__mro__)
    return next((_FUNCTIONAL[name] for name in names if name in _FUNCTIONAL), None)


def replace(network: nn.Module, activation: str, name: str) -> int:
    """Put `activation`, a name or an expression in `x`, into every place; return how many.

    A place is a module; parameters that the expression learns are each place's own. The names of
    all other parameters stay. Raises `ChoiceError` for an unknown activation, or where `network`,
    called `name`, has none or merges it with its normalisation.
    """
    make(activation)  # a fault in the text is told before anything is changed
    for module in network.modules():
        if type(module).__name__.startswith(_MERGED):
            raise ChoiceError(
                f"'{name}' normalises and activates in one formula, {type(module).__name__}: "
                "there is no activation to replace.",
                "Leave network.activation out, or choose another network.",
            )
    places = dict.fromkeys(_places(network))  # once each, where two holders share a layer
    for holder, child in places:
        if not child:
            kind = type(holder)
            changed = {"forward": _forward(kind), "__doc__": kind.__doc__}
            holder.__class__ = type(kind.__name__, (kind,), changed)
        new = make(activation)
        new.is_replacement = True  # type: ignore[assignment]
        setattr(holder, child or "active", new)
    if not places:
        raise ChoiceError(
            f"'{name}' has no activation that could be replaced.",
            "Leave network.activation out, or choose another network.",
        )
    return len(places)


def _places(network: nn.Module) -> Iterator[tuple[nn.Module, str]]:
    """Yield (holder, name of the activation in it); no name where `forward` calls a function."""
    if _forward(type(network)) is not None:
        yield network, ""
    for child, module in network._modules.items():  # `named_children` leaves out repeated ones
        if module is None:
            continue
        if not _is_activation(module):
            yield from _places(module)
        elif child not in _KERNELS:
            yield network, child


def replaced(network: nn.Module) -> tuple[str, ...]:
    """Return the dotted paths of the activations that `replace` put in."""
    return tuple(p for p, m in network.named_modules() if getattr(m, "is_replacement", False))
