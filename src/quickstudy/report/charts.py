"""Small pictures of numbers, in SVG by hand. Coordinates are pixels of a 360-wide drawing.

A drawing that narrow keeps its letters readable on a phone, and two fit side by side on a desk.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from quickstudy.report.markup import Html, join, tag
from quickstudy.report.words import NBSP, clock, percent

WIDTH, LEFT, RIGHT = 360, 44, 350
_TIMES = (
    0.1,
    0.2,
    0.5,
    1,
    2,
    5,
    10,
    20,
    30,
    60,
    120,
    300,
    600,
    900,
    1800,
    3600,
    7200,
    14400,
    43200,
)
#: More points than a drawing has pixels say nothing more.
_POINTS = 700


@dataclass(frozen=True)
class Line:
    """One line of a chart: its `name`, CSS class `look`, and points (seconds, value)."""

    name: str
    look: str
    points: Sequence[tuple[float, float]]
    steps: bool = False
    """The value holds until the next point: draw a staircase."""


@dataclass(frozen=True)
class Chart:
    """One panel over the seconds of a run."""

    title: str
    lines: Sequence[Line]
    label: Callable[[float], str]
    """How a value is written on the axis."""
    height: int = 190
    floor: float | None = 0.0
    """The lowest value of the axis; None takes it from the data."""
    ceiling: float | None = None
    deepest: float | None = None
    """With `floor` None: values below this one are cut off, where others are above it."""


def score(
    value: float,
    interval: tuple[float, float] | None,
    guess: float | None,
    said: Callable[[float], str] = percent,
    top: str = "100",
) -> Html:
    """Draw a score with its 95 % interval, and what a guess would score, from 0 to `top`."""

    def x(share: float) -> float:
        return round(16 + 328 * min(max(share, 0.0), 1.0), 1)

    def note(share: float, y: int, text: str, look: str) -> Html:
        anchor = "start" if share < 0.2 else "end" if share > 0.8 else "middle"
        return tag("text", text, x=x(share), y=y, text_anchor=anchor, class_=look)

    drawn = [stroke(16, 34, 344, 34, "track")]
    spoken = f"score {said(value)}"
    if interval:
        low, high = x(interval[0]), x(interval[1])
        wide = round(max(high - low, 2), 1)
        drawn.append(tag("rect", x=low, y=25, width=wide, height=18, rx=3, class_="band"))
        spoken += f", interval {said(interval[0])} to {said(interval[1])}"
    if guess is not None:
        guessed = said(guess).replace(f".0{NBSP}%", f"{NBSP}%")
        drawn += [
            stroke(x(guess), 25, x(guess), 50, "guess"),
            note(guess, 64, f"guess {guessed}", "muted"),
        ]
        spoken += f", a guess {guessed}"
    drawn += [
        tag("rect", x=x(value) - 1.5, y=21, width=3, height=26, rx=1, class_="dot"),
        note(value, 16, said(value), "strong"),
    ]
    if guess is None or guess > 0.2:
        drawn.append(tag("text", "0", x=16, y=64, text_anchor="middle", class_="muted"))
    if guess is None or guess < 0.8:
        drawn.append(tag("text", top, x=344, y=64, text_anchor="middle", class_="muted"))
    return svg(72, spoken, drawn)


def over_time(chart: Chart, end: float) -> Html:
    """Draw a chart from 0 to `end` seconds; the legend tells lines apart by dash and by colour."""
    low, high, cut, deep = _range(chart)
    bottom = chart.height - 20
    top = 8

    def x(seconds: float) -> float:
        return round(LEFT + (RIGHT - LEFT) * seconds / (end or 1), 1)

    def y(value: float) -> float:
        share = (min(max(value, low), high) - low) / ((high - low) or 1)
        return round(bottom - (bottom - top) * share, 1)

    drawn: list[Html] = []
    for value in ticks(low, high, 4 if chart.height > 100 else 1):
        drawn.append(stroke(LEFT, y(value), RIGHT, y(value), "grid"))
        said = chart.label(value)
        drawn.append(tag("text", said, x=LEFT - 6, y=y(value) + 4, text_anchor="end"))
    for seconds in _time_ticks(end):
        anchor = "end" if x(seconds) > RIGHT - 12 else "middle"
        said = clock(seconds) if seconds else "0"
        drawn.append(tag("text", said, x=x(seconds), y=chart.height - 4, text_anchor=anchor))
    drawn.append(stroke(LEFT, bottom, RIGHT, bottom, "axis"))
    for line in chart.lines:
        drawn += _draw(line, x, y)
    spoken = "; ".join(f"{line.name} {_story(line, chart.label)}" for line in chart.lines)
    legend = [
        tag("span", tag("span", class_=f"key {line.look}", aria_hidden="true"), line.name)
        for line in chart.lines
        if len(chart.lines) > 1
    ]
    title = tag("figcaption", tag("b", chart.title), *legend)
    note = tag("small", "Higher values are cut off at the top.") if cut else None
    if deep:
        note = tag("small", "Lower values are cut off at the bottom.")
    return tag("figure", title, svg(chart.height, f"{chart.title}: {spoken}", drawn), note)


def svg(height: int, spoken: str, drawn: Sequence[Html]) -> Html:
    """Return a drawing with the sentence a screen reader says for it."""
    return tag("svg", *drawn, viewBox=f"0 0 {WIDTH} {height}", role="img", aria_label=spoken)


def stroke(x1: float, y1: float, x2: float, y2: float, look: str) -> Html:
    """Return a straight line of the CSS class `look`."""
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=look)


def _story(line: Line, label: Callable[[float], str]) -> str:
    first, last = line.points[0], line.points[-1]
    return f"from {label(first[1])} to {label(last[1])} in {clock(last[0])}"


def _draw(line: Line, x: Callable[[float], float], y: Callable[[float], float]) -> list[Html]:
    """Return the path of one line, with dots where the points are few."""
    stride = max(1, len(line.points) // _POINTS)
    points = list(line.points[::stride])
    if points[-1] != line.points[-1]:
        points.append(line.points[-1])
    path = [f"M{x(points[0][0])} {y(points[0][1])}"]
    for seconds, value in points[1:]:
        path.append(f"H{x(seconds)}V{y(value)}" if line.steps else f"L{x(seconds)} {y(value)}")
    drawn = [tag("path", d="".join(path), class_=f"line {line.look}")]
    if len(points) <= (1 if line.steps else 40):
        dots = (tag("circle", cx=x(s), cy=y(v), r=2.2, class_=line.look) for s, v in points)
        drawn.append(tag("g", join(dots), class_="dots"))
    return drawn


def _range(chart: Chart) -> tuple[float, float, bool, bool]:
    """Return the lowest and highest value of the axis, and whether values above or below are cut.

    Above, a rare peak is; below, what is deeper than `deepest`.
    """
    values = sorted(value for line in chart.lines for _, value in line.points)
    low = values[0] if chart.floor is None else chart.floor
    high = values[-1] if chart.ceiling is None else chart.ceiling
    usual = values[int(0.95 * (len(values) - 1))]
    cut = chart.ceiling is None and usual > 0 and high > 3 * usual
    if cut:
        high = 1.5 * usual
    deep = chart.deepest is not None and low < chart.deepest < values[-1]
    if chart.floor is None:
        low = chart.deepest if deep and chart.deepest is not None else low
        step = _step(high - low, 4)
        low = step * (low // step)
    return (low, high, cut, deep) if high > low else (low, low + (abs(low) or 1.0), cut, deep)


def _step(extent: float, wanted: int) -> float:
    """Return the 1, 2 or 5 times a power of ten that makes about `wanted` ticks."""
    rough = max(extent, 1e-12) / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= 0.999 * rough)


def ticks(low: float, high: float, wanted: int) -> list[float]:
    """Return some `wanted` round values between `low` and `high`; of one wanted, the ends."""
    if wanted == 1:
        return [low, high]
    step = _step(high - low, wanted)
    first = -int(-low // step)
    return [n * step for n in range(first, first + 12) if low <= n * step <= high * 1.0001]


def _time_ticks(end: float) -> list[float]:
    step = next((s for s in _TIMES if end / s <= 5), end / 4 or 1.0)
    return [n * step for n in range(6) if n * step <= end]
