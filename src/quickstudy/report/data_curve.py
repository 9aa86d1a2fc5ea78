"""The learning curve over data: would more of it help, or another network?"""

from __future__ import annotations

from quickstudy.report import words
from quickstudy.report.charts import LEFT, RIGHT, stroke, svg, ticks
from quickstudy.report.markup import Html, section, tag
from quickstudy.report.reading import Report, ends, number, part, records, rows, task

_TOP, _BOTTOM = 24, 210
_FOOT = 34  # for the numbers under the axis and its name
_INSET = 30  # pixels between the axis and the first point
_SCORES = {"regression": "R²", "multilabel": "mean average precision"}
_ON = {
    "cross-validation": "of train and val, each by a fit that had not learnt from it "
    "(cross-validation).",
    "val": "of val, which steered each of them.",
}
_METHOD = (
    "The test had no part in it. Bars are 95 % ranges. Drawn with {how}, so the height may differ "
    "from the score above; the slope is what counts."
)


def data_curve(report: Report) -> Html:
    """Return the curve with what it says; where it was not drawn, why."""
    told = part(report, "data_curve")
    if told.get("why"):
        return section(
            "data-curve", "Would more data help?", tag("p", f"Not drawn: {told['why']}.")
        )
    points = [
        (n, value, interval)
        for learnt, one in zip(rows(told, "learnt"), records(told, "scores"), strict=False)
        if (n := number(learnt)) is not None
        and (value := number(one.get("value"))) is not None
        and (interval := ends(one.get("interval"))) is not None
    ]
    if len(points) < 2:
        return Html()
    on = _ON.get(str(told.get("on")), _ON["cross-validation"])
    asked = f"{words.count(told.get('asked'))} {words.noun(report)}"
    method = f"Every point is asked about the same {asked} {on} {_METHOD}"
    method = method.format(how=str(told.get("how", "")))
    drawn = _drawn(report, points, number(part(told, "train").get("value")))
    return section(
        "data-curve",
        "Would more data help?",
        tag("p", *_sentence(told)),
        tag("div", drawn, tag("p", method, class_="muted"), class_="charts"),
    )


def _sentence(told: Report) -> tuple[Html, str]:
    """Return the verdict in bold, and what it rests on."""
    said = str(told.get("sentence", "")).replace("R2", "R²").replace(" -", f" {words.MINUS}")
    verdict, colon, rest = said.partition(":")
    return tag("b", verdict + colon), rest


def _drawn(
    report: Report,
    points: list[tuple[float, float, tuple[float, float]]],
    train: float | None,
) -> Html:
    low = min(interval[0] for _, _, interval in points)
    high = max([interval[1] for _, _, interval in points] + ([] if train is None else [train]))
    margin = 0.08 * ((high - low) or 1.0)
    low, high = low - margin, min(high + margin, 1.0 if high <= 1 else high)
    step = (RIGHT - LEFT - 2 * _INSET) / (len(points) - 1)

    def x(place: int) -> float:
        return round(LEFT + _INSET + step * place, 1)

    def y(value: float) -> float:
        return round(_BOTTOM - (_BOTTOM - _TOP) * (value - low) / ((high - low) or 1), 1)

    drawn: list[Html] = []
    for value in ticks(low, high, 4):
        said = words.mark(report, value, short=True)
        drawn.append(stroke(LEFT, y(value), RIGHT, y(value), "grid"))
        drawn.append(tag("text", said, x=LEFT - 6, y=y(value) + 4, text_anchor="end"))
    drawn.append(stroke(LEFT, _BOTTOM, RIGHT, _BOTTOM, "axis"))
    if train is not None:
        drawn.append(stroke(LEFT, y(train), RIGHT, y(train), "equal"))
        spoken = f"on what it learnt from {words.mark(report, train)}"
        drawn.append(tag("text", spoken, x=RIGHT, y=y(train) - 5, text_anchor="end"))
    path = "L".join(f"{x(i)} {y(value)}" for i, (_, value, _) in enumerate(points))
    drawn.append(tag("path", d=f"M{path}", class_="line c2"))
    for place, (n, value, interval) in enumerate(points):
        drawn.append(stroke(x(place), y(interval[0]), x(place), y(interval[1]), "axis"))
        drawn.append(tag("circle", cx=x(place), cy=y(value), r=3.5, class_="point"))
        last = place == len(points) - 1
        anchor, shift = ("end", -7) if last else ("start", 7)
        said = words.mark(report, value)
        below = not last and points[place + 1][1] >= value
        at = y(value) + (16 if below else -8)
        drawn.append(
            tag("text", said, x=x(place) + shift, y=at, text_anchor=anchor, class_="strong")
        )
        drawn.append(tag("text", words.count(n), x=x(place), y=_BOTTOM + 14, text_anchor="middle"))
    name = f"{words.noun(report)} learnt from →"
    drawn.append(tag("text", name, x=RIGHT, y=_BOTTOM + 30, text_anchor="end", class_="strong"))
    score = _SCORES.get(task(report), "correct")
    spoken = "; ".join(f"{words.count(n)}: {words.mark(report, value)}" for n, value, _ in points)
    return svg(_BOTTOM + _FOOT, f"Learning curve over data, {score}: {spoken}", drawn)
