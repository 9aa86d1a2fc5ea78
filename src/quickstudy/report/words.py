"""Numbers in plain words."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from quickstudy.report.reading import Report, ends, number, part, task

#: Between a number and its unit: the two never part at the end of a line.
NBSP = "\u00a0"
NONE = "–"
MINUS = "−"
_NOUNS = {"image": "picture", "sound": "recording", "table": "row"}


def _points(share: float) -> str:
    """Return a share in percent without its sign; only 1 is "100" and only 0 is "0"."""
    if share in (0, 1):
        return str(int(100 * share))
    return f"{min(max(100 * share, 0.1), 99.9):.1f}" if 0 < share < 1 else f"{100 * share:.1f}"


def percent(share: Any, *, short: bool = False) -> str:
    """Return ``96.7 %``; `short` drops a needless ``.0``."""
    value = number(share)
    if value is None:
        return NONE
    said = _points(value)
    return f"{said.removesuffix('.0') if short else said}{NBSP}%"


def span(interval: Any) -> str:
    """Return ``94.0 to 98.2 %``."""
    found = ends(interval)
    return NONE if found is None else f"{_points(found[0])} to {_points(found[1])}{NBSP}%"


def clock(seconds: Any) -> str:
    """Return ``2.9 s``, ``33 s``, ``3:40`` or ``1:02:03``."""
    value = number(seconds)
    if value is None:
        return NONE
    if value < 9.95:
        return f"{value:.1f}".removesuffix(".0") + f"{NBSP}s"
    whole = round(value)
    if whole < 60:
        return f"{whole}{NBSP}s"
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


def length(seconds: Any) -> str:
    """Return ``0.42 s`` or ``2.3 s`` for how long a recording lasts; from 10 s on as `clock`."""
    value = number(seconds)
    if value is None or value >= 9.95:
        return clock(value)
    return f"{value:.2g}{NBSP}s"


def count(value: Any) -> str:
    """Return ``2,000``."""
    found = number(value)
    return NONE if found is None else f"{int(found):,}"


def plain(value: Any, digits: int = 3) -> str:
    """Return a number with about `digits` significant digits, as one would write it."""
    found = number(value)
    if found is None:
        return NONE
    rounded = float(f"{found:.{digits}g}")
    if rounded == 0 or not 1e-4 <= abs(rounded) < 1e15:
        return f"{rounded:g}".replace("-", MINUS, 1 if rounded < 0 else 0)
    places = max(0, digits - 1 - math.floor(math.log10(abs(rounded))))
    said = f"{rounded:,.{places}f}"
    short = said.rstrip("0").rstrip(".") if "." in said else said
    exact = abs(float(short.replace(",", "")) - found) <= 1e-9 * abs(found)
    return (short if exact else said).replace("-", MINUS)


def plain_span(interval: Any) -> str:
    """Return ``2.9 to 3.5``."""
    found = ends(interval)
    return NONE if found is None else f"{plain(found[0])} to {plain(found[1])}"


def fraction(value: Any) -> str:
    """Return R² with two decimals; only 1 itself is ``1``."""
    found = number(value)
    if found is None:
        return NONE
    if found == 1:
        return "1"
    for digits in range(2, 9):
        text = f"{found:.{digits}f}"
        if float(text) != 1:
            return "0.00" if float(text) == 0 else text.replace("-", MINUS)
    return "1"


def mark(report: Report, value: Any, *, short: bool = False) -> str:
    """Return the score of the report's task: ``96.7 %``, or ``0.87`` of R²."""
    return fraction(value) if task(report) == "regression" else percent(value, short=short)


def fraction_span(interval: Any) -> str:
    """Return ``0.84 to 0.90``."""
    found = ends(interval)
    return NONE if found is None else f"{fraction(found[0])} to {fraction(found[1])}"


def marked(report: Report, value: Any) -> str:
    """Return ``96.7 % correct``, ``R² 0.87`` or ``mean average precision 87.0 %``."""
    said = mark(report, value)
    of = {"regression": f"R²{NBSP}{said}", "multilabel": f"mean average precision {said}"}
    return of.get(task(report), f"{said} correct")


def tick(value: float) -> str:
    """Return the short text of a round number on an axis."""
    said = magnitude(abs(value)).replace(".0", "") if 1e4 <= abs(value) < 1e12 else ""
    return (MINUS if value < 0 else "") + (said or f"{abs(value):.6g}")


def val_score(report: Report) -> str:
    """Return the word for the score on val that steered the training."""
    said = {"regression": "R² on val", "multilabel": "mAP on val"}
    return said.get(task(report), "Correct on val")


def sure(interval: Any, said: Callable[[Any], str] = span) -> str:
    """Return `` (95 % sure: 94.0 to 98.2 %)``, or nothing without an interval."""
    return f" (95{NBSP}% sure: {said(interval)})" if ends(interval) else ""


def figure(value: Any, digits: int = 3) -> str:
    """Return a number with at most `digits` significant digits."""
    found = number(value)
    return NONE if found is None else f"{found:.{digits}g}"


def magnitude(value: Any) -> str:
    """Return ``1.2 M``, ``736 k`` or ``512``."""
    found = number(value)
    if found is None:
        return NONE
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if found >= 0.9995 * size:
            scaled = found / size
            return f"{scaled:.1f}{NBSP}{unit}" if scaled < 99.95 else f"{scaled:.0f}{NBSP}{unit}"
    return f"{found:.0f}"


def operations(value: Any) -> str:
    """Return ``0.73 GFLOPs`` or ``35 MFLOPs``."""
    found = number(value)
    if found is None:
        return NONE
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if found >= 0.1 * size:
            scaled = found / size
            digits = 2 if scaled < 10 else 1 if scaled < 100 else 0
            return f"{scaled:.{digits}f}{NBSP}{unit}FLOPs"
    return f"{found:.0f}{NBSP}FLOPs"


def shape(dims: Any) -> str:
    """Return ``96 × 109 × 109``."""
    if not isinstance(dims, Sequence) or isinstance(dims, str):
        return NONE if dims is None else str(dims)
    return f"{NBSP}×{NBSP}".join(str(n) for n in dims) or NONE


def moment(stamp: Any) -> str:
    """Return ``2026-11-23 02:40 UTC`` of an ISO time, or the text as it is."""
    try:
        return f"{datetime.fromisoformat(str(stamp)):%Y-%m-%d %H:%M %Z}".strip()
    except ValueError:
        return str(stamp)


def setting(value: Any) -> str:
    """Return a value of the recipe as a person would write it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}" if abs(value) < 1e6 else str(value)
    if isinstance(value, Mapping):
        return json.dumps(value, ensure_ascii=False, default=str)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(setting(item) for item in value) or "none"
    return str(value)


def noun(report: Report, n: Any = None) -> str:
    """Return the word for `n` examples of this kind: ``pictures``, or ``picture`` for 1."""
    one = _NOUNS.get(str(part(report, "data").get("kind")), "example")
    return one if number(n) == 1 else f"{one}s"


def examples(report: Report, n: Any) -> str:
    """Return ``300 pictures``, in the word for this kind of example."""
    return f"{count(n)} {noun(report, n)}"
