"""How networks do on `val`, example by example, so that two can be compared on the same ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from quickstudy.batches import in_order
from quickstudy.kinds.views import averaged
from quickstudy.network import scores
from quickstudy.training.contenders import PLAN, Contender
from quickstudy.training.head import BATCH
from quickstudy.training.lesson import Lesson

#: Views of one example of `val`, at most.
LOOKS = 4
_HOPELESS = 4.0  # standard errors behind


@dataclass(frozen=True, eq=False)
class Judgement:
    """What `val` says of a network; its losses are those of calibrated answers."""

    score: float
    losses: NDArray[np.float64]
    """Of each example of `val`, ``N``."""
    plain_loss: float
    """Before anything was calibrated, as the curves of a run have it."""

    @property
    def loss(self) -> float:
        """The mean."""
        return float(self.losses.mean())


#: A contender and what was said of it last.
Standing = tuple[Contender, Judgement]


@torch.inference_mode()
def judge(lesson: Lesson) -> Judgement:
    """Judge the network as it stands on `val`.

    A temperature is fitted first: how sure a network is depends on how its examples were blended,
    and is settled at the end of a run anyway.
    """
    module, device = lesson.network.module, lesson.recipe.compute.device
    module.eval()
    whose, found = [], []
    for owners, x in in_order(lesson.decoded, lesson.val, device, BATCH, most=LOOKS):
        whose.append(torch.from_numpy(owners))
        found.append(scores(module, x).float().cpu())
    said, owner, truth = torch.cat(found), torch.cat(whose), lesson.truth[lesson.val]
    judged = lesson.task.judged(said, owner, truth)
    answers = averaged(owner.numpy(), judged.task.answers(said).numpy(), len(truth))
    losses = np.nan_to_num(lesson.task.losses(truth, answers), nan=math.inf)
    return Judgement(judged.score, losses, judged.loss)


def difference(one: Judgement, other: Judgement) -> tuple[float, float]:
    """Return how much the loss of `one` is above that of `other`, and the standard error of that.

    Both were asked about the same examples: what is hard for both cancels, and the error of the
    difference is a fraction of that of either mean.
    """
    if not math.isfinite(one.loss) or not math.isfinite(other.loss):
        return (math.inf if math.isfinite(other.loss) else -math.inf), 0.0
    apart = one.losses - other.losses
    return float(apart.mean()), float(apart.std(ddof=1) / math.sqrt(len(apart)))


def beaten(plan: Judgement, others: Sequence[Standing]) -> dict[str, str]:
    """Return who is so far behind the plan that it need not even end its round, and why."""
    out = {}
    for one, judged in others:
        apart, error = difference(judged, plan)
        if apart > max(_HOPELESS * error, 0.0):
            out[one.name] = f"far behind {PLAN.name}: {_beside(judged, plan)}"
    return out


def _beside(judged: Judgement, plan: Judgement) -> str:
    return f"loss on val {judged.loss:.3f}, {PLAN.name} {plan.loss:.3f}"


def weakest(plan: Judgement, others: Sequence[Standing], most: int) -> dict[str, str]:
    """Return who is out after a round, and why; at most so many stay beside the plan.

    The plan stays: whoever is to win must be compared with it. The others stand in the order of how
    near they are to winning: one that a short look flatters stands further back.
    """
    out: dict[str, str] = {}
    left: list[str] = []
    apart = {one.name: difference(judged, plan) for one, judged in others}

    def behind(each: Standing) -> float:
        mean, error = apart[each[0].name]
        return mean + each[0].lead * error

    for one, judged in sorted(others, key=behind):
        mean, error = apart[one.name]
        beside = _beside(judged, plan)
        if mean > error:
            out[one.name] = f"behind {PLAN.name}: {beside}"
        elif len(left) == most:
            out[one.name] = f"behind {left[-1]}: {beside}"
        else:
            left.append(one.name)
    return out


def winner(
    plan: Judgement | None, others: Sequence[Standing], noise: float
) -> tuple[Contender, str]:
    """Return who wins, and why: the plan, unless one is better by more than chance.

    A chance is the standard error of the difference in loss, times what a short look flatters it
    by; nor may its score be below the plan's by more than `noise`. There may be no plan any more.
    """
    ranked = sorted(others, key=lambda each: each[1].loss)
    if plan is None:
        first, judged = ranked[0]
        return first, f"loss on val {judged.loss:.3f}, and {PLAN.name} was out"
    for one, judged in ranked:
        apart, error = difference(judged, plan)
        beside = f"loss on val {judged.loss:.3f} against {plan.loss:.3f} of {PLAN.name}"
        if -apart > one.lead * error and judged.score >= plan.score - noise:
            return one, f"{beside}: {-apart / max(error, 1e-12):.1f} standard errors better"
    if not ranked:
        return PLAN, f"loss on val {plan.loss:.3f}; no other was as good"
    best, judged = ranked[0]
    beside = f"loss on val {plan.loss:.3f} against {judged.loss:.3f} of {best.name}"
    return PLAN, f"{beside}: none was better by more than chance"
