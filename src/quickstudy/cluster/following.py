"""What every process but the first does: follow it, from lesson to lesson, step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from quickstudy import hardware
from quickstudy.batches import Batches
from quickstudy.clock import Clock, Stop
from quickstudy.cluster.group import Group
from quickstudy.cluster.joining import device_of
from quickstudy.cluster.sharding import Shared
from quickstudy.cluster.talking import (
    ALL,
    AVERAGE,
    LEARN,
    LEAVE,
    RATES,
    ROOM,
    SEARCH,
    STEP,
    STEPS,
)
from quickstudy.decoding import Decoded
from quickstudy.kinds import Preparation
from quickstudy.kinds import restored as restored_kind
from quickstudy.network import Spec, build
from quickstudy.network.hearing import Hearing
from quickstudy.progress import silent
from quickstudy.recipe import Recipe, SoundAugment, assemble, coerce
from quickstudy.shards.stream import Stream
from quickstudy.tasks import restored as restored_task
from quickstudy.training.checkpoints import State
from quickstudy.training.compiling import Compiled, compiled_form
from quickstudy.training.lesson import Lesson
from quickstudy.training.loop import step_once
from quickstudy.training.optimizers import optimizer
from quickstudy.training.state import Loop
from quickstudy.training.timing import find_rate

#: Finds the examples on this machine, from facts that process 0 has told, recipe and preparation.
Examples = Callable[[Mapping[str, Any], Recipe, Preparation], tuple[Decoded, Stream | None]]


class _Followed(Loop):
    """What changes in a process that follows: the averaged weights are process 0's business."""

    def move_average(self) -> None:
        """Leave that to process 0."""


@dataclass
class Follower:
    """A process that follows process 0 of its group; `code` is the user's own, by its words."""

    group: Group
    examples: Examples
    code: Mapping[str, Any] = field(default_factory=dict)
    helps: Callable[[Mapping[str, Any]], object] | None = None
    """Runs trials of a search beside process 0, given facts that it has told."""
    _lesson: Lesson | None = None

    def follow(self) -> None:
        """Do what is told until the others may go. Raises `LostError` where process 0 has gone."""
        while True:
            what, _ = self.group.hear()
            if what == LEAVE:
                return
            if what == LEARN:
                self._lesson = self._come_in(*self.group.receive())
            elif what == ROOM:
                device_of("cuda")
                self.group.room()
            elif what == RATES:
                lesson = self._expected()
                find_rate(lesson, self._batches(lesson))
            elif what == STEPS:
                self._step_by_step(*self.group.receive())
            elif what == SEARCH and self.helps is not None:
                self.helps(self.group.receive()[0])

    def _come_in(self, facts: dict[str, Any], sent: Iterable[tuple[str, Tensor]]) -> Lesson:
        """Return the lesson that process 0 teaches, as far as it is needed to follow."""
        rows = dict(sent)
        recipe = _recipe(facts["recipe"])
        how = restored_kind(facts["kind"], facts["how"])
        decoded, stream = self.examples(facts, recipe, how)
        lesson = Lesson(
            network=build(Spec.from_dict(facts["spec"]), self.code.get("network")),
            recipe=recipe,
            hardware=hardware.survey(recipe.compute.device),
            decoded=decoded,
            task=restored_task(facts["task"]),
            truth=rows["truth"].numpy(),
            families=np.empty(0, np.int64),
            train=rows["train"].numpy(),
            val=np.empty(0, np.int64),
            test_views=0,
            clock=Clock(facts["budget"]),
            folder=Path(),
            stop=Stop(),
            listen=silent,
            decided=lambda _: None,
            loss=self.code.get("loss"),
            optimizer=self.code.get("optimizer"),
            crew=self.group,
            stream=stream,
        )
        if not recipe.compute.device.startswith("cuda"):
            hardware.keep_memory(facts["keeps"])
        _ready(lesson)
        self.group.anew()
        self.group.share_cores(recipe)
        self.group.come_in(lesson)
        return lesson

    def _step_by_step(self, facts: dict[str, Any], sent: Iterable[tuple[str, Tensor]]) -> None:
        """Do the steps that process 0 does, from the state that it has sent."""
        lesson, group = self._expected(), self.group
        lesson.recipe = recipe = _recipe(facts["recipe"])
        network, loss_of, batches = lesson.network, lesson.criterion(), self._batches(lesson)
        mover = optimizer(network, recipe, also=loss_of.parameters(), factory=lesson.optimizer)
        none = Clock(lesson.clock.budget)
        whole = _Followed(network, recipe, batches, loss_of, none, 0.0, 0.0, mover, {}, group)
        loop = group.share(whole)
        loop.restore(State({k: loop.part(k, t) for k, t in sent}, facts["state"]))
        group.share_cores(recipe)
        with batches.reading(loop.step) as ahead:
            while True:
                what, done = group.hear()
                if what == STEP:
                    step_once(loop, ahead, done)
                elif what == ALL:
                    loop.state()
                elif what == AVERAGE and isinstance(loop, Shared):
                    loop.average_of_all()
                else:
                    break
        group.mean(0.0)

    def _expected(self) -> Lesson:
        assert self._lesson is not None  # process 0 sends a lesson before its steps
        return self._lesson

    def _batches(self, lesson: Lesson) -> Batches:
        own = (self.group.rank, self.group.world)
        rows, truth = lesson.train, lesson.truth[lesson.train]
        recipe, stream = lesson.recipe, lesson.stream
        return Batches(lesson.decoded, rows, truth, lesson.task, recipe, *own, stream)


def _recipe(told: Mapping[str, Any]) -> Recipe:
    """Return the recipe that process 0 has told, for the device of this one."""
    recipe = assemble({k: coerce(k, v) for k, v in told.items()}, {})
    own = device_of(recipe.compute.device)
    return recipe.decided("compute.device", own, "its own")


def _ready(lesson: Lesson) -> None:
    """Put the network where it computes, as process 0 has it."""
    recipe, network = lesson.recipe, lesson.network
    if isinstance(network.module, Hearing) and isinstance(recipe.augment, SoundAugment):
        network.module.mask.time = recipe.augment.mask_time
        network.module.mask.bands = recipe.augment.mask_bands
    network.module.to(recipe.compute.device)
    hardware.lay_out(network.module, recipe.compute.memory_format)
    if recipe.compute.compile is True:
        form = compiled_form(network.module, grows=recipe.start_size < recipe.size)
        run = Compiled(network.module, form, lambda _: None)
        lesson.network = type(network)(network.module, network.head, run)
