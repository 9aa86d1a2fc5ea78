"""What a layer's option may be: its check, its words for a message, and its default."""

from __future__ import annotations

import math
import numbers
import reprlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

#: The default of an option that must be given.
REQUIRED: Final = object()


@dataclass(frozen=True)
class Option:
    """One option: `check` returns the value as plain data, or raises `ValueError`."""

    words: str
    check: Callable[[Any], Any]
    default: Any = REQUIRED
    holds: str = ""
    """``layers`` or ``lists`` where the value is layers, or lists of layers."""


def shown(value: object) -> str:
    """Return a value as a message shows it: short, whatever it is.

    >>> shown("abc"), shown([1, [2, [3, [4]]]])
    ("'abc'", '[1, [2, [3, [...]]]]')
    """
    brief = reprlib.Repr()
    brief.maxlevel = 3
    try:
        return brief.repr(value)
    except ValueError:  # Python does not print whole numbers of over 4,300 digits
        return "a number of thousands of digits"


def _whole(value: Any, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise ValueError
    if not low <= (number := int(value)) <= high:
        raise ValueError
    return number


def whole(low: int, high: int, default: Any = REQUIRED) -> Option:
    """A whole number; None only where that is the default."""

    def check(value: Any) -> int | None:
        return None if value is None and default is None else _whole(value, low, high)

    return Option(f"a whole number from {low:,} to {high:,}", check, default)


def sides(low: int, high: int, default: Any = REQUIRED) -> Option:
    """A whole number for both sides, or ``[height, width]``."""

    def check(value: Any) -> int | list[int] | None:
        if value is None and default is None:
            return None
        if not isinstance(value, list | tuple):
            return _whole(value, low, high)
        height, width = (_whole(side, low, high) for side in value)
        return height if height == width else [height, width]

    return Option(f"a whole number from {low:,} to {high:,}, or [height, width]", check, default)


def number(low: float, high: float, default: Any = REQUIRED, *, ends: str = "[]") -> Option:
    """A number; a round bracket in `ends` leaves that end out."""

    def check(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise ValueError
        real = float(value)
        outside = not low <= real <= high or math.isnan(real)
        if outside or (ends[0] == "(" and real == low) or (ends[1] == ")" and real == high):
            raise ValueError
        return real

    left = "above " if ends[0] == "(" else "from "
    right = " to below " if ends[1] == ")" else " to "
    return Option(f"a number {left}{low:g}{right}{high:g}", check, default)


def flag(default: bool) -> Option:
    """True or false."""

    def check(value: Any) -> bool:
        if not isinstance(value, bool):
            raise ValueError
        return value

    return Option("true or false", check, default)


def word(*choices: str, default: Any = REQUIRED) -> Option:
    """One of some words."""

    def check(value: Any) -> str:
        if not isinstance(value, str) or value not in choices:
            raise ValueError
        return str(value)

    return Option("one of " + ", ".join(choices), check, default)


def text(words: str) -> Option:
    """Any text; what it says is checked elsewhere."""

    def check(value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError
        return str(value)

    return Option(words, check)


def units(high: int) -> Option:
    """How many numbers a dense layer makes: a whole number, or ``classes``."""

    def check(value: Any) -> int | str:
        return "classes" if value == "classes" else _whole(value, 1, high)

    return Option(f"a whole number from 1 to {high:,}, or classes", check)


def layers(default: Any = REQUIRED) -> Option:
    """A list of layers; None only where that is the default."""

    def check(value: Any) -> Any:
        return None if value is None and default is None else _as_list(value)

    return Option("a list of layers", check, default, "layers")


def lists() -> Option:
    """A list of lists of layers."""
    return Option("a list of lists of layers, as [[...], [...]]", _as_list, REQUIRED, "lists")


def _as_list(value: Any) -> Any:
    if not isinstance(value, list | tuple):
        raise ValueError
    return value
