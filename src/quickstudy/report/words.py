"""Numbers and verdicts in plain words: the same ones for the page and the terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from quickstudy.report.reading import Report, ends, matrix, number, pairs, part, rows, scored

#: Between a number and its unit: the two never part at the end of a line.
NBSP = "\u00a0"
NONE = "–"
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


def headline(report: Report) -> str:
    """Return the one sentence that says how good the model is, and how sure that is."""
    test, val = part(report, "test"), part(report, "val")
    if number(test.get("accuracy")) is not None:
        sure = f" (95{NBSP}% sure: {span(test['interval'])})" if ends(test.get("interval")) else ""
        on = examples(report, test.get("n"))
        return f"{percent(test['accuracy'])} correct on {on} it never saw{sure}"
    if number(val.get("accuracy")) is not None:
        return f"{percent(val['accuracy'])} correct on {examples(report, val.get('n'))} of val"
    return "This run has no score"


def on_new(report: Report) -> str:
    """Return the score on groups it has never met, or nothing where the headline is that score."""
    new, test = scored(part(report, "groups"), "new"), part(report, "test")
    if not new or (new.get("from") == "test" and new.get("n") == test.get("n")):
        return ""
    sure = f" (95{NBSP}% sure: {span(new['interval'])})" if ends(new.get("interval")) else ""
    how = ", in a rehearsal" if new.get("from") == "rehearsal" else ""
    return f"{percent(new['accuracy'])} correct on groups it has never met{how}{sure}"


def guess(report: Report) -> str:
    """Return what always answering the commonest class would score, or nothing."""
    baseline = part(part(report, "test"), "baseline")
    if number(baseline.get("accuracy")) is None:
        return ""
    score = percent(baseline["accuracy"], short=True)
    return f"Guessing the commonest class ({baseline.get('class', NONE)}) would score {score}."


def mixup(report: Report) -> str:
    """Return one sentence about the commonest confusion on the test, or nothing."""
    confusion = matrix(part(report, "test"))
    classes = rows(part(report, "data"), "classes")
    if not confusion or len(classes) != len(confusion):
        return ""
    found = pairs(confusion)
    if not found:
        return "It made no mistake on the test."
    times, true, said = found[0]
    back = confusion[said][true]
    one, other = f"“{classes[true]}”", f"“{classes[said]}”"
    if back == times:
        return f"It mistakes {one} for {other} as often as {other} for {one} ({times:,} each)."
    versus = f"{times:,} against {back:,}"
    return f"It mistakes {one} for {other} more often than {other} for {one} ({versus})."


def cautions(report: Report) -> list[str]:
    """Return a sentence for everything that should temper trust in the headline."""
    test = part(report, "test")
    if number(test.get("accuracy")) is None:
        if number(part(report, "val").get("accuracy")) is None:
            return ["Nothing was scored: treat the model as untested."]
        return ["There is no test score. Val steered the training, so its score flatters."]
    found, said = ends(test.get("interval")), _of_groups(report)
    baseline = number(part(test, "baseline").get("accuracy"))
    if found and baseline is not None and found[0] <= baseline:
        verb = "is worse than" if found[1] < baseline else "is not clearly better than"
        said.append(f"This model {verb} guessing the commonest class.")
    if found and found[1] - found[0] > 0.1:
        width = f"{100 * (found[1] - found[0]):.0f} points"
        few = examples(report, test.get("n"))
        said.append(f"The true score may lie anywhere in a range of {width}: {few} tell no more.")
    return said


def _of_groups(report: Report) -> list[str]:
    """Return what groups that the file names suggest say against the headline."""
    told = part(report, "groups")
    new = scored(told, "new")
    known = scored(told, "rehearsed") or scored(told, "known")
    if told and not new:
        met = "It has met all of the test's groups in learning, or nearly all"
        return [f"{met}: on new ones it may do worse."]
    low, high = ends(known.get("interval")), ends(new.get("interval"))
    if low is None or high is None or high[1] >= low[0]:
        return []
    both = f"{percent(new['accuracy'])} against {percent(known['accuracy'])}"
    worse = f"On groups it has never met it does clearly worse than on those it has met: {both}."
    return [f"{worse} For new ones, expect the lower score."]
