"""What a file says of a model, checked before it is believed.

A checksum finds damage; it does not say that whoever wrote the file meant well.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from numbers import Real
from pathlib import Path
from typing import Any

from quickstudy.errors import ModelError
from quickstudy.tasks import Task

#: What a description that is not as we write it makes of the code that reads it.
_DAMAGE = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)
MOST_PIXELS = 4096  # of a side
MOST_SAMPLES = 60 * 192_000  # that a network hears at once
_MOST_SCALE = 1e6
_COLUMN: dict[str, Any] = {
    **{"name": str, "rare": int, "gaps": bool, "origin": Real, "unit": Real},
    **{"form": str, "hours": bool, "why": str},
}
_PICTURE: dict[str, Any] = {
    **{"decode_size": int, "size": int, "mirror": bool, "max_pixels": int, "channels": int},
}


@contextmanager
def believing(folder: Path) -> Iterator[None]:
    """Turn what a wrong description makes of the code inside into a `ModelError`."""
    try:
        yield
    except _DAMAGE as problem:
        what = f"{type(problem).__name__}: {str(problem)[:200]}"
        raise ModelError(
            f"The description in {folder} is not what Quickstudy writes ({what}).",
            "Copy the model's folder again from where it was made.",
        ) from problem


def demand(fine: bool, what: str) -> None:
    """Raise `ValueError` unless it is fine."""
    if not fine:
        raise ValueError(what)


def check_types(what: object, kinds: Mapping[str, Any]) -> None:
    """Raise `ValueError` unless the attributes are of these types."""
    for name, kind in kinds.items():
        value = getattr(what, name)
        demand(isinstance(value, kind), f"{name} is {str(value)[:40]!r}")


def check_task(task: Task, outputs: int) -> None:
    """Raise `ValueError` unless a task is one of so many outputs."""
    words = task.outputs
    demand(isinstance(words, tuple) and all(isinstance(w, str) for w in words), "outputs")
    demand(len(words) == outputs, f"{len(words)} outputs of a network of {outputs}")
    demand(0 < getattr(task, "temperature", 1.0) < math.inf, "the temperature")
    demand(0 <= getattr(task, "threshold", 0.5) <= 1, "the threshold")
    for name in ("mean", "std"):
        scale = getattr(task, name, ())
        demand(len(scale) in (0, len(words)), f"{name} of {len(scale)} numbers")
        demand(all(map(math.isfinite, scale)), name)
    demand(len(getattr(task, "mean", ())) == len(getattr(task, "std", ())), "mean and std")
    demand(all(one > 0 for one in getattr(task, "std", ())), "std")


def check_preparation(how: Any) -> None:
    """Raise `ValueError` unless examples can be prepared so."""
    {"image": _check_pictures, "sound": _check_sound, "table": _check_rows}[how.kind](how)


def _check_pictures(how: Any) -> None:
    check_types(how, _PICTURE)
    demand(1 <= how.size <= MOST_PIXELS, f"the size {how.size}")
    demand(1 <= how.decode_size <= MOST_PIXELS, f"the decode_size {how.decode_size}")
    demand(how.fit in ("crop", "pad", "squash"), f"the fit {str(how.fit)[:40]!r}")
    demand(len(how.mean) == len(how.std) == 3, "mean and std are of three colours")
    demand(all(abs(one) <= _MOST_SCALE for one in (*how.mean, *how.std)), "mean and std")
    demand(all(one >= 1 / _MOST_SCALE for one in how.std), "std")


def _check_sound(how: Any) -> None:
    check_types(how, dict.fromkeys(("rate", "size", "span", "long"), int))
    demand(1 <= how.size <= MOST_SAMPLES, f"the size {how.size}")
    demand(2000 <= how.rate <= 192_000, f"the rate {how.rate}")
    demand(0 < how.span <= how.size and how.long > 0, "the timeline")


def _check_rows(how: Any) -> None:
    for column in how.columns:
        check_types(column, _COLUMN)
        demand(column.type in ("number", "category", "date", "left out"), "a column's type")
        demand(all(isinstance(word, str) for word in column.words), "a column's words")
        demand(math.isfinite(column.origin) and 0 < column.unit < math.inf, "a column's unit")
