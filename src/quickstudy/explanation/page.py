"""An explanation as one page that needs nothing else, or as one picture."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from quickstudy import kinds
from quickstudy.errors import ChoiceError, ExampleError
from quickstudy.explanation import Explanation, drawing, wording
from quickstudy.explanation.neighbours import Neighbour
from quickstudy.folders import write_whole
from quickstudy.kinds import NOUNS
from quickstudy.report.markup import Html, section, table, tag
from quickstudy.report.style import CSS

_POLICY = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"
_LOOK = """
.pair{display:grid;gap:1rem;grid-template-columns:repeat(auto-fit,minmax(min(100%,18rem),1fr))}
.pair figure,.near figure{margin:0}.pair img{width:100%;max-width:30rem;height:auto}
.near{display:grid;gap:1rem;grid-template-columns:repeat(auto-fill,minmax(10rem,1fr))}
.near img{width:100%;height:8rem;object-fit:contain;object-position:left}
audio{width:100%;max-width:30rem;display:block}
.plus{color:var(--blue)}.minus{color:var(--orange)}
.barred{display:inline-block;height:.7rem;background:var(--blue);vertical-align:middle}
.barred.less{background:var(--orange)}
"""
_SOUND = (600, 240)  # pixels of a spectrum
_MOST_PIXELS = 200_000_000
_COLUMNS = 30  # of a row that are drawn
_ABOUT = {
    "Grad-CAM": "Bright is where the network found what speaks for the answer (Grad-CAM: Selvaraju "
    "et al., 2017), in cells of {high} x {wide}. It says where, not why.",
    "SmoothGrad": "Bright is where a change would change the answer most, times what is there "
    "(SmoothGrad: Smilkov et al., 2017). It says where, not why.",
    "Shapley values": "What each column adds to the answer, from the most usual row to this one "
    "(Shapley values). The shares add up to the difference of the two answers.",
}


def write(told: Explanation, file: Path) -> Path:
    """Write a page (``.html``) or a picture (``.png``); raises `ChoiceError` for other names."""
    if file.suffix.lower() in (".html", ".htm"):
        write_whole(file, page(told))
    elif file.suffix.lower() == ".png" and told.picture is not None:
        write_whole(file, drawing.png(drawing.beside(*_pictures(told))))
    else:
        row = ", or .png where there is a map" if told.picture is None else " or .png"
        raise ChoiceError(f"{file.name} is no page.", f"Let it end in .html{row}.")
    return file


def _pictures(told: Explanation) -> tuple[Image.Image, Image.Image]:
    """Return what was looked at, and the map over it."""
    assert told.picture is not None and told.where is not None
    if told.kind != "sound":
        plain = drawing.shown_at(told.picture)
        return plain, drawing.shown_at(drawing.over(told.picture, told.where))
    wide, high = _SOUND
    plain = drawing.shown_at(told.picture, wide=wide, high=high)
    where = drawing.resized(told.where, high, wide)
    return plain, Image.fromarray(drawing.over(np.asarray(plain), where))


def page(told: Explanation) -> str:
    """Return the page."""
    title = f"{told.prediction.name}: {wording.answer(told.prediction, told.of)}"
    whole = tag(
        "html",
        tag(
            "head",
            tag("meta", charset="utf-8"),
            tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
            tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
            tag("meta", name="color-scheme", content="light dark"),
            tag("title", title),
            tag("style", Html(CSS + _LOOK)),
        ),
        tag(
            "body",
            tag("header", tag("h1", told.prediction.name)),
            tag("main", tag("p", told.sentence, class_="headline"), *_sections(told)),
        ),
        lang="en",
    )
    return f"<!doctype html>\n{whole}\n"


def _sections(told: Explanation) -> list[Html]:
    high, wide = told.cells or (0, 0)
    about = tag("p", _ABOUT[told.method].format(high=high, wide=wide), class_="muted")
    verb = {"sound": "listened", "table": "weighed"}.get(told.kind, "looked")
    what = {"sound": "Where it listened", "table": "What counted"}.get(told.kind, "Where it looked")
    inside = _columns(told) if told.kind == "table" else _map(told)
    near = tag("div", *map(_near(told), told.neighbours), class_="near")
    many = NOUNS[told.kind][1]
    label = told.prediction.label
    words = wording.agreed([n.label for n in told.neighbours], label, told.compared, many)
    return [
        section(verb, what, inside, about),
        section("near", f"The nearest training {many}", tag("p", words), near),
        section("answers", "All answers", _answers(told)),
    ]


def _map(told: Explanation) -> Html:
    plain, mapped = _pictures(told)
    captions = ("What it was shown", f"What counted for {told.of}")
    sounds = ("", "") if told.heard is None else (told.heard.sound, told.heard.part)
    if told.heard is not None:
        low, high = (f"{hertz:,.0f} Hz" for hertz in (told.heard.low, told.heard.high))
        when = f"{told.heard.start:.2f} to {told.heard.end:.2f} s, {low} to {high}"
        captions = (f"What it heard: {when}", f"{captions[1]}; all else is turned down by 30 dB")
    figures = (
        tag(
            "figure",
            tag("img", src=drawing.uri(picture), alt=caption),
            tag("audio", controls=True, src=sound) if sound else None,
            tag("figcaption", caption),
        )
        for picture, sound, caption in zip((plain, mapped), sounds, captions, strict=True)
    )
    return tag("div", *figures, class_="pair")


def _columns(told: Explanation) -> Html:
    numbers = told.task == "regression"
    most = max((abs(one.share) for one in told.columns), default=0.0) or 1.0
    rows = [
        (
            one.column,
            one.cell,
            one.usual,
            wording.signed(one.share, numbers=numbers) if one.share else "0",
            tag(
                "span",
                class_="barred" if one.share >= 0 else "barred less",
                style=f"width:{8 * abs(one.share) / most:.2f}rem",
            ),
        )
        for one in told.columns[:_COLUMNS]
    ]
    head = ("Column", "This row", "Most usual", f"Adds to {told.of}", "")
    return table("What each column counted for", head, rows, numeric=(3,))


def _near(told: Explanation) -> Callable[[Neighbour], Html]:
    """Return what draws a neighbour."""

    def drawn(one: Neighbour) -> Html:
        shown: dict[str, str | None] = {"picture": None, "sound": None}
        if one.path:
            with contextlib.suppress(ExampleError):  # its file has gone: name and label remain
                shown = kinds.shown(told.kind, Path(one.path), _MOST_PIXELS)
        cells = [f"{name} {cell}" for name, cell in one.cells[:6]]
        return tag(
            "figure",
            tag("img", src=shown["picture"], alt=one.name) if shown["picture"] else None,
            tag("audio", controls=True, src=shown["sound"]) if shown["sound"] else None,
            tag("figcaption", tag("b", one.label), " ", tag("small", one.name, class_="muted"),
                tag("small", "; ".join(cells)) if cells else None),
        )  # fmt: skip

    return drawn


def _answers(told: Explanation) -> Html:
    said = told.prediction
    if said.values is not None:
        rows = [(name, f"{value:.6g}") for name, value in said.values.items()]
        return table("Answers", ("Number", "Value"), rows, numeric=(1,))
    best = sorted(said.probabilities.items(), key=lambda item: -item[1])[:10]
    rows = [(name, f"{100 * share:.1f} %") for name, share in best]
    return table("Answers", ("Answer", "Probability"), rows, numeric=(1,))
