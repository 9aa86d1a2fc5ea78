"""Its worst mistakes: each as a picture to look at, and where there is sound a player."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quickstudy.report import words
from quickstudy.report.markup import Html, fold, join, long_table, section, tag
from quickstudy.report.reading import Report, number, part, records, task, tested

_TITLES = {"regression": "Its largest errors"}
_LEADS = {
    "classification": "The mistakes it was surest of.",
    "multilabel": "Examples with a wrong label, the most surprising to it first.",
    "regression": "The answers furthest from the truth, measured against how much it varies.",
}
_SURE = "Some may be wrong {what}: {way}, and mend the data."
_AXES = "In a spectrogram time runs to the right, high tones are up, and brighter is louder."
_LONG = 10.0  # seconds: longer recordings are embedded no further than that
_TRUE, _SAID = 6, 4  # digits of a true number, and of an answer


def mistakes(report: Report) -> Html:
    """Return the worst mistakes: what is true, what it said, how sure it was."""
    facts, at = part(report, "data"), task(report)
    if not tested(report):
        return Html()
    title = _TITLES.get(at, "Its worst mistakes")
    found = records(part(report, "test"), "mistakes")
    if not found:
        none = f"There were no mistakes on the test {words.noun(report)}."
        test = part(report, "test")
        right = part(test, "exact").get("value") if at == "multilabel" else test.get("accuracy")
        if right != 1:
            none = "No mistakes were kept for this report."
        return section("mistakes", title, tag("p", none))
    way = {"sound": "listen", "table": "look at the rows"}.get(str(facts.get("kind")), "look")
    what = "in the data" if at == "regression" else "labels"
    row = " --row N" if facts.get("kind") == "table" else ""
    why = tag("code", f"quickstudy explain MODEL FILE{row}")
    said = f"{_LEADS[at]} {_SURE.format(what=what, way=way)} What led to one, shows "
    lead = tag("p", join([said, why, "."]))
    if facts.get("kind") == "table":
        return section("mistakes", title, lead, _listed(report, found), _rows(report, found))
    if facts.get("kind") != "sound":
        cards = (_card(report, one, "picture") for one in found)
        return section("mistakes", title, lead, tag("ul", *cards, class_="pictures"))
    axes = _AXES
    if (number(part(facts, "sizes").get("longest")) or 0.0) > _LONG:
        axes += " Of a long recording the beginning is shown and played."
    cards = (_card(report, one, "spectrogram") for one in found)
    shown = tag("ul", *cards, class_="pictures sounds")
    return section("mistakes", title, lead, tag("p", axes, class_="muted"), shown)


def _listed(report: Report, found: Sequence[Report]) -> Html:
    """Return mistakes that have no picture as a table."""
    last, right = {"regression": ("Off by", (3,)), "multilabel": ("", ())}.get(
        task(report), ("Sure", (3,))
    )
    body = []
    for one in found:
        true, said = answer(one.get("true")), answer(one.get("predicted"), _SAID)
        cells: list[Any] = [str(one.get("name", "")), true, said]
        if last == "Off by":
            cells.append(_off(one) or words.NONE)
        elif last:
            cells.append(words.percent(one.get("probability")))
        body.append(cells)
    head = [*("Example", "True", "It said"), *([last] if last else [])]
    numeric = [*((1, 2) if task(report) == "regression" else ()), *right]
    more = "The other {n}"
    return long_table("Worst mistakes", head, body, more, numeric=numeric, class_="names rows")


def _rows(report: Report, found: Sequence[Report]) -> Html | None:
    """Return rows drawn cell by cell, for those who want to look at them."""
    drawn = [one for one in found if str(one.get("picture") or "").startswith("data:image/")]
    if not drawn:
        return None
    cards = (_card(report, one, "row") for one in drawn)
    return fold("Look at these rows", tag("ul", *cards, class_="pictures cells"))


def _card(report: Report, one: Report, what: str) -> Html:
    """Return one card; only data URIs of the right sort get in, nothing that would be fetched."""
    true, said = answer(one.get("true")), answer(one.get("predicted"), _SAID)
    name, picture = str(one.get("name", "")), str(one.get("picture") or "")
    if picture.startswith("data:image/"):
        told = f"{name}: truly {true}, taken for {said}"
        alt = f"Spectrogram of {told}" if what == "spectrogram" else told
        shown = tag("img", src=picture, alt=alt, loading="lazy")
    else:
        shown = tag("span", f"no {what}", class_="blank muted")
    how = ""
    if task(report) == "regression":
        how = f", off by {_off(one)}" if _off(one) else ""
    elif task(report) == "classification":
        how = f", {words.percent(one.get('probability'))} sure"
    lines = join(
        [
            tag("span", "said ", tag("b", said), how),
            tag("span", "truly ", tag("b", true)),
            tag("small", name, class_="muted"),
        ]
    )
    return tag("li", tag("figure", shown, player(one, name), tag("figcaption", lines)))


def answer(value: Any, digits: int = _TRUE) -> str:
    """Return a class, the labels given, or the numbers by name; of a single one only itself."""
    if isinstance(value, Mapping):
        found = {str(name): words.plain(each, digits) for name, each in value.items()}
        if len(found) == 1:
            return next(iter(found.values()))
        return ", ".join(f"{name} {each}" for name, each in found.items()) or words.NONE
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(str(each) for each in value) or "none"
    return words.NONE if value is None else str(value)


def _off(one: Report) -> str:
    """Return how far off a single number is, with its sign; nothing for several."""
    true, said = part(one, "true"), part(one, "predicted")
    if len(true) != 1 or set(true) != set(said):
        return ""
    name = next(iter(true))
    truly, told = number(true[name]), number(said[name])
    if truly is None or told is None:
        return ""
    return f"{'+' if told > truly else ''}{words.plain(told - truly)}"


def player(one: Report, name: str, key: str = "sound") -> Html | None:
    """Return the browser's own player, which needs no script."""
    sound = str(one.get(key) or "")
    if not sound.startswith("data:audio/"):
        return None
    label = f"Play {name}"
    return tag("audio", controls=True, preload="none", src=sound, aria_label=label)
