"""A race at the beginning of training: a few recipes start together, the best goes on.

Successive halving (Jamieson & Talwalkar, 2016) by the clock: each contender learns for equal
seconds, is judged on `val` with its averaged weights, and the weakest stop. Each runs at the share
of its learning-rate schedule that it would be at if it had all the time that the winner will have;
the winner keeps its weights, its optimiser and its step. `contenders` says who takes part,
`runners` has them at work, `judging` says who is out.

What it has come to stands in the run's folder after each round: killed, it goes on from there.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field, replace
from typing import Any

from quickstudy.batches import Batches
from quickstudy.errors import RunError
from quickstudy.folders import write_whole
from quickstudy.hardware import lay_out
from quickstudy.progress import Progress
from quickstudy.training import checkpoints
from quickstudy.training.compiling import settle_compiling
from quickstudy.training.contenders import (
    ROUNDS,
    Contender,
    Form,
    contenders,
    form,
    kept,
)
from quickstudy.training.judging import LOOKS, Standing, beaten, weakest, winner
from quickstudy.training.lesson import Lesson
from quickstudy.training.runners import Runner, another_network, rebuilt, room, runner
from quickstudy.training.timing import settle_forward

#: Name in the run's folder, until it has ended; and the folder of those that still race.
FILE = "race.json"
FOLDER = "race"
_LONGEST = 1.3  # times what was planned: then the race ends
_FEWEST = 30  # examples of `val` to judge by
_KEPT = ("seconds", "length", "began", "ends", "round")


@dataclass
class Race:
    """A race under way."""

    lesson: Lesson
    seconds: float
    """That each contender learns in a turn."""
    length: float
    """Seconds of training that the winner will have had in the end."""
    ends: float
    """Seconds on the run's clock at which it is over in any case."""
    began: float
    """The same when it began."""
    runners: list[Runner] = field(default_factory=list)
    round: int = 0

    @property
    def left(self) -> list[Runner]:
        """Those that still race."""
        return [one for one in self.runners if not one.out]

    @property
    def plan(self) -> Runner | None:
        """The plan, if it still races."""
        return next((one for one in self.left if one.number == 0), None)

    @property
    def others(self) -> list[Standing]:
        """The others that do, and have been judged."""
        return [(one.contender, one.judged) for one in self.left if one.judged and one.number]

    @property
    def over(self) -> bool:
        """Whether nobody is left to race with, somebody stopped it, or it takes too long."""
        late = self.lesson.clock.spent() > self.ends
        return len(self.left) < 2 or self.lesson.stop.asked or late

    def run(self) -> dict[str, Any]:
        """Run the rounds that are left; return what the file then has."""
        while self.round < len(ROUNDS) and not self.over:
            for turn in range(ROUNDS[self.round]):
                if not self.over:
                    self._turn(turn)
            self.round += 1
            if self.round < len(ROUNDS) and not self.over:
                if self.plan is not None and self.plan.judged is not None:
                    self._stop(weakest(self.plan.judged, self.others, kept(len(self.left)) - 1))
                self.keep()
        return self._decided()

    def _turn(self, turn: int) -> None:
        """Let each that is left learn for a turn, the other way round each time."""
        for one in self.left[:: 1 if turn % 2 == 0 else -1]:
            alone = len(self.left) < 2 and (one.number == 0 or one.judged)
            if self.lesson.stop.asked or alone:
                return
            one.learn(self.seconds, self.length, self._tell)
            if one.out:
                self.lesson.said_line(f"  {one.contender.name} is out: {one.out}")
        if self.plan is not None and self.plan.judged is not None:
            self._stop(beaten(self.plan.judged, self.others))

    def _stop(self, out: dict[str, str]) -> None:
        for one in self.left:
            if why := out.get(one.contender.name, ""):
                one.out, line = why, f"{one.contender.name} stops after {one.spent:.0f} s: {why}"
                self.lesson.said_line(f"  {line}")

    def _tell(self, one: Runner) -> None:
        clock, spent = self.lesson.clock, self.lesson.clock.spent()
        done = (spent - self.began) / max(1e-9, self.ends - self.began) * _LONGEST
        val = one.judged.score if one.judged else None
        how = (clock.left(), one.loop.smooth, val, self.lesson.task.score_name)
        self.lesson.listen(Progress("race", spent, min(1.0, done), *how))

    def keep(self) -> None:
        """Write how it stands, and what those that are left have learnt."""
        for one in self.left:
            folder = self.lesson.folder / FOLDER / str(one.number)
            folder.mkdir(parents=True, exist_ok=True)
            checkpoints.write(folder, one.loop.state())
        self._write(None)

    def _write(self, won: dict[str, Any] | None) -> dict[str, Any]:
        """Write how it stands, and return that; with `won` it is over."""
        told = {
            **{key: getattr(self, key) for key in _KEPT},
            "contenders": [one.as_dict() for one in self.runners],
            "won": won,
        }
        write_whole(self.lesson.folder / FILE, json.dumps(told))
        return told

    def _decided(self) -> dict[str, Any]:
        """Say who has won, and keep what it has learnt."""
        lesson, plan = self.lesson, self.plan
        if plan is None and not self.others:
            return self._write({"number": None, "name": "nobody", "why": "all failed"})
        if plan is not None and plan.judged is None:
            first, why = plan.contender, "nothing was judged yet"
        else:
            of_plan = plan.judged if plan is not None else None
            noise = lesson.task.noise(of_plan.score, len(lesson.val)) if of_plan else 0.0
            first, why = winner(of_plan, self.others, noise)
        if lesson.stop.asked:
            why = f"Ctrl-C ended the race; {why}"
        one = next(each for each in self.left if each.contender.name == first.name)
        self.keep()
        lesson.said_line(f"  The race is won by {first.name}: {why}")
        return self._write(
            {
                **{"number": one.number, "name": first.name, "why": why},
                "share": min(0.99, one.spent / self.length),
                "took": round(lesson.clock.spent() - self.began, 2),
            }
        )


def race(lesson: Lesson, batches: Batches) -> None:
    """Let recipes race, if there is time; leave the winner in the lesson, to be trained on.

    What it has learnt is then the checkpoint of the run.
    """
    known = _known(lesson)
    if known is None:
        shutil.rmtree(lesson.folder / FOLDER, ignore_errors=True)  # of before the first round
        made, why = _form(lesson, len(batches))
        if made is None:
            _refused(lesson, why)
            return
        known = _first(lesson, made)
        *names, last = (one.name for one in made.contenders)
        lesson.said_line(f"  Race: {', '.join(names)} and {last} start together, {why}")
    if known["won"] is None:
        with lesson.clock.stage("race"):
            begun = _ready(lesson, batches, known)
            if isinstance(begun, str):
                _refused(lesson, begun)
                return
            known = begun.run()
    lesson.race = {key: known[key] for key in ("contenders", "won")}
    if known["won"]["number"] is not None:
        _hand_over(lesson, batches, known)


def _refused(lesson: Lesson, why: str) -> None:
    if why and lesson.recipe.race is not None:  # somebody asked for one
        lesson.said_line(f"  {why}")
    if why:
        lesson.decide("race", lesson.recipe.race, why)


def _form(lesson: Lesson, examples: int) -> tuple[Form | None, str]:
    """Return how to race, or why not; nothing where the question does not arise."""
    recipe = lesson.recipe
    if recipe.race == 1 or recipe.epochs is not None or recipe.patience is not None:
        return None, ""
    if lesson.stop.asked or (lesson.folder / checkpoints.NAME).is_file():
        return None, ""
    if lesson.crew.world > 1:
        return None, "no race: several processes learn together"
    if lesson.stream is not None:
        return None, "no race: each contender would have to fetch the examples again"
    if len(lesson.val) < _FEWEST:
        return None, f"no race: {len(lesson.val)} examples of val are too few to judge by"
    a_step = lesson.step_seconds or 3 * lesson.forward * recipe.batch
    a_pass, left = a_step * examples / recipe.batch, lesson.seconds_left()
    a_look = min(lesson.val_views, len(lesson.val) * LOOKS) * lesson.forward
    fixed = {*lesson.fixed, *(["optimizer.lr"] if lesson.optimizer is not None else [])}
    found = contenders(recipe, fixed, left / max(a_pass, 1e-9))
    if lesson.rebuild is None:
        found = [one for one in found if not another_network(one.changes)]
    return form(found[: room(lesson) - 1], left, a_pass, a_look, recipe.race)


def _first(lesson: Lesson, made: Form) -> dict[str, Any]:
    """Return a race before its first round, as its file has it."""
    now, planned = lesson.clock.spent(), made.lost + sum(ROUNDS) * made.seconds
    told: dict[str, Any] = {"spent": 0.0, "points": [], "out": ""}
    return {
        "seconds": made.seconds,
        "length": max(1.0, lesson.seconds_left() - made.lost),
        "began": now,
        "ends": now + _LONGEST * planned,
        "round": 0,
        "contenders": [
            {**told, "name": one.name, "changes": dict(one.changes), "lead": one.lead}
            for one in made.contenders
        ],
        "won": None,
    }


def _ready(lesson: Lesson, batches: Batches, known: dict[str, Any]) -> Race | str:
    """Return the race ready to go on; why there is none where a network cannot be copied."""
    try:
        return _going_on(lesson, batches, known)
    except RunError:
        raise
    except Exception as problem:  # of code of the user's own, or out of memory
        first = next(iter(str(problem).splitlines()), "") or type(problem).__name__
        return f"no race: the contenders could not be made ({first[:160]})"


def _going_on(lesson: Lesson, batches: Batches, known: dict[str, Any]) -> Race:
    """Return the race as its file has it, those that are left ready to go on."""
    race = Race(lesson, **{key: known[key] for key in _KEPT})
    for number, told in enumerate(known["contenders"]):
        contender = Contender(told["name"], told["changes"], told["lead"])
        one = runner(lesson, batches, contender, number)
        one.spent, one.points, one.out = told["spent"], [*told["points"]], told["out"]
        state = checkpoints.read(lesson.folder / FOLDER / str(number))
        if state is not None and not one.out:
            one.loop.restore(state)
        race.runners.append(one)
    planned = sum(ROUNDS[race.round :]) * race.seconds * len(race.left)
    race.ends = max(race.ends, lesson.clock.spent() + _LONGEST * planned)  # a kill costs time
    return race


def _hand_over(lesson: Lesson, batches: Batches, known: dict[str, Any]) -> None:
    """Leave the winner in the lesson: its choices, its network, and its state as a checkpoint."""
    won, number = known["won"], known["won"]["number"]
    changes = known["contenders"][number]["changes"]
    said = f"{len(known['contenders'])} recipes raced for {won['took']:.0f} s: {won['name']} won"
    planned = {key: lesson.recipe.choices()[key].value for key in changes}
    changes = {key: value for key, value in changes.items() if planned[key] != value}
    for key, value in changes.items():  # none where that was done before a kill
        lesson.decide(key, value, f"won the race against {planned[key]:g}: {won['why']}")
    lesson.decide("race", lesson.recipe.race, said)
    if another_network(changes):
        lesson.network = rebuilt(lesson, lesson.recipe)
        settle_forward(lesson)  # it is not as quick as the plan's, and compiled where that was
        lay_out(lesson.network.module, lesson.recipe.compute.memory_format)
        settle_compiling(lesson, replace(batches, recipe=lesson.recipe))
    if not (lesson.folder / checkpoints.NAME).is_file():
        state = checkpoints.read(lesson.folder / FOLDER / str(number))
        if state is None:
            raise RunError("What the race had learnt has gone.", "Learn again.")
        now, end = lesson.clock.spent(), lesson.clock.budget - lesson.reserve()
        # so that the share of the schedule that it has come to is where it goes on
        state.facts |= {"raced": True, "began": (now - won["share"] * end) / (1 - won["share"])}
        checkpoints.write(lesson.folder, state)
        lesson.happened(said)
    shutil.rmtree(lesson.folder / FOLDER, ignore_errors=True)


def _known(lesson: Lesson) -> dict[str, Any] | None:
    """Return the race as it stood before a kill, or None."""
    try:
        told: dict[str, Any] = json.loads((lesson.folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return told
