"""Numbers predicted against true ones, and the errors, in SVG by hand; as in `charts`."""

from __future__ import annotations

from collections.abc import Sequence

from quickstudy.report import words
from quickstudy.report.charts import LEFT, RIGHT, stroke, svg, ticks
from quickstudy.report.markup import Html, join, tag

_TOP, _BOTTOM = 8, 290
_FOOT = 34  # for the numbers under an axis and its name


def against(name: str, points: Sequence[tuple[float, float]], n: int, noun: str) -> Html:
    """Draw predicted against true (`points`, some of `n`) with the line on which both are equal."""
    values = [value for pair in points for value in pair]
    low, high = min(values), max(values)
    spare = 0.03 * (high - low) or 0.5 * abs(high) or 1.0
    low, high = low - spare, high + spare

    def x(value: float) -> float:
        return round(LEFT + (RIGHT - LEFT) * (value - low) / (high - low), 1)

    def y(value: float) -> float:
        return round(_BOTTOM - (_BOTTOM - _TOP) * (value - low) / (high - low), 1)

    drawn: list[Html] = []
    for value in ticks(low, high, 4):
        said = words.tick(value)
        drawn += [
            stroke(LEFT, y(value), RIGHT, y(value), "grid"),
            stroke(x(value), _TOP, x(value), _BOTTOM, "grid"),
            tag("text", said, x=LEFT - 6, y=y(value) + 4, text_anchor="end"),
            tag("text", said, x=x(value), y=_BOTTOM + 14, text_anchor="middle"),
        ]
    drawn += [
        stroke(LEFT, _BOTTOM, RIGHT, _BOTTOM, "axis"),
        stroke(LEFT, _TOP, LEFT, _BOTTOM, "axis"),
        stroke(x(low), y(low), x(high), y(high), "equal"),
        tag("g", join(tag("circle", cx=x(t), cy=y(p), r=2.6) for t, p in points), class_="points"),
        tag("text", "true →", x=RIGHT, y=_BOTTOM + 28, text_anchor="end", class_="strong"),
        tag("text", "predicted ↑", x=LEFT + 6, y=_TOP + 10, class_="strong"),
    ]
    some = f"{len(points):,} of {n:,} {noun}, drawn at random. " if len(points) < n else ""
    spoken = f"{name}: predicted against true of {len(points):,} {noun}"
    return tag(
        "figure",
        tag("figcaption", tag("b", f"{name}: predicted against true")),
        svg(_BOTTOM + _FOOT, spoken, drawn),
        tag("small", f"{some}On the orange line both are equal; above it, it said too much."),
    )


def histogram(
    name: str, edges: Sequence[float], counts: Sequence[float], beyond: tuple[int, int]
) -> Html:
    """Draw how often which error happened; `beyond` is how many lie below and above the ends."""
    low, high, most = edges[0], edges[-1], max(counts) or 1
    bottom = 170

    def x(value: float) -> float:
        return round(LEFT + (RIGHT - LEFT) * (value - low) / ((high - low) or 1), 1)

    drawn: list[Html] = []
    for value in ticks(0, most, 3):
        if value == round(value):
            y = round(bottom - (bottom - _TOP) * value / most, 1)
            drawn.append(stroke(LEFT, y, RIGHT, y, "grid"))
            drawn.append(tag("text", words.tick(value), x=LEFT - 6, y=y + 4, text_anchor="end"))
    for left, right, n in zip(edges, edges[1:], counts, strict=False):
        tall = round((bottom - _TOP) * n / most, 1)
        wide = round(x(right) - x(left) - 1, 1)
        drawn.append(tag("rect", x=x(left), y=bottom - tall, width=wide, height=tall, class_="bin"))
    for value in ticks(low, high, 4):
        said = words.tick(value)
        drawn.append(tag("text", said, x=x(value), y=bottom + 14, text_anchor="middle"))
    drawn += [
        stroke(LEFT, bottom, RIGHT, bottom, "axis"),
        stroke(x(0), _TOP, x(0), bottom, "equal"),
        tag("text", "too much →", x=RIGHT, y=bottom + 28, text_anchor="end", class_="strong"),
        tag("text", "← too little", x=LEFT, y=bottom + 28, class_="strong"),
    ]
    spoken = f"{name}: errors from {words.plain(low)} to {words.plain(high)}"
    below, above = beyond
    rest = f"Beyond the ends: {below:,} too little, {above:,} too much." if below or above else None
    return tag(
        "figure",
        tag("figcaption", tag("b", f"{name}: its errors")),
        svg(bottom + _FOOT, spoken, drawn),
        tag("small", rest) if rest else None,
    )
