"""The answers of `predict` on stdout: words for people, CSV, JSON."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quickstudy.prediction import Prediction


def printable(text: str) -> str:
    """Return text any terminal takes: file names need not be valid Unicode."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def print_json(document: Any) -> None:
    """Print one JSON document."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=True) + "\n")


def as_json(answers: Iterable[Prediction]) -> int:
    """Print a JSON list; return the exit code."""
    listed = [answer.as_dict() for answer in answers]
    print_json(listed)
    return int(any(answer["error"] is not None for answer in listed))


def as_csv(
    answers: Iterable[Prediction], task: str, classes: Sequence[str], *, timeline: bool
) -> int:
    """Print a line for each file, or with `timeline` for each stretch of one; return the exit code.

    Times are in seconds; a recording that has no timeline is one stretch without times. Several
    labels are written ``a;b``.
    """
    out = csv.writer(sys.stdout)
    if task != "classification":
        return _plain_csv(out, answers, task, classes)
    times = ["from", "to"] if timeline else []
    out.writerow(["file", *times, "label", "probability", *classes, "error"])
    bad = 0
    for answer in answers:
        bad += answer.error is not None
        name = printable(answer.name)
        for one in answer.timeline:
            sure = f"{one.probability:.6f}" if one.label is not None else ""
            when = [f"{one.start:.3f}", f"{one.end:.3f}"]
            out.writerow([name, *when, one.label or "", sure, *[""] * len(classes), ""])
        if answer.timeline:
            continue
        fine = answer.error is None
        shares = [f"{answer.probabilities[c]:.6f}" if fine else "" for c in classes]
        sure = f"{answer.probability:.6f}" if fine else ""
        blank = [""] * len(times)
        out.writerow([name, *blank, answer.label or "", sure, *shares, answer.error or ""])
    return 1 if bad else 0


def _plain_csv(out: Any, answers: Iterable[Prediction], task: str, classes: Sequence[str]) -> int:
    """Print numbers, or labels with the probability of each."""
    labelled = ["labels"] if task == "multilabel" else []
    out.writerow(["file", *labelled, *classes, "error"])
    bad = 0
    for answer in answers:
        bad += answer.error is not None
        found = answer.values if answer.values is not None else answer.probabilities
        given = [";".join(answer.labels or ())] if labelled else []
        numbers = ["" if name not in found else f"{found[name]:.9g}" for name in classes]
        out.writerow([printable(answer.name), *given, *numbers, answer.error or ""])
    return 1 if bad else 0


def as_words(answers: Iterable[Prediction], names: Sequence[str]) -> int:
    """Print a line for each file, and a table for a long recording; return the exit code."""
    width = min(60, max(len(printable(name)) for name in names))
    bad = 0
    for answer in answers:
        bad += answer.error is not None
        name = printable(answer.name).replace("\n", "\\n")
        if answer.timeline:
            sys.stdout.write(f"{name}\n{_table(answer)}")
        elif answer.error:
            sys.stdout.write(f"{name:<{width}}  cannot be read: {answer.error}\n")
        else:
            said = _said(answer)
            sys.stdout.write(f"{name:<{width}}  {said}\n")
        sys.stdout.flush()
    if bad:
        sys.stderr.write(f"{bad} of {len(names)} could not be read.\n")
    return 1 if bad else 0


def _said(answer: Prediction) -> str:
    if answer.values is not None:
        return ", ".join(f"{name} {value:.6g}" for name, value in answer.values.items())
    if answer.labels is not None:
        named = (f"{label} {100 * answer.probabilities[label]:.0f} %" for label in answer.labels)
        return ", ".join(named) or "none of its labels"
    return f"{answer.label}  {100 * answer.probability:.1f} %"


def _table(answer: Prediction) -> str:
    labels = [one.label if one.label is not None else "(silence)" for one in answer.timeline]
    wide = max(map(len, labels))
    rows = [f"  {'from':>10}  {'to':>10}  {'label':<{wide}}  sure\n"]
    for one, label in zip(answer.timeline, labels, strict=True):
        sure = f"{100 * one.probability:.0f} %" if one.label is not None else ""
        row = f"  {moment(one.start):>10}  {moment(one.end):>10}  {label:<{wide}}  {sure}"
        rows.append(row.rstrip() + "\n")
    return "".join(rows)


def moment(seconds: float) -> str:
    """Return a time in a recording as ``1:02:03.45`` or ``2:03.45``."""
    hundredths = round(100 * seconds)
    minutes, rest = divmod(hundredths, 6000)
    hours, minutes = divmod(minutes, 60)
    tail = f"{rest // 100:02}.{rest % 100:02}"
    return f"{hours}:{minutes:02}:{tail}" if hours else f"{minutes}:{tail}"
