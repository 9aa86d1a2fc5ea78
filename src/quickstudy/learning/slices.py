"""Where a model does worse: by class, by what examples are like, by group, by column."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quickstudy import evaluation
from quickstudy.evaluation import Part, Slice, quarters
from quickstudy.kinds import NOUNS
from quickstudy.kinds.traits import ENDS, size_of, traits
from quickstudy.learning.told import Ended, Tested
from quickstudy.tasks import Task

_MOST_BY = 50  # slices by one thing, the largest: of hundreds of groups each is tiny
_MOST_COLUMNS = 50  # of a table
_WORDS = 8  # of a column, the commonest
_LISTED = 60  # in the report
_READING = 2.0  # seconds for the headers of pictures

Ints = NDArray[np.int64]


def sliced(ended: Ended, task: Task, tested: Tested) -> dict[str, Any] | None:
    """Return the test by slices, for the report; None where it is too small for any.

    `worst` is named only where a test says that it is worse than the rest.
    """
    rows, truth, answers = tested
    parts = [*_by_truth(ended, task, truth), *_by_traits(ended, rows), *_by_groups(ended, rows)]
    parts += _by_columns(ended, rows)
    if task.name == "regression":
        found = evaluation.slices_of_errors(_errors(truth, answers), parts)
    else:
        found = evaluation.slices_of_shares(_right(task, truth, answers), parts)
    if not found:
        return None
    worst = found[0] if found[0].worse else None
    return {
        "worst": None if worst is None else worst.as_dict(),
        "sentence": _sentence(ended, task, found, worst),
        "tested": len(found),
        "slices": [one.as_dict() for one in found[:_LISTED]],
    }


def _right(task: Any, truth: NDArray[Any], answers: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return whether each answer is right, ``N``: of several labels, all of them."""
    if task.name == "classification":
        return np.asarray(answers.argmax(1) == truth)
    return np.asarray(((answers >= task.threshold) == (truth > 0.5)).all(1))


def _errors(truth: NDArray[Any], answers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far off each answer is, ``N``: of several numbers in their standard deviations."""
    off = np.abs(answers - truth)
    if off.shape[1] > 1:
        off /= np.where(truth.std(0) > 0, truth.std(0), 1.0)
    return np.asarray(off.mean(1), np.float64)


def _by_truth(ended: Ended, task: Task, truth: NDArray[Any]) -> list[Part]:
    names = task.outputs
    if task.name == "classification":
        if len(names) < 2:
            return []
        return _largest("class", [(name, truth == number) for number, name in enumerate(names)])
    if task.name == "multilabel":
        return _largest("label", [(name, truth[:, i] > 0.5) for i, name in enumerate(names)])
    if truth.shape[1] > 1:
        return []
    return quarters(truth[:, 0].astype(np.float64), f"true {names[0]}", "lowest", "highest")


def _by_traits(ended: Ended, rows: Ints) -> list[Part]:
    """Return quarters by what the cache and the headers of files tell."""
    catalog, decoded = ended.catalog, ended.lesson.decoded
    if catalog.kind == "table":
        return []
    found: dict[str, list[float]] = {}
    for place, row in enumerate(rows.tolist()):
        thumb = decoded.thumbs[row]
        values = decoded.piece(row) if catalog.kind == "sound" else thumb  # one look at a picture
        for name, value in traits(catalog.kind, values, thumb).items():
            found.setdefault(name, []).append(value)
        if place % 256 == 0:
            decoded.forget()
    if catalog.kind == "image":
        found["size"] = _sizes(catalog.read, decoded.kept[rows].tolist())
    parts = []
    for name, values_ in found.items():
        parts += quarters(np.array(values_, np.float64), name, *ENDS[name])
    return parts


def _sizes(read: Callable[[int], Any], examples: list[int]) -> list[float]:
    """Return the size of each picture; nothing where reading their headers takes too long."""
    began, found = time.perf_counter(), []
    for example in examples:
        found.append(size_of(read(example)))
        if time.perf_counter() - began > _READING:
            return []
    return found


def _by_groups(ended: Ended, rows: Ints) -> list[Part]:
    """Return the groups that somebody declared, or that file names suggest."""
    catalog, lesson = ended.catalog, ended.lesson
    group, words = catalog.groups[lesson.decoded.kept], catalog.group_names
    if ended.groups is not None:
        group, words = ended.groups.group, ended.groups.suggested.words
    number, count = np.unique(group[rows], return_counts=True)
    commonest = number[np.argsort(-count, kind="stable")]
    named = [
        (words[i] if i < len(words) and words[i] else f"group {i + 1}", group[rows] == i)
        for i in commonest.tolist()
        if i >= 0
    ]
    return _largest("group", named) if len(named) > 1 else []


def _by_columns(ended: Ended, rows: Ints) -> list[Part]:
    """Return quarters of columns of numbers, and the commonest words of the others."""
    if ended.catalog.kind != "table":
        return []
    decoded = ended.lesson.decoded
    cells = np.asarray(decoded.pieces(rows)[:, 0], np.float64)
    parts: list[Part] = []
    place = 0
    for column in decoded.how.columns:
        width = len(column.features)
        values = cells[:, place] if width else None
        place += width
        if values is None or len({part.by for part in parts}) >= _MOST_COLUMNS:
            continue
        if column.type == "category":
            words = enumerate(column.words[:_WORDS])
            parts += [Part(column.name, word, values == code) for code, word in words]
        elif len(np.unique(values[np.isfinite(values)])) > 2:
            ends = ("earliest", "latest") if column.type == "date" else ("lowest", "highest")
            parts += quarters(values, column.name, *ends)
        else:
            both = np.unique(values[np.isfinite(values)]).tolist()
            parts += [Part(column.name, f"{value:g}", values == value) for value in both]
        parts.append(Part(column.name, "no value", np.isnan(values)))
    return parts


def _largest(by: str, named: list[tuple[str, NDArray[np.bool_]]]) -> list[Part]:
    largest = sorted(named, key=lambda one: -int(one[1].sum()))[:_MOST_BY]
    return [Part(by, name, np.asarray(inside, bool)) for name, inside in largest]


def called(one: Slice) -> str:
    """Return a slice in words: ``the darkest quarter by brightness``."""
    if one.name.startswith("the "):
        return f"{one.name} by {one.by}"
    return f"{one.by} '{one.name}'"


def _sentence(ended: Ended, task: Task, found: list[Slice], worst: Slice | None) -> str:
    many = NOUNS[ended.catalog.kind][1]
    if worst is None:
        by = list(dict.fromkeys(one.by for one in found))
        listed = ", ".join(by[:5]) + (", ..." if len(by) > 5 else "")
        return (
            f"No slice of the test ({len(found):,} by {listed}) is worse than the rest by more "
            "than chance would make it."
        )
    low, high = worst.interval
    if task.name == "regression":
        off, rest = (evaluation.figure(value) for value in (worst.score, worst.rest))
        sure = f"95 % sure: {evaluation.figure(low)} to {evaluation.figure(high)}"
        of = "off by" if len(task.outputs) == 1 else "in standard deviations off by"
        return (
            f"Clearly worse on {called(worst)}: {of} {off} on average on {worst.n:,} {many} "
            f"({sure}), elsewhere {rest}."
        )
    right = "correct" if task.name == "classification" else "with every label right"
    return (
        f"Clearly worse on {called(worst)}: {evaluation.percent(worst.score)} % {right} of "
        f"{worst.n:,} {many} (95 % sure: {evaluation.percent(low)} to "
        f"{evaluation.percent(high)} %), elsewhere {evaluation.percent(worst.rest)} %."
    )
