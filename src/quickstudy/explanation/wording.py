"""An explanation in one plain sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quickstudy.evaluation.words import figure, percent
from quickstudy.explanation.columns import Share
from quickstudy.explanation.heard import Heard
from quickstudy.prediction import Prediction

_MOST = 0.5  # of the map: the places said to be looked at most hold so much
_SPREAD = 0.35  # of all places: a map that needs so many to hold half of itself is spread out
_NAMED = 2  # columns that a sentence names
_SAME = 0.9999  # likeness from which on two examples are one to the network
_NOTHING = "found no part of it that speaks for that by itself"


def answer(prediction: Prediction, of: str) -> str:
    """Return an output and what it is given: ``cat (97 %)``."""
    if prediction.values is not None:
        return f"{of} {figure(prediction.values[of], 4)}"
    return f"{of} ({_percent(prediction.probabilities[of])} %)"


def begun(prediction: Prediction, of: str, *, row: bool = False) -> str:
    """Return how a sentence begins that goes on with what was looked at, or what a usual row gets.

    It says what the answer is, and which other output is explained instead.
    """
    said = answer(prediction, of)
    if prediction.labels is not None and of not in prediction.labels:
        share = _percent(prediction.probabilities[of])
        return f"It gives {of} {share} %, too little to name it, {'where' if row else 'and'}"
    if prediction.values is not None or prediction.labels is not None or of == prediction.label:
        return f"It says {said}{', where' if row else ' and'}"
    other = f"It says {prediction.label} ({_percent(prediction.probability)} %); "
    return other + (f"{said} is what is explained, where" if row else f"for {said} it")


def _percent(share: float) -> str:
    return f"{100 * share:.0f}" if 0.01 <= share <= 0.99 else percent(float(f"{share:.4f}"))


def smallest(where: NDArray[Any]) -> NDArray[np.bool_]:
    """Return the fewest places that hold half of a map ``H W``."""
    flat = where.ravel()
    order = np.argsort(-flat, kind="stable")
    n = int(np.searchsorted(np.cumsum(flat[order]), _MOST * flat.sum())) + 1
    found = np.zeros(len(flat), np.bool_)
    found[order[:n]] = True
    return found.reshape(where.shape)


def of_picture(said: str, where: NDArray[Any]) -> str:
    """Return the sentence about a picture's map ``H W``; `said` is how it is `begun`."""
    if not where.any():
        return f"{said} {_NOTHING}."
    most = smallest(where)
    share = float(most.mean())
    if share > _SPREAD:
        return f"{said} looked all over the picture, at no part of it above the others."
    thirds = np.array(
        [[p.sum() for p in np.array_split(r, 3, 1)] for r in np.array_split(where, 3, 0)]
    )
    row, column = divmod(int(thirds.argmax()), 3)
    hundredths = max(1, round(100 * share))
    return (
        f"{said} looked mostly at the {_place((column + 0.5) / 3, (row + 0.5) / 3)}: "
        f"half of what counted lies in {hundredths} % of the picture."
    )


def _place(x: float, y: float) -> str:
    """Return in words where a point of a picture is.

    >>> _place(0.5, 0.5), _place(0.1, 0.5), _place(0.9, 0.95)
    ('middle', 'left', 'bottom right')
    """
    across = "left" if x < 0.37 else "right" if x > 0.63 else ""
    down = "top" if y < 0.37 else "bottom" if y > 0.63 else ""
    return f"{down} {across}".strip() or "middle"


def of_sound(said: str, where: NDArray[Any], heard: Heard) -> str:
    """Return the sentence about a map ``bands frames``, low tones first."""
    if not where.any():
        return f"{said} {_NOTHING}."
    start, end = _middle_part(where.sum(0))
    low, high = _middle_part(where[:, start : end + 1].sum(1))
    seconds = (heard.end - heard.start) / where.shape[1]
    first, last = heard.start + start * seconds, heard.start + (end + 1) * seconds
    bottom, top = (figure(float(heard.bands[i]), 2) for i in (low, high))
    return (
        f"{said} listened mostly from {first:.2f} to {last:.2f} s, "
        f"to tones of {bottom} to {top} Hz."
    )


def _middle_part(counted: NDArray[Any]) -> tuple[int, int]:
    """Return the shortest stretch that holds half of what counts, both ends in it."""
    total = np.concatenate([[0.0], np.cumsum(counted)])
    need = _MOST * total[-1]
    best = (0, len(counted) - 1)
    for start in range(len(counted)):
        end = int(np.searchsorted(total, total[start] + need - 1e-9)) - 1
        if end < len(counted) and end - start < best[1] - best[0]:
            best = (start, max(end, start))
    return best


def of_row(said: str, shares: Sequence[Share], usual: float, *, numbers: bool) -> str:
    """Return the sentence about the columns of a row; `usual` is the answer to the usual row."""
    counted = [one for one in shares if one.share]
    before = figure(usual, 4) if numbers else f"{_percent(usual)} %"
    if not counted:
        return f"{said} the most usual row gets as much: no column that counts is another here."
    rise = sum(one.share for one in counted) > 0
    most = max(abs(one.share) for one in counted)
    pushing = [one for one in counted if (one.share > 0) == rise and abs(one.share) >= most / 5]
    against = [one for one in counted if (one.share > 0) != rise and abs(one.share) >= most / 2]
    told = " and ".join(_share(one, numbers=numbers) for one in pushing[:_NAMED])
    but = f"; against that, {_share(against[0], numbers=numbers)}" if against else ""
    why = f", above all because {told}" if told else ""
    return f"{said} the most usual row gets {before}{why}{but}."


def _share(one: Share, *, numbers: bool) -> str:
    return f"{one.column} is {one.cell} (usual: {one.usual}; {signed(one.share, numbers=numbers)})"


def of_unknown(sentence: str, one: str) -> str:
    """Return a sentence on an example, a picture or the like, that the model does not know.

    >>> of_unknown("It says cat (55 %) and looked at the top.", "picture")
    'The picture is like nothing it has learnt from. If it must answer, it says cat (55 %) and \
looked at the top.'
    """
    return (
        f"The {one} is like nothing it has learnt from. "
        f"If it must answer, {sentence[:1].lower()}{sentence[1:]}"
    )


def signed(share: float, *, numbers: bool) -> str:
    """Return what a column adds, with its sign: points of a probability, or the number's own."""
    sign = "+" if share >= 0 else "−"
    if numbers:
        return f"{sign}{figure(abs(share))}"
    return f"{sign}{abs(100 * share):.1f} points"


def agreed(labels: Sequence[str], said: Prediction, of: str, compared: int, many: str) -> str:
    """Return what the nearest training examples are; `many` is what such are called."""
    if not labels:
        return f"The training {many} are not at hand: a model alone does not keep them."
    near = f"the {len(labels)} nearest of {compared:,} training {many}"
    if said.values is not None:
        return f"{near[:1].upper()}{near[1:]}, as the network sees them, were {_listed(labels)}."
    if said.labels is not None:
        with_it = sum(of in one.split(";") for one in labels)
        return f"Of {near} {with_it or 'none'} {'has' if with_it < 2 else 'have'} the label {of}."
    if len(set(labels)) == 1:
        but = "" if said.label in labels else f", not {said.label}"
        return f"{near[:1].upper()}{near[1:]} are all labelled {labels[0]}{but}."
    times = Counter(labels).most_common()
    listed = _listed([f"{name} ({n} times)" if n > 1 else name for name, n in times])
    none = "" if said.label in labels else f", none {said.label}"
    return f"{near[:1].upper()}{near[1:]} are labelled {listed}{none}."


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def same(alike: float) -> str:
    """Return a remark on the nearest training example, whose likeness is at most 1.

    >>> same(0.9), same(1.0)[:14]
    ('', 'The nearest is')
    """
    if alike < _SAME:
        return ""
    return "The nearest is this very one, or one that the network cannot tell from it."
