"""The recipe's shape: every hyper-parameter of a run, typed, checked when born, and why.

A recipe is flat to its reader (``optimizer.lr``) and nested to the code (``recipe.optimizer.lr``).
The docstring under each field is its documentation; docs/recipe.md is made from it.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from quickstudy.recipe.limits import check


@dataclass(frozen=True)
class Choice:
    """A value and the reason for it."""

    value: Any
    why: str


@dataclass(frozen=True)
class Network:
    """Which function is fitted."""

    name: str
    """``compact``, or any torchvision or timm classification network."""
    weights: str
    """``none``, or the file the starting weights come from."""
    width: float
    """Channels of the compact network, times its usual 32, 64, 128, 256."""
    dropout: float
    """Share of the features dropped before the last layer."""


@dataclass(frozen=True)
class Picture:
    """What the network gets to see."""

    size: int
    """Pixels, side of the square the network is tested and used at."""
    start_size: int
    """Pixels, side at the beginning of training; grows to `size`."""
    fit: Literal["crop", "squash", "pad"]
    """How a picture that is not square becomes one."""
    mean: tuple[float, ...]
    """Subtracted from each colour (pixels are 0 to 1)."""
    std: tuple[float, ...]
    """Divides each colour."""
    max_pixels: int
    """A file that claims more pixels is refused, not decoded."""


@dataclass(frozen=True)
class Augment:
    """How examples are varied, so that the network learns what does not matter."""

    mirror: bool
    """Swap left and right, half the time; and average both views when predicting."""
    crop: float
    """Least share of the picture's area that is kept."""
    rotate: float
    """Degrees, at most, either way."""
    colour: float
    """Brightness, contrast, saturation: at most this share up or down."""
    mixup: float
    """Beta parameter of blending two pictures and their labels; 0 is off."""
    cutmix: float
    """Share of batches in which a patch of another picture is pasted in."""


@dataclass(frozen=True)
class Optimizer:
    """How the parameters are moved."""

    name: Literal["sgd", "adamw", "muon"]
    """The method."""
    lr: float | None
    """Learning rate at its highest; null: found by a range test on the data."""
    momentum: float
    """Share of the last step's direction that is kept."""
    weight_decay: float
    """Pull of every weight towards zero."""


@dataclass(frozen=True)
class Schedule:
    """How the learning rate moves through the run."""

    shape: Literal["cosine", "linear", "constant"]
    """From the highest rate down to nothing, after the warm-up."""
    warmup: float
    """Share of training in which the rate climbs from nothing."""


@dataclass(frozen=True)
class Loss:
    """What says how wrong the network is."""

    name: str
    """A name from `quickstudy.functions`."""
    label_smoothing: float
    """Share of the truth spread over all classes."""


@dataclass(frozen=True)
class Compute:
    """How it is computed here. None of these should change what is learnt."""

    device: str
    """``cpu``, ``cuda``, ``cuda:1``, ``mps``."""
    precision: Literal["auto", "float32", "bfloat16"]
    """Of the arithmetic in training; ``auto`` is settled by measuring."""
    memory_format: Literal["auto", "channels_last", "contiguous"]
    """Order of a picture's numbers in memory; ``auto`` is settled by measuring."""
    threads: int
    """CPU threads of one operation."""


@dataclass(frozen=True)
class Recipe:
    """Every hyper-parameter of a run. `why` has a sentence for every dotted key."""

    budget: float
    """Seconds of wall-clock for the whole run, evaluation and saving included."""
    seed: int
    """Of the split, the first weights, the order of examples and their augmentation."""
    method: Literal["scratch", "head", "finetune"]
    """``head``: learn the last layer on the frozen body; ``finetune``: then the rest as well."""
    epochs: float | None
    """Passes over the training examples; null: as many as the budget allows."""
    batch: int
    """Examples per step."""
    averaging: float
    """Decay per step of the running average of the weights that ships; 0 is off."""
    balance: float
    """Exponent of 1 / class size in the loss's class weights: 0 is off, 1 is full."""
    test: float
    """Share of the examples held out for the test, where the source does not say."""
    val: float
    """Share of the examples held out to steer by, where the source does not say."""
    network: Network
    picture: Picture
    augment: Augment
    optimizer: Optimizer
    schedule: Schedule
    loss: Loss
    compute: Compute
    why: Mapping[str, str] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        check(dict(_walk(self)))

    def choices(self) -> dict[str, Choice]:
        """Return every dotted key with its value and reason, in reading order."""
        return {key: Choice(value, self.why.get(key, "")) for key, value in _walk(self)}

    def decided(self, key: str, value: Any, why: str) -> Recipe:
        """Return this recipe with one choice settled by a measurement."""
        values = dict(_walk(self))
        values[key] = value
        return assemble(values, {**self.why, key: why})

    def _repr_html_(self) -> str:
        """Show the recipe as a table in a notebook."""
        from html import escape

        rows = "".join(
            f"<tr><td><code>{escape(k)}</code></td><td>{escape(str(c.value))}</td>"
            f"<td>{escape(c.why)}</td></tr>"
            for k, c in self.choices().items()
        )
        return (
            "<table><thead><tr><th>choice</th><th>value</th><th>why</th></tr></thead>"
            f"<tbody>{rows}</tbody></table>"
        )


SECTIONS: dict[str, type] = {
    "network": Network,
    "picture": Picture,
    "augment": Augment,
    "optimizer": Optimizer,
    "schedule": Schedule,
    "loss": Loss,
    "compute": Compute,
}


def _walk(recipe: Recipe) -> Iterator[tuple[str, Any]]:
    for item in dataclasses.fields(recipe):
        value = getattr(recipe, item.name)
        if item.name in SECTIONS:
            for inner in dataclasses.fields(value):
                yield f"{item.name}.{inner.name}", getattr(value, inner.name)
        elif item.name != "why":
            yield item.name, value


def _hints() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, hint in typing.get_type_hints(Recipe).items():
        if name in SECTIONS:
            for inner, inner_hint in typing.get_type_hints(SECTIONS[name]).items():
                found[f"{name}.{inner}"] = inner_hint
        elif name != "why":
            found[name] = hint
    return found


KEYS: dict[str, Any] = _hints()


def assemble(values: Mapping[str, Any], why: Mapping[str, str]) -> Recipe:
    """Build a recipe from dotted keys; every key must be there."""
    flat: dict[str, Any] = {}
    inner: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS}
    for key, value in values.items():
        section, _, name = key.rpartition(".")
        if section:
            inner[section][name] = value
        else:
            flat[key] = value
    sections = {name: SECTIONS[name](**fields) for name, fields in inner.items()}
    return Recipe(**flat, **sections, why=dict(why))
