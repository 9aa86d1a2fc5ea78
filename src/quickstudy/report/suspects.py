"""Labels that are probably wrong: which, what they may be instead, what was done about them."""

from __future__ import annotations

from quickstudy.report import words
from quickstudy.report.markup import Html, join, long_table, section, tag
from quickstudy.report.reading import Report, part, records

_LEAD = (
    "Networks that had not learnt from these examples were sure of another class. Look at them: "
    "some are labelled wrong, some are only unusual. Mend the labels and learn again."
)


def suspects(report: Report) -> Html:
    """Return the examples whose label is doubted, the most suspicious first; nothing where none."""
    found = records(part(report, "data"), "suspects")
    if not found:
        return Html()
    shown = [one for one in found if str(one.get("picture") or "").startswith("data:image/")]
    body = [
        (
            str(one.get("name", "")),
            str(one.get("label", words.NONE)),
            str(one.get("instead", words.NONE)),
            words.percent(one.get("probability")),
            _done(one),
        )
        for one in found
    ]
    head = ("Example", "Label", "Probably", "Sure", "What was done")
    return section(
        "suspects",
        "Labels that may be wrong",
        tag("p", _LEAD),
        tag("ul", *(_card(one) for one in shown), class_="pictures") if shown else None,
        long_table("Doubted labels", head, body, "The other {n}", numeric=(3,), class_="names"),
    )


def _done(one: Report) -> str:
    if one.get("left_out"):
        return "not learnt from"
    return "kept: not certain enough"


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
    return tag("li", tag("figure", picture, tag("figcaption", lines)))
