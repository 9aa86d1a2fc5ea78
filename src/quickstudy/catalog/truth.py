"""Labels as they were written -> what is asked (a class, labels, numbers) and what is true.

Where nobody said, a column of text is a class; ``a;b;c`` in it are several labels at once; many
different numbers are to be predicted as numbers. Names of folders are always classes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quickstudy.catalog.draft import Label, listed, suggest
from quickstudy.catalog.types import TASKS
from quickstudy.errors import ChoiceError, SourceError

SEPARATOR = ";"
FEWEST_ROWS = 10
_FEW_NUMBERS = 20  # distinct whole numbers that may well be names of classes
_YES = {"1": 1.0, "true": 1.0, "yes": 1.0, "0": 0.0, "false": 0.0, "no": 0.0}
_BINS = 10


@dataclass(frozen=True, eq=False)
class Values:
    """What is true of each example that can be used."""

    outputs: tuple[str, ...]
    values: NDArray[np.float64]
    """``N K``: 0 or 1 for each label, or numbers."""
    strata: NDArray[np.int64]
    """``N``: examples of one number are alike, and are spread evenly over the parts."""


def check_task(task: str | None) -> None:
    """Raise `ChoiceError` unless there is such a task."""
    if task is not None and task not in TASKS:
        raise ChoiceError(
            f"There is no task '{task}'.", suggest(task, TASKS, f"Tasks: {', '.join(TASKS)}.")
        )


def asked_for(labels: Sequence[Label], names: Sequence[str]) -> tuple[str, str]:
    """Return the task that labels of a table or a list ask for, and why."""
    if labels and isinstance(labels[0], tuple):
        words = {word.casefold() for row in labels for word in row}
        columns = f"the columns {listed(names)}" if names else "the labels"
        if words - {""} <= set(_YES):
            return "multilabel", f"{columns} hold yes or no"
        return "regression", f"{columns} hold numbers"
    distinct = set(labels)
    what = f"the column '{names[0]}'" if names else "the labels"
    numbers = [_number(str(word)) for word in distinct]
    if all(n is not None for n in numbers):
        fractions = any(n is not None and not n.is_integer() for n in numbers)
        if fractions or len(distinct) > max(_FEW_NUMBERS, len(labels) // 10):
            return "regression", f"{what} holds {len(distinct):,} different numbers"
        return "classification", f"{what} holds {len(distinct)} whole numbers: one for each class"
    split = {part.strip() for word in distinct for part in str(word).split(SEPARATOR)}
    if any(SEPARATOR in word for word in distinct) and len(split) <= len(distinct):
        return "multilabel", f"{what} holds several labels at once, as 'a{SEPARATOR}b'"
    return "classification", f"{what} holds one of {len(distinct)} words"


def _number(word: str) -> float | None:
    try:
        value = float(word)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def faults(labels: Sequence[Label], names: Sequence[str], task: str) -> list[str]:
    """Return for each example why its label cannot be used, '' where it can.

    Of several columns (`names`) none may be missing: an empty cell does not say no.
    """

    def fault(label: Label) -> str:
        if isinstance(label, tuple) and "" in label:
            place = label.index("")
            return f"no '{names[place]}'" if names else f"no label {place}"
        row = label if isinstance(label, tuple) else (label,)
        bad = [word for word in row if task == "regression" and _number(word) is None]
        return f"'{bad[0]}' is not a number" if bad else ""

    return [fault(label) for label in labels]


def valued(
    labels: Sequence[Label],
    names: Sequence[str],
    task: str,
    known: Sequence[str],
    source: str,
    *,
    learnable: bool,
    named: bool = True,
) -> Values:
    """Return what is true of examples whose labels have no fault; `known` are a model's labels.

    Columns are put in the order of `known` by name; where `names` are not the source's own (see
    `Draft.named`), and where there is one number, they count as those. Raises `SourceError` for
    other columns than these, and where there is too little to learn from.
    """
    if task == "regression" or _columns(labels):
        labels, names = _placed(labels, names, known, source, named=named)
    if task == "regression":
        found = _numbers(labels, names)
    else:
        found = _labels(labels, names, known)
    if learnable and len(labels) < FEWEST_ROWS:
        raise SourceError(
            f"{source} has {len(labels)} examples: too few to learn from.",
            f"Give at least {FEWEST_ROWS}.",
        )
    if learnable and task == "regression" and not (np.ptp(found.values, axis=0) > 0).all():
        raise SourceError(f"Every number in {source} is the same.", "Name another column.")
    return found


def _placed(
    labels: Sequence[Label], names: Sequence[str], known: Sequence[str], source: str, *, named: bool
) -> tuple[Sequence[Label], Sequence[str]]:
    """Return labels in the order of `known`, and the names of their columns."""
    width = len(labels[0]) if isinstance(labels[0], tuple) else 1
    if not known:
        return labels, names or _numbered(width)
    unnamed = not named or not names
    if len(known) == width and (width == 1 or unnamed):
        return labels, known
    if unnamed:
        raise SourceError(
            f"{source} tells {width} things of an example, not {len(known)}.",
            f"Give them in this order: {', '.join(known)}.",
        )
    missing = [repr(name) for name in known if name not in names]
    beyond = [repr(name) for name in names if name not in known]
    if missing or beyond:
        said = [f"there is no {listed(missing)}"] if missing else []
        said += [f"{listed(beyond)} is not among them"] if beyond else []
        raise SourceError(
            f"{source} is to tell {listed(map(repr, known))}, but {' and '.join(said)}.",
            f"Name these columns, in any order: --target {','.join(known)}.",
        )
    order = [list(names).index(name) for name in known]
    return [tuple(label[place] for place in order) for label in labels], known


def _numbered(width: int) -> tuple[str, ...]:
    return ("value",) if width == 1 else tuple(f"y{place}" for place in range(width))


def _numbers(labels: Sequence[Label], names: Sequence[str]) -> Values:
    rows = [label if isinstance(label, tuple) else (label,) for label in labels]
    values = np.array([[float(word) for word in row] for row in rows], np.float64)
    edges = np.quantile(values[:, 0], np.arange(1, _BINS) / _BINS)
    strata = np.searchsorted(np.unique(edges), values[:, 0]).astype(np.int64)
    return Values(tuple(names), values, strata)


def _labels(labels: Sequence[Label], names: Sequence[str], known: Sequence[str]) -> Values:
    """Labels of an example are the columns that say yes, or the words in one column."""
    there = [_given(label, names) for label in labels]
    counts: Counter[str] = Counter(word for row in there for word in row)
    outputs = tuple(known) or tuple(names if _columns(labels) else sorted(counts))
    number = {name: index for index, name in enumerate(outputs)}
    values = np.zeros((len(labels), len(outputs)))
    for row, words in enumerate(there):
        values[row, [number[word] for word in words if word in number]] = 1
    often = values.sum(0)
    rarest = np.where(values > 0, often, np.inf).argmin(1)
    strata = np.where(values.any(1), rarest, len(outputs)).astype(np.int64)
    return Values(outputs, values, strata)


def _columns(labels: Sequence[Label]) -> bool:
    return bool(labels) and isinstance(labels[0], tuple)


def _given(label: Label, names: Sequence[str]) -> list[str]:
    if not isinstance(label, tuple):
        return [part.strip() for part in label.split(SEPARATOR) if part.strip()]
    strange = [word for word in label if word.casefold() not in _YES]
    if strange:
        raise SourceError(
            f"'{strange[0]}' is neither yes nor no.",
            "One column a label holds 1 or 0, true or false, yes or no.",
        )
    return [name for name, word in zip(names, label, strict=True) if _YES[word.casefold()]]


def class_numbers(labels: Sequence[Any], classes: Sequence[str]) -> NDArray[np.int64]:
    """Return the number of each label's class, -1 for one that is not among them."""
    number = {name: index for index, name in enumerate(classes)}
    return np.array([number.get(label, -1) for label in labels], dtype=np.int64)
