"""The test by slices: where the model does worse than elsewhere, if anywhere."""

from __future__ import annotations

from quickstudy.report import words
from quickstudy.report.markup import Html, fold, section, table, tag
from quickstudy.report.reading import Report, ends, number, part, records, task
from quickstudy.report.scores import bar


def slices(report: Report) -> Html:
    """Return the worst slice of each sort, and all others folded away."""
    told = part(part(report, "test"), "slices")
    found = records(told, "slices")
    if not found:
        return Html()
    worse = [one for one in found if one.get("worse")]
    sorts: dict[str, Report] = {}
    for one in found:  # the likeliest to be worse come first
        sorts.setdefault(str(one.get("by")), one)
    shown = worse or list(sorts.values())[:6]
    rest = [one for one in found if one not in shown]
    lead = "The weakest of each sort, none of them clearly worse:" if not worse else ""
    if len(worse) > 1:
        lead = "All slices that are clearly worse:"
    return section(
        "slices",
        "Where it does worse",
        tag("p", tag("b", str(told.get("sentence", "")))),
        tag("p", lead) if lead else None,
        _table(report, "Slices of the test", shown),
        fold(f"The other {len(rest):,} slices", _table(report, "The other slices", rest))
        if rest
        else None,
        tag("p", tag("small", _how(report)), class_="muted"),
    )


def _table(report: Report, label: str, found: list[Report]) -> Html:
    numbers = task(report) == "regression"
    score = {"regression": "Off by", "multilabel": "Every label right"}.get(task(report), "Correct")
    body = []
    for one in found:
        mark = tag("b", "clearly worse") if one.get("worse") else ""
        name = tag("span", _called(one), " ", tag("br"), mark) if mark else _called(one)
        if numbers:
            interval = ends(one.get("interval"))
            off = words.plain(one.get("score"))
            shown = f"{off} ({words.plain_span(interval)})" if interval else off
            elsewhere = words.plain(one.get("rest"))
        else:
            shown = bar(one.get("score"), one.get("interval"))
            elsewhere = words.percent(one.get("rest"))
        body.append((name, shown, elsewhere, words.count(one.get("n"))))
    return table(label, ("Slice", score, "Elsewhere", "n"), body, numeric=(2, 3))


def _called(one: Report) -> str:
    name, by = str(one.get("name", "")), str(one.get("by", ""))
    return f"{name} by {by}" if name.startswith("the ") else f"{by}: {name}"


def _how(report: Report) -> str:
    n = number(part(part(report, "test"), "slices").get("tested"))
    test = "Mann and Whitney's" if task(report) == "regression" else "Fisher's exact"
    return (
        f"A slice has 10 examples at least. Each of {words.count(n)} was compared with the rest "
        f"by {test} test, corrected for their number (Holm): a model that is equally good "
        "everywhere would be accused in 5 of 100 reports."
    )
