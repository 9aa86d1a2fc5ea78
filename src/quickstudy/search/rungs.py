"""How long trials may take: many short ones, then the best of them again with four times as long.

Successive halving (Jamieson & Talwalkar, 2016; Li et al., Hyperband, 2018) with one bracket: a
recipe that learns badly in 20 seconds is seldom the best in 20 minutes, so most trials are short;
but what is best early is not always best late (strong augmentation learns slowly), so the few that
did best learn anew for longer before one is chosen. Scores are only compared within a rung, where
all had the same time. The plan's own recipe is in every rung: what wins beat it at equal time.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Of the budget: for the last learning, with the recipe found. Half of it trades little: the score
#: of a plan grows slowly with time, and what a search finds is worth nothing half learnt
#: (autogluon/autogluon#1279: a retrained winner that was worse than its trial).
FINAL = 0.5
#: The same where networks found teach one in the end; and as much again for that one.
TAUGHT = 0.3
_TIMES = 4  # as long in each rung as in the one before
_LAST = 3  # trials in the last rung: the plan's own and the two best others
_MOST = 3  # rungs
_FEW = 5  # trials that begin with trained weights: each runs the body over all pictures first
_MANY = 8  # trials where there is one rung
LEAST = 20.0  # seconds of a trial: some 5 of them are for starting Python and torch
SHORTEST = 120.0  # seconds of budget: under that three trials tell nothing
_PASSES = 5.0  # over the examples: a trial with fewer says little of its recipe
LONGER = 2.5  # times as long, where the first trial told too little


@dataclass(frozen=True)
class Rung:
    """Trials of `seconds` each; none begins that would not end by `until` on the search's clock."""

    seconds: float
    until: float

    def has_time(self, now: float) -> bool:
        """Return whether another trial fits; three quarters of one is enough."""
        return now + 0.75 * self.seconds <= self.until

    def fitting(self, now: float) -> int:
        """Return how many trials fit from now on."""
        return int((self.until - now) / self.seconds + 0.25)


def rungs(
    now: float, until: float, trials: int | None, *, few: bool = False, least: float = LEAST
) -> tuple[Rung, ...]:
    """Return the rungs that fit between `now` and `until`, each with an equal share of that time.

    `trials` is how many short ones somebody wants; `few` where a short trial tells nothing; `least`
    the seconds of a short one, where there is so much.

    >>> [round(one.seconds) for one in rungs(0, 600, None)]
    [25, 100]
    >>> [round(one.seconds) for one in rungs(0, 3600, None)]
    [25, 100, 400]
    """
    time = max(0.0, until - now)
    count = 1 if few or (trials is not None and trials <= _LAST) else _MOST
    while count > 1 and time / (_LAST * count) / _TIMES ** (count - 1) < least:
        count -= 1
    last = time / (_LAST * count)
    first = last / _TIMES ** (count - 1)
    if count == 1:
        first = min(last, max(least, time / (_FEW if few else _MANY)))
    if trials is not None:
        first = min(last, max(first, time / (count * trials)))
    times = (last / first) ** (1 / (count - 1)) if count > 1 else 1.0
    return tuple(
        Rung(first * times**place, now + time * (place + 1) / count) for place in range(count)
    )


def too_short(passes: float | None, found: tuple[Rung, ...], left: float) -> bool:
    """Return whether the first trial went so seldom through the examples that it tells little.

    Not where nothing longer fits into the seconds that are `left`.

    >>> some = rungs(0, 600, None)
    >>> too_short(2.0, some, 575), too_short(20.0, some, 575), too_short(2.0, some, 90)
    (True, False, False)
    """
    return passes is not None and passes < _PASSES and found[0].seconds < 0.9 * left / (_LAST + 1)
