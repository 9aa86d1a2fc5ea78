"""Small figures in SVG by hand. The page's style sheet colours them, in light and in dark.

Each panel is 360 wide: its letters stay readable on a phone, and two fit side by side on a desk.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from keeping import FIGURES
from quickstudy.report.charts import LEFT, RIGHT, WIDTH, stroke, ticks
from quickstudy.report.markup import Html, tag
from quickstudy.report.words import tick

TOP = 10
Span = tuple[float, float]
Points = Sequence[tuple[float, float]]
#: Blue and vermilion of Okabe and Ito (2008): told apart by every kind of eye.
BLUE, RED = (0, 114, 178), (213, 94, 0)


class Panel:
    """One chart: `x` and `y` are what its axes span, `across` and `up` what they are called."""

    def __init__(self, title: str, x: Span, y: Span, across: str, up: str, height: int = 230):
        self.title, self.x, self.y, self.height = title, x, y, height
        self.bottom = height - 36
        self.back: list[Html] = []
        self.front: list[Html] = []
        self.keys: list[Html] = []
        for value in ticks(*x, 5) if across else ():
            self.back.append(self._number(value, self.to(value, 0)[0], self.bottom + 15, "middle"))
        for value in ticks(*y, 4):
            level = self.to(0, value)[1]
            self.back.append(stroke(LEFT, level, RIGHT, level, "grid"))
            self.back.append(self._number(value, LEFT - 6, level + 4, "end"))
        self.back += [
            tag(
                "text",
                across and f"{across} →",
                x=RIGHT,
                y=height - 5,
                text_anchor="end",
                class_="name",
            ),
            tag("text", f"↑ {up}", x=LEFT, y=height - 5, class_="name"),
        ]

    @staticmethod
    def _number(value: float, x: float, y: float, anchor: str) -> Html:
        return tag("text", tick(value), x=round(x, 1), y=round(y, 1), text_anchor=anchor)

    def to(self, x: float, y: float) -> tuple[float, float]:
        """Return where a point lies in the drawing; what is beyond the axes lies on their ends."""
        across = (min(max(x, self.x[0]), self.x[1]) - self.x[0]) / (self.x[1] - self.x[0])
        up = (min(max(y, self.y[0]), self.y[1]) - self.y[0]) / (self.y[1] - self.y[0])
        return (
            round(LEFT + (RIGHT - LEFT) * across, 1),
            round(self.bottom - (self.bottom - TOP) * up, 1),
        )

    def line(self, points: Points, look: str, name: str = "") -> Panel:
        """Draw a line in the look ``a``, ``b``, ``c`` or ``plain``."""
        path = "L".join(f"{x} {y}" for x, y in (self.to(*point) for point in points))
        self.front.append(tag("path", d=f"M{path}", class_=f"line {look}"))
        return self._key(look, name)

    def dots(self, points: Points, look: str, name: str = "", size: float = 3.2) -> Panel:
        """Draw dots."""
        for x, y in (self.to(*point) for point in points):
            self.front.append(tag("circle", cx=x, cy=y, r=size, class_=f"dot {look}"))
        return self._key(f"{look} round", name)

    def bars(self, heights: Points, width: float, look: str, name: str = "") -> Panel:
        """Draw bars of one width that stand on the lower axis."""
        for middle, tall in heights:
            (left, high), (right, low) = (
                self.to(middle - width / 2, tall),
                self.to(middle + width / 2, self.y[0]),
            )
            wide, up = round(right - left, 1), round(low - high, 1)
            self.front.append(tag("rect", x=left, y=high, width=wide, height=up, class_=look))
        return self._key(f"{look} round", name)

    def surface(self, values: np.ndarray, *, bands: int = 12, both: bool = False) -> Panel:
        """Lay values ``rows columns`` in 0 to 1 (the first row lowest) under all: deeper, bluer.

        With `both`, 0 is blue, 1 is vermilion, and what lies between is pale.
        """
        level = np.floor(np.clip(values[::-1], 0, 0.9999) * bands) / (bands - 1)
        strength = abs(2 * level - 1) if both else level
        pixels = np.empty((*level.shape, 4), np.uint8)
        pixels[..., :3] = np.where(level[..., None] > 0.5, RED, BLUE) if both else BLUE
        pixels[..., 3] = 15 + 165 * strength
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG", optimize=True)
        said = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
        place = {"x": LEFT, "y": TOP, "width": RIGHT - LEFT, "height": self.bottom - TOP}
        self.back.insert(0, tag("image", href=said, preserveAspectRatio="none", **place))
        return self

    def note(self, text: str, x: float, y: float, anchor: str = "start") -> Panel:
        """Write beside a point."""
        across, up = self.to(x, y)
        said = tag("text", text, x=across, y=up, text_anchor=anchor, class_="note")
        self.front.append(said)
        return self

    def _key(self, look: str, name: str) -> Panel:
        if name:
            sign = tag("span", class_=f"key {look}", aria_hidden="true")
            self.keys.append(tag("span", sign, name))
        return self

    def html(self) -> Html:
        """Return the panel with its title and what its looks mean."""
        axes = [stroke(LEFT, self.bottom, RIGHT, self.bottom, "axis")]
        axes.append(stroke(LEFT, TOP, LEFT, self.bottom, "axis"))
        view = f"0 0 {WIDTH} {self.height}"
        drawing = tag("svg", *self.back, *axes, *self.front, viewBox=view, aria_hidden="true")
        return tag("div", tag("b", self.title), tag("div", *self.keys, class_="keys"), drawing)


def save(name: str, spoken: str, *panels: Panel) -> None:
    """Write a figure for the page; `spoken` is what a screen reader says instead of it."""
    FIGURES.mkdir(parents=True, exist_ok=True)
    drawn = tag("div", *(one.html() for one in panels), class_="panels")
    whole = tag("figure", drawn, class_="drawn", role="img", aria_label=spoken)
    (FIGURES / f"{name}.html").write_text(whole, encoding="utf-8")
