"""The page: its head, its sections in order of what a reader asks first, its foot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quickstudy.report import facts, scores, words
from quickstudy.report.believed import believed
from quickstudy.report.data_curve import data_curve
from quickstudy.report.exports import exports
from quickstudy.report.findings import findings
from quickstudy.report.groups import groups
from quickstudy.report.labels import by_label
from quickstudy.report.learning import learning
from quickstudy.report.markup import Html, join, section, tag, text
from quickstudy.report.mistakes import mistakes
from quickstudy.report.network import network
from quickstudy.report.numbers import by_number
from quickstudy.report.parameters import learned
from quickstudy.report.race import race
from quickstudy.report.reading import Report, part, task
from quickstudy.report.search import search
from quickstudy.report.slices import slices
from quickstudy.report.style import CSS
from quickstudy.report.suspects import suspects
from quickstudy.report.verdict import headline, verdict

#: No script, no network, whatever a file name or a class name tries.
_POLICY = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"


def page(report: Mapping[str, Any]) -> str:
    """Return the whole report as one HTML file that needs nothing else.

    Any optional key of schema 2 may be missing or null; its section is then left out.
    """
    title = str(report.get("title") or "A run")
    sections = [
        ("score", "Score", verdict(report)),
        ("groups", "Groups", groups(report)),
        *_by_task(report),
        ("slices", "Slices", slices(report)),
        ("data-curve", "More data?", data_curve(report)),
        ("believed", "Believed", believed(report)),
        ("mistakes", "Mistakes", mistakes(report)),
        ("suspects", "Suspects", suspects(report)),
        ("findings", "Findings", findings(report)),
        ("race", "Race", race(report)),
        ("learning", "Learning", learning(report)),
        ("search", "Search", search(report)),
        ("learned", "Learned", learned(report)),
        ("network", "Network", network(report)),
        ("choices", "Choices", facts.choices(report)),
        ("data", "Data", facts.data(report)),
        ("time", "Time", facts.time(report)),
        ("exports", "Runtimes", exports(report)),
        ("computer", "Computer", facts.computer(report)),
        ("again", "Repeat", _again(report)),
    ]
    links = (tag("a", name, href=f"#{at}") for at, name, inside in sections if inside)
    return document(
        f"{title}: {headline(report)}",
        tag("header", tag("h1", title), _made(report)),
        tag("nav", *links, aria_label="Sections"),
        tag("main", *(inside for _, _, inside in sections)),
        _foot(report),
    )


def document(title: str, *body: Html | None, style: str = "") -> str:
    """Return a page that needs nothing else and runs nothing; `style` is CSS of its own."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Html(CSS + style)),
    )
    whole = tag("html", head, tag("body", *body), lang="en")
    return f"<!doctype html>\n{whole}\n"


def _by_task(report: Report) -> list[tuple[str, str, Html]]:
    """Return the sections that tell one class, label or number from another."""
    if task(report) == "regression":
        return [("numbers", "Numbers", by_number(report))]
    if task(report) == "multilabel":
        return [("labels", "Labels", by_label(report))]
    return [
        ("classes", "Classes", scores.by_class(report)),
        ("confusion", "Confusions", scores.confusions(report)),
    ]


def _made(report: Report) -> Html | None:
    """Return the line under the title: what, from where, when."""
    facts_ = []
    if report.get("source"):
        facts_.append(join(["learnt from ", tag("code", str(report["source"]))]))
    if report.get("made"):
        stamp = str(report["made"])
        facts_.append(tag("time", words.moment(stamp), datetime=stamp))
    return tag("p", join(facts_, " · "), class_="muted") if facts_ else None


def _again(report: Report) -> Html:
    if not report.get("command"):
        return Html()
    command = tag("pre", tag("code", text(report["command"], lines=True)), tabindex=0)
    return section("again", "Do it again", tag("p", "The exact command of this run:"), command)


def _foot(report: Report) -> Html:
    version = part(report, "versions").get("quickstudy")
    said = f"Made by quickstudy {version or ''}".strip()
    return tag("footer", tag("p", f"{said}. The same numbers: report.json, beside this page."))
