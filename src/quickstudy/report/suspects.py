"""Labels that are probably wrong: which, what they may be instead, what was done about them."""

from __future__ import annotations

from quickstudy.report import words
from quickstudy.report.markup import Html, join, long_table, section, tag
from quickstudy.report.mistakes import player
from quickstudy.report.reading import Report, number, part, records

_TITLE = "Labels that may be wrong"
_ASKED = {
    "features": "Networks that had not learnt from these examples were sure of another class.",
    "trees": "Randomised trees that had not learnt from these rows took them for another class.",
    "learnt": "The network takes these examples for another class, though it has learnt from their "
    "labels. It can no longer doubt what it has learnt by heart: others may be wrong as well.",
}
_BY_HEART = " The network had learnt from them, and cannot doubt what it has learnt by heart."
_LOOK = "Look at them: some are labelled wrong, some are only unusual."
_LISTED = "All are kept: what is only hard to tell must not be lost."
_MEND = "Mend the labels and learn again. All of them: suspects.csv, beside this page."


def suspects(report: Report) -> Html:
    """Return the examples whose label is doubted, the most suspicious first, or why none is."""
    found = records(part(report, "data"), "suspects")
    doubts = part(part(report, "data"), "doubts")
    if not found:
        said = _none(doubts)
        return section("suspects", _TITLE, tag("p", said)) if said else Html()
    lead = [_ASKED.get(str(doubts.get("how")), _ASKED["features"]), _LOOK]
    only_listed = part(part(report, "recipe"), "suspects").get("value") == "list"
    if only_listed:
        lead.append(_LISTED)
    whole = number(doubts.get("found")) or 0
    if whole > len(found):
        lead.append(f"Shown are the {len(found):,} most suspicious of {whole:,.0f}.")
    shown = [one for one in found if str(one.get("picture") or "").startswith("data:image/")]
    sounds = any(one.get("sound") for one in shown)
    cards = "pictures sounds" if sounds else "pictures"
    body = [
        (
            str(one.get("name", "")),
            str(one.get("label", words.NONE)),
            str(one.get("instead", words.NONE)),
            words.percent(one.get("probability")),
            _done(one, only_listed),
        )
        for one in found
    ]
    head = ("Example", "Label", "Probably", "Sure", "What was done")
    return section(
        "suspects",
        _TITLE,
        tag("p", " ".join([*lead, _MEND])),
        tag("ul", *(_card(one) for one in shown), class_=cards) if shown else None,
        long_table("Doubted labels", head, body, "The other {n}", numeric=(3,), class_="names"),
    )


def _none(doubts: Report) -> str:
    """Say why no label is listed; nothing of a run that does not tell."""
    looked = number(doubts.get("looked")) or 0
    if looked:
        heart = "" if doubts.get("how") != "learnt" else _BY_HEART
        return f"{looked:,.0f} labels of train and val were looked at, and none is doubted.{heart}"
    why = str(doubts.get("why_not") or "")
    return f"Labels were not doubted: {why}." if why else ""


def _done(one: Report, only_listed: bool) -> str:
    if one.get("left_out"):
        return "not learnt from"
    return "kept" if only_listed else "kept: not certain enough"


def _card(one: Report) -> Html:
    """Return one example to look at."""
    name, label, instead = (str(one.get(key, "")) for key in ("name", "label", "instead"))
    alt = f"{name}: labelled {label}, probably {instead}"
    lines = join(
        [
            tag("span", "labelled ", tag("b", label)),
            tag("span", "probably ", tag("b", instead)),
            tag("small", name, class_="muted"),
        ]
    )
    picture = tag("img", src=str(one.get("picture")), alt=alt, loading="lazy")
    return tag("li", tag("figure", picture, player(one, name), tag("figcaption", lines)))
