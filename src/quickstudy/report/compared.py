"""Two runs compared -> compare.html: both scores, how sure the difference is, where they differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from quickstudy.report import charts, words
from quickstudy.report.layout import document
from quickstudy.report.markup import Html, fold, join, section, table, tag
from quickstudy.report.mistakes import answer, player
from quickstudy.report.reading import Report, ends, number, part, records, rows

_NOUNS = {"image": "pictures", "sound": "recordings", "table": "rows"}
_SCORES = {"accuracy": "correct", "mAP": "mean average precision", "R2": "R²"}


def compare_page(found: Mapping[str, Any]) -> str:
    """Return the page of a comparison as one HTML file that needs nothing else.

    `found` is what ``quickstudy compare --json`` prints, with `examples` to look at.
    """
    names, runs = _names(found), part(found, "runs")
    headline, sure = _headline(str(found.get("sentence", "")))
    lines = [tag("p", headline, class_="headline"), tag("p", sure) if sure else None]
    sections = [
        ("both", "Scores", _both(found)),
        ("difference", "Difference", _difference(found)),
        ("second", "Better", _examples(found, "second")),
        ("first", "Worse", _examples(found, "first")),
        ("how", "How", _how(found)),
    ]
    links = (tag("a", name, href=f"#{at}") for at, name, inside in sections if inside)
    title = f"{names[1]} against {names[0]}"
    sources = [str(part(runs, side).get("source", "")) for side in ("first", "second")]
    told = [tag("code", source) for source in dict.fromkeys(sources) if source]
    said = tag("p", join(["learnt from ", join(told, " and ")]), class_="muted") if told else None
    return document(
        f"{title}: {headline}",
        tag("header", tag("h1", title), said),
        tag("nav", *links, aria_label="Sections"),
        tag("main", tag("section", *lines), *(inside for _, _, inside in sections)),
        tag("footer", tag("p", "Made by quickstudy compare; its --json has the same numbers.")),
    )


def _names(found: Report) -> tuple[str, str]:
    runs = part(found, "runs")
    first, second = (str(part(runs, side).get("name", side)) for side in ("first", "second"))
    return first, second


def _headline(sentence: str) -> tuple[str, str]:
    """Return a sentence without what stands in brackets, and the rest."""
    start, bracket, rest = sentence.partition(" (difference")
    if not bracket:
        return sentence, ""
    inside, _, after = rest.partition(").")
    signs = inside.replace(" -", f" {words.MINUS}")
    return f"{start}.", f"Difference{signs}.{after}"


def _said(found: Report) -> Callable[[Any], str]:
    return words.fraction if found.get("metric") == "R2" else words.percent


def _both(found: Report) -> Html:
    said, top = _said(found), "1" if found.get("metric") == "R2" else "100"
    span = words.fraction_span if found.get("metric") == "R2" else words.span
    drawn = []
    for side, name in zip(("first", "second"), _names(found), strict=True):
        score = part(found, side)
        value, interval = number(score.get("value")), ends(score.get("interval"))
        if value is None:
            continue
        sure = f"95{words.NBSP}% sure: {span(interval)}" if interval else ""
        caption = tag("figcaption", tag("b", name), tag("small", sure))
        drawn.append(tag("figure", caption, charts.score(value, interval, None, said, top)))
    many = _NOUNS.get(str(found.get("kind")), "examples")
    what = _SCORES.get(str(found.get("metric")), "score")
    of = f"{what[0].upper()}{what[1:]}, on the same {words.count(found.get('n'))} test {many}."
    lead = tag(
        "p", f"{of} The two ranges may overlap although the difference is clear: it is paired, "
        "example by example."
    )  # fmt: skip
    return section("both", "Both scores", lead, tag("div", *drawn, class_="apart"))


def _difference(found: Report) -> Html:
    names, only = _names(found), part(found, "only")
    difference, loss = part(found, "difference"), part(found, "log_loss_difference")
    body: list[tuple[str, object]] = []
    for side, name in zip(("first", "second"), names, strict=True):
        if only:
            body.append((f"only {name} has right", words.count(only.get(side))))
    body.append(("difference of the scores", _signed(difference, found.get("metric") != "R2")))
    if loss:
        body.append(("of the log losses (below 0 is better)", _signed(loss, False)))
    p = number(found.get("p"))
    if p is not None:
        how = "answers swapped at random" if found.get("test") == "randomization" else "McNemar"
        body.append((f"p ({how})", "< 0.001" if p < 0.001 else words.figure(p, 2)))
    shown = table("The difference", ("", "95 % interval below"), body, numeric=(1,))
    return section("difference", "The difference", shown)


def _signed(one: Report, shares: bool) -> Html:
    value, interval = number(one.get("value")), ends(one.get("interval"))

    def said(x: float) -> str:
        text = f"{100 * x:+.1f}" if shares else f"{x:+.3f}"
        return text.replace("-", words.MINUS)

    if value is None:
        return join([words.NONE])
    shown: list[object] = [f"{said(value)} points" if shares else said(value)]
    if interval:
        span = f"{said(interval[0])} to {said(interval[1])}"
        shown += [tag("br"), tag("small", span, class_="muted")]
    return join(shown)


def _examples(found: Report, side: str) -> Html:
    """Return the examples at which one side is better, to see and to hear."""
    shown = [one for one in records(found, "examples") if one.get("better") == side]
    if not shown:
        return Html()
    name = _names(found)[0 if side == "first" else 1]
    sounds = any(one.get("sound") for one in shown)
    look = "pictures sounds" if sounds else "pictures"
    look = "pictures cells" if found.get("kind") == "table" else look
    count = number(part(found, "only").get(side))
    lead = f"The {len(shown):,} at which the two differ the most."
    if count is not None:
        lead = f"{len(shown):,} of {words.count(count)}, the most different first."
        lead = lead if count > len(shown) else "All of them, the most different first."
        lead = lead if len(shown) > 1 else "It is the only one."
    cards = (_card(one, _names(found)) for one in shown)
    title = f"What only {name} has right" if part(found, "only") else f"Where {name} is better"
    return section(
        side,
        title,
        tag("p", lead),
        tag("ul", *cards, class_=look),
    )


def _card(one: Report, names: tuple[str, str]) -> Html:
    name, picture = str(one.get("name", "")), str(one.get("picture") or "")
    true = answer(one.get("true"))
    shown = tag("span", "nothing to see", class_="blank muted")
    if picture.startswith("data:image/"):
        shown = tag("img", src=picture, alt=f"{name}: truly {true}", loading="lazy")
    lines = [tag("span", "truly ", tag("b", true))]
    for side, run in zip(("first", "second"), names, strict=True):
        told = part(one, side)
        sure = number(told.get("probability"))
        how = f", {words.percent(sure)} sure" if sure is not None else ""
        if isinstance(told.get("predicted"), list):
            how = ""
        said = answer(told.get("predicted"))
        lines.append(tag("span", f"{run}: ", tag("b", said), how))
    lines.append(tag("small", name, class_="muted"))
    return tag("li", tag("figure", shown, player(one, name), tag("figcaption", *lines)))


def _how(found: Report) -> Html:
    many = _NOUNS.get(str(found.get("kind")), "examples")
    tested = [words.count(n) for n in rows(found, "tested")]
    said = []
    if len(tested) == 2:
        names = _names(found)
        said.append(
            f"{names[0]} was tested on {tested[0]} {many}, {names[1]} on {tested[1]}; "
            f"{words.count(found.get('common'))} have the same content."
        )
    if number(found.get("learnt_from")):
        count = words.count(found.get("learnt_from"))
        said.append(f"{count} of those were left out: one of the two has learnt from them.")
    if number(found.get("labelled_otherwise")):
        count = words.count(found.get("labelled_otherwise"))
        said.append(f"{count} more were left out: they are labelled otherwise in the other run.")
    test = (
        "McNemar's exact test counts the examples that only one of the two has right; the range of "
        "the difference is Newcombe's (1998), that of the log losses a paired bootstrap's."
    )
    if not part(found, "only"):
        test = (
            "The range of the difference is a paired bootstrap's over the examples; p is how often "
            "two models differ by as much whose answers were swapped at random (Noreen 1989)."
        )
    said.append(f"{test} They are called different only where both agree, at 95 %.")
    runs = part(found, "runs")
    folders = [str(part(runs, side).get("folder", "")) for side in ("first", "second")]
    paths = fold("The runs", tag("ul", *(tag("li", tag("code", one)) for one in folders if one)))
    return section("how", "How they were compared", *(tag("p", line) for line in said), paths)
