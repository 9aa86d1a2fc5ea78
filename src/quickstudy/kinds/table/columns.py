"""The columns of a table: what each holds, found from the rows that may be learnt from."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from quickstudy.kinds.table.decode import (
    DECIMAL,
    commas_of,
    days,
    form_of,
    is_missing,
    moment,
    number,
    of_moment,
    word,
)

MOST_WORDS = 256
_NEARLY_ALL = 0.95  # of the cells that are not empty: what they are decides, the others are missing
_ALIKE = 0.5  # of the cells: in a category so many hold a word that another cell holds as well
_FAR = 1e4  # spreads: numbers so far from 0 lose digits in 32 bits
_MOST = float(np.finfo(np.float32).max)
_ROW_NAMES = re.compile(r"(?i:|#|id|idx|index|key|nr|no|row|unnamed: 0|.*[_ ]id)$|.*[a-z]I[dD]$")
_COMMAS = {DECIMAL: "its commas are read as decimal points", "thousands": "its commas are left out"}
_OF_A_DATE = (":days", ":year", ":season sine", ":season cosine", ":weekday", ":hour")


@dataclass(frozen=True)
class Column:
    """What one column holds, and how its cells become numbers."""

    name: str
    type: Literal["number", "category", "date", "left out"]
    words: tuple[str, ...] = ()
    """Of a category: what it may say, the commonest first. Its number is its place."""
    rare: int = 0
    """Of a category: other words, too rare to be learnt; all count as one, never met."""
    gaps: bool = False
    """Cells are missing in the rows that were looked at."""
    origin: float = 0.0
    """Subtracted first, where numbers lie so far from 0 that 32 bits cannot tell them apart."""
    unit: float = 1.0
    """What they are divided by then, where they would be beyond what 32 bits hold."""
    form: str = ""
    """How dates are written, besides ISO 8601: ``%d.%m.%Y``; of numbers what their commas are."""
    hours: bool = False
    """Of a date: it tells the time of day as well."""
    why: str = ""
    """Why the column is left out, or what is odd about it."""

    def as_dict(self) -> dict[str, Any]:
        """Return what `model.json` keeps."""
        return asdict(self)

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> Column:
        """Return what `as_dict` kept."""
        return cls(**{**kept, "words": tuple(kept["words"])})

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the numbers that a cell becomes."""
        if self.type == "date":
            return tuple(self.name + part for part in _OF_A_DATE[: 5 + self.hours])
        return () if self.type == "left out" else (self.name,)

    @property
    def sizes(self) -> tuple[int, ...]:
        """For each of them how many words there are; 0 for a number."""
        if self.type == "date":
            return (0, 0, 0, 0, 7, 0)[: 5 + self.hours]
        return () if self.type == "left out" else (len(self.words),)

    @cached_property
    def _places(self) -> dict[str, float]:
        return {text: float(place) for place, text in enumerate(self.words)}

    def encode(self, cell: Any) -> tuple[float, ...]:
        """Return what a cell becomes: NaN where it is missing; a word never met has the last code.

        A number is in units of `unit` from `origin`, a date begins with the days from there.
        """
        if self.type == "left out":
            return ()
        if is_missing(cell):
            return (math.nan,) * len(self.features)
        if self.type == "category":
            return (self._places.get(word(cell), float(len(self.words))),)
        if self.type == "number":
            return (self._scaled(number(cell, self.form)),)
        when = moment(cell, self.form)
        if when is None:
            return (math.nan,) * len(self.features)
        return (self._scaled(days(when)), *of_moment(when, self.hours))

    def _scaled(self, value: float) -> float:
        scaled = (value - self.origin) / self.unit
        return min(_MOST, max(-_MOST, scaled)) if scaled == scaled else math.nan

    def encode_all(self, cells: Sequence[Any]) -> NDArray[np.float32]:
        """Return what cells become, ``N f``; the same as `encode` of each, and quicker."""
        quick = _as_numbers(cells) if self.type == "number" else None
        if quick is not None:
            with np.errstate(over="ignore"):
                scaled = np.clip((quick - self.origin) / self.unit, -_MOST, _MOST)
            return scaled.astype(np.float32)[:, None]
        each = _remembering(self.encode)
        rows = [each(cell) for cell in cells]
        return np.array(rows, np.float64).astype(np.float32).reshape(len(rows), len(self.features))

    def is_strange(self, cell: Any) -> bool:
        """Whether a cell that is not empty says nothing that was learnt."""
        if self.type == "category":
            return word(cell) not in self._places
        return bool(self.fault(cell))

    def fault(self, cell: Any) -> str:
        """Return why a cell that is not empty says nothing, or the empty string."""
        if self.type not in ("number", "date") or is_missing(cell):
            return ""
        if self.type == "number" and not math.isnan(number(cell, self.form)):
            return ""
        if self.type == "date" and moment(cell, self.form) is not None:
            return ""
        return f"{self.name}: '{word(cell)[:40]}' is no {self.type}"


def described(columns: Sequence[Column]) -> dict[str, list[Any]]:
    """Return what a network must know: name, `words`, `gaps`, `origins`, `units` of each number."""
    return {
        "columns": [name for column in columns for name in column.features],
        "words": [size for column in columns for size in column.sizes],
        "gaps": [column.gaps for column in columns for _ in column.features],
        "origins": [column.origin for column in columns for _ in column.features],
        "units": [column.unit for column in columns for _ in column.features],
    }


_PLAIN = frozenset({int, float, np.float64, np.float32, np.int64, type(None)})


def _as_numbers(cells: Any) -> NDArray[np.float64] | None:
    """Return cells that are all plain numbers, or None; what is not finite is NaN."""
    if not isinstance(cells, np.ndarray):
        if not _PLAIN.issuperset(map(type, cells)):
            return None
        try:
            cells = np.array(cells, np.float64)
        except OverflowError:  # a whole number beyond all bounds
            return None
    if cells.dtype.kind not in "iuf" or cells.dtype.itemsize > 8:
        return None
    found: NDArray[np.float64] = cells.astype(np.float64)
    found[~np.isfinite(found)] = math.nan
    return found


def _remembering(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return the function with a memory of what it was asked; ``1``, ``1.0`` and True differ."""
    known: dict[Any, Any] = {}

    def ask(cell: Any) -> Any:
        try:
            return known[type(cell), cell]
        except KeyError:
            found = known[type(cell), cell] = function(cell)
            return found
        except TypeError:  # a cell that cannot be a key
            return function(cell)

    return ask


def typed(name: str, cells: Sequence[Any]) -> Column:
    """Return what a column holds, from the cells of the rows that may be learnt from.

    Numbers stay numbers however few different ones there are; words are a category where most
    of them come again. A column that says nothing is left out, and `why` says why.

    >>> typed("size", ["1.5", "2", "NA"]).type, typed("hue", ["red", "blue", "red", "blue"]).words
    ('number', ('blue', 'red'))
    >>> typed("name", ["Ann Lee", "Bo Ek", "Cy Day"]).why
    'nearly every cell is different, as in names or free text'
    """
    quick = _as_numbers(cells)
    if quick is not None:  # a hundred times quicker than cell by cell
        present = quick[~np.isnan(quick)].tolist()
    else:
        present = [cell for cell in cells if not is_missing(cell)]
    gaps = len(present) < len(cells)
    if not present:
        return Column(name, "left out", why="no cell holds anything")
    if all(isinstance(cell, bool | np.bool_) for cell in present):
        return _category(name, [*present, *set(present)], gaps)  # even one cell says which
    for find in (_number, _date):
        found = find(name, present, gaps)
        if found is not None:
            return found
    return _category(name, present, gaps)


def _number(name: str, present: list[Any], gaps: bool) -> Column | None:
    values, form = _as_numbers(present), ""
    if values is None:
        form = commas_of(cell for cell in present if isinstance(cell, str))
        read = _remembering(lambda cell: number(cell, form))
        values = np.array(list(map(read, present)), np.float64)
    good = values[~np.isnan(values)]
    if len(good) < _NEARLY_ALL * len(values):
        return None
    if (good == good[0]).all():
        if not gaps and len(good) == len(values):
            return Column(name, "left out", why=f"every cell holds {word(present[0])[:40]}")
        return _category(name, present, gaps)
    whole = bool((good == np.round(good)).all()) and len(np.unique(good)) == len(good)
    if whole and len(good) > 2 and _ROW_NAMES.match(name.strip()):
        return Column(name, "left out", why="it numbers the rows")
    origin, unit = _scale(good)
    return Column(
        name, "number", gaps=gaps or len(good) < len(values), origin=origin, unit=unit, form=form,
        why="; ".join(filter(None, (_COMMAS.get(form, ""), _odd(present, values)))),
    )  # fmt: skip


def _odd(present: list[Any], values: NDArray[np.float64]) -> str:
    unread = np.flatnonzero(np.isnan(values))
    if not len(unread):
        return ""
    return _lost(len(unread), "number", word(present[unread[0]])[:40])


def _lost(count: int, type_: str, first: str) -> str:
    what = "1 cell is no" if count == 1 else f"{count:,} cells are no"
    many = type_ if count == 1 else f"{type_}s"
    return f"{what} {many} and count{'s' if count == 1 else ''} as missing, as '{first}'"


def _scale(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return origin and unit such that 32 bits tell the values apart; 0 and 1 wherever they can."""
    middle = float(np.median(values))
    with np.errstate(over="ignore"):
        spread = float(np.quantile(values, 0.75) / 2 - np.quantile(values, 0.25) / 2)
        spread = spread or float(np.max(values) / 2 - np.min(values) / 2)
    origin = middle if abs(middle) > _FAR * spread else 0.0
    most = float(np.abs(values / 4 - origin / 4).max()) * 4
    if math.isinf(most):
        return 0.0, float(np.abs(values).max()) / 1e6
    least = spread if spread else most
    unit = least if least < 1e-30 or most > 1e30 else 1.0
    return origin, max(unit if most / unit < 1e36 else most / 1e36, 1e-300)


def _date(name: str, present: list[Any], gaps: bool) -> Column | None:
    texts = list(dict.fromkeys(cell.strip() for cell in present if isinstance(cell, str)))
    form = form_of(texts, _NEARLY_ALL) if texts else ""
    if form is None:
        return None
    read = _remembering(lambda cell: moment(cell, form))
    found = [when for when in map(read, present) if when is not None]
    if len(found) < _NEARLY_ALL * len(present):
        return None
    if all(when == found[0] for when in found):
        return Column(name, "left out", why=f"every cell holds {found[0]}")
    hours = any(when.hour or when.minute or when.second for when in found)
    origin = float(np.median([days(when) for when in found]))
    lost = [cell for cell in present if read(cell) is None]
    why = _lost(len(lost), "date", word(lost[0])[:40]) if lost else ""
    return Column(
        name, "date", gaps=gaps or bool(lost), origin=origin, form=form, hours=hours, why=why
    )


def _category(name: str, present: list[Any], gaps: bool) -> Column:
    counts = Counter(map(_remembering(word), present))
    again = {text: n for text, n in counts.items() if n > 1}
    if len(counts) == 1 and not gaps:
        return Column(name, "left out", why=f"every cell holds {next(iter(counts))[:40]}")
    if sum(again.values()) < _ALIKE * len(present) and len(present) > 1:
        why = "nearly every cell is different, as in names or free text"
        return Column(name, "left out", why=why)
    kept = sorted(again or counts, key=lambda text: (-counts[text], text))[:MOST_WORDS]
    return Column(name, "category", tuple(kept), rare=len(counts) - len(kept), gaps=gaps)
