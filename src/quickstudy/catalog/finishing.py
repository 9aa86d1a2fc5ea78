"""What a reader found -> `Catalog`: what is asked, the rules about classes, everything numbered."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quickstudy.catalog import truth
from quickstudy.catalog.draft import Draft, Label, listed
from quickstudy.catalog.kind import misfit, nouns
from quickstudy.catalog.types import FREE, PARTS, TRAIN, Catalog, LeftOut
from quickstudy.errors import ChoiceError, SourceError
from quickstudy.kinds import NOUNS

#: Fewest examples of a class to learn from: three to train on, one to steer by, one to test on.
FEWEST = 5


def finish(
    draft: Draft,
    *,
    learnable: bool = True,
    task: str | None = None,
    outputs: Sequence[str] = (),
) -> Catalog:
    """Find out what is asked, number the classes, apply the rules, and return the catalog.

    `task` is what somebody asked for, `outputs` the classes, labels or numbers of a model that is
    to be tested: examples of other classes are left out. Raises one `SourceError` naming every
    fault: no examples, one class only, classes of fewer than `FEWEST`. With `learnable` false (a
    source that is only tested on) only an empty source is a fault.
    """
    truth.check_task(task)
    task, why = (task, "you asked for it") if task else _task_of(draft)
    _drop(draft, [_fault(label, task, draft) for label in draft.labels])
    _drop(draft, truth.faults(draft.labels, draft.label_names, task))
    if not draft.labels:
        raise _nothing_left(draft)
    if task == "classification":
        made = _classified(draft, learnable=learnable, known=tuple(outputs))
    else:
        made = _valued(draft, task, learnable=learnable, known=tuple(outputs))
    return replace(made, task_why=why)


def _task_of(draft: Draft) -> tuple[str, str]:
    if draft.task is not None:
        why = "one label an example" if draft.task == "classification" else "labels are lists"
        return draft.task, why
    return truth.asked_for([one for one in draft.labels if one], draft.label_names)


def _fault(label: Label, task: str, draft: Draft) -> str:
    if isinstance(label, tuple) and task == "classification":
        raise ChoiceError(
            "One class an example stands in one column, not in several.",
            "Name one column, or say --task multilabel (or regression).",
        )
    if label or task == "multilabel":
        return ""
    named = draft.kind == "table" and len(draft.label_names) == 1
    return f"no '{draft.label_names[0]}'" if named else "no label"


def _drop(draft: Draft, reasons: Sequence[str]) -> None:
    """Leave out the examples that have a reason for it."""
    draft.left_out += [
        LeftOut(name, reason) for name, reason in zip(draft.names, reasons, strict=True) if reason
    ]
    draft.keep([row for row, reason in enumerate(reasons) if not reason])


def _catalog(
    draft: Draft,
    rows: NDArray[np.int64],
    classes: tuple[str, ...],
    labels: NDArray[np.int64],
    notes: Sequence[str],
) -> Catalog:
    """Put together what all tasks have."""
    given = np.array(draft.given or [FREE] * len(draft.labels), dtype=np.int8)[rows]
    groups, words = _group_numbers(draft.groups, rows)
    read = draft.read
    return Catalog(
        kind=draft.kind,
        source=draft.source,
        classes=classes,
        names=[draft.names[row] for row in rows.tolist()],
        labels=labels,
        given=given,
        groups=groups,
        read=lambda index: read(int(rows[index])),
        stamp=_digest(draft.stamp, (*classes, *words), labels, given, groups),
        left_out=tuple(draft.left_out),
        notes=(*draft.notes, *_kind_notes(draft), *notes),
        group_names=words,
        columns=draft.columns,
        target=draft.label_names or None,
    )


def _valued(draft: Draft, task: str, *, learnable: bool, known: tuple[str, ...]) -> Catalog:
    found = truth.valued(
        draft.labels,
        draft.label_names,
        task,
        known,
        draft.source,
        learnable=learnable,
        named=draft.named,
    )
    rows = np.arange(len(draft.labels))
    made = _catalog(draft, rows, found.outputs, found.strata, ())
    sums = hashlib.blake2b(f"{made.stamp} {task}".encode(), digest_size=16)
    sums.update(np.ascontiguousarray(found.values).tobytes())
    return replace(made, task=task, values=found.values, stamp=sums.hexdigest())


def _classified(draft: Draft, *, learnable: bool, known: tuple[str, ...]) -> Catalog:
    words = [str(label) for label in draft.labels]
    given = np.array(draft.given or [FREE] * len(words), dtype=np.int8)
    classes = draft.classes + _in_order(set(words).difference(draft.classes))
    counts = Counter(
        label
        for label, part in zip(words, given.tolist(), strict=True)
        if part in (TRAIN, FREE) or not learnable
    )
    if learnable:
        check_classes(draft.source, classes, counts)
    kept = known or tuple(name for name in classes if counts[name])
    rows = _rows_of_classes(draft, set(kept), known=bool(known))
    labels = truth.class_numbers([words[row] for row in rows.tolist()], kept)
    notes = [
        *class_notes(classes, kept, learnable=learnable),
        *part_notes(kept, labels, given[rows]),
    ]
    return _catalog(draft, rows, kept, labels, notes)


def _nothing_left(draft: Draft) -> SourceError:
    """No example is left: say the commonest reasons, with one file each."""
    if not draft.left_out:
        return SourceError(
            f"There are no examples in {draft.source}.",
            "Put the examples of each class into a folder of its own.",
        )
    reasons = Counter(left.reason for left in draft.left_out)
    first = {left.reason: left.name for left in reversed(draft.left_out)}
    shown = [f"{reason} ({n}, such as {first[reason]!r})" for reason, n in reasons.most_common(4)]
    return SourceError(
        f"None of the {len(draft.left_out):,} examples in {draft.source} can be used.",
        f"Mend what is wrong with them: {'; '.join(shown)}.",
    )


def check_classes(source: str, classes: tuple[str, ...], counts: Counter[str]) -> None:
    """Raise one `SourceError` that names every fault of the classes."""
    faults, hints = [], []
    held = [name for name in classes if counts[name]]
    empty = [name for name in classes if not counts[name]]
    if len(held) < 2:
        only = f"only one class, {held[0]!r}," if held else "no class"
        also = f" ({listed(map(repr, empty))} without any)" if empty else ""
        faults.append(f"{only} with examples to learn from{also}")
        hints.append("Add a second class: learning to tell apart takes at least two.")
    few = [f"{name!r} ({counts[name]})" for name in held if counts[name] < FEWEST]
    if few:
        faults.append(f"too few examples to learn from in {listed(few, most=20)}")
        hints.append(
            f"Give every class at least {FEWEST} examples, or take the small classes away."
        )
    if faults:
        raise SourceError(f"{source} has {', and '.join(faults)}.", " ".join(hints))


def _rows_of_classes(draft: Draft, kept: set[str], *, known: bool) -> NDArray[np.int64]:
    """Rows whose class is kept; the others are added to what is left out."""
    rows = []
    for row, label in enumerate(draft.labels):
        if label in kept:
            rows.append(row)
            continue
        reason = f"class {label!r} has no examples to learn from"
        reason = f"unknown class {label!r}" if known else reason
        draft.left_out.append(LeftOut(draft.names[row], reason))
    return np.array(rows, dtype=np.int64)


def _in_order(names: set[str]) -> tuple[str, ...]:
    """Sort class names, whole numbers by value."""
    numeric = all(name.isascii() and name.isdecimal() for name in names)
    return tuple(sorted(names, key=lambda name: (int(name) if numeric else 0, name)))


def _group_numbers(
    groups: Sequence[str], rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """The group number of each row, and the word of each number."""
    if not groups:
        return np.full(len(rows), -1, dtype=np.int64), ()
    words = [groups[row] for row in rows.tolist()]
    number = {text: index for index, text in enumerate(dict.fromkeys(filter(None, words)))}
    return np.array([number.get(text, -1) for text in words], dtype=np.int64), tuple(number)


def _kind_notes(draft: Draft) -> list[str]:
    """One note for each other kind whose examples were left out."""
    reasons = Counter(left.reason for left in draft.left_out)
    return [
        f"Only its {nouns(draft.kind)} are used: {n:,} {nouns(kind)} are left out."
        for kind in NOUNS
        if kind != draft.kind and (n := reasons[misfit(kind, draft.kind)])
    ]


def class_notes(classes: tuple[str, ...], kept: tuple[str, ...], *, learnable: bool) -> list[str]:
    """Return notes on classes that have no examples, or names that differ only in case."""
    notes = []
    empty = [repr(name) for name in classes if name not in set(kept)]
    if empty and learnable:
        what = "Class" if len(empty) == 1 else "Classes"
        notes.append(f"{what} without examples to learn from, dropped: {listed(empty)}.")
    folded: dict[str, str] = {}
    for name in kept:
        twin = folded.setdefault(name.casefold(), name)
        if twin != name:
            notes.append(f"Classes {twin!r} and {name!r} differ only in case: are they one?")
    return notes


def part_notes(
    classes: tuple[str, ...], labels: NDArray[np.int64], given: NDArray[np.int8]
) -> list[str]:
    """One note for each ready-made part that lacks classes."""
    notes = []
    for part, name in enumerate(PARTS):
        inside = np.bincount(labels[given == part], minlength=len(classes))
        if inside.any() and not inside.all():
            missing = [repr(one) for one, n in zip(classes, inside, strict=True) if not n]
            notes.append(f"The {name} part has no examples of {listed(missing)}.")
    return notes


def _digest(source: bytes, classes: tuple[str, ...], *columns: NDArray[np.integer[Any]]) -> str:
    total = hashlib.blake2b(source, digest_size=16)
    total.update("\0".join(classes).encode("utf-8", "surrogatepass"))
    for column in columns:
        total.update(np.ascontiguousarray(column).tobytes())
    return total.hexdigest()
