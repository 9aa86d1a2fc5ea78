"""HTML that cannot forget to escape: plain strings are text, only `Html` is markup."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

_VOID = frozenset({"br", "col", "img", "meta"})
#: Control characters would vanish or break a line; a file name may hold any of them: show them.
_CONTROLS = {n: f"\\x{n:02x}" for n in (*range(32), *range(127, 160))} | {
    ord("\n"): "\\n",
    ord("\r"): "\\r",
    ord("\t"): "\\t",
}

#: Rows a table shows before the rest folds away.
VISIBLE = 20


class Html(str):
    """A piece of finished markup."""

    __slots__ = ()


def text(value: object, *, lines: bool = False) -> Html:
    r"""Return `value` as escaped text; control characters become visible, ``\n`` for a newline.

    With `lines` newlines and tabs stay as they are, for ``<pre>``.
    """
    if isinstance(value, Html):
        return value
    shown = str(value)
    if not shown.isprintable():
        keep = {ord("\n"), ord("\t")} if lines else set()
        shown = shown.translate({n: s for n, s in _CONTROLS.items() if n not in keep})
    return Html(html.escape(shown, quote=True))


def tag(name: str, /, *children: object, **attributes: object) -> Html:
    """Return an element. ``class_`` loses its underscore, ``aria_label`` becomes ``aria-label``.

    An attribute of None or False is left out, of True is bare; a child of None is left out.
    """
    said = []
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        bare = key.rstrip("_").replace("_", "-")
        said.append(f" {bare}" if value is True else f' {bare}="{text(value)}"')
    start = f"<{name}{''.join(said)}>"
    if name in _VOID:
        return Html(start)
    return Html(f"{start}{''.join(text(c) for c in children if c is not None)}</{name}>")


def join(pieces: Iterable[object], between: str = "") -> Html:
    """Return pieces of text and markup as one piece of markup."""
    return Html(text(between).join(text(piece) for piece in pieces))


def section(anchor: str, title: str, *children: object) -> Html:
    """Return a titled section, or nothing when it has no content."""
    inside = [child for child in children if child]
    if not inside:
        return Html()
    return tag("section", tag("h2", title, id=anchor), *inside, aria_labelledby=anchor)


def fold(summary: object, *children: object) -> Html:
    """Return a part that is closed until somebody opens it."""
    return tag("details", tag("summary", summary), *children)


def table(
    label: str,
    head: Sequence[str],
    body: Sequence[Sequence[object]],
    *,
    numeric: Iterable[int] = (),
    class_: str | None = None,
) -> Html:
    """Return a table in its own scrolling container; the first cell of a row is its header.

    `numeric` names the columns that align right. A page never scrolls sideways for a table.
    """
    right = frozenset(numeric)
    heads = (
        tag("th", h, scope="col", class_="n" if i in right else None) for i, h in enumerate(head)
    )
    lines = (
        tag(
            "tr",
            tag("th", row[0], scope="row"),
            *(tag("td", c, class_="n" if i in right else None) for i, c in enumerate(row[1:], 1)),
        )
        for row in body
    )
    whole = tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *lines), class_=class_)
    return scroll(label, whole)


def scroll(label: str, inside: Html) -> Html:
    """Return a container that scrolls sideways, by keyboard too."""
    return tag("div", inside, class_="scroll", tabindex=0, role="region", aria_label=label)


def long_table(
    label: str,
    head: Sequence[str],
    body: Sequence[Sequence[object]],
    more: str,
    *,
    numeric: Sequence[int] = (),
    class_: str | None = None,
) -> Html:
    """Return a table of the first `VISIBLE` rows; the rest folds under `more` (``{n}`` rows)."""
    first = table(label, head, body[:VISIBLE], numeric=numeric, class_=class_)
    rest = body[VISIBLE:]
    if not rest:
        return first
    tail = table(f"{label}, the rest", head, rest, numeric=numeric, class_=class_)
    return join([first, fold(more.format(n=f"{len(rest):,}"), tail)])
