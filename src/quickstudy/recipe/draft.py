"""A recipe in the making: the choices so far, and what trained weights can be had."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from quickstudy.recipe.types import KEYS_OF, Recipe, assemble

#: How a recipe calls what was given as code: this and its name.
PREFIX = "python:"


def is_formula(name: str, kind: str) -> bool:
    """Whether a network's name is a formula in the columns of a table."""
    return kind == "table" and not name.startswith(PREFIX) and name not in ("tabm", "stack")


@dataclass(frozen=True)
class Offer:
    """A network whose trained weights can be had, as `network.weights` found it."""

    network: str
    weights: str
    flops: float
    """Forward, one picture at `size`."""
    accuracy: float
    """Published top-1 on ImageNet, percent; 0 when unknown."""
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    why: str
    scaling: str = "belongs to the weights"
    """Why pictures are normalised by `mean` and `std`."""


class Draft:
    """Choices made so far; somebody's own choices win."""

    def __init__(self, own: Mapping[str, tuple[Any, str]]) -> None:
        self.own = own
        self.values: dict[str, Any] = {}
        self.why: dict[str, str] = {}

    def choose(self, key: str, value: Any, why: str) -> Any:
        """Choose, unless somebody or an earlier step did already; return what holds."""
        if key in self.values:
            return self.values[key]
        value, why = self.own.get(key, (value, why))
        self.values[key], self.why[key] = value, why
        return value

    def recipe(self) -> Recipe:
        """Return the recipe, all choices made."""
        return assemble({key: self.values[key] for key in KEYS_OF[self.values["kind"]]}, self.why)
