"""Whether a test is large enough to tell, and how large one would have to be."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from quickstudy.evaluation.intervals import Estimate, Scored

WIDE = 0.05
"""A score that may be off by more than 5 points either way does not tell a good model from a
middling one: 90 % and 95 % correct differ by half of all mistakes."""
NARROW = 0.02
"""Points either way at which most choices between models or data can be made."""
_WIDE_R2 = 0.1  # of R2, whose interval is wider for as many examples
_GAIN = 0.01  # over a guess: less would be nothing to learn even where it is there


@dataclass(frozen=True)
class Enough:
    """How many test examples there are, and how many it would take to tell within `within`."""

    few: bool
    n: int
    needed: int
    within: float
    """Of the score, either way."""
    sentence: str
    """What to say where they are too `few`; else nothing."""

    def as_dict(self) -> dict[str, Any]:
        """Return `test.enough` of report.json."""
        return {
            "few": self.few,
            "n": self.n,
            "needed": self.needed,
            "within": self.within,
            "sentence": self.sentence,
        }


def needed(share: float, half: float, confidence: float = 0.95) -> int:
    """Return the fewest examples whose Wilson interval about a `share` is `half` either way.

    Half its width is z / (1 + z^2 / n) * sqrt(p q / n + z^2 / 4 n^2): solved for n, a quadratic.

    >>> needed(0.95, 0.02), needed(0.5, 0.02)
    (469, 2398)
    """
    z2 = NormalDist().inv_cdf(0.5 + confidence / 2) ** 2
    spread = share * (1 - share) - 2 * half**2
    root = math.sqrt(spread**2 + half**2 * (1 - 4 * half**2))
    return max(1, math.ceil(z2 * (spread + root) / (2 * half**2) - 1e-9))


def enough(scores: Scored, one: str, many: str) -> Enough | None:
    """Return whether the test of these scores is large enough; None where there is no score.

    It is too small where the interval of the main score is wider than 5 points either way (of R2:
    0.1), or reaches down to the score of a guess that the score itself lies above. Intervals of a
    bootstrap shrink with the root of the number of examples.
    """
    main, guess = scores.main, scores.main_of_guess
    if main is None:
        return None
    low, high = main.interval
    half = (high - low) / 2
    of_numbers = scores.task == "regression"
    wide = half > (_WIDE_R2 if of_numbers else WIDE)
    doubtful = guess is not None and low <= guess <= main.value - _GAIN
    within = NARROW
    if doubtful and guess is not None and not wide:
        within = min(NARROW, main.value - guess)
    most = _needed(scores, main, half, within)
    few = (wide or doubtful) and most > scores.n
    said = ""
    if few:
        unit = f"{within:.2g} of R2" if of_numbers else _points(within)
        found = one if scores.n == 1 else many
        why = f"the true score may lie anywhere in a range of {_width(high - low, of_numbers)}"
        if not wide:
            why = "the score may be no better than that of a guess"
        said = (
            f"Too few test {many} to tell: with {scores.n:,} {found} {why}. About "
            f"{_round(most - scores.n):,} more would tell it within {unit} either way."
        )
    return Enough(few, scores.n, most, within, said)


def _needed(scores: Scored, main: Estimate, half: float, within: float) -> int:
    if scores.task == "classification":
        return needed(main.value, within)
    return math.ceil(scores.n * (half / within) ** 2)


def _points(share: float) -> str:
    value = max(0.1, round(100 * share, 1))
    return f"{value:g} point" + ("" if value == 1 else "s")


def _width(width: float, of_numbers: bool) -> str:
    return f"{width:.2g} of R2" if of_numbers else f"{100 * width:.0f} points"


def _round(n: int) -> int:
    """Return a number of examples to two digits, upwards: more would pretend to know."""
    step: int = 10 ** max(0, len(str(n)) - 2)
    return -(-n // step) * step
