"""Whether its probabilities and promises hold: reliability diagram, sets, what doubt buys."""

from __future__ import annotations

from collections.abc import Sequence

from quickstudy.report import words
from quickstudy.report.charts import LEFT, RIGHT, stroke, svg, ticks
from quickstudy.report.markup import Html, join, section, table, tag
from quickstudy.report.reading import Report, ends, number, part, records, rows, task

_TOP, _BOTTOM = 8, 250
_FOOT = 34  # for the numbers under an axis and its name


def believed(report: Report) -> Html:
    """Return how far its probabilities, and the sets that it promises, are to be believed."""
    told = part(report, "calibration")
    return section(
        "believed",
        "How far to believe it",
        _reliable(part(told, "reliability")),
        _promised(part(told, "sets"), task(report)),
        _doubting(part(told, "selective")),
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
    x, y = _across, _up
    drawn = [*_frame(0.0), stroke(x(0), y(0, 0), x(1), y(1, 0), "equal")]
    drawn += [stroke(x(said), y(i[0], 0), x(said), y(i[1], 0), "axis") for said, _, _, i in bins]
    dots = (tag("circle", cx=x(said), cy=y(came, 0), r=3.5) for said, came, _, _ in bins)
    drawn.append(tag("g", join(dots), class_="points"))
    drawn += _names("it said →", "it was right ↑")
    return tag(
        "figure",
        tag("figcaption", tag("b", "When it says 90 %, is it right 9 times in 10?")),
        svg(_BOTTOM + _FOOT, f"Reliability diagram of {len(bins)} groups", drawn),
        tag(
            "small",
            "On the line the two are equal; below it, it is too sure. Off by "
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
        promise, size = number(one.get("promised")), number(one.get("size"))
        if value is None or interval is None or promise is None:
            continue
        shown = "everything" if size is None else words.plain(size)
        body.append([words.percent(promise), words.percent(value), words.span(interval), shown])
    wide = "mean width" if what == "regression" else "labels in a set"
    held = "Ranges" if what == "regression" else "Sets"
    return join(
        [
            tag(
                "p",
                f"{held} that hold the truth as often as asked: predict(..., coverage=0.95). "
                f"Settled on {n:,.0f} examples it had not learnt from, measured on the test. "
                "Where one label alone is right more often than asked, it stays one label.",
            ),
            table("Promises", ["promised", "held", "95 % sure", wide], body, numeric=(1, 2, 3)),
        ]
    )


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


def _frame(low: float) -> list[Html]:
    drawn: list[Html] = []
    for value in ticks(low, 1, 4):
        said, at = words.percent(value, short=True), _up(value, low)
        drawn += [
            stroke(LEFT, at, RIGHT, at, "grid"),
            tag("text", said, x=LEFT - 6, y=at + 4, text_anchor="end"),
        ]
    for value in ticks(0, 1, 4):
        at = _across(value)
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
        tag("text", up, x=LEFT + 6, y=_TOP + 10, class_="strong"),
    ]
