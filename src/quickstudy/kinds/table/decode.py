"""One cell of a table -> a number, a word or a moment; NaN, None where it says nothing of the kind.

Nothing here raises, whatever a cell holds: a file, a frame or a data base has put it there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np

#: What stands in a cell that is empty, in lower case.
MARKERS = frozenset(
    {"", "na", "n/a", "#n/a", "#na", "nan", "null", "none", "nil", "?", "-", "--", "nat", "<na>"}
)
_NULLS = frozenset({"NaTType", "NAType", "MaskedConstant"})
#: How dates are written, besides ISO 8601; the first that fits most of a column is taken.
FORMS = (
    *("%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%Y/%m/%d", "%Y.%m.%d", "%Y-%m-%d", "%m-%d-%Y"),
    *("%d-%m-%Y", "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%d-%b-%Y", "%d.%m.%y"),
    *("%m/%d/%y", "%d/%m/%y"),
)
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
_DATED = re.compile(r"\D*\d{1,4}[-./, ].*\d")
_EPOCH = datetime(1970, 1, 1)
_DAY = 86_400.0  # seconds
_FIRST = 8  # texts that a form is tried on before all of them
#: What the commas of numbers written as text may be.
DECIMAL, THOUSANDS = "decimal comma", "thousands"
_DECIMAL = re.compile(r"[+-]?(\d{1,3}([.' ]\d{3})+|\d*),\d+(e[+-]?\d+)?", re.IGNORECASE)
_GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?")
_NUMBERS = (int, float, np.integer, np.floating, np.bool_, Decimal, Real)


def is_missing(cell: Any) -> bool:
    """Whether a cell is empty: None, NaN, infinite, or one of the `MARKERS`.

    >>> [is_missing(cell) for cell in (None, " n/a ", float("inf"), "0", 0, "nano")]
    [True, True, True, False, False, False]
    """
    if isinstance(cell, str):
        return cell.strip().lower() in MARKERS
    if cell is None or type(cell).__name__ in _NULLS:
        return True
    if isinstance(cell, np.datetime64 | np.timedelta64):
        return bool(np.isnat(cell))
    if isinstance(cell, float | np.floating):
        return not math.isfinite(cell)
    return isinstance(cell, Decimal) and not cell.is_finite()


def number(cell: Any, commas: str = "") -> float:
    """Return a cell as a number; NaN where it is none. A span of time is in seconds.

    `commas` is what commas are in text, as `commas_of` found it.

    >>> [number(cell) for cell in ("1e3", " -2.5", True, "1_000", "1,5", "inf")]
    [1000.0, -2.5, 1.0, nan, nan, nan]
    >>> number("1.234,5", DECIMAL), number("1,234.5", THOUSANDS)
    (1234.5, 1234.5)
    """
    try:
        if isinstance(cell, str):
            found = math.nan if "_" in cell else float(_plain(cell, commas))
        elif isinstance(cell, np.timedelta64):  # NumPy counts it among the whole numbers
            found = float(cell / np.timedelta64(1, "s"))
        elif isinstance(cell, _NUMBERS):
            found = float(cell)
        elif isinstance(cell, timedelta) and not is_missing(cell):
            found = cell.total_seconds()
        else:
            return math.nan
    except (ValueError, OverflowError, TypeError, ArithmeticError):
        return math.nan
    return found if math.isfinite(found) else math.nan


def _plain(text: str, commas: str) -> str:
    """Return a number written with commas as it is written with a point."""
    if not commas or "," not in text:
        return text
    text = text.strip()
    if commas == DECIMAL and _DECIMAL.fullmatch(text):
        return re.sub(r"[.' ]", "", text).replace(",", ".")
    return text.replace(",", "") if commas == THOUSANDS and _GROUPED.fullmatch(text) else text


def commas_of(texts: Iterable[str]) -> str:
    """Return what the commas of numbers written as text are: `DECIMAL`, `THOUSANDS`, or ''.

    Where each stands before exactly three digits they are taken for `THOUSANDS`.

    >>> commas_of(["1,5", "2"]), commas_of(["1,250", "3,000"]), commas_of(["Bern, Rome"])
    ('decimal comma', 'thousands', '')
    """
    with_commas = {text.strip() for text in texts if "," in text}
    grouped = [bool(_GROUPED.fullmatch(text)) for text in with_commas]
    decimal = [bool(_DECIMAL.fullmatch(text)) for text in with_commas]
    if with_commas and all(grouped):
        return THOUSANDS
    # A few cells may be anything: the column's own rule says how many.
    return DECIMAL if sum(decimal) > len(with_commas) / 2 else ""


def word(cell: Any) -> str:
    """Return a cell as a word: stripped, and the same from a file as from memory.

    >>> [word(cell) for cell in (" red", 3.0, 2.5, True, np.bool_(True))]
    ['red', '3', '2.5', 'True', 'True']
    """
    if isinstance(cell, str):
        return cell.strip()
    if isinstance(cell, float | np.floating) and math.isfinite(cell) and float(cell).is_integer():
        return str(int(cell))
    try:
        return str(cell).strip()
    except Exception:  # somebody else's class, in somebody's frame
        return type(cell).__name__


def moment(cell: Any, form: str = "") -> datetime | None:
    """Return a cell as a moment, as a clock on the wall showed it; None where it is none.

    `form` is how dates are written as text, besides ISO 8601.

    >>> moment("2024-05-01T10:30"), moment("1.5.2024", "%d.%m.%Y"), moment("20240501")
    (datetime.datetime(2024, 5, 1, 10, 30), datetime.datetime(2024, 5, 1, 0, 0), None)
    """
    if isinstance(cell, str):
        return _written(cell.strip(), form)
    if isinstance(cell, np.datetime64):
        cell = cell.astype("datetime64[us]").item()  # None for NaT, int where no clock goes
    if isinstance(cell, datetime) and not is_missing(cell):
        return cell.replace(tzinfo=None)
    if isinstance(cell, date) and not is_missing(cell):
        return datetime(cell.year, cell.month, cell.day)
    return None


def _written(text: str, form: str) -> datetime | None:
    if not _DATED.match(text) or len(text) > 64:
        return None
    try:
        return datetime.fromisoformat(text).replace(tzinfo=None)
    except ValueError:
        pass
    if form:
        try:
            return datetime.strptime(text, form)
        except ValueError:
            pass
    return None


def form_of(texts: list[str], share: float) -> str | None:
    """Return how dates are written in most of `texts`, '' for ISO 8601; None if they are none."""
    if not texts or sum(bool(_DATED.match(text)) for text in texts) < share * len(texts):
        return None
    for form in ("", *(day + clock for clock in _CLOCKS for day in FORMS)):
        if all(moment(text, form) is None for text in texts[:_FIRST]):
            continue
        if sum(moment(text, form) is not None for text in texts) >= share * len(texts):
            return form
    return None


def days(when: datetime) -> float:
    """Return the days since 1970, in double precision.

    >>> days(datetime(1970, 1, 2, 12))
    1.5
    """
    return (when - _EPOCH).total_seconds() / _DAY


def of_moment(when: datetime, hours: bool) -> tuple[float, ...]:
    """Return year, sine and cosine of the day of the year, weekday (Monday is 0), and the hour."""
    first = datetime(when.year, 1, 1)
    turn = 2 * math.pi * (when - first).total_seconds() / _DAY / 365.25
    found = (float(when.year), math.sin(turn), math.cos(turn), float(when.weekday()))
    if not hours:
        return found
    return (*found, when.hour + when.minute / 60 + when.second / 3600)
