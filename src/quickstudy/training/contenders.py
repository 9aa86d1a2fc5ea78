"""Which recipes race beside the plan's own, how many, and for how long.

They differ from the plan in one thing each, where no rule and no measurement of a few steps tells
what is best: the learning rate, how strongly examples are varied, how wide the network is. A short
look favours what learns quickly at first (short-horizon bias; Wu et al., 2018): a network that is
less wide, examples that are varied less, a lower rate. So the passes that there is time for say
which of them start at all: with 24 passes over 4,500 pictures no blending ended better by 2.6
points, with 43 over 540 it was ahead at first and ended worse by 3.3 (CIFAR-10 at 16 pixels, one
run each); in the time of 35 passes a network of 1.41 times the width came to 15, and ended worse by
7.2 (at 32 pixels). And one that a short look flatters must be further ahead of the plan to win.

What a race costs is the time of those that lose: 15 % of it cost 1.6 points there (35 passes, one
run each, the plan won), so that it may not cost more than 6 %.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from quickstudy.recipe import Recipe

_LEAST = 180.0  # seconds of training: below that no race
_LEAST_ASKED = 3.0  # the same where somebody asked for one
_LOST = 0.06  # of the training time, at most, that goes into contenders which lose
_SHORTEST = 0.008  # of the training time that a turn of a contender takes, at least
_PASSES = 1.0  # over the examples that it sees in a turn, at least
_MOST = 6
_LOST_ASKED = 0.4  # the same where somebody asked for one
#: Turns of each contender in each round: after a round the weakest stop. Turn by turn, what else
#: the machine does hits all alike.
ROUNDS = (2, 1)
_FEW, _MANY = 30, 150  # passes
_WIDER = 1.41  # times the channels: twice the arithmetic
_FAIR, _FLATTERED = 1.0, 2.0  # standard errors by which a contender must be ahead to win


@dataclass(frozen=True)
class Contender:
    """What a recipe of the race has that the plan has not."""

    name: str
    changes: Mapping[str, Any]
    """Dotted keys of the recipe."""
    lead: float = 0.0
    """Standard errors of the difference by which it must be better than the plan to win."""


PLAN = Contender("the plan", {})


@dataclass(frozen=True)
class Form:
    """How a race is run."""

    contenders: tuple[Contender, ...]
    """The plan first."""
    seconds: float
    """That each of them learns in a turn."""
    lost: float
    """Seconds that contenders which lose will have learnt for, at most."""


def contenders(recipe: Recipe, fixed: Collection[str], passes: float) -> list[Contender]:
    """Return what may race beside the plan, the most promising first.

    `fixed` names what somebody has chosen: that stays as it is. There is time for about so many
    `passes` over the examples: with few, what learns quickly is worth a try; with many, what keeps
    a network from learning by heart, and a larger one.
    """
    quicker, slower = _rates(recipe)
    wider, narrower = _widths(recipe)
    if passes < _FEW:
        found = [_unblended(recipe), quicker, slower]
    elif passes < _MANY:
        found = [quicker, narrower, slower, wider]
    else:
        found = [wider, _varied_more(recipe), quicker, slower]
    return [one for one in found if one and not set(one.changes) & set(fixed)]


def _rates(recipe: Recipe) -> tuple[Contender, Contender]:
    """Return the plan at twice its learning rate, and at half."""
    rate = recipe.optimizer.lr or 0.0
    return (
        Contender(f"rate {2 * rate:.2g}", {"optimizer.lr": 2 * rate}, _FAIR),
        Contender(f"rate {rate / 2:.2g}", {"optimizer.lr": rate / 2}, _FLATTERED),
    )


def _widths(recipe: Recipe) -> tuple[Contender | None, Contender | None]:
    """Return the plan with a wider network, and with one less wide, where it has a width."""
    if recipe.network.name != "compact":
        return None, None
    width = recipe.network.width
    more, less = (round(w, 3) for w in (width * _WIDER, width / _WIDER))
    return (
        Contender(f"width {more:.2g}", {"network.width": more}, _FAIR),
        Contender(f"width {less:.2g}", {"network.width": less}, _FLATTERED),
    )


def _unblended(recipe: Recipe) -> Contender | None:
    """Return the plan without blending examples."""
    changes = dict.fromkeys(_above_none(recipe, ("mixup", "cutmix")), 0.0)
    return Contender("no blending", changes, _FAIR) if changes else None


def _varied_more(recipe: Recipe) -> Contender | None:
    """Return the plan with examples varied half as much again."""
    found = _above_none(recipe, ("cutmix", "mixup", "mask_time", "mask_bands"))
    changes = {key: min(0.9, round(1.5 * value, 3)) for key, value in found.items()}
    return Contender("more variation", changes, _FAIR) if changes else None


def _above_none(recipe: Recipe, names: tuple[str, ...]) -> dict[str, float]:
    """Return the keys of augmentation that are on, with their values."""
    how = {name: float(getattr(recipe.augment, name, 0.0)) for name in names}
    return {f"augment.{name}": value for name, value in how.items() if value > 0}


def form(
    found: list[Contender], left: float, a_pass: float, a_look: float, asked: int | None
) -> tuple[Form | None, str]:
    """Return how to race within `left` seconds of training, and why so; no form: no race.

    A pass over the examples takes `a_pass` seconds, one look at `val` `a_look`; somebody may have
    `asked` for a number of contenders, the plan among them, and then gets them.
    """
    if left < (_LEAST if asked is None else _LEAST_ASKED):
        return None, f"no race: the {max(0.0, left):.0f} s left for training are too few"
    if not found:
        return None, "no race: every choice that could differ is yours, or memory has no room"
    each = max(_PASSES * a_pass, _SHORTEST * left)
    most = max(
        (n for n in range(2, _MOST + 1) if _lost(n, each, a_look) <= _LOST * left), default=1
    )
    if asked is None and most < 2:
        return None, f"no race: a pass over the examples takes {a_pass:.0f} s, too much to compare"
    number = min(len(found) + 1, most if asked is None else asked)
    lost = _lost(number, each, a_look)
    if asked is not None and lost > _LOST_ASKED * left:
        each *= _LOST_ASKED * left / lost
        lost = _LOST_ASKED * left
    chosen = (PLAN, *found[: number - 1])
    return Form(chosen, each, lost), f"{each:.0f} s each at a time"


def _lost(number: int, each: float, a_look: float) -> float:
    """Return the seconds that do not help the winner: of those who lose, and looks at `val`."""
    lost, left = 0.0, number
    for turns in ROUNDS:
        lost += turns * ((left - 1) * each + left * a_look)
        left = kept(left)
    return lost


def kept(number: int) -> int:
    """Return how many of so many stay after a round, the plan among them (successive halving)."""
    return max(2, math.ceil(number / 2)) if number > 2 else number
