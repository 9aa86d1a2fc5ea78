"""The race at the beginning of training: who took part, who was stopped when and why, who won."""

from __future__ import annotations

from collections.abc import Sequence

from quickstudy.report import words
from quickstudy.report.charts import LEFT, RIGHT, stroke, svg, ticks
from quickstudy.report.markup import Html, join, section, table, tag
from quickstudy.report.reading import Report, number, part, records

_TOP, _BOTTOM = 12, 200
_FOOT = 34  # for the numbers under the axis and its name
_APART = 9  # pixels between the numbers at the ends of the lines
_METHOD = (
    "Each learnt for equal seconds at a time and was then asked about val, examples that it does "
    "not learn from. The loss says how wrong its answers were, and how sure of them: lower is "
    "better. The weakest stopped, and the winner went on with what it had learnt. Differences are "
    "judged example by example: what is hard for all cancels. Where nothing is better by more than "
    "chance, the plan wins."
)

#: Number, name, look, and (seconds, loss) of each judgement.
_Line = tuple[int, str, str, list[tuple[float, float]]]


def race(report: Report) -> Html:
    """Return the curves of the contenders over the seconds each learnt, and what became of them."""
    told = part(report, "race")
    runners = records(told, "contenders")
    if len(runners) < 2:
        return Html()
    won = part(told, "won")
    lines = [
        (place, str(one.get("name", words.NONE)), _look(place, won), points)
        for place, one in enumerate(runners)
        if (points := _points(one))
    ]
    drawn = _drawn(lines) if lines else None
    return section(
        "race",
        "The race",
        tag("p", *_sentence(len(runners), won)),
        tag("div", drawn, tag("p", _METHOD, class_="muted"), class_="charts"),
        tag("h3", "All contenders"),
        _table(report, runners, won),
    )


def _sentence(many: int, won: Report) -> tuple[Html | str, ...]:
    """Return who won, in bold, and by what."""
    began = f"{many} recipes started training together"
    if number(won.get("number")) is None:
        return (f"{began}; none of them came to anything.",)
    took = f", for {words.clock(won.get('took'))} in all" if number(won.get("took")) else ""
    name = str(won.get("name"))
    who = tag("b", f"{name[:1].upper()}{name[1:]} won")
    return (f"{began}{took}. ", who, f": {won.get('why')}.")


def _look(place: int, won: Report) -> str:
    return "c2" if place == won.get("number") else "c1" if place == 0 else "c3"


def _points(one: Report) -> list[tuple[float, float]]:
    return [
        (spent, loss)
        for point in records(one, "points")
        if (spent := number(point.get("spent"))) is not None
        and (loss := number(point.get("loss"))) is not None
    ]


def _drawn(lines: Sequence[_Line]) -> Html:
    """Draw the loss on val over the seconds that each learnt; numbers at the ends name them."""
    every = [point for _, _, _, points in lines for point in points]
    end = max(spent for spent, _ in every)
    low, high = min(loss for _, loss in every), max(loss for _, loss in every)
    margin = 0.06 * ((high - low) or abs(high) or 1.0)
    low, high, right = low - margin, high + margin, RIGHT - 24

    def x(spent: float) -> float:
        return round(LEFT + (right - LEFT) * spent / (end or 1), 1)

    def y(loss: float) -> float:
        return round(_BOTTOM - (_BOTTOM - _TOP) * (loss - low) / (high - low), 1)

    drawn: list[Html] = []
    for value in ticks(low, high, 4):
        drawn.append(stroke(LEFT, y(value), right, y(value), "grid"))
        said = f"{value:.3g}"
        drawn.append(tag("text", said, x=LEFT - 6, y=y(value) + 4, text_anchor="end"))
    drawn.append(stroke(LEFT, _BOTTOM, right, _BOTTOM, "axis"))
    for spent in (0.0, end / 2, end):
        said = words.clock(spent) if spent else "0"
        drawn.append(tag("text", said, x=x(spent), y=_BOTTOM + 14, text_anchor="middle"))
    taken: list[tuple[float, float]] = []
    for place, _, look, points in lines:
        path = "L".join(f"{x(spent)} {y(loss)}" for spent, loss in points)
        drawn.append(tag("path", d=f"M{path}", class_=f"line {look}"))
        dots = (tag("circle", cx=x(s), cy=y(v), r=2.2, class_=look) for s, v in points)
        drawn.append(tag("g", join(dots), class_="dots"))
        at = _free(x(points[-1][0]) + 6, y(points[-1][1]) + 4, taken)
        taken.append(at)
        drawn.append(tag("text", str(place + 1), x=at[0], y=at[1], class_="strong"))
    name = "seconds learnt →"
    drawn.append(tag("text", name, x=right, y=_BOTTOM + 30, text_anchor="end", class_="strong"))
    spoken = "; ".join(
        f"{title} {points[0][1]:.3g} to {points[-1][1]:.3g}" for _, title, _, points in lines
    )
    numbers = tag("span", "numbered as in the table")
    title = tag("figcaption", tag("b", "Loss on val"), numbers)
    return tag("figure", title, svg(_BOTTOM + _FOOT, f"Loss on val: {spoken}", drawn))


def _free(x: float, y: float, taken: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return a place for a number at or beside this one where no other stands."""
    while any(abs(x - a) < _APART and abs(y - b) < _APART for a, b in taken):
        x += _APART
    return round(x, 1), round(y, 1)


def _table(report: Report, runners: Sequence[Report], won: Report) -> Html:
    """Return what each had that the plan has not, how far it came, and what became of it."""
    body = []
    for place, one in enumerate(runners):
        points = records(one, "points")
        last = points[-1] if points else {}
        fate: Html | str = str(one.get("out") or "did not win")
        if place == won.get("number"):
            fate = tag("b", "won", class_="badge")
        changes = part(one, "changes")
        gap = words.NBSP
        what = ", ".join(f"{k}{gap}={gap}{words.setting(v)}" for k, v in changes.items())
        body.append(
            (
                f"{place + 1}{gap}{one.get('name', words.NONE)}",
                what or "nothing: it is the plan",
                words.clock(one.get("spent")),
                words.figure(last.get("loss")),
                words.mark(report, last.get("score")),
                fate,
            )
        )
    score = words.val_score(report)
    head = ("Contender", "What differs", "Learnt for", "Val loss", score, "What became of it")
    return table("The contenders", head, body, numeric=(2, 3, 4), class_="fates")
