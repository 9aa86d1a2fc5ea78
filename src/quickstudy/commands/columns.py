"""The options that say which columns, or parts of file names, tell what."""

from __future__ import annotations

import argparse

_NAMES = (
    *("path_column", "label_column", "split_column", "group_column"),
    *("label_from", "target", "group_from"),
)


def columns(asked: argparse.Namespace) -> dict[str, str | None]:
    """Return these options as the catalog's `scan` takes them."""
    return {name: getattr(asked, name) for name in _NAMES}
