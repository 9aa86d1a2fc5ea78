"""The search before the learning: what mattered, and every recipe that was tried."""

from __future__ import annotations

from collections.abc import Sequence

from quickstudy.report import words
from quickstudy.report.charts import RIGHT, stroke, svg
from quickstudy.report.markup import Html, fold, join, long_table, section, tag
from quickstudy.report.reading import Report, number, part, records, rows

_ROW, _TOP = 24, 8  # pixels of one bar's line, and above the first
_NAME = 168  # pixels that the names take
_SHOWN = 10  # bars at most
_END = (
    "Passes says how often a trial went through the examples; of equal scores the lower loss is "
    "the better. A score that was best of many is a little too good by chance: the score on the "
    "test is the honest one."
)
_METHOD = (
    "Each trial is a whole learning in a process of its own, with the same examples to learn from "
    "and the same val; none of them looked at the test. Trials of {first} s were many; the best, "
    "and the plan's own recipe beside them, learnt again for longer before one was chosen. Scores "
    "compare within the same time. " + _END
)
_ONE = (
    "Each trial is a whole learning in a process of its own, with the same examples to learn from "
    "and the same val; none of them looked at the test. " + _END
)


def search(report: Report) -> Html:
    """Return what a search found, or nothing where a run was no part of one."""
    told = part(report, "search")
    board = records(told, "board")
    if not board:
        return Html()
    lengths = [n for one in rows(told, "rungs") if (n := number(one)) is not None]
    method = _METHOD.format(first=f"{lengths[0]:.0f}") if len(lengths) > 1 else _ONE
    first, *others = rows(told, "sentences") or [""]
    shares = [
        (str(one.get("key", "")), share)
        for one in records(told, "importance")
        if (share := number(one.get("share"))) is not None
    ]
    return section(
        "search",
        "The recipes tried",
        tag("p", tag("b", str(first)), *(f" {line}" for line in others)),
        _importance(shares[:_SHOWN], told) if shares else None,
        _board(report, told, board),
        tag("p", method, class_="muted"),
    )


def _importance(shares: Sequence[tuple[str, float]], told: Report) -> Html:
    """Draw how much of the differences each key explains, the most first."""
    most = max((share for _, share in shares), default=1.0) or 1.0
    wide = RIGHT - _NAME - 48  # the rest is for the number

    drawn: list[Html] = []
    for place, (key, share) in enumerate(shares):
        top = _TOP + place * _ROW
        length = round(max(1.0, wide * max(0.0, share) / most), 1)
        drawn += [
            tag("text", key, x=_NAME - 8, y=top + 14, text_anchor="end"),
            tag("rect", x=_NAME, y=top + 3, width=length, height=14, rx=3, class_="band"),
            tag("text", words.percent(share, short=True), x=_NAME + length + 6, y=top + 14),
        ]
    height = _TOP + _ROW * len(shares) + 6
    drawn.append(stroke(_NAME, _TOP, _NAME, height - 4, "axis"))
    spoken = "; ".join(f"{key} {words.percent(share)}" for key, share in shares)
    title = tag("figcaption", tag("b", "What mattered"))
    among = words.count(told.get("importance_of"))
    note = f"Share of the differences in score among {among} trials of equal time (fANOVA)."
    figure = tag("figure", title, svg(height, f"What mattered: {spoken}", drawn))
    return tag("div", figure, tag("p", tag("small", note), class_="muted"), class_="charts")


def _board(report: Report, told: Report, board: Sequence[Report]) -> Html:
    """Return all trials: those with the longest time first, the best on top."""
    best = number(told.get("winner"))
    body = []
    for one in board:
        name: object = str(one.get("number", words.NONE))
        if number(one.get("again")) is not None:
            name = f"{name} ({one.get('again')} again)"
        if one.get("number") == best and best is not None:
            name = join([name, " ", tag("b", "chosen", class_="badge")])
        score = words.mark(report, one.get("val_score"))
        body.append(
            (
                name,
                score if number(one.get("val_score")) is not None else words.NONE,
                words.figure(one.get("val_loss")),
                words.length(one.get("seconds")),
                words.figure(one.get("passes")),
                _state(one),
                _differs(one),
            )
        )
    head = ("Trial", words.val_score(report), "Val loss", "Time", "Passes", "State", "What differs")
    more = "The other {n} trials"
    return tag(
        "div",
        tag("h3", "All trials"),
        long_table("Trials of the search", head, body, more, numeric=(1, 2, 3, 4), class_="fates"),
    )


def _state(one: Report) -> str:
    state, why = str(one.get("state", "")), str(one.get("why") or "")
    return f"{state}: {why}" if why else state


def _differs(one: Report) -> Html | str:
    if one.get("plan"):
        return "nothing: the plan's own recipe"
    told = part(one, "differs")
    said = [f"{key} {_value(value)}" for key, value in told.items()]
    if len(said) <= 4:
        return ", ".join(said)
    return fold(", ".join(said[:3]) + ", ...", ", ".join(said[3:]))


def _value(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else words.setting(value)
