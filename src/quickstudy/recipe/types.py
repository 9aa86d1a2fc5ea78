"""The recipe's shape: every hyper-parameter of a run, typed, checked when born, and why.

A recipe is flat to its reader (``optimizer.lr``) and nested to the code (``recipe.optimizer.lr``).
The docstring under each field is its documentation; docs/recipe.md is made from it. The sections
are in `sections`.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from quickstudy.recipe.limits import check
from quickstudy.recipe.sections import (
    Augment,
    Compute,
    Loss,
    Network,
    Optimizer,
    Picture,
    Schedule,
    Sound,
    SoundAugment,
    Table,
)


@dataclass(frozen=True)
class Choice:
    """A value and the reason for it."""

    value: Any
    why: str


@dataclass(frozen=True)
class Recipe:
    """Every hyper-parameter of a run. `why` has a sentence for every dotted key."""

    kind: Literal["image", "sound", "table"]
    """What sort of examples these are."""
    task: Literal["classification", "multilabel", "regression"]
    """What is asked: one of several classes, several labels at once, or numbers."""
    budget: float
    """Seconds of wall-clock for the whole run, evaluation and saving included."""
    seed: int
    """Of the split, the first weights, the order of examples and their augmentation."""
    method: Literal["scratch", "head", "finetune"]
    """``head``: learn the last layer on the frozen body; ``finetune``: then the rest as well."""
    epochs: float | None
    """Passes over the training examples; null: as many as the budget allows."""
    patience: int | None
    """Passes without a lower loss on `val` after which training ends; null: it uses its time."""
    race: int | None
    """Recipes that start training together, this one among them: the best on `val` goes on; null:
    as many as the time allows, 1: none but this."""
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
    suspects: Literal["leave_out", "list", "keep"]
    """Labels that are probably wrong: ``leave_out`` of learning those almost certainly wrong,
    ``list`` them in the report alone, or ``keep``: none are looked for."""
    data_curve: Literal["if_quick", "always", "never"]
    """Learning again from a quarter and a half of the examples, to say whether more would help:
    ``if_quick`` where that takes a twentieth of the budget, ``always`` (a network from scratch is
    then learnt three times, in a third of the time each), or ``never``."""
    stream: bool
    """Decode examples as they are learnt from, each time anew, and not all of them beforehand into
    the cache: for more than the disk holds. The test, `val` and a sample still are."""
    cache: float | None
    """Gigabytes of disk that decoded examples and shards may take; null: half of what is free."""
    network: Network
    optimizer: Optimizer
    schedule: Schedule
    loss: Loss
    compute: Compute
    augment: Augment | SoundAugment | None = None
    picture: Picture | None = None
    sound: Sound | None = None
    table: Table | None = None
    why: Mapping[str, str] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        check(dict(_walk(self)))

    @property
    def size(self) -> int:
        """What the network is used at: pixels of a side, samples of a window, or 1 row."""
        if self.sound is not None:
            return round(self.sound.window * self.sound.rate)
        return self.picture.size if self.picture is not None else 1

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
    "table": {"network": Network, "table": Table, **_COMMON},
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
