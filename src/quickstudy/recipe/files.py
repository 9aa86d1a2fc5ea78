"""A recipe as a YAML file that a person reads, edits and runs again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from quickstudy.errors import ChoiceError
from quickstudy.recipe.coercion import coerce
from quickstudy.recipe.types import SECTIONS, Recipe

_HEAD = """\
# A Quickstudy recipe: every choice of a run, and why. Edit what you like, then run it again:
#   quickstudy learn SOURCE --recipe recipe.yaml
# Lines you delete are chosen afresh.
"""


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
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise ChoiceError(
            f"The recipe {path} cannot be read: {problem.strerror}.",
            "Give the recipe.yaml of a run, or a file with some of its lines.",
        ) from problem
    except (yaml.YAMLError, ValueError) as problem:
        first = str(problem).splitlines()[0]
        raise ChoiceError(
            f"The recipe {path} is not YAML: {first}.", "See any run's recipe.yaml for the form."
        ) from problem
    if not isinstance(loaded, Mapping):
        raise ChoiceError(f"The recipe {path} has no 'key: value' lines.", "See a recipe.yaml.")
    flat: dict[str, Any] = {}
    for key, value in loaded.items():
        if isinstance(value, Mapping) and any(key in sections for sections in SECTIONS.values()):
            flat.update({f"{key}.{inner}": part for inner, part in value.items()})
        else:
            flat[str(key)] = value
    return {key: coerce(key, value) for key, value in flat.items()}


def settings(pairs: Sequence[str]) -> dict[str, Any]:
    """Parse ``KEY=VALUE`` words of ``--set``.

    Raises `ChoiceError` for a word without ``=``, an unknown key, or a value of the wrong type.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise ChoiceError(f"'--set {pair}' has no '='.", "Write --set KEY=VALUE.")
        try:
            value = yaml.safe_load(text) if text else None
        except (yaml.YAMLError, ValueError):
            value = text
        found[key.strip()] = coerce(key.strip(), value)
    return found
