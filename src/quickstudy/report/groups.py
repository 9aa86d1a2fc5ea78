"""Groups that nobody declared: the score on those it has met beside the score on new ones."""

from __future__ import annotations

from collections.abc import Sequence

from quickstudy.report import charts, words
from quickstudy.report.markup import Html, join, section, tag
from quickstudy.report.reading import Report, ends, number, part, rows, scored

_WHY = (
    "What comes from one person, one device or one day is alike for reasons that are not the "
    "class. A model may learn those reasons, and do worse where they are missing."
)
_LISTED = 6  # names of groups shown


def groups(report: Report) -> Html:
    """Return both scores, what they mean, how the second was found, how to declare groups."""
    told = part(report, "groups")
    if not told:
        return Html()
    known, new = scored(told, "known"), scored(told, "new")
    rehearsed = scored(told, "rehearsed")
    drawn = [
        _drawn(report, title, one)
        for title, one in (("Groups it has met", known), ("Groups it has never met", new))
        if one
    ]
    return section(
        "groups",
        "Groups it has met, and new ones",
        tag("p", tag("b", _meaning(known, new, rehearsed))),
        tag("div", *drawn, class_="apart") if drawn else None,
        tag("p", _which(told)),
        _how(report, told, new) if new else None,
        None if told.get("declared") else _declare(),
    )


def _meaning(known: Report, new: Report, rehearsed: Report) -> str:
    """Return what the two scores say together."""
    if not new:
        return (
            "It has met all of these groups in learning, or all but a few examples of them. "
            "How it does on new ones is not known; it may do worse."
        )
    if not known:
        return "Too few examples of groups it has met were asked about to compare."
    beside = rehearsed or known  # learnt in the same time, from the same groups
    low, high = ends(beside.get("interval")), ends(new.get("interval"))
    if low is None or high is None:
        return "How sure these two scores are is not known."
    if high[1] < low[0]:
        expect, instead = words.percent(new["accuracy"]), words.percent(beside["accuracy"])
        return f"New groups are clearly harder for it: expect about {expect} there, not {instead}."
    if low[1] < high[0]:
        return "It did better on groups it has never met: those may be easier ones."
    return "No clear difference: the ranges of the two scores overlap."


def _drawn(report: Report, title: str, one: Report) -> Html:
    """Return one score as a drawing, with what it is of."""
    of = {
        "test": " of the test",
        "val": " of val, which steered the training: it flatters",
        "rehearsal": ", in a rehearsal",
    }
    interval = ends(one.get("interval"))
    on = f"{words.examples(report, one.get('n'))}{of.get(str(one.get('from')), '')}"
    sure = f"95{words.NBSP}% sure: {words.span(interval)}" if interval else None
    caption = tag(
        "figcaption", tag("b", title), tag("small", on), tag("small", sure) if sure else None
    )
    accuracy = number(one.get("accuracy")) or 0.0
    return tag("figure", caption, charts.score(accuracy, interval, None))


def _which(told: Report) -> Html:
    """Return which groups are meant, and why they matter."""
    found, n = [str(name) for name in rows(told, "examples")], number(told.get("count"))
    field = str(told.get("field") or "the file names")
    many = "some" if n is None else words.count(n)
    listed: list[object] = []
    if found:
        listed = [": " if n == len(found) else ", such as ", _names(found)]
    start = f"No groups were declared, but by {field} there seem to be {many}"
    if told.get("declared"):
        start = (
            f"The test that the source brings shares declared groups with what it learnt: {many}"
        )
        listed = [" (such as ", _names(found), ")"] if found else []
    return join([start, *listed, f". {_WHY}"])


def _names(found: Sequence[str]) -> Html:
    return join([tag("code", name) for name in found], ", ")


def _how(report: Report, told: Report, new: Report) -> Html | None:
    """Return how the score on new groups was found, and what that leaves open."""
    if new.get("from") == "test":
        return tag(
            "p",
            "The second score is of those examples of the test whose group is nowhere among what "
            "it learnt from.",
        )
    if new.get("from") != "rehearsal":
        return None
    held = [str(name) for name in rows(told, "held")]
    such = "groups such as " if len(held) > _LISTED else ""
    without: list[object] = (
        [" without ", such, _names(held[:_LISTED])] if held else [" without some groups"]
    )
    last = part(part(report, "recipe"), "method").get("value") == "finetune"
    only = " (of the network only the last layer)" if last else ""
    few = "Only one group was" if len(held) == 1 else "Only some groups were"
    return tag(
        "p",
        f"The second score comes from a rehearsal: the same recipe learnt once more{only}, in part "
        "of the time,",
        *without,
        f", and was asked about {'that group' if len(held) == 1 else 'those'}. The model of this "
        "run has learnt from all groups, so on new ones it may do a little better. "
        f"{few} held out: others may be easier or harder, by more than the range shows.",
    )


def _declare() -> Html:
    """Return how to make the test itself one of new groups."""
    return tag(
        "p",
        "If these groups are real, declare them: ",
        tag("code", "--group-from", class_="whole"),
        " ",
        tag("code", "'{label}_{group}_{n}'", class_="whole"),
        ", with the parts of your own file names in braces (folders: ",
        tag("code", "'{group}/{n}'", class_="whole"),
        "), or a column ",
        tag("code", "group"),
        " in a table. The test then holds new groups only, unless the source brings its own test. "
        "If they mean nothing to you, pass over this part.",
    )
