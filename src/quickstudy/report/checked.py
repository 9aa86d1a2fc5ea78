"""What a check found -> check.html: the most serious first, each with the fix and a look at it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quickstudy.report.findings import LEADS, TITLES, found_of
from quickstudy.report.layout import document
from quickstudy.report.markup import Html, join, section, tag
from quickstudy.report.reading import Report, records


def check_page(found: Mapping[str, Any]) -> str:
    """Return the page of a check as one HTML file that needs nothing else.

    `found` has `title`, `source`, `looked` (how many examples), and `groups`: each with `check`,
    `severity`, `fix`, `count` and `findings` (`file`, `problem`, `other`; of some also `picture`
    and `sound`, data URIs, and `other_picture` and `other_sound`).
    """
    groups = records(found, "groups")
    title = str(found.get("title") or "Checked")
    severities = [s for s in TITLES if any(g.get("severity") == s for g in groups)]
    told = f"{len(groups)} sorts of findings" if len(groups) > 1 else "One sort of finding"
    links = (tag("a", TITLES[s], href=f"#{s}") for s in severities)
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
    lead = tag("p", LEADS[severity], class_="muted")
    return section(severity, TITLES[severity], lead, *(found_of(one) for one in groups))
