"""A recipe as a YAML file that a person reads, edits and runs again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from quickstudy.errors import ChoiceError
from quickstudy.recipe.coercion import brief, coerce
from quickstudy.recipe.types import SECTIONS, Recipe
from quickstudy.recipe.yaml_text import parse, read_file

_HEAD = """\
# A Quickstudy recipe: every choice of a run, and why. Edit what you like, then run it again:
#   quickstudy learn SOURCE --recipe recipe.yaml
# Lines you delete are chosen afresh.
"""
_FORM = "Give the recipe.yaml of a run, or a file with some of its lines."
_MOST_CHARACTERS = 1_000_000  # a stack, every option written out, is a part of it


def write(recipe: Recipe) -> str:
    """Return the recipe as YAML, one choice a line with its reason as a comment."""
    lines, section = [_HEAD], ""
    for key, choice in recipe.choices().items():
        head, _, name = key.rpartition(".")
        if head != section:
            lines.append(f"{head}:")
            section = head
        value = yaml.safe_dump(_plain(choice.value), default_flow_style=True, width=10**6)
        text = f"{'  ' if head else ''}{name}: {value.removesuffix('...' + chr(10)).strip()}"
        why = " ".join(choice.why.split())
        lines.append(f"{text:<40}  # {why}" if why else text)
    return "\n".join(lines) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [part if isinstance(part, int) else float(f"{part:.6g}") for part in value]
    return value


def read(path: Path) -> dict[str, Any]:
    """Return the dotted keys of a recipe file with values of the right type.

    Raises `ChoiceError` for a file that is missing, not YAML, or names unknown settings.
    """
    where = f"The recipe {path}"
    text = read_file(path, where, _FORM, most=_MOST_CHARACTERS)
    loaded, _ = parse(text, where, _FORM, most=_MOST_CHARACTERS)
    if not isinstance(loaded, Mapping):
        raise ChoiceError(f"The recipe {path} has no 'key: value' lines.", "See a recipe.yaml.")
    flat: dict[str, Any] = {}
    for key, value in loaded.items():
        if isinstance(value, Mapping) and any(key in sections for sections in SECTIONS.values()):
            flat.update({f"{key}.{brief(inner)}": part for inner, part in value.items()})
        else:
            flat[brief(key)] = value
    return {key: coerce(key, value) for key, value in flat.items()}


def settings(pairs: Sequence[str]) -> dict[str, Any]:
    """Parse ``KEY=VALUE`` words of ``--set``; a value that is no YAML is a word.

    Raises `ChoiceError` for a word without ``=``, an unknown key, or a value of the wrong type.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise ChoiceError(f"'--set {pair}' has no '='.", "Write --set KEY=VALUE.")
        key = key.strip()
        try:
            value = parse(text, key, "Write it as YAML.")[0] if text else None
        except ChoiceError:
            if key == "network.stack":
                raise
            value = text
        found[key] = coerce(key, value)
    return found
