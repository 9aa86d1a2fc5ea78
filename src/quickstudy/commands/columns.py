"""The options that several commands have, as functions take them."""

from __future__ import annotations

import argparse
from typing import Any

_LEARNING = (
    *("source", "budget", "test", "network", "weights", "loss", "optimizer", "recipe", "out"),
    *("seed", "device", "on", "resume", "kind", "task"),
)
_NAMES = (
    *("path_column", "label_column", "split_column", "group_column"),
    *("label_from", "target", "group_from"),
)


def columns(asked: argparse.Namespace) -> dict[str, str | None]:
    """Return those that say which columns, or parts of file names, tell what."""
    return {name: getattr(asked, name) for name in _NAMES}


def learning(asked: argparse.Namespace) -> dict[str, Any]:
    """Return the options of `learn` that `tune` has as well."""
    from quickstudy.recipe import settings

    found = {name: getattr(asked, name) for name in _LEARNING}
    return {**found, "settings": settings(asked.set), **columns(asked)}
