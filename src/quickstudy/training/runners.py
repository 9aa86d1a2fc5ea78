"""A contender of a race at work: its network, its loop, and what `val` said of it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from quickstudy.batches import Batches
from quickstudy.errors import RunError
from quickstudy.hardware import lay_out, usable_memory
from quickstudy.network import Built, parameters
from quickstudy.recipe import Recipe
from quickstudy.training.contenders import Contender
from quickstudy.training.judging import Judgement, judge
from quickstudy.training.lesson import Lesson
from quickstudy.training.loop import is_sound, note, step_once
from quickstudy.training.state import Loop, new_loop

_TELL_EVERY = 1.0  # seconds
_MEMORY = 0.25  # of what there is, at most, for all that race


@dataclass
class Runner:
    """A contender at work."""

    contender: Contender
    number: int
    """Its place among those that started; the plan is 0."""
    lesson: Lesson
    loop: Loop
    spent: float = 0.0
    """Seconds that it has learnt for."""
    points: list[dict[str, float]] = field(default_factory=list)
    judged: Judgement | None = None
    out: str = ""
    """Why it was stopped."""

    def as_dict(self) -> dict[str, Any]:
        """Return what the race's file and the report keep."""
        return {
            **{"name": self.contender.name, "changes": dict(self.contender.changes)},
            **{"lead": self.contender.lead, "spent": round(self.spent, 2)},
            **{"points": self.points, "out": self.out},
        }

    def learn(self, seconds: float, length: float, tell: Callable[[Runner], None]) -> None:
        """Learn for so many seconds of a training of `length` seconds, then ask `val`.

        What goes wrong is the end of this contender alone.
        """
        clock, loop = self.lesson.clock, self.loop
        now = clock.spent()
        loop.began, loop.deadline = now - self.spent, now - self.spent + length
        try:
            sound = self._steps(now + seconds, tell)
            self.spent += clock.spent() - now
            if not sound:
                self.out = "its loss exploded"
            elif loop.step:
                self._look()
        except RunError:
            raise  # a full disk, a damaged cache: of the run, not of a contender
        except Exception as problem:  # out of memory, or whatever a network can raise
            first = next(iter(str(problem).splitlines()), "") or type(problem).__name__
            self.out = f"it failed: {first[:160]}"
        if self.out:
            self.judged = None

    def _steps(self, until: float, tell: Callable[[Runner], None]) -> bool:
        """Do steps until that moment of the run's clock; return False where the loss exploded."""
        lesson, loop = self.lesson, self.loop
        told = lesson.clock.spent()
        with loop.batches.reading(loop.step) as ahead:
            while lesson.clock.spent() < until and not lesson.stop.asked:
                loss = step_once(loop, ahead, loop.share_done())
                if not is_sound(loop, loss):
                    return False
                if lesson.clock.spent() - told > _TELL_EVERY:
                    told = lesson.clock.spent()
                    tell(self)
        return True

    def _look(self) -> None:
        """Ask `val`; add that to the curves of the race, and of the run that this may become."""
        loop, done = self.loop, self.loop.share_done()
        with loop.averaged():
            self.judged = judge(self.lesson)
        note(loop, done)
        of_val = {"val_loss": round(self.judged.plain_loss, 5), "val_score": self.judged.score}
        loop.curves[-1] |= of_val
        point = {"spent": round(self.spent, 2), "passes": round(loop.passes(), 2)}
        self.points.append({**point, "score": self.judged.score, "loss": self.judged.loss})


def runner(lesson: Lesson, batches: Batches, contender: Contender, number: int) -> Runner:
    """Return a contender ready to start: from the plan's own first weights where they fit."""
    recipe = lesson.recipe
    for key, value in contender.changes.items():
        recipe = recipe.decided(key, value, "")
    if another_network(contender.changes):
        network = rebuilt(lesson, recipe)
    else:
        module = copy.deepcopy(lesson.network.module)
        network = replace(lesson.network, module=module, compiled=None)
    own = replace(lesson, network=network, recipe=recipe, decided=lambda _: None, events=[])
    loop = new_loop(
        network,
        recipe,
        replace(batches, recipe=recipe),
        copy.deepcopy(own.criterion()),  # what it learns itself is learnt apart
        lesson.clock,
        lesson.clock.budget,
        lesson.optimizer,
    )
    return Runner(contender, number, own, loop)


def another_network(changes: Mapping[str, Any]) -> bool:
    """Whether it takes another network; what blanks out parts of spectra is a layer of one."""
    return any(key.startswith(("network.", "augment.mask_")) for key in changes)


def rebuilt(lesson: Lesson, recipe: Recipe) -> Built:
    """Return the network of another recipe, with fresh weights, laid out as it is to be."""
    assert lesson.rebuild is not None  # whoever changes the network has asked
    network = lesson.rebuild(recipe)
    lay_out(network.module, recipe.compute.memory_format)
    return network


def room(lesson: Lesson) -> int:
    """Return how many networks may stand in memory beside each other: one at least."""
    copies = 7  # weights, gradients, their average, the optimiser's, and those of the best
    each = copies * 4 * parameters(lesson.network.module)
    free = usable_memory()
    if lesson.recipe.compute.device.startswith("cuda"):
        free = torch.cuda.mem_get_info(lesson.recipe.compute.device)[0]
    return max(1, int(_MEMORY * free / max(1, each)))
