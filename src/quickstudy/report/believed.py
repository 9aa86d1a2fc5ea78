"""Whether its probabilities and promises hold: reliability diagram, sets, what doubt buys."""

from __future__ import annotations

import math
from collections.abc import Sequence

from quickstudy.report import words
from quickstudy.report.charts import LEFT, RIGHT, stroke, svg, ticks
from quickstudy.report.markup import Html, fold, join, section, table, tag
from quickstudy.report.reading import Report, ends, number, part, records, rows, task

_HONEST = 0.02  # calibration error below which a percentage is as good as its word
_MEASURES = {
    "neighbours": "the distance to the nearest examples learnt from",
    "mahalanobis": "the distance to the nearest class's middle",
    "energy": "the strength of its answer",
}
_TOP, _BOTTOM = 26, 250
_FOOT = 34  # for the numbers under an axis and its name


def believed(report: Report) -> Html:
    """Return how far its probabilities, its sets, and its silence are to be believed."""
    told = part(report, "calibration")
    figures = [_reliable(part(told, "reliability")), _doubting(part(told, "selective"))]
    drawn = [one for one in figures if one]
    return section(
        "believed",
        "How far to believe it",
        _in_short(told, report),
        tag("div", *drawn, class_="charts") if drawn else None,
        _promised(part(told, "sets"), task(report)),
        _tried(part(told, "unknown"), report),
    )


def _in_short(told: Report, report: Report) -> Html | None:
    """Return the section in three sentences."""
    found = [_honest(part(told, "reliability")), *_refusing(part(told, "unknown"), report)]
    lines = [tag("li", tag("b", bold), rest) for bold, rest in found if bold]
    return tag("ul", *lines) if lines else None


def _honest(told: Report) -> tuple[str, str]:
    ece = part(told, "ece")
    value, interval = number(ece.get("value")), ends(ece.get("interval"))
    if value is None or interval is None:
        return "", ""
    off = f"On average they are off by {words.percent(value)} (95 % sure: {words.span(interval)})."
    if value < _HONEST:
        return "Its percentages can be taken at their word. ", off
    if interval[0] < _HONEST:
        return "Its percentages are about right. ", off
    return "Take its percentages with care. ", off


def _refusing(told: Report, report: Report) -> list[tuple[str, str]]:
    """Return what is said of what it does not know: how often, and what that buys."""
    many = words.noun(report, 2)
    if why := told.get("why"):
        said = f" to {many} unlike all it learnt from: {why}. It answers them like any other."
        return [("It cannot say “none of these”", said)]
    test = part(told, "test")
    refused = part(test, "refused")
    value, interval = number(refused.get("value")), ends(refused.get("interval"))
    if value is None or interval is None:
        return []
    said = (
        f" to {many} unlike all it learnt from. Of the test, which it should know, it refused "
        f"{words.percent(value)} (95 % sure: {words.span(interval)}; at most 5 % is the aim)."
    )
    right, wrong = (number(part(test, key).get("value")) for key in ("answered", "rest"))
    if right is not None and wrong is not None:
        said += (
            f" What it answered is right in {words.percent(right)}; of what it refused, its first "
            f"guess was right in {words.percent(wrong)}."
        )
    verb = "says “none of these”" if task(report) == "classification" else "says “unlike all”"
    return [(f"It {verb}", said)]


def _tried(told: Report, report: Report) -> Html | None:
    """Return which measure was chosen, and on what."""
    tried, name = part(told, "tried"), str(told.get("measure") or "")
    if not tried or not part(tried, name):
        return None
    many = words.noun(report, 2)
    names = [one for one in _MEASURES if part(tried, one)]
    body = [
        [sort, *(words.percent(part(tried, one).get(sort)) for one in names)]
        for sort in part(tried, name)
    ]
    head = [f"{many} made unlike", *(_MEASURES[one] for one in names)]
    return fold(
        "How it tells what it does not know",
        tag(
            "p",
            f"By {_MEASURES[name]}, as the network's last layer sees it: of what was tried, that "
            f"told {many} it had not learnt from best from others made of them to be unlike. In "
            "the table: how often the one made unlike counted as less known than one "
            "held out (100 % is perfect, 50 % is guessing).",
        ),
        table("Measures", head, body, numeric=range(1, len(head))),
    )


def _reliable(told: Report) -> Html | None:
    bins = [
        (said, came, n, interval)
        for one in records(told, "bins")
        if (said := number(one.get("confidence"))) is not None
        and (came := number(one.get("accuracy"))) is not None
        and (n := number(one.get("n"))) is not None
        and (interval := ends(one.get("interval"))) is not None
    ]
    ece = part(told, "ece")
    value, interval = number(ece.get("value")), ends(ece.get("interval"))
    if not bins or value is None or interval is None:
        return None
    low = math.floor(10 * min(min(said, i[0]) for said, _, _, i in bins)) / 10
    low = min(low, 0.9)

    def x(value: float) -> float:
        return _across((value - low) / (1 - low))

    drawn = [*_frame(low, low), stroke(x(low), _up(low, low), x(1), _up(1, low), "equal")]
    drawn += [
        stroke(x(said), _up(i[0], low), x(said), _up(i[1], low), "axis") for said, _, _, i in bins
    ]
    dots = (tag("circle", cx=x(said), cy=_up(came, low), r=3.5) for said, came, _, _ in bins)
    drawn.append(tag("g", join(dots), class_="points"))
    drawn += _names("it said →", "it was right ↑")
    return tag(
        "figure",
        tag("figcaption", tag("b", "When it says 90 %, is it right 9 times in 10?")),
        svg(_BOTTOM + _FOOT, f"Reliability diagram of {len(bins)} groups", drawn),
        tag(
            "small",
            "Each dot stands for as many examples; on the line the two are equal, below it, it "
            "is too sure. Off by "
            f"{words.percent(value)} on average (expected calibration error; "
            f"95 % sure: {words.span(interval)}).",
        ),
    )


def _promised(told: Report, what: str) -> Html | None:
    measured = records(told, "measured")
    n = number(told.get("n"))
    if not measured or n is None:
        return None
    body = []
    for one in measured:
        share = part(one, "share")
        value, interval = number(share.get("value")), ends(share.get("interval"))
        asked, size = number(one.get("asked")), number(one.get("size"))
        if value is None or interval is None or asked is None:
            continue
        shown = "everything" if size is None else words.plain(size)
        named = [str(one.get("name"))] if what == "regression" else []
        promise = words.percent(one.get("promised"))
        held = f"{words.percent(value)} ({words.span(interval)})"
        body.append([*named, words.percent(asked, short=True), promise, held, shown])
    named = ["number"] if what == "regression" else []
    wide = "mean width" if what == "regression" else "labels in a set, on average"
    head = [*named, "asked for", "promised", "held on the test (95 % sure)", wide]
    said = tag("p", _asking(n, what))
    return join([tag("h3", "When it must be right"), said, _table(head, body)])


def _asking(n: float, what: str) -> str:
    held = "the range of each number" if what == "regression" else "the labels"
    said = (
        f"Ask with predict --coverage 0.95, and it answers with {held} that hold the truth 95 "
        f"times in 100, of examples like these. Settled on {n:,.0f} before they were learnt from."
    )
    if what == "classification":
        said += " Where one label alone is right more often than asked, it stays one label."
    return said


def _table(head: list[str], body: list[list[str]]) -> Html:
    return table("Promises", head, body, numeric=range(1, len(head)))


def _doubting(told: Report) -> Html | None:
    points = [
        (share, right)
        for one in rows(told, "curve")
        if isinstance(one, Sequence) and len(one) == 2
        if (share := number(one[0])) is not None and (right := number(one[1])) is not None
    ]
    if len(points) < 2:
        return None
    low = max(0.0, min(right for _, right in points) - 0.02)
    path = "L".join(f"{_across(share)} {_up(right, low)}" for share, right in points)
    drawn = [*_frame(low), tag("path", d=f"M{path}", class_="line c2")]
    drawn += _names("share answered →", "right of those ↑")
    half = min(points, key=lambda point: abs(point[0] - 0.8))
    return tag(
        "figure",
        tag("figcaption", tag("b", "What it would gain by answering only where it is sure")),
        svg(_BOTTOM + _FOOT, f"Accuracy against coverage, {len(points)} points", drawn),
        tag(
            "small",
            f"Answering the surest {words.percent(half[0])} it is right in "
            f"{words.percent(half[1])}; answering all, in {words.percent(points[-1][1])}.",
        ),
    )


def _across(value: float) -> float:
    return round(LEFT + (RIGHT - LEFT) * value, 1)


def _up(value: float, low: float) -> float:
    return round(_BOTTOM - (_BOTTOM - _TOP) * (value - low) / ((1 - low) or 1), 1)


def _frame(low: float, left: float = 0.0) -> list[Html]:
    drawn: list[Html] = []
    for value in ticks(low, 1, 4):
        said, at = words.percent(value, short=True), _up(value, low)
        drawn += [
            stroke(LEFT, at, RIGHT, at, "grid"),
            tag("text", said, x=LEFT - 6, y=at + 4, text_anchor="end"),
        ]
    for value in ticks(left, 1, 4):
        at = _across((value - left) / (1 - left))
        drawn.append(
            tag(
                "text", words.percent(value, short=True), x=at, y=_BOTTOM + 14, text_anchor="middle"
            )
        )
    drawn.append(stroke(LEFT, _BOTTOM, RIGHT, _BOTTOM, "axis"))
    return [*drawn, stroke(LEFT, _TOP, LEFT, _BOTTOM, "axis")]


def _names(across: str, up: str) -> list[Html]:
    return [
        tag("text", across, x=RIGHT, y=_BOTTOM + 28, text_anchor="end", class_="strong"),
        tag("text", up, x=LEFT, y=_TOP - 12, class_="strong"),
    ]
