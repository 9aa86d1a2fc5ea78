"""Write docs/recipe.md from the recipe's own types: python docs/make_recipe.py > docs/recipe.md."""

from __future__ import annotations

import ast
import inspect
import math
import typing
from itertools import pairwise

from quickstudy.recipe import types
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


def meanings() -> dict[str, str]:
    """Return what each dotted key means: the docstring under its field."""
    found = {}
    tree = ast.parse(inspect.getsource(types))
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    for section, name in {"": "Recipe", **{k: v.__name__ for k, v in SECTIONS.items()}}.items():
        body = classes[name].body
        for item, after in pairwise(body):
            if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
                key = f"{section}.{item.target.id}".lstrip(".")
                if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                    found[key] = " ".join(str(after.value.value).split())
    return found


def _type(hint: object) -> str:
    names: dict[object, str] = {int: "whole number", float: "number", bool: "true, false"}
    choices = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Literal:
        return ", ".join(f"`{choice}`" for choice in choices)
    if type(None) in choices:
        return f"{_type(choices[0])} or null"
    return names.get(hint, "word" if hint is str else "list of three numbers")


def _limits(key: str) -> str:
    least, most = LIMITS.get(key, (-math.inf, math.inf))
    if math.isinf(least):
        return ""
    return f"at least {least:g}" if math.isinf(most) else f"{least:g} to {most:g}"


def page() -> str:
    """Return docs/recipe.md."""
    means, lines, section = meanings(), [_HEAD], None
    for key, hint in KEYS.items():
        head = key.rpartition(".")[0]
        if head != section:
            said = SECTIONS[head].__doc__ if head else "What holds for the whole run."
            lines += [f"## {head or 'The run'}", "", str(said), ""]
            lines += ["| key | type | limits | meaning |", "|---|---|---|---|"]
            section = head
        lines.append(f"| `{key}` | {_type(hint)} | {_limits(key)} | {means[key]} |")
        following = list(KEYS)[list(KEYS).index(key) + 1 :]
        if following and following[0].rpartition(".")[0] != head:
            lines.append("")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(), end="")
