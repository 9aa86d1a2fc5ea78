"""``quickstudy learn --recipe help``: the published recipes, and what to expect of each."""

from __future__ import annotations

import sys

from quickstudy.commands.telling import print_json


def list_recipes(as_json: bool) -> int:
    """Say which recipes there are by name."""
    from quickstudy.recipe.published import about, names, published

    if as_json:
        print_json(
            [
                {
                    "name": name,
                    "about": about(name),
                    "recipe": {
                        key: {"value": value, "why": why}
                        for key, (value, why) in published(name).items()
                    },
                }
                for name in names()
            ]
        )
        return 0
    for name in names():
        sys.stdout.write(f"{name}\n")
        for line in about(name).splitlines():
            sys.stdout.write(f"  {line}".rstrip() + "\n")
        sys.stdout.write("\n")
    return 0
