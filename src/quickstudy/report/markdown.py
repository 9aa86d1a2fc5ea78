"""Markdown that cannot forget to escape."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

#: What a reader of Markdown, or of HTML in it, may take for markup; an underscore not in a word.
_MARKUP = re.compile(r"([\\`*\[\]<>&|#~$]|(?<![^\W_])_|_(?![^\W_]))")


def plain_text(value: Any) -> str:
    r"""Return text that is read as it is: markup loses its meaning, control characters show.

    >>> print(plain_text("max_size <i> a|b"), plain_text("*a*\n"))
    max_size \<i\> a\|b \*a\*\\n
    """
    said = str(value)
    shown = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in said)
    return _MARKUP.sub(r"\\\1", "".join(shown))


def code(value: Any) -> str:
    """Return a name as code, in which nothing has a meaning but its ends."""
    said = "".join(c if c.isprintable() else " " for c in str(value)).replace("`", "'")
    return f"`{said}`"


def table(head: Sequence[str], body: Iterable[Sequence[Any]]) -> str:
    """Return a table; its cells are Markdown already."""
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines) + "\n"


def section(title: str, inside: Iterable[str]) -> str:
    """Return a titled section, or nothing where nothing is inside."""
    lines = [line for line in inside if line]
    return "\n".join([f"## {title}\n", *lines]).strip() + "\n" if lines else ""
