"""A Keras 3 model on its torch backend as a network of torch: what it learns, the model has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from quickstudy.errors import ChoiceError

#: Activations of a last layer that make answers of scores.
_ANSWERS = ("softmax", "sigmoid")


def is_keras(what: Any) -> bool:
    """Whether something is a Keras model or layer; Keras need not be installed."""
    return any(kind.__module__.split(".")[0] == "keras" for kind in type(what).__mro__)


def check_backend(what: Any) -> None:
    """Raise `ChoiceError` for a Keras model that computes with anything but torch."""
    if is_keras(what) and hasattr(what, "trainable_variables") and not isinstance(what, nn.Module):
        import keras

        raise ChoiceError(
            f"This Keras model computes with {keras.backend.backend()}, not with torch.",
            "Set KERAS_BACKEND=torch in the environment before keras is imported.",
        )


class Keras(nn.Module):
    """A Keras model as a network: ``N C H W`` as it takes them, in -> scores.

    Its weights are this module's parameters under their number and name, so that another instance
    takes them too; they are shared, so the model has what is learnt. A softmax or sigmoid at its
    end is left out while scores are computed: the model itself keeps it.
    """

    model: Any

    def __init__(self, model: Any) -> None:
        super().__init__()
        object.__setattr__(self, "model", model)  # no submodule: its layers name variables twice
        self.channels_last = not _is_channels_first(model)
        self.last = (_last(model),)  # in a tuple for the same reason
        if model.built:
            self._share()

    def _share(self) -> None:
        for number, variable in enumerate(self.model.weights):
            self.register_parameter(f"{number:03d}_{variable.name}", variable.value)

    def forward(self, x: Tensor) -> Tensor:
        """Compute."""
        import keras

        if self.channels_last and x.ndim == 4:
            x = x.permute(0, 2, 3, 1)
        with keras.device(str(x.device)), _scores(self.last[0]):
            out: Tensor = self.model(x, training=self.training)
        if not self._parameters:
            self._share()  # built by its first call
        if type(self.last[0]).__name__ == "Softmax":
            out = out.clamp_min(torch.finfo(out.dtype).tiny).log()
        return out

    def extra_repr(self) -> str:
        """Return the kinds of its layers, in order, for the report."""
        layers = getattr(self.model, "layers", [self.model])
        return ", ".join(type(layer).__name__ for layer in layers)


@contextmanager
def _scores(last: Any) -> Iterator[None]:
    """Leave out the activation of the last layer for a while, if it makes answers of scores."""
    own = getattr(last, "activation", None)
    if getattr(own, "__name__", "") not in _ANSWERS:
        yield
        return
    last.activation = _as_it_is
    try:
        yield
    finally:
        last.activation = own


def _as_it_is(x: Any) -> Any:
    return x


def _last(model: Any) -> Any:
    """Return the layer that gives a model's output; None where that cannot be told."""
    kind = type(model).__name__
    if kind == "Sequential" and model.layers:
        return _last(model.layers[-1])
    if kind == "Functional" and len(model.outputs) == 1:
        return _last(model.outputs[0]._keras_history.operation)
    return model if not hasattr(model, "layers") else None


def _is_channels_first(model: Any) -> bool:
    layers = model._flatten_layers()
    return any(getattr(layer, "data_format", None) == "channels_first" for layer in layers)
