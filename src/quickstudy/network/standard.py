"""The standard networks by name: torchvision's and timm's, and where their last layer is."""

from __future__ import annotations

import importlib.util
import warnings
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quickstudy.errors import ChoiceError, MissingExtra, did_you_mean

RGB = 3  # channels that the published networks take
_RGB_ONLY = ("csatv2",)  # timm's networks that turn colours into luma and chroma


class Head(nn.Linear):
    """The last layer, with dropout on what comes in: ``N features -> N classes``."""

    def __init__(self, features: int, classes: int, dropout: float) -> None:
        super().__init__(features, classes)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        """Compute."""
        return super().forward(F.dropout(x, self.dropout, self.training))


@cache
def torchvision_names() -> tuple[str, ...]:
    """Return torchvision's classification networks."""
    import torchvision

    return tuple(torchvision.models.list_models(module=torchvision.models))


@cache
def timm_names() -> tuple[str, ...]:
    """Return timm's networks that torchvision has not; empty where timm is not installed."""
    if importlib.util.find_spec("timm") is None:
        return ()
    import timm

    return tuple(n for n in timm.list_models() if n not in set(torchvision_names()))


@cache
def tagged_names() -> tuple[str, ...]:
    """Return timm's networks with whose weights they are: ``resnet18.gluon_in1k``."""
    if importlib.util.find_spec("timm") is None:
        return ()
    import timm

    return tuple(name for name in timm.list_models(include_tags=True) if "." in name)


def names() -> tuple[str, ...]:
    """Return every network that can be named."""
    return ("compact", *torchvision_names(), *timm_names())


def known(name: str) -> str:
    """Return ``compact``, ``torchvision`` or ``timm``: who makes `name`.

    A name with a dot says whose weights, and is timm's: ``resnet18.gluon_in1k``.
    Raises `ChoiceError` ("did you mean"), or `MissingExtra` where timm might have it.
    """
    if name == "compact":
        return "compact"
    if name in torchvision_names():
        return "torchvision"
    if name in timm_names() or ("." in name and name in tagged_names()):
        return "timm"
    near = did_you_mean(name, (*names(), *(tagged_names() if "." in name else ())))
    if not timm_names() and (not near or "." in name):
        raise MissingExtra(
            f"The network '{name}' is not one of torchvision's; timm, which may have it,", "models"
        )
    raise ChoiceError(
        f"There is no network '{name}'.", near or "See them with: quickstudy networks"
    )


def build(name: str, classes: int, dropout: float, channels: int = 3) -> tuple[nn.Module, str]:
    """Return the untrained network and the dotted path of its last layer.

    It takes ``N channels S S``; `dropout` above 0 is the share dropped before the last layer, and
    at 0 a network that has dropout of its own keeps it.
    Raises `ChoiceError` for an unknown name, or one whose last or first layer cannot be replaced.
    """
    if known(name) == "timm":
        return _from_timm(name, classes, dropout, channels)
    import torchvision

    options: dict[str, Any] = {"weights": None, "num_classes": classes}
    if name in ("googlenet", "inception_v3"):
        options |= {"aux_logits": True, "init_weights": True}
    module = torchvision.models.get_model(name, **options)
    if channels != RGB:
        _put_first(module, channels)
    if name.startswith("squeezenet"):
        # its ReLU after the last layer would forbid negative scores: pool first, then decide
        features = module.classifier[1].in_channels
        module.classifier = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(1), Head(features, classes, dropout)
        )
        return module, "classifier.2"
    return module, finish(module, classes, dropout)


def finish(module: nn.Module, classes: int, dropout: float) -> str:
    """Put a `Head` in the place of torchvision's last layer, and return its dotted path."""
    path: str = [
        path
        for path, layer in module.named_modules()
        if isinstance(layer, nn.Linear)
        and layer.out_features == classes
        and not path.lower().startswith("aux")
    ][-1]
    _put_head(module, path, classes, dropout)
    return path


def _from_timm(name: str, classes: int, dropout: float, channels: int) -> tuple[nn.Module, str]:
    import timm

    if channels != RGB and name.startswith(_RGB_ONLY):
        raise ChoiceError(
            f"'{name}' takes {RGB} channels only, not {channels}.",
            "Leave network.channels out, or choose another network.",
        )
    options = {} if channels == RGB else {"in_chans": channels}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # timm announces renamed networks on import
        module = timm.create_model(name, pretrained=False, num_classes=classes, **options)
    path = module.pretrained_cfg.get("classifier")
    layers = dict(module.named_modules())  # timm's encoders name a last layer they have not
    if not isinstance(path, str) or not isinstance(layers.get(path), nn.Linear):
        raise ChoiceError(
            f"The last layer of '{name}' is not a plain linear one; it cannot be replaced.",
            "Choose another network: quickstudy networks",
        )
    _put_head(module, path, classes, dropout)
    return module, path


def _put_head(module: nn.Module, path: str, classes: int, dropout: float) -> None:
    """Replace the last layer; where dropout stands beside it already, that one gets the share."""
    parent, _, name = path.rpartition(".")
    holder, old = module.get_submodule(parent), module.get_submodule(path)
    own: list[tuple[nn.Module, str]] = [
        (m, "p") for m in holder.children() if isinstance(m, nn.Dropout) and m.p > 0
    ]
    if getattr(holder, "drop_rate", 0.0):  # timm's networks that call dropout as a function
        own.append((holder, "drop_rate"))
    for layer, key in own if dropout else ():
        setattr(layer, key, dropout)
    features = int(old.in_features)  # type: ignore[arg-type]
    setattr(holder, name, Head(features, classes, 0.0 if own else dropout))


def first_layer(module: nn.Module) -> str:
    """Return the dotted path of the convolution that meets the picture."""
    found: str = next(p for p, layer in module.named_modules() if isinstance(layer, nn.Conv2d))
    return found


def _put_first(module: nn.Module, channels: int) -> None:
    """Let the first convolution take `channels`.

    Its new weights spread so that what comes out varies as much as with three channels, whatever
    the network's own rule of initialisation is.
    """
    path = first_layer(module)
    old = module.get_submodule(path)
    assert isinstance(old, nn.Conv2d)  # by construction in `first_layer`
    weight = old.weight.detach()
    fresh = torch.randn(len(weight), channels, *weight.shape[2:], device=weight.device)
    old.weight = nn.Parameter(fresh * weight.std() * (old.in_channels / channels) ** 0.5)
    old.in_channels = channels


def drop_auxiliary(module: nn.Module) -> None:
    """Remove the auxiliary classifiers, which only training uses."""
    module = getattr(module, "body", module)  # behind the spectra of a network that hears
    if getattr(module, "aux_logits", False):
        for name in ("aux1", "aux2", "AuxLogits"):
            if hasattr(module, name):
                setattr(module, name, None)
        module.aux_logits = False


def main_and_auxiliary(output: Any) -> tuple[Tensor, list[Tensor]]:
    """Split what a network returns in training into its scores and the auxiliary ones."""
    if isinstance(output, Tensor):
        return output, []
    main, *auxiliary = output
    return main, [a for a in auxiliary if a is not None]
