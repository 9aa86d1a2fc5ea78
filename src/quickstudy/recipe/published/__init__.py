"""Recipes that others have published, by name: each value with the place where it stands."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

from quickstudy.errors import ChoiceError, did_you_mean
from quickstudy.recipe.files import read

_END = ".yaml"


def names() -> tuple[str, ...]:
    """Return the published recipes, as ``--recipe`` takes them."""
    files = (file.name for file in resources.files(__name__).iterdir())
    return tuple(sorted(name.removesuffix(_END) for name in files if name.endswith(_END)))


def taken(recipe: str | Path) -> dict[str, tuple[Any, str]]:
    """Return what a recipe's file, or a published one by name, says: dotted key -> value, reason.

    A file of that name goes first. Raises `ChoiceError` ("did you mean") for what is neither.
    """
    path, name = Path(recipe), str(recipe)
    if not path.exists():
        if name in names():
            return published(name)
        if not path.suffix and path.name == name:
            raise ChoiceError(
                f"There is no recipe '{name}'.",
                did_you_mean(name, names())
                or f"Published: {', '.join(names())}; or give the recipe.yaml of a run.",
            )
    return {key: (value, f"from {path.name}") for key, value in read(path).items()}


def published(name: str) -> dict[str, tuple[Any, str]]:
    """Return the choices of a published recipe; the comment behind a value is its reason."""
    with resources.as_file(resources.files(__name__) / f"{name}{_END}") as path:
        values, text = read(path), path.read_text(encoding="utf-8")
    reasons = dict(_reasons(text))
    return {key: (value, reasons[key]) for key, value in values.items()}


def about(name: str) -> str:
    """Return what stands at the top of a published recipe: what it is, and what to expect."""
    text = (resources.files(__name__) / f"{name}{_END}").read_text(encoding="utf-8")
    head = text.partition("\nkind:")[0]
    return "\n".join(line.removeprefix("#").removeprefix(" ") for line in head.splitlines())


def _reasons(text: str) -> Iterator[tuple[str, str]]:
    section = ""
    for line in text.splitlines():
        key, colon, rest = line.partition(":")
        if not colon or line.startswith("#"):
            continue
        value, _, why = rest.partition("  # ")
        if not line.startswith(" "):
            section = ""
        if value.strip():
            yield f"{section}{key.strip()}", why.strip()
        else:
            section = f"{key}."
