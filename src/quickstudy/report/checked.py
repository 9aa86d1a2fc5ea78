"""What a check found -> check.html: the most serious first, each with the fix and a look at it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quickstudy.report.layout import document
from quickstudy.report.markup import Html, fold, join, long_table, section, tag
from quickstudy.report.reading import Report, records

_LEADS = {
    "serious": "The score will not be true, or an example is lost.",
    "warning": "Worth a look.",
    "note": "Good to know.",
}
_TITLES = {"serious": "Serious", "warning": "Warnings", "note": "Notes"}


def check_page(found: Mapping[str, Any]) -> str:
    """Return the page of a check as one HTML file that needs nothing else.

    `found` has `title`, `source`, `looked` (a sentence), `made`, and `groups`: each with `check`,
    `severity`, `said`, `fix`, `count` and `findings` (`file`, `problem`, `other`; of some also
    `picture` and `sound`, data URIs, and the same of the other example).
    """
    groups = records(found, "groups")
    title = str(found.get("title") or "Checked")
    severities = [s for s in _TITLES if any(g.get("severity") == s for g in groups)]
    told = f"{len(groups)} sorts of findings" if len(groups) > 1 else "One sort of finding"
    links = (tag("a", _TITLES[s], href=f"#{s}") for s in severities)
    source = join(["checked ", tag("code", str(found.get("source", "")))])
    said = [source, *([str(found["looked"])] if found.get("looked") else [])]
    inside = [_section(s, [g for g in groups if g.get("severity") == s]) for s in severities]
    nothing = tag("p", "Nothing was found wrong.")
    return document(
        f"{title}: {told if groups else 'nothing found'}",
        tag("header", tag("h1", title), tag("p", join(said, " · "), class_="muted")),
        tag("nav", *links, aria_label="Sections") if severities else Html(),
        tag("main", *(inside or [nothing])),
        tag("footer", tag("p", "The whole list: check.csv, beside this page.")),
    )


def _section(severity: str, groups: list[Report]) -> Html:
    lead = tag("p", _LEADS[severity], class_="muted")
    return section(severity, _TITLES[severity], lead, *(_group(one) for one in groups))


def _group(group: Report) -> Html:
    name = str(group.get("check", ""))
    found = records(group, "findings")
    count = f" ({int(group.get('count') or len(found)):,})" if len(found) > 1 else ""
    title = tag("h3", f"{name[:1].upper()}{name[1:]}{count}")
    fix = tag("p", str(group.get("fix", "")))
    shown = [one for one in found if one.get("picture")]
    if not shown:
        return join([title, _lines(name, found), fix])
    sounds = any(one.get("sound") for one in shown)
    cards = tag(
        "ul", *(_card(one) for one in shown), class_="pictures sounds" if sounds else "pictures"
    )
    rest = [one for one in found if not one.get("picture")]
    tail = fold(f"{len(rest):,} more", _lines(name, rest)) if rest else None
    return join([title, fix, cards, *([tail] if tail else [])])


def _lines(name: str, found: list[Report]) -> Html:
    if not any(one.get("file") for one in found):
        return tag("ul", *(tag("li", str(one.get("problem", ""))) for one in found))
    others = any(one.get("other") for one in found)
    head = ["Example", "What", *(["The other"] if others else [])]
    body = [
        [
            str(one.get("file", "")),
            str(one.get("problem", "")),
            *([str(one.get("other", ""))] if others else []),
        ]
        for one in found
    ]
    return long_table(f"All findings: {name}", head, body, "{n} more")


def _card(one: Report) -> Html:
    file, other = str(one.get("file", "")), str(one.get("other", ""))
    lines = [tag("span", str(one.get("problem", ""))), tag("small", file, class_="muted")]
    if other:
        lines.append(tag("small", f"the other: {other}", class_="muted"))
    return tag(
        "li",
        tag(
            "figure",
            _shown(one, "picture", file),
            _player(one, "sound", file),
            _shown(one, "other_picture", other) if other else None,
            _player(one, "other_sound", other) if other else None,
            tag("figcaption", *lines),
        ),
    )


def _shown(one: Report, key: str, name: str) -> Html | None:
    """Return a picture; only data URIs of the right sort get in, nothing that would be fetched."""
    source = str(one.get(key) or "")
    if not source.startswith("data:image/"):
        return None
    return tag("img", src=source, alt=name, loading="lazy")


def _player(one: Report, key: str, name: str) -> Html | None:
    source = str(one.get(key) or "")
    if not source.startswith("data:audio/"):
        return None
    return tag("audio", controls=True, preload="none", src=source, aria_label=f"Play {name}")
