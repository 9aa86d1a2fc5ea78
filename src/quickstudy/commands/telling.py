"""The answers of `predict` on stdout: words for people, CSV, JSON."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from quickstudy.prediction import NONE_OF_THESE

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
    answers: Iterable[Prediction],
    task: str,
    classes: Sequence[str],
    *,
    timeline: bool,
    coverage: float | None = None,
) -> int:
    """Print a line for each file, or with `timeline` for each stretch of one; return the exit code.

    Times are in seconds; a recording that has no timeline is one stretch without times. Several
    labels are written ``a;b``. `unknown` is yes for what is none of the classes, no, or nothing
    where the model cannot tell. With a `coverage` follows the `set` of labels, or from where to
    where each number lies.
    """
    out = csv.writer(sys.stdout)
    if task != "classification":
        return _plain_csv(out, answers, task, classes, coverage)
    times = ["from", "to"] if timeline else []
    within = ["set"] if coverage is not None else []
    out.writerow(["file", *times, "label", "probability", *classes, *within, "unknown", "error"])
    bad = 0
    for answer in answers:
        bad += answer.error is not None
        name, doubt = printable(answer.name), _doubt(answer)
        among = [";".join(answer.labels_set or ())] if within else []
        for one in answer.timeline:
            sure = f"{one.probability:.6f}" if one.label is not None else ""
            when = [f"{one.start:.3f}", f"{one.end:.3f}"]
            blank = [""] * (len(classes) + len(within))
            out.writerow([name, *when, one.label or "", sure, *blank, doubt, ""])
        if answer.timeline:
            continue
        fine = answer.error is None
        shares = [f"{answer.probabilities[c]:.6f}" if fine else "" for c in classes]
        sure = f"{answer.probability:.6f}" if fine else ""
        told = [answer.label or "", sure, *shares, *among, doubt, answer.error or ""]
        out.writerow([name, *[""] * len(times), *told])
    return 1 if bad else 0


def _doubt(answer: Prediction) -> str:
    return "" if answer.unknown is None else ("no", "yes")[answer.unknown]


def _plain_csv(
    out: Any,
    answers: Iterable[Prediction],
    task: str,
    classes: Sequence[str],
    coverage: float | None,
) -> int:
    """Print numbers, or labels with the probability of each."""
    labelled = ["labels"] if task == "multilabel" else []
    within: list[str] = []
    if coverage is not None:
        ends = [f"{name} {end}" for name in classes for end in ("from", "to")]
        within = ["set"] if labelled else ends
    out.writerow(["file", *labelled, *classes, *within, "unknown", "error"])
    bad = 0
    for answer in answers:
        bad += answer.error is not None
        found = answer.values if answer.values is not None else answer.probabilities
        given = [";".join(answer.labels or ())] if labelled else []
        numbers = ["" if name not in found else f"{found[name]:.9g}" for name in classes]
        row = [printable(answer.name), *given, *numbers, *_within(answer, within)]
        out.writerow([*row, _doubt(answer), answer.error or ""])
    return 1 if bad else 0


def _within(answer: Prediction, columns: Sequence[str]) -> list[str]:
    """Return the set of labels, or the ends of the range of each number, in so many columns."""
    if answer.ranges is not None:
        return [f"{end:.9g}" for ends in answer.ranges.values() for end in ends]
    if answer.labels_set is not None:
        return [";".join(answer.labels_set)]
    return [""] * len(columns)


def as_words(answers: Iterable[Prediction], names: Sequence[str]) -> int:
    """Print a line for each file, and a table for a long recording; return the exit code."""
    width = min(60, max(len(printable(name)) for name in names))
    bad = 0
    for answer in answers:
        bad += answer.error is not None
        name = printable(answer.name).replace("\n", "\\n")
        if answer.timeline:
            doubt = f"  {NONE_OF_THESE}, on the whole" if answer.unknown else ""
            sys.stdout.write(f"{name}{doubt}\n{_table(answer)}")
        elif answer.error:
            sys.stdout.write(f"{name:<{width}}  cannot be read: {answer.error}\n")
        else:
            sys.stdout.write(f"{name:<{width}}  {answer.said()}\n")
        sys.stdout.flush()
    if bad:
        sys.stderr.write(f"{bad} of {len(names)} could not be read.\n")
    return 1 if bad else 0


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
