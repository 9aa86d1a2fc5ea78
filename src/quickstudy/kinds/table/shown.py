"""A row as the report shows it: its cells by name."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from typing import Any

from quickstudy.errors import ExampleError
from quickstudy.kinds.table.decode import is_missing, word

_MOST = 12  # cells shown
_LONGEST = 24  # letters of a name or a cell
_LINE, _WIDTH = 16, 240  # pixels


def cells(raw: Any, names: Sequence[str]) -> list[tuple[str, str]]:
    """Return name and text of each cell of a row, ``-`` for an empty one; raises `ExampleError`."""
    if not isinstance(raw, tuple | list) or len(raw) != len(names):
        raise ExampleError("not a row of this table")
    return [
        (_short(name), "-" if is_missing(cell) else _short(word(cell)))
        for name, cell in zip(names, raw, strict=True)
    ]


def _short(text: str) -> str:
    plain = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return plain if len(plain) <= _LONGEST else plain[: _LONGEST - 1] + "…"


def shown(raw: Any, names: Sequence[str]) -> dict[str, str | None]:
    """Return an SVG (``picture``) as data URI with the first cells; raises `ExampleError`."""
    lines = cells(raw, names)
    more = len(lines) - _MOST
    lines = lines[:_MOST] + ([(f"and {more} more", "")] if more > 0 else [])
    texts = [
        f'<text x="4" y="{12 + _LINE * row}" fill="#666">{escape(name)}</text>'
        f'<text x="{_WIDTH - 4}" y="{12 + _LINE * row}" text-anchor="end">{escape(text)}</text>'
        for row, (name, text) in enumerate(lines)
    ]
    picture = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_LINE * len(lines)}" '
        f'font-family="sans-serif" font-size="11">'
        f'<rect width="100%" height="100%" fill="#fff"/>{"".join(texts)}</svg>'
    )
    content = base64.b64encode(picture.encode("utf-8", "replace")).decode()
    return {"picture": f"data:image/svg+xml;base64,{content}", "sound": None}
