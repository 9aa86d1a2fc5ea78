"""A value that somebody wrote -> the type of its field, or a sentence that says how to write it."""

from __future__ import annotations

import reprlib
import types
import typing
from typing import Any, Literal

from quickstudy.errors import ChoiceError, did_you_mean
from quickstudy.recipe.types import KEYS


def coerce(key: str, value: Any) -> Any:
    """Return `value` as the type of the field `key`.

    Raises `ChoiceError` for an unknown key ("did you mean") or a value that cannot be that type.
    """
    if not isinstance(key, str) or key not in KEYS:
        key = brief(key)
        raise ChoiceError(
            f"There is no setting '{key}'.",
            did_you_mean(key, KEYS) or "All settings: " + ", ".join(KEYS) + ".",
        )
    try:
        return _as(KEYS[key], value)
    except (TypeError, ValueError, OverflowError) as problem:
        raise ChoiceError(
            f"The setting {key}={brief(value)} does not fit: {key} is {_words(KEYS[key])}.",
            f"Write it as, say, --set {key}={_sample(KEYS[key])}.",
        ) from problem


def brief(value: object) -> str:
    """Return a value as a message shows it: short, whatever it is.

    >>> brief("abc"), brief(10**5000)
    ('abc', 'a number of thousands of digits')
    """
    short = reprlib.Repr()
    short.maxlevel = 3
    short.maxother = short.maxstring = 200
    try:
        return value[:200] if isinstance(value, str) else short.repr(value)
    except ValueError:  # Python does not print whole numbers of over 4,300 digits
        return "a number of thousands of digits"


def _as(hint: Any, value: Any) -> Any:
    origin = typing.get_origin(hint)
    if origin is Literal:
        if not any(value == one and type(value) is type(one) for one in typing.get_args(hint)):
            raise ValueError(value)
        return value
    if origin in (types.UnionType, typing.Union):
        first, *others = typing.get_args(hint)
        if typing.get_origin(first) is Literal:  # a word, or what is no word
            return _as(first if isinstance(value, str) else others[0], value)
        return None if value is None else _as(first, value)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise TypeError(value)
        return tuple(_plain(typing.get_args(hint)[0], part) for part in value)
    if origin is list:
        if not isinstance(value, list):
            raise TypeError(value)
        return value
    return _plain(hint, value)


def _plain(hint: Any, value: Any) -> Any:
    if hint is str and value is None:
        return "none"
    if hint is str and isinstance(value, str):
        return value
    if hint is bool:
        if not isinstance(value, bool):
            raise TypeError(value)
        return value
    if value is None or isinstance(value, bool | list | dict):
        raise TypeError(value)
    if hint is int and float(value) != int(float(value)):
        raise ValueError(value)
    return int(float(value)) if hint is int else hint(value)


def _words(hint: Any) -> str:
    if typing.get_origin(hint) is Literal:
        return "one of " + ", ".join(
            str(one).lower() if isinstance(one, bool) else str(one) for one in typing.get_args(hint)
        )
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        first, other = typing.get_args(hint)
        return f"{_words(first)} or {'null' if other is types.NoneType else _words(other)}"
    if typing.get_origin(hint) is list:
        return "a list of layers"
    if hint == tuple[int, ...]:
        return "a list of whole numbers, as [2, 2, 2, 2]"
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a word"}
    return names.get(hint, "a list of numbers, as [0.5, 0.5, 0.5]")


def _sample(hint: Any) -> str:
    if typing.get_origin(hint) is Literal:
        return str(typing.get_args(hint)[0])
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return _sample(typing.get_args(hint)[0])
    if typing.get_origin(hint) is list:
        return "'[{conv: 32}, norm, relu, {pool: average}, {dense: classes}]'"
    if hint == tuple[int, ...]:
        return "[2,2,2,2]"
    return {int: "2", float: "0.1", bool: "true", str: "name"}.get(hint, "[0.5,0.5,0.5]")
