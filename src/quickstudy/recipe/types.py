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
class Sound:
    """What the network gets to hear."""

    rate: int
    """Hz: every file is resampled to this."""
    window: float
    """Seconds heard at once; longer recordings are heard in overlapping windows."""
    fft: int
    """Samples of the frame that one spectrum is taken of."""
    hop: int
    """Samples from one frame to the next."""
    mels: int
    """Bands that a spectrum is summed up in, evenly spaced to the ear."""
    low: float
    """Hz: the lowest band begins here."""
    high: float
    """Hz: the highest band ends here; at most half of the rate."""
    long: float
    """Seconds: what is longer is answered with a timeline as well."""
    span: float
    """Seconds that a timeline listens to at once, at most the window; it steps by a third."""


@dataclass(frozen=True)
class SoundAugment:
    """How recordings are varied, so that the network learns what does not matter."""

    shift: float
    """How much of the room in the window a recording is moved about in: 0 none, 1 all of it."""
    speed: float
    """Slower or quicker, and lower or higher with it, by at most this share."""
    gain: float
    """Decibels by which the level rises or falls through the window, at most."""
    noise: float
    """Share of the recordings that get noise added, 10 to 40 dB under them."""
    mask_time: float
    """Share of the window blanked out at random, at most."""
    mask_bands: float
    """Share of the bands blanked out at random, at most."""
    mixup: float
    """Beta parameter of mixing two recordings and their labels; 0 is off."""


@dataclass(frozen=True)
class Augment:
    """How pictures are varied, so that the network learns what does not matter."""

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

    kind: Literal["image", "sound"]
    """What sort of examples these are."""
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
    rehearsal: float
    """Share of the training time for learning once more without some groups that the names
    suggest, to score on groups never met; 0 is off."""
    network: Network
    optimizer: Optimizer
    schedule: Schedule
    loss: Loss
    compute: Compute
    augment: Augment | SoundAugment
    picture: Picture | None = None
    sound: Sound | None = None
    why: Mapping[str, str] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        check(dict(_walk(self)))

    @property
    def size(self) -> int:
        """What the network is tested and used at: pixels of a side, or samples of a window."""
        if self.sound is not None:
            return round(self.sound.window * self.sound.rate)
        return self.picture.size if self.picture is not None else 0

    @property
    def start_size(self) -> int:
        """The same at the beginning of training."""
        return self.picture.start_size if self.picture is not None else self.size

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


_COMMON: dict[str, type] = {
    "network": Network,
    "optimizer": Optimizer,
    "schedule": Schedule,
    "loss": Loss,
    "compute": Compute,
}
#: Kind -> the sections of its recipe.
SECTIONS: dict[str, dict[str, type]] = {
    "image": {"network": Network, "picture": Picture, "augment": Augment, **_COMMON},
    "sound": {"network": Network, "sound": Sound, "augment": SoundAugment, **_COMMON},
}


def _walk(recipe: Recipe) -> Iterator[tuple[str, Any]]:
    sections = SECTIONS[recipe.kind]
    for item in dataclasses.fields(recipe):
        if item.name != "why" and item.name not in _ANY_SECTION:
            yield item.name, getattr(recipe, item.name)
    for name in sections:
        value = getattr(recipe, name)
        for inner in dataclasses.fields(value):
            yield f"{name}.{inner.name}", getattr(value, inner.name)


_ANY_SECTION = frozenset(name for sections in SECTIONS.values() for name in sections)


def _hints(kind: str) -> dict[str, Any]:
    hints = typing.get_type_hints(Recipe)
    found = {n: hint for n, hint in hints.items() if n != "why" and n not in _ANY_SECTION}
    for name, section in SECTIONS[kind].items():
        for inner, hint in typing.get_type_hints(section).items():
            found[f"{name}.{inner}"] = hint
    return found


#: Kind -> every dotted key of its recipe, with its type.
KEYS_OF: dict[str, dict[str, Any]] = {kind: _hints(kind) for kind in SECTIONS}
#: Every dotted key there is; one that two kinds share has one type.
KEYS: dict[str, Any] = {key: hint for keys in KEYS_OF.values() for key, hint in keys.items()}


def assemble(values: Mapping[str, Any], why: Mapping[str, str]) -> Recipe:
    """Build a recipe from dotted keys; every key of its kind must be there."""
    flat: dict[str, Any] = {}
    kinds = SECTIONS[values["kind"]]
    inner: dict[str, dict[str, Any]] = {name: {} for name in kinds}
    for key, value in values.items():
        section, _, name = key.rpartition(".")
        if section:
            inner[section][name] = value
        else:
            flat[key] = value
    sections = {name: kinds[name](**fields) for name, fields in inner.items()}
    return Recipe(**flat, **sections, why=dict(why))
