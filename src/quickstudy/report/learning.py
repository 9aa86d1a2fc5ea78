"""How the network learnt: curves over the seconds, candidates compared, what happened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from quickstudy.report import words
from quickstudy.report.charts import Chart, Line, over_time
from quickstudy.report.markup import Html, fold, join, section, table, tag
from quickstudy.report.reading import Report, number, part, records, score_of, task
from quickstudy.report.scores import bar

_DEEPEST = -0.25  # R² before it has learnt anything would flatten the rest of the curve


def learning(report: Report) -> Html:
    """Return the curves, the candidates raced against each other, and the events of the run."""
    points, race = records(report, "curves"), records(report, "candidates")
    events = records(report, "events")
    return section(
        "learning",
        "How it learnt",
        _curves(report, points) if points else None,
        _checks(report, points) if points else None,
        _race(report, race) if race else None,
        _events(events) if events else None,
    )


def _size(report: Report) -> str:
    """Return what `curves[].size` is the size of."""
    sound = part(report, "data").get("kind") == "sound"
    return "Samples heard at once" if sound else "Picture size, px"


def _curves(report: Report, points: Sequence[Report]) -> Html:
    def line(name: str, key: str, look: str, *, steps: bool = False) -> Line:
        found = [
            (seconds, value)
            for row in points
            if (seconds := number(row.get("seconds"))) is not None
            and (value := _at(row, key)) is not None
        ]
        return Line(name, look, found, steps=steps)

    losses = [line("training", "loss", "c1"), line("val", "val_loss", "c2")]
    plans = [
        Chart("Loss", losses, lambda v: f"{v:.3g}"),
        Chart(
            words.val_score(report),
            [line("val", "val_score", "c2")],
            lambda v: words.mark(report, v, short=True),
            floor=None,
            ceiling=1.0,
            deepest=_DEEPEST if task(report) == "regression" else None,
        ),
        Chart("Learning rate", [line("rate", "lr", "c3")], lambda v: f"{v:.2g}", 76),
    ]
    size = line("size", "size", "c3", steps=True)
    if len({value for _, value in size.points}) > 1:  # else it is a choice, no curve
        plans.append(Chart(_size(report), [size], lambda v: f"{v:.0f}", 76))
    end = max((number(row.get("seconds")) or 0.0 for row in points), default=0.0)
    drawn = []
    for plan in plans:
        kept = [one for one in plan.lines if one.points]
        if kept:
            drawn.append(over_time(replace(plan, lines=kept), end))
    return tag("div", *drawn, class_="charts")


def _checks(report: Report, points: Sequence[Report]) -> Html | None:
    """Return the checks on val as a table: the curves for those who cannot see them."""
    body = [
        (
            words.clock(row.get("seconds")),
            words.count(row.get("step")),
            words.figure(row.get("epoch")),
            words.figure(row.get("loss")),
            words.figure(row.get("val_loss")),
            words.mark(report, _at(row, "val_score")),
        )
        for row in points
        if _at(row, "val_score") is not None
    ]
    head = ("Time", "Step", "Epoch", "Loss", "Val loss", words.val_score(report))
    if not body:
        return None
    return fold(
        f"The same in numbers: {len(body):,} checks on val",
        table("Checks on val", head, body, numeric=range(1, 6)),
    )


def _at(row: Report, key: str) -> float | None:
    """Return a number of a point; the score on val also by its name in schema 1."""
    return score_of(row, key, "val_accuracy") if key == "val_score" else number(row.get(key))


def _race(report: Report, race: Sequence[Report]) -> Html:
    body = []
    for one in race:
        chosen = tag("b", "chosen", class_="badge") if one.get("chosen") else ""
        name = join([str(one.get("name", words.NONE)), " ", chosen])
        score: object = bar(_at(one, "val_score"), None)
        if task(report) == "regression":
            score = words.fraction(_at(one, "val_score"))
        body.append((name, score, words.figure(one.get("val_loss"))))
    head = ("Candidate", words.val_score(report), "Val loss")
    listed = table("Candidates compared on val", head, body, numeric=(2,))
    return tag("div", tag("h3", "Candidates, compared on val"), listed)


def _events(events: Sequence[Report]) -> Html:
    lines = (
        tag("li", tag("b", words.clock(one.get("seconds"))), " ", str(one.get("what", "")))
        for one in events
    )
    return tag("div", tag("h3", "What happened on the way"), tag("ul", *lines))
