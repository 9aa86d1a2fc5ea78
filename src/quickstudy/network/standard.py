"""The standard networks by name: torchvision's and timm's, and where their last layer is."""

from __future__ import annotations

import importlib.util
import warnings
from functools import cache
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from quickstudy.errors import ChoiceError, MissingExtra, did_you_mean


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


def names() -> tuple[str, ...]:
    """Return every network that can be named."""
    return ("compact", *torchvision_names(), *timm_names())


def known(name: str) -> str:
    """Return ``compact``, ``torchvision`` or ``timm``: who makes `name`.

    Raises `ChoiceError` ("did you mean"), or `MissingExtra` where timm might have it.
    """
    if name == "compact":
        return "compact"
    if name in torchvision_names():
        return "torchvision"
    if name in timm_names() or ("." in name and name.split(".")[0] in timm_names()):
        return "timm"
    near = did_you_mean(name, names())
    if not near and not timm_names():
        raise MissingExtra(
            f"The network '{name}' is not one of torchvision's; timm, which may have it,", "models"
        )
    raise ChoiceError(
        f"There is no network '{name}'.", near or "See them with: quickstudy networks"
    )


def build(name: str, classes: int, dropout: float) -> tuple[nn.Module, str]:
    """Return the untrained network and the dotted path of its last layer."""
    if known(name) == "timm":
        return _from_timm(name, classes, dropout)
    import torchvision

    options: dict[str, Any] = {"weights": None, "num_classes": classes}
    if name in ("googlenet", "inception_v3"):
        options |= {"aux_logits": True, "init_weights": True}
    module = torchvision.models.get_model(name, **options)
    if name.startswith("squeezenet"):
        # its ReLU after the last layer would forbid negative scores: pool first, then decide
        features = module.classifier[1].in_channels
        module.classifier = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(1), Head(features, classes, dropout)
        )
        return module, "classifier.2"
    path = [
        path
        for path, layer in module.named_modules()
        if isinstance(layer, nn.Linear)
        and layer.out_features == classes
        and not path.lower().startswith("aux")
    ][-1]
    _put_head(module, path, classes, dropout)
    return module, path


def _from_timm(name: str, classes: int, dropout: float) -> tuple[nn.Module, str]:
    import timm

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # timm announces renamed networks on import
        module = timm.create_model(name, pretrained=False, num_classes=classes)
    path = module.pretrained_cfg.get("classifier")
    if not isinstance(path, str) or not isinstance(module.get_submodule(path), nn.Linear):
        raise ChoiceError(
            f"The last layer of '{name}' is not a plain linear one; it cannot be replaced.",
            "Choose another network: quickstudy networks",
        )
    _put_head(module, path, classes, dropout)
    return module, path


def _put_head(module: nn.Module, path: str, classes: int, dropout: float) -> None:
    parent, _, name = path.rpartition(".")
    old = module.get_submodule(path)
    features = int(old.in_features)  # type: ignore[arg-type]
    setattr(module.get_submodule(parent), name, Head(features, classes, dropout))


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
