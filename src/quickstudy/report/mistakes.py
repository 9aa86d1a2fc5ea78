"""Its worst mistakes: each as a picture to look at, and where there is sound a player."""

from __future__ import annotations

from quickstudy.report import words
from quickstudy.report.markup import Html, join, section, tag
from quickstudy.report.reading import Report, number, part, records

_TITLE = "Its worst mistakes"
_SURE = "The mistakes it was surest of. Some may be wrong labels: {way}, and mend the data."
_AXES = "In a spectrogram time runs to the right, high tones are up, and brighter is louder."
_LONG = 10.0  # seconds: longer recordings are embedded no further than that


def mistakes(report: Report) -> Html:
    """Return the most confident mistakes: true label, what it said, how sure."""
    test, facts = part(report, "test"), part(report, "data")
    if number(test.get("accuracy")) is None:
        return Html()
    found = records(test, "mistakes")
    if not found:
        none = f"There were no mistakes on the test {words.noun(report)}."
        if number(test.get("accuracy")) != 1:
            none = "No mistakes were kept for this report."
        return section("mistakes", _TITLE, tag("p", none))
    if facts.get("kind") != "sound":
        lead = tag("p", _SURE.format(way="look"))
        shown = tag("ul", *(_mistake(one, "picture") for one in found), class_="pictures")
        return section("mistakes", _TITLE, lead, shown)
    axes = _AXES
    if (number(part(facts, "sizes").get("longest")) or 0.0) > _LONG:
        axes += " Of a long recording the beginning is shown and played."
    shown = tag("ul", *(_mistake(one, "spectrogram") for one in found), class_="pictures sounds")
    lead = tag("p", _SURE.format(way="listen"))
    return section("mistakes", _TITLE, lead, tag("p", axes, class_="muted"), shown)


def _mistake(one: Report, what: str) -> Html:
    """Return one card; only data URIs of the right sort get in, nothing that would be fetched."""
    true, said = str(one.get("true", words.NONE)), str(one.get("predicted", words.NONE))
    name, picture = str(one.get("name", "")), str(one.get("picture") or "")
    if picture.startswith("data:image/"):
        told = f"{name}: truly {true}, taken for {said}"
        alt = told if what == "picture" else f"Spectrogram of {told}"
        shown = tag("img", src=picture, alt=alt, loading="lazy")
    else:
        shown = tag("span", f"no {what}", class_="blank muted")
    sure = words.percent(one.get("probability"))
    lines = join(
        [
            tag("span", "said ", tag("b", said), f", {sure} sure"),
            tag("span", "truly ", tag("b", true)),
            tag("small", name, class_="muted"),
        ]
    )
    return tag("li", tag("figure", shown, _player(one, name), tag("figcaption", lines)))


def _player(one: Report, name: str) -> Html | None:
    """Return the browser's own player, which needs no script."""
    sound = str(one.get("sound") or "")
    if not sound.startswith("data:audio/"):
        return None
    label = f"Play {name}"
    return tag("audio", controls=True, preload="none", src=sound, aria_label=label)
