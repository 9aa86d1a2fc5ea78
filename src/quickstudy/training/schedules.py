"""How the learning rate moves through a run: its share of the highest rate."""

from __future__ import annotations

import math

from quickstudy.errors import ChoiceError, did_you_mean

SHAPES = ("cosine", "linear", "constant", "one_cycle", "step", "exponential", "inverse_sqrt")
_FIRST = 0.01  # of the highest rate, at least, while warming up
_CYCLE = (25.0, 1e4)  # one_cycle begins at 1 / 25 and ends at 1 / 25 / 10,000, as torch has it
_LAST = 0.01  # where exponential ends


def share_of_rate(shape: str, warmup: float, done: float) -> float:
    """Return the share, 0 to 1, of the highest rate when `done` of the run, 0 to 1, is behind.

    In the first `warmup` of the run the rate climbs from a hundredth in a straight line; one_cycle
    (Smith, 2018) climbs in half a cosine, from 1 / 25. After that inverse_sqrt (Vaswani et al.,
    2017) falls as 1 / sqrt(steps), exponential evenly to a hundredth, and step (He et al., 2015) to
    a tenth after each third. Raises `ChoiceError` for an unknown shape.

    >>> [round(share_of_rate("cosine", 0.2, done), 2) for done in (0.1, 0.2, 0.6, 1.0)]
    [0.5, 1.0, 0.5, 0.0]
    """
    if shape not in SHAPES:
        hint = did_you_mean(shape, SHAPES) or "Schedules: " + ", ".join(SHAPES) + "."
        raise ChoiceError(f"There is no schedule '{shape}'.", hint)
    if done < warmup:
        if shape == "one_cycle":
            return 1 - (1 - 1 / _CYCLE[0]) * _fallen(done / warmup)
        return max(_FIRST, done / warmup)
    after = min(1.0, (done - warmup) / max(1e-9, 1 - warmup))
    if shape == "cosine":
        return _fallen(after)
    if shape == "linear":
        return 1 - after
    if shape == "one_cycle":
        least = 1 / _CYCLE[0] / _CYCLE[1]
        return least + (1 - least) * _fallen(after)
    if shape == "step":
        return (1.0, 0.1, 0.01)[min(2, int(after * 3))]
    if shape == "exponential":
        return float(_LAST**after)
    if shape == "inverse_sqrt":
        start = max(warmup, _FIRST)
        return math.sqrt(start / max(start, done))
    return 1.0


def _fallen(share: float) -> float:
    """Return half a cosine from 1 down to 0."""
    return 0.5 * (1 + math.cos(math.pi * share))
