"""What a search with an ensemble ships: the final network alone, the best few as one, or their one.

Read `shipped` first. `val` decides, asked as `selecting` says; the test is asked once, after that,
by what ships.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from quickstudy.evaluation import percent
from quickstudy.learning.told import Ended
from quickstudy.model import Model
from quickstudy.network import Built, Spec
from quickstudy.network.ensemble import Ensemble
from quickstudy.search import leaderboard as boards
from quickstudy.search.distilling import distilled
from quickstudy.search.keeping import Search
from quickstudy.search.members import Member, asked, kept, member_of
from quickstudy.search.selecting import (
    PAYS,
    as_scores,
    better,
    crossed,
    judged,
    mean,
    select,
    settled,
)
from quickstudy.training import HeldOut
from quickstudy.training.judging import Judgement
from quickstudy.training.step import out_of_memory

_FEWEST = 30  # examples of `val` to judge by
_TIMED, _TIMES = 16, 5  # examples of a batch, and how often it is timed


@dataclass(frozen=True, eq=False)
class Found:
    """The best few, and how they did on `val`."""

    members: tuple[Member, ...]
    """The one that counts most comes last: explanations look at the last layers."""
    weights: tuple[float, ...]
    answers: NDArray[np.float64]
    """Their mean ``N K`` to what members are chosen by."""
    alone: Judgement
    """Of the final network."""
    together: Judgement
    """By cross-validation."""

    @property
    def ranked(self) -> list[tuple[Member, float]]:
        """The members with their weights, the one that counts most first."""
        return list(zip(self.members, self.weights, strict=True))[::-1]


def shipped(search: Search, ended: Ended) -> Ended:
    """Return the end of the last learning with the network that ships, and keep what was found."""
    if not search.keeps:
        return ended
    job, lesson = ended.job, ended.lesson
    lesson.later -= search.distilling  # kept until here
    once = lesson.decoded.views(ended.parts.test)
    with job.stage("ensemble"):
        try:
            found = _found(search, ended)
            ships, told = (
                _alone(ended, found) if isinstance(found, str) else _best(search, ended, found)
            )
        except (MemoryError, RuntimeError) as problem:
            if not out_of_memory(problem):
                raise
            ships, told = _alone(ended, "memory has no room for so many networks")
    for line in told["sentences"]:
        job.say(line)
    members = 1 if ships.spec is None else len(ships.spec.members())
    ships.lesson.test_views = once * members
    board = boards.sentences(search.told) if search.told.get("board") else []
    search.told |= {"ensemble": told, "sentences": [*board, *told["sentences"]]}
    search.keep(job.clock.spent())
    return ships


def _alone(ended: Ended, why: str) -> tuple[Ended, dict[str, Any]]:
    return ended, {"ships": "alone", "sentences": [f"No ensemble is made: {why}."]}


def _found(search: Search, ended: Ended) -> Found | str:
    """Return the best few; why, where there are none."""
    lesson = ended.lesson
    if ended.job.stop.asked:
        return "the run was stopped"
    places = asked(ended)
    if len(places) < _FEWEST:
        return f"{len(places)} examples were held out, {_FEWEST} are needed to choose by"
    final = member_of(ended)
    fitting = [final]
    others = kept(search.folder, lesson.recipe.compute.device)
    if not others:
        return "no trial came to an end"
    for one in others:
        if isinstance(one, str):
            ended.job.say(f"  {one}")
        elif one.fits(final):
            fitting.append(one)
    if len(fitting) == 1:
        return "no trial takes what the final network takes"
    task, truth = lesson.task, lesson.truth[lesson.val[places]]
    answers = [one.answers for one in fitting]
    weights = select(task, truth, answers)
    if weights[0] == 1:
        return f"none of {len(fitting) - 1} trials adds to what the final network says of val"
    if weights.max() == 1:
        return f"no two answer val better than trial {fitting[int(weights.argmax())].trial} alone"
    families = lesson.families[lesson.val[places]]
    together = judged(task, truth, crossed(task, truth, answers, families, lesson.recipe.seed))
    order = [int(i) for i in np.argsort(weights, kind="stable") if weights[i] > 0]
    return Found(
        tuple(fitting[i] for i in order),
        tuple(float(weights[i]) for i in order),
        mean(answers, weights),
        judged(task, truth, final.answers),
        together,
    )


def _best(search: Search, ended: Ended, found: Found) -> tuple[Ended, dict[str, Any]]:
    """Return the end with what ships, and what the report tells."""
    task = ended.lesson.task
    whole = _together(ended, found)
    pays, figures = better(task, found.together, found.alone, PAYS)
    slower = _slower(member_of(ended), whole.lesson.network.module)
    told: dict[str, Any] = {
        "ships": "alone",
        "n": len(found.answers),
        "members": [{"trial": one.trial, "weight": weight} for one, weight in found.ranked],
        "alone": {"loss": found.alone.loss, "score": found.alone.score},
        "ensemble": {**figures, "times_as_long": slower},
        "distilled": None,
    }
    told["sentences"] = [_of_ensemble(task.score_name, found, pays, told["ensemble"])]
    ships = ended
    if search.ensemble and pays:
        told["ships"], ships = "ensemble", whole
    if search.distil:
        helps = found.together.loss < found.alone.loss
        one = distilled(search, ended, whole) if helps else "they are no better than it is"
        if isinstance(one, str):
            told["sentences"].append(f"They taught no network: {one}.")
        else:
            answers = one.taught.held_out.answers[asked(ended)]
            truth = ended.lesson.truth[ended.lesson.val[asked(ended)]]
            given = judged(task, truth, answers)
            fine, told["distilled"] = better(task, given, found.alone, 0.0)
            than = "no worse" if fine else "worse"
            told["sentences"].append(
                f"One network that they taught is {than} on val than the final network alone: "
                f"{_beside(task.score_name, given, found.alone)}."
            )
            if fine:
                told["ships"], ships = "distilled", one
    told["sentences"].append(_SHIPS[told["ships"]])
    return ships, told


_SHIPS = {
    "alone": "The final network ships alone.",
    "ensemble": "The ensemble ships.",
    "distilled": "The network that they taught ships.",
}


def _together(ended: Ended, found: Found) -> Ended:
    """Return the end with the ensemble in place of the final network."""
    lesson, taught, places = ended.lesson, ended.taught, asked(ended)
    rows, first = lesson.val[places], found.members[0].model
    spec = Spec(
        "ensemble",
        lesson.outputs,
        first.spec.size,
        sound=first.spec.sound,
        channels=first.spec.channels,
        table=first.spec.table,
        ensemble={
            "task": lesson.task.name,
            "members": [
                {
                    "weight": weight,
                    "temperature": one.temperature,
                    "network": one.model.spec.as_dict(),
                }
                for one, weight in zip(found.members, found.weights, strict=True)
            ],
        },
    )
    networks = [one.model.network for one in found.members]
    temperatures = [one.temperature for one in found.members]
    module = Ensemble(networks, found.weights, temperatures, lesson.task.name)
    task = settled(lesson.task, lesson.truth[rows], found.answers)
    answers = task.answers(as_scores(task, found.answers)).numpy()
    none = np.empty((len(places), 0))
    candidate = {"name": f"{len(networks)} networks as one", "chosen": True}
    candidate |= {"val_score": found.together.score, "val_loss": found.together.plain_loss}
    taught = replace(
        taught,
        candidates=[*({**one, "chosen": False} for one in taught.candidates), candidate],
        val_score=found.together.score,
        task=task,
        held_out=HeldOut(answers, none, none, True, (rows, answers)),
    )
    lesson = replace(lesson, network=Built(module.eval(), ""), seen=None, held=None)
    return replace(ended, lesson=lesson, taught=taught, spec=spec)


@torch.inference_mode()
def _slower(final: Member, module: nn.Module) -> float:
    """Return how many times as long as the final network an ensemble takes, measured in turns."""
    alone: Model = final.model
    x = alone.blank(_TIMED)
    took: dict[str, list[float]] = {"one": [], "all": []}
    for turn in range(_TIMES + 1):
        for name, network in (("one", alone.network), ("all", module)):
            seconds = _seconds(network.eval(), x)
            if turn:  # the first warms up
                took[name].append(seconds)
    return min(took["all"]) / min(took["one"])


def _seconds(network: Callable[[Tensor], Any], x: Tensor) -> float:
    began = time.perf_counter()
    network(x)
    if x.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - began


def _beside(name: str, one: Judgement, other: Judgement) -> str:
    scores = [boards.score_words(name, each.score) for each in (one, other)]
    accuracy = "accuracy " if name == "accuracy" else ""  # other names are in the words
    return (
        f"loss {one.loss:.4f} against {other.loss:.4f}, {accuracy}{scores[0]} against {scores[1]}"
    )


def _of_ensemble(name: str, found: Found, pays: bool, told: Mapping[str, Any]) -> str:
    """Say who is in it, whether it pays, and what it costs."""
    who = ", ".join(
        f"{'the final network' if one.trial is None else f'trial {one.trial}'} "
        f"({percent(weight)} %)"
        for one, weight in found.ranked
    )
    does = "answer" if pays else "do not by more than chance answer"
    return (
        f"Together, {who} {does} val better than the final network alone: "
        f"{_beside(name, found.together, found.alone)} ({told['standard_errors']:+.1f} standard "
        f"errors), by cross-validation on {len(found.answers):,} examples; an answer takes "
        f"{told['times_as_long']:.1f} times as long."
    )
