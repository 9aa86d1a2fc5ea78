"""An explanation as one page that needs nothing else, or as one picture."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from quickstudy import kinds
from quickstudy.errors import ChoiceError, ExampleError
from quickstudy.explanation import Explanation, drawing, wording
from quickstudy.explanation.neighbours import Neighbour
from quickstudy.folders import disk_errors, write_whole
from quickstudy.kinds import NOUNS
from quickstudy.kinds.image.decode import MAX_PIXELS
from quickstudy.report import words
from quickstudy.report.layout import document
from quickstudy.report.markup import Html, join, long_table, section, table, tag

_LOOK = """
.said{font-size:1.25rem;line-height:1.4;font-weight:600;margin-top:1rem}
.pair{display:grid;gap:1rem;grid-template-columns:repeat(auto-fit,minmax(min(100%,18rem),1fr))}
.pair img{display:block;width:100%;max-width:30rem;height:auto}
.pair audio{max-width:30rem}
.pair figcaption,.near figcaption{margin-top:.3rem}
.about{margin-top:1rem}
.near{display:grid;gap:1rem;grid-template-columns:repeat(auto-fill,minmax(9rem,1fr))}
.near.sounds{grid-template-columns:repeat(auto-fill,minmax(min(100%,16rem),1fr))}
.near img{display:block;width:100%;height:8rem;object-fit:contain;object-position:left bottom}
.near.sounds img{height:auto;aspect-ratio:5/2;object-fit:fill}
.near figcaption>*{display:block}
.counted small{display:block;color:var(--mute)}
.counted td{min-width:9rem;white-space:nowrap}
.barred{display:block;height:.5rem;margin-top:.35rem;background:var(--blue);min-width:1px}
.barred.less{background:var(--orange)}
"""
_SOUND = (600, 240)  # pixels of a spectrum
_CELLS = 4  # of a nearest row that are told
_ABOUT = {
    "Grad-CAM": "Bright is where the network found what speaks for {of}, as coarsely as it sees: "
    "in {high} × {wide} cells (Grad-CAM: Selvaraju et al., 2017). It says where, not why.",
    "SmoothGrad": "Bright is where a change would change the answer most, times what is there "
    "(SmoothGrad: Smilkov et al., 2017). It says where, not why.",
    "Shapley values": "From the most usual row (of numbers the middle, of words the commonest) to "
    "this one: how much of the difference each column makes (Shapley values). They add up to all "
    "of it. It says what counted for the model, not what causes anything.",
}
_SHORTCUT = {
    "image": "If a background, a caption or a border is bright in many pictures, it has probably "
    "learnt a shortcut that fails elsewhere.",
    "sound": "If noise or silence is bright in many recordings, it has probably learnt a shortcut "
    "that fails elsewhere.",
    "table": "",
}


def check(file: Path, kind: str) -> None:
    """Raise `ChoiceError` unless a file's name is one that `write` takes."""
    fits = (".html", ".htm") if kind == "table" else (".html", ".htm", ".png")
    if file.suffix.lower() not in fits:
        row = ": a row has no picture" if kind == "table" else " or .png"
        raise ChoiceError(f"{file.name} is no page.", f"Let it end in .html{row}.")


def write(told: Explanation, file: Path) -> Path:
    """Write a page (``.html``) or a picture (``.png``); raises `ChoiceError` for other names."""
    check(file, told.kind)
    picture = file.suffix.lower() == ".png"
    with disk_errors("the explanation"):
        file.parent.mkdir(parents=True, exist_ok=True)
    content = drawing.png(drawing.beside(*pictures(told))) if picture else page(told)
    write_whole(file, content)
    return file


def pictures(told: Explanation) -> tuple[Image.Image, Image.Image]:
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
    name = Path(told.prediction.name).name
    title = f"{name}: {wording.answer(told.prediction, told.of)}"
    return document(
        title,
        tag("header", tag("h1", name)),
        tag("main", tag("p", _kept_together(told.sentence), class_="said"), *_sections(told)),
        style=_LOOK,
    )


def _kept_together(sentence: str) -> str:
    """Return a sentence whose numbers stay with their units at the end of a line."""
    return re.sub(r"(?<=\d) (?=%|Hz|s\b|points)", words.NBSP, sentence)


def _sections(told: Explanation) -> list[Html]:
    high, wide = told.cells or (0, 0)
    about = _ABOUT[told.method].format(high=high, wide=wide, of=told.of)
    said = tag("p", f"{about} {_SHORTCUT[told.kind]}".strip(), class_="muted about")
    verb = {"sound": "listened", "table": "weighed"}.get(told.kind, "looked")
    what = {"sound": "Where it listened", "table": "What counted"}.get(told.kind, "Where it looked")
    inside = _columns(told) if told.kind == "table" else _map(told)
    return [
        section(verb, what, inside, said),
        _nearest(told),
        section("answers", "All answers", _answers(told)),
    ]


def _nearest(told: Explanation) -> Html:
    near, many = told.neighbours, NOUNS[told.kind][1]
    agreed = wording.agreed([n.label for n in near], told.prediction, told.of, told.compared, many)
    first = wording.same(near[0].alike) if near else ""
    sounds = " sounds" if told.kind == "sound" else ""
    shown = tag("div", *map(_near(told), near), class_=f"near{sounds}")
    return section(
        "near", f"The nearest training {many}", tag("p", f"{agreed} {first}".strip()), shown
    )


def _map(told: Explanation) -> Html:
    plain, mapped = pictures(told)
    captions = ("What it was shown", f"What counted for {told.of}")
    sounds = ("", "") if told.heard is None else (told.heard.sound, told.heard.part)
    if told.heard is not None:
        when = f"{told.heard.start:.2f} to {told.heard.end:.2f} s"
        up = f"{told.heard.high:,.0f} Hz"
        captions = (
            f"What it heard, {when}: time runs to the right, tones up to {up} upwards; "
            "bright is loud.",
            f"{captions[1]}. Played, all else is turned down by 30 dB.",
        )
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
            join([one.column, tag("small", f"{one.cell} (usual: {one.usual})")]),
            join(
                [
                    wording.signed(one.share, numbers=numbers) if one.share else "0",
                    tag(
                        "span",
                        class_="barred" if one.share >= 0 else "barred less",
                        style=f"width:{8 * abs(one.share) / most:.2f}rem",
                    )
                    if one.share
                    else "",
                ]
            ),
        )
        for one in told.columns
    ]
    head = ("Column", f"Adds to {told.of}")
    return long_table("What each column counted for", head, rows, "The other {n}", class_="counted")


def _near(told: Explanation) -> Callable[[Neighbour], Html]:
    """Return what draws a neighbour."""

    def drawn(one: Neighbour) -> Html:
        shown: dict[str, str | None] = {"picture": None, "sound": None}
        if one.path:
            with contextlib.suppress(ExampleError):  # its file has gone: name and label remain
                shown = kinds.shown(told.kind, Path(one.path), MAX_PIXELS)
        cells = _telling(told, one)
        return tag(
            "figure",
            tag("img", src=shown["picture"], alt=one.name) if shown["picture"] else None,
            tag("audio", controls=True, src=shown["sound"]) if shown["sound"] else None,
            tag(
                "figcaption",
                tag("b", one.label.replace(";", ", ") or "no label"),
                tag("small", one.name, class_="muted"),
                *(tag("small", cell) for cell in cells),
            ),
        )

    return drawn


def _telling(told: Explanation, one: Neighbour) -> list[str]:
    """Return what a row says in the columns that counted most for the row explained."""
    cells = dict(one.cells)
    counted = [c.column for c in told.columns if c.share and c.column in cells]
    return [f"{name}: {cells[name].removesuffix('.0') or 'missing'}" for name in counted[:_CELLS]]


def _answers(told: Explanation) -> Html:
    said = told.prediction
    if said.values is not None:
        rows = [(name, f"{value:.6g}") for name, value in said.values.items()]
        return table("Answers", ("Number", "Value"), rows, numeric=(1,))
    best = sorted(said.probabilities.items(), key=lambda item: -item[1])[:10]
    rows = [(name, words.percent(share)) for name, share in best]
    return table("Answers", ("Answer", "Probability"), rows, numeric=(1,))
