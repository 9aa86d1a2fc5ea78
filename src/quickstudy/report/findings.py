"""What was found wrong with the data: each sort with its fix, and a look at the examples."""

from __future__ import annotations

from quickstudy.report.markup import Html, fold, join, long_table, section, tag
from quickstudy.report.mistakes import player
from quickstudy.report.reading import Report, part, records

LEADS = {
    "serious": "The score will not be true, or an example is lost.",
    "warning": "Worth a look.",
    "note": "Good to know.",
}
TITLES = {"serious": "Serious", "warning": "Warnings", "note": "Notes"}


def findings(report: Report) -> Html:
    """Return what was found wrong with the data of a run, the most serious first."""
    groups = records(part(report, "data"), "findings")
    if not groups:
        return Html()
    parts = []
    for severity, title in TITLES.items():
        these = [one for one in groups if one.get("severity") == severity]
        if these:
            told = tag("p", tag("b", f"{title}. "), LEADS[severity], class_="muted")
            parts.append(tag("div", told, *(found_of(one) for one in these)))
    lead = "What the checks before learning found; light, sharpness and shortcuts on a sample."
    return section("findings", "What is odd about the data", tag("p", lead), *parts)


def found_of(group: Report) -> Html:
    """Return one sort of findings: title, fix, and pictures, players or lines."""
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
            player(one, file),
            _shown(one, "other_picture", other) if other else None,
            player(one, other, "other_sound") if other else None,
            tag("figcaption", *lines),
        ),
    )


def _shown(one: Report, key: str, name: str) -> Html | None:
    """Return a picture; only data URIs of the right sort get in, nothing that would be fetched."""
    source = str(one.get(key) or "")
    if not source.startswith("data:image/"):
        return None
    return tag("img", src=source, alt=name, loading="lazy")
