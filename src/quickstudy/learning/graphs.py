"""A run whose network is an ONNX file: what the file offers, and what a recipe must keep of it."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from torch import Tensor

from quickstudy.errors import ChoiceError, WeightsError
from quickstudy.network import Built, hub, weights
from quickstudy.network.onnx import (
    graph_input,
    highest_pixel,
    read_graph,
    square_side,
    weights_of,
)
from quickstudy.recipe import Offer

_ASSUMED = (
    "assumed, as an ONNX file does not say: what networks trained on ImageNet mostly take; "
    "--set picture.mean=[...] picture.std=[...] if yours takes something else"
)


def is_graph(name: str) -> bool:
    """Whether a network is an ONNX file."""
    return name.lower().endswith(".onnx")


def graph_of(path: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return what an ONNX file describes, and its tensors; read once until the file changes.

    Raises as `read_graph` does.
    """
    try:
        seen = Path(path).stat()
    except OSError as problem:
        raise WeightsError(f"There is no file {path}.", "Put it back, or name another.") from (
            problem
        )
    return _graph(path, seen.st_mtime_ns, seen.st_size)


@lru_cache(maxsize=1)  # a ResNet-152 is 240 MB
def _graph(path: str, changed: int, size: int) -> tuple[dict[str, Any], dict[str, Tensor]]:
    return read_graph(Path(path))


def offer_of_graph(path: str) -> Offer:
    """Return what an ONNX file offers: its network and its weights, at the size it says.

    Raises `ChoiceError` for a network that takes oblong pictures only.
    """
    description, tensors = graph_of(path)
    most = highest_pixel(description, tensors)
    mean, std = (0.0,) * 3, (1.0 / (most or 1.0),) * 3
    scaling = f"the file scales pictures itself: it gets numbers from 0 to {most or 1:g}"
    if most is None:
        mean, std, scaling = hub.IMAGENET_MEAN, hub.IMAGENET_STD, _ASSUMED
    side = square_side(description)
    return Offer(path, path, 0.0, 0.0, side, mean, std, "the weights in your file", scaling)


def offered(path: str, asked: str | None) -> list[Offer]:
    """Return the offer of an ONNX file, with the weights of another where `asked` names it."""
    if asked == "none":
        return []
    offer = offer_of_graph(path)
    if asked is None or asked == path:
        return [offer]
    file = Path(asked).expanduser()
    if not file.is_file():
        raise WeightsError(f"There is no weights file {asked}.", "Give --weights FILE, or none.")
    return [replace(offer, weights=str(file.absolute()), why=f"you gave {file.name}")]


def fixed_by_graph(path: str) -> dict[str, tuple[Any, str]]:
    """Return the choices that an ONNX file makes, with their reasons, weights or not."""
    description, tensors = graph_of(path)
    found: dict[str, tuple[Any, str]] = {
        "network.channels": (graph_input(description)[0], "what the file takes")
    }
    if highest_pixel(description, tensors) is not None:
        offer = offer_of_graph(path)
        found["picture.mean"] = (offer.mean, offer.scaling)
        found["picture.std"] = (offer.std, offer.scaling)
    return found


def check_graph(kind: str) -> None:
    """Raise `ChoiceError` where examples are of a kind that no ONNX file's network takes."""
    if kind == "table":
        raise ChoiceError(
            "An ONNX file's network takes pictures, not the rows of a table.",
            "Leave --network out, or give a stack or a formula.",
        )


def put_graph(network: Built, path: str) -> None:
    """Copy the file's trained tensors into the body; the last layer stays fresh."""
    description, tensors = graph_of(path)
    weights.put(network, weights_of(description, tensors), Path(path).name)
