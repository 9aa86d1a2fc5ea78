"""The verdict: how good the model is, what a guess would score, and every word of caution."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from quickstudy.report import charts, labels, numbers, scores, words
from quickstudy.report.markup import Html, tag
from quickstudy.report.reading import (
    Report,
    ends,
    main,
    number,
    part,
    rows,
    score_of,
    scored,
    task,
    tested,
)

_HEADLINES: dict[str, Callable[[Report], str]] = {
    "classification": scores.headline,
    "regression": numbers.headline,
    "multilabel": labels.headline,
}
#: Task -> the sentences under the headline.
_MORE: dict[str, Callable[[Report], list[str]]] = {
    "classification": scores.sentences,
    "regression": numbers.sentences,
    "multilabel": labels.sentences,
}
_GUESSES = {
    "classification": "guessing the commonest class",
    "regression": "guessing the average",
    "multilabel": "guessing by how common each label is",
}
_WIDE = {"regression": 0.2}  # of an interval that needs a word; else a tenth
_FEW = 30  # examples whose bootstrap is itself a rough one


def verdict(report: Report) -> Html:
    """Return the headline, what a guess would score, and every word of caution."""
    outcome, test = part(report, "outcome"), part(report, "test")
    new = on_new(report)
    said = _MORE[task(report)](report) if tested(report) else []
    said += _of_rival(test, better=False)
    lines = [
        _score_line(headline(report), "headline"),
        _score_line(new, "second") if new else None,
        *(tag("p", line) for line in said if line),
        _on_val(report),
    ]
    status = {"interrupted": "The run was interrupted.", "stopped": "The run stopped early."}
    notes = [status.get(str(outcome.get("status"))), *cautions(report)]
    notes += list(rows(outcome, "notes"))
    kept = [tag("li", note) for note in notes if note]
    return tag(
        "section",
        tag("h2", "How good is it?", id="score"),
        tag(
            "div", tag("div", *lines), tag("div", _gauge(report), class_="gauge"), class_="verdict"
        ),
        tag("ul", *kept, class_="notes", aria_label="Mind") if kept else None,
        aria_labelledby="score",
    )


def headline(report: Report) -> str:
    """Return the one sentence that says how good the model is, and how sure that is."""
    val = part(report, "val")
    if tested(report):
        return _HEADLINES[task(report)](report)
    if score_of(val) is not None:
        said = words.marked(report, score_of(val))
        return f"{said[0].upper()}{said[1:]} on {words.examples(report, val.get('n'))} of val"
    return "This run has no score"


def on_new(report: Report) -> str:
    """Return the score on groups it has never met, or nothing where the headline is that score."""
    new, test = scored(part(report, "groups"), "new"), part(report, "test")
    if not new or (new.get("from") == "test" and new.get("n") == test.get("n")):
        return ""
    how = ", in a rehearsal" if new.get("from") == "rehearsal" else ""
    sure = words.sure(new.get("interval"))
    return f"{words.percent(new['accuracy'])} correct on groups it has never met{how}{sure}"


def cautions(report: Report) -> list[str]:
    """Return a sentence for everything that should temper trust in the headline."""
    test, found = part(report, "test"), main(report)
    if not tested(report):
        if score_of(part(report, "val")) is None:
            return ["Nothing was scored: treat the model as untested."]
        return ["There is no test score. Val steered the training, so its score flatters."]
    few = words.examples(report, test.get("n"))
    said = [*([str(test["cannot"])] if test.get("cannot") else []), *_of_groups(report)]
    if found is None or found.interval is None:
        return [*said, *_of_rival(test, better=True)]
    low, high = found.interval
    if found.guess is not None and low <= found.guess:
        verb = "is worse than" if high < found.guess else "is not clearly better than"
        said.append(f"This model {verb} {_GUESSES[task(report)]}.")
    said += _of_rival(test, better=True)
    enough = part(test, "enough")
    if enough.get("few") and enough.get("sentence"):
        said.append(str(enough["sentence"]).replace("of R2", "of R²"))
    elif high - low > _WIDE.get(task(report), 0.1):
        width = f"{100 * (high - low):.0f} points"
        if task(report) == "regression":
            width = f"{words.plain(high - low, 2)} of R²"
        said.append(f"The true score may lie anywhere in a range of {width}: {few} tell no more.")
    elif task(report) != "classification" and (number(test.get("n")) or _FEW) < _FEW:
        said.append(f"The range rests on {few} only: it may be too narrow.")
    return said


def _of_rival(test: Report, *, better: bool) -> list[str]:
    """Return the sentence on a rival, where it is `better`, or where it is not."""
    rival = part(test, "trees")
    if not rival.get("sentence") or (rival.get("verdict") == "better") != better:
        return []
    return [str(rival["sentence"]).replace("score R2", "score R²")]


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
    both = f"{words.percent(new['accuracy'])} against {words.percent(known['accuracy'])}"
    worse = f"On groups it has never met it does clearly worse than on those it has met: {both}."
    return [f"{worse} For new ones, expect the lower score."]


def _gauge(report: Report) -> Html | None:
    """Return the drawing of the main score from 0 to the best there is."""
    found = main(report)
    if found is None:
        return None
    top = "1" if task(report) == "regression" else "100"
    said = partial(words.mark, report)
    return charts.score(found.value, found.interval, found.guess, said, top)


def _on_val(report: Report) -> Html | None:
    """Return the score that steered the training, beside that of the test."""
    val = part(report, "val")
    if main(report) is None or score_of(val) is None:
        return None
    on = words.examples(report, val.get("n"))
    said = f"{words.marked(report, score_of(val))} on {on}"
    if task(report) == "classification":
        said = f"{words.percent(score_of(val))} of {on}"
    return tag("p", f"On val, which steered the training: {said}.", class_="muted")


def _score_line(said: str, look: str) -> Html:
    """Return a score, with the interval in brackets less loud."""
    score, bracket, sure = said.partition(" (")
    return tag("p", score, tag("span", bracket + sure, class_="sure"), class_=look)
