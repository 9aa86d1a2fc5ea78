"""One of several classes: the verdict in words, class by class, what it confuses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from quickstudy.report import words
from quickstudy.report.markup import VISIBLE, Html, join, long_table, scroll, section, table, tag
from quickstudy.report.reading import Report, ends, matrix, number, pairs, part, rows

_OTHERS = (
    ("balanced_accuracy", "Balanced accuracy", "mean recall: every class counts the same"),
    ("macro_f1", "Macro F1", "mean of precision and recall in balance, over classes"),
    ("log_loss", "Log loss", "how far the probabilities are off; 0 is perfect"),
)


def headline(report: Report) -> str:
    """Return how many it answered correctly, and how sure that is."""
    test = part(report, "test")
    on = words.examples(report, test.get("n"))
    sure = words.sure(test.get("interval"))
    return f"{words.percent(test.get('accuracy'))} correct on {on} it never saw{sure}"


def sentences(report: Report) -> list[str]:
    """Return what a guess would score, and the commonest confusion."""
    return [_guess(report), _mixup(report)]


def _guess(report: Report) -> str:
    """Return what always answering the commonest class would score, or nothing."""
    baseline = part(part(report, "test"), "baseline")
    if number(baseline.get("accuracy")) is None:
        return ""
    score = words.percent(baseline["accuracy"], short=True)
    return (
        f"Guessing the commonest class ({baseline.get('class', words.NONE)}) would score {score}."
    )


def _mixup(report: Report) -> str:
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


def bar(value: Any, interval: Any, *, label: bool = True) -> Html:
    """Return a share as a small bar with its interval; the numbers beside it say the same."""
    share, found = number(value), ends(interval)
    if share is None:
        return tag("span", words.NONE, class_="muted")
    low, high = found or (share, share)
    style = f"--v:{100 * share:.1f};--lo:{100 * low:.1f};--hi:{100 * high:.1f}"
    said = [tag("b", words.percent(share))] if label else []
    if found and label:
        said.append(tag("small", words.span(found)))
    return tag(
        "div", tag("span", class_="iv", style=style, aria_hidden="true"), *said, class_="measure"
    )


def by_class(report: Report) -> Html:
    """Return recall and precision of every class, worst recall first, and the other scores."""
    test = part(report, "test")
    scored = part(test, "per_class")

    def worst(name: str) -> tuple[float, str]:
        recall = number(part(scored, name).get("recall"))
        return (2.0 if recall is None else recall, name)

    body = []
    for name in sorted(scored, key=worst):
        one = part(scored, name)
        f1 = words.percent(one.get("f1"))
        recall = bar(one.get("recall"), one.get("recall_interval"))
        precision = bar(one.get("precision"), one.get("precision_interval"))
        body.append((name, recall, precision, f1, words.count(one.get("n"))))
    others = []
    for key, title, meaning in _OTHERS:
        one = part(test, key)
        if number(one.get("value")) is not None:
            named = join([title, tag("br"), tag("small", meaning, class_="muted")])
            others.append((named, *_score(key, one)))
    head = ("Class", "Recall", "Precision", "F1", "n")
    lead = (
        "Recall: of the examples of this class, how many it found. Precision: of the times it said "
        "this class, how often it was right. Shaded: 95 % intervals. Worst recall first."
    )
    more = "The other {n} classes"
    return section(
        "classes",
        "Class by class",
        *(
            (tag("p", lead), long_table("Class by class", head, body, more, numeric=(3, 4)))
            if body
            else ()
        ),
        table("Other scores", ("Score", "Value", "95 % interval"), others, numeric=(1, 2))
        if others
        else None,
    )


def _score(key: str, one: Report) -> tuple[str, str]:
    """Return value and interval; log loss is no share, so it has no percent sign."""
    if key != "log_loss":
        return words.percent(one.get("value")), words.span(one.get("interval"))
    found = ends(one.get("interval"))
    said = f"{found[0]:.3f} to {found[1]:.3f}" if found else words.NONE
    return f"{number(one.get('value')) or 0.0:.3f}", said


def confusions(report: Report) -> Html:
    """Return the confusion matrix; of more than 20 classes, the 20 commonest confusions."""
    confusion = matrix(part(report, "test"))
    classes = [str(name) for name in rows(part(report, "data"), "classes")]
    if not confusion or len(classes) != len(confusion):
        return Html()
    if len(classes) <= VISIBLE:
        lead = (
            f"A row is what the {words.noun(report)} truly are, a column what the model said. The "
            "stronger the colour, the larger the share of its row; blue is right, orange is wrong."
        )
        heat = scroll("Confusion matrix", _heat(classes, confusion))
        return section("confusion", "What it confuses", tag("p", lead), heat)
    body = [
        (
            classes[true],
            classes[said],
            words.count(n),
            words.percent(n / max(sum(confusion[true]), 1)),
        )
        for n, true, said in pairs(confusion)[:VISIBLE]
    ]
    if not body:
        return Html()
    head = ("True class", "Model said", "Times", "Share of the class")
    lead = f"The {len(body)} commonest confusions among {len(classes):,} classes."
    listed = table("Commonest confusions", head, body, numeric=(2, 3))
    return section("confusion", "What it confuses", tag("p", lead), listed)


def _heat(classes: Sequence[str], confusion: Sequence[Sequence[int]]) -> Html:
    heads = (tag("th", tag("span", name), scope="col", title=name) for name in classes)
    lines = []
    for true, (name, row) in enumerate(zip(classes, confusion, strict=True)):
        total = max(sum(row), 1)
        cells = [tag("th", name, scope="row", title=name)]
        for said, n in enumerate(row):
            depth = f"--a:{0.08 + 0.47 * n / total:.2f}" if n else None
            look = ("hit" if true == said else "miss") if n else "none"
            cells.append(tag("td", words.count(n), class_=look, style=depth))
        lines.append(tag("tr", *cells))
    corner = tag("td", "true ↓ said →", class_="muted corner")
    look = "heat wide" if len(classes) > 6 else "heat"
    return tag("table", tag("thead", tag("tr", corner, *heads)), tag("tbody", *lines), class_=look)
