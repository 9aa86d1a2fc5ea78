"""Write docs/recipe.md from the recipe's own types: python docs/make_recipe.py > docs/recipe.md."""

from __future__ import annotations

import ast
import inspect
import math
import typing
from itertools import pairwise

from quickstudy.kinds import NOUNS
from quickstudy.recipe import sections, types
from quickstudy.recipe.limits import LIMITS
from quickstudy.recipe.types import KEYS, SECTIONS

_HEAD = """\
# The recipe

Every choice of a run is a key with a value and a reason, in `recipe.yaml` in the run's folder.
Set one with `--set KEY=VALUE` (in Python `settings={"KEY": value}`), or edit the file and run it
again with `--recipe recipe.yaml`; lines that are left out are chosen afresh. A value out of its
limits, of another type, or of an unknown key is refused with the fix.

This page is written by `python docs/make_recipe.py` from `src/quickstudy/recipe/types.py`; a test
compares them.
"""


def meanings(name: str) -> dict[str, str]:
    """Return what each field of a class of `types` means: the docstring under it."""
    found = {}
    trees = [ast.parse(inspect.getsource(module)) for module in (types, sections)]
    (body,) = (
        node.body
        for tree in trees
        for node in tree.body
        if isinstance(node, ast.ClassDef) and node.name == name
    )
    for item, after in pairwise(body):
        field = item.target if isinstance(item, ast.AnnAssign) else None
        said = after.value if isinstance(after, ast.Expr) else None
        if isinstance(field, ast.Name) and isinstance(said, ast.Constant):
            found[field.id] = " ".join(str(said.value).split())
    return found


def _type(hint: object) -> str:
    names: dict[object, str] = {int: "whole number", float: "number", bool: "true, false"}
    choices = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Literal:
        return ", ".join(
            f"`{str(choice).lower() if isinstance(choice, bool) else choice}`" for choice in choices
        )
    if type(None) in choices:
        return f"{_type(choices[0])} or null"
    if typing.get_origin(choices[0] if choices else None) is typing.Literal:
        return " or ".join(map(_type, choices))
    if hint == tuple[int, ...]:
        return "list of whole numbers"
    if typing.get_origin(hint) is list:
        return "list of layers"
    return names.get(hint, "word" if hint is str else "list of three numbers")


def _limits(key: str) -> str:
    least, most = LIMITS.get(key, (-math.inf, math.inf))
    if math.isinf(least):
        return ""
    return f"at least {least:g}" if math.isinf(most) else f"{least:g} to {most:g}"


def page() -> str:
    """Return docs/recipe.md."""
    lines = [_HEAD, *_table("The run", "What holds for the whole run.", "", "Recipe")]
    shared = set.intersection(*(set(of_kind.items()) for of_kind in SECTIONS.values()))
    for kind, of_kind in SECTIONS.items():
        for name, section in of_kind.items():
            first = kind == "image"
            if (name, section) in shared and not first:
                continue
            whose = "" if (name, section) in shared else f", of {NOUNS[kind][1]}"
            lines += ["", *_table(name + whose, str(section.__doc__), name, section.__name__)]
    return "\n".join(lines) + "\n"


def _table(title: str, said: str, section: str, name: str) -> list[str]:
    lines = [f"## {title}", "", said, ""]
    lines += ["| key | type | limits | meaning |", "|---|---|---|---|"]
    for field, meaning in meanings(name).items():
        key = f"{section}.{field}".lstrip(".")
        lines.append(f"| `{key}` | {_type(KEYS[key])} | {_limits(key)} | {meaning} |")
    return lines


if __name__ == "__main__":
    print(page(), end="")
