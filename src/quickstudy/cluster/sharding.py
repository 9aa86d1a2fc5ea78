"""A network too large for each process: every one holds a part of it, and of all that goes with it.

Weights, gradients, the optimiser's memory and averaged weights are cut in as many parts as there
are processes; a layer's weights are gathered when it is computed, and let go (ZeRO-3, Rajbhandari
et al., 2020; FSDP, Zhao et al., 2023; torch's `fully_shard`). Process 0 keeps the whole besides in
the computer's own memory: there it is as it was before and after the steps, so that checkpoints,
`val` and the model know nothing of parts.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from quickstudy.cluster.talking import ALL, AVERAGE, ROOM, Talk
from quickstudy.errors import ChoiceError, RunError
from quickstudy.hardware import lay_out
from quickstudy.network import Built
from quickstudy.network import parameters as numbers
from quickstudy.recipe import Recipe
from quickstudy.training.checkpoints import State
from quickstudy.training.crew import Crew
from quickstudy.training.lesson import Lesson
from quickstudy.training.optimizers import Factory, optimizer
from quickstudy.training.parts import part_like, whole
from quickstudy.training.state import Loop
from quickstudy.training.step import forward_backward, out_of_memory

#: Numbers that an optimiser remembers for each that is learnt; 2 where that is not known.
_REMEMBERS = {"sgd": 1, "lion": 1, "muon": 1}
_FOR_STEPS = 0.3  # of the memory of a GPU, for what a batch takes on its way through
_LEAST = 1 / 200  # of a network's numbers: a block with less is gathered with the rest


def needs(network: nn.Module, method: str, world: int) -> tuple[float, float]:
    """Return the bytes that a process needs to learn with the whole network, and with its part.

    The whole: weights, gradients, averaged weights, the optimiser's memory, and of the weights two
    copies: the best so far, and the present ones while `val` is asked. In parts there is the whole
    once, while `val` is asked.
    """
    size = sum(p.numel() * p.element_size() for p in network.parameters())
    each = 3 + _REMEMBERS.get(method, 2)
    return float(size * (each + 2)), float(max(size * (1 + each / world), 2 * size))


def decided(network: nn.Module, method: str, world: int, room: float) -> tuple[str, str]:
    """Return whether to ``replicate`` or ``shard`` with `room` bytes for each process, and why.

    Raises `RunError` where there is no room for a part either.
    """
    both = needs(network, method, world)
    (all_of_it, part), there = (f"{one / 1e9:.3g} GB" for one in both), f"{room / 1e9:.3g} GB"
    most = (1 - _FOR_STEPS) * room
    rest = f"and {_FOR_STEPS:.0%} is for the batch"
    said = f"to learn with all of it takes {all_of_it} of the {there} that each has"
    if both[0] <= most:
        return "replicate", f"{said}, {rest}"
    if _has_single(network):
        return "replicate", f"{said}; it learns single numbers, which cannot be kept in parts"
    if both[1] > room:
        raise RunError(
            f"{said[0].upper()}{said[1:]}, and a part of {world} takes {part}.",
            "Start more workers, or take a smaller network.",
        )
    return "shard", f"{said}, {rest}; in {world} parts, {part}"


def _has_single(network: nn.Module) -> bool:
    return any(p.ndim == 0 for p in network.parameters())


def blocks(module: nn.Module, least: float) -> list[nn.Module]:
    """Return the layers and blocks that are called one after another, each of some size."""
    found = []
    for child in module.children():
        if not isinstance(module, nn.Sequential | nn.ModuleList) or isinstance(
            child, nn.Sequential | nn.ModuleList
        ):
            found += blocks(child, least)
        elif numbers(child) >= least:
            found.append(child)
    return found


@dataclass(frozen=True)
class Part:
    """What a process holds of a network that several learn together."""

    network: Built
    whole: nn.Module
    """In process 0 the network itself, beside its part."""
    factory: Factory | None
    """Makes an optimiser of the user's own."""

    def share(self, loop: Loop) -> Shared:
        """Return what changes in training, for the part of this process: not yet as `loop` is."""
        recipe, loss_of = loop.recipe, loop.loss_of
        mover = optimizer(self.network, recipe, also=loss_of.parameters(), factory=self.factory)
        average = {k: t.detach().clone() for k, t in self.network.module.state_dict().items()}
        how = (loss_of, loop.clock, loop.deadline, loop.began, mover, average, loop.crew)
        made = Shared(self.network, recipe, loop.batches, *how)
        made.beside = self.whole
        return made


def cut(group: Talk, lesson: Lesson) -> Part:
    """Return this process's part of the network as process 0 has it, where it computes."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    own, device = lesson.network.module.to("cpu"), lesson.recipe.compute.device
    if group.rank == 0:
        group.send({}, own.state_dict())
    else:
        own.load_state_dict(dict(group.receive()[1]))
    module = copy.deepcopy(own) if group.rank == 0 else own
    lay_out(module, "contiguous")
    mesh = init_device_mesh(torch.device(device).type, (group.world,))
    named = [p for _, p in module.named_parameters(remove_duplicate=False)]
    tied = len(named) > len(set(named))  # across blocks, perhaps
    for block in () if tied else blocks(module, _LEAST * numbers(module)):
        fully_shard(block, mesh=mesh)
    fully_shard(module, mesh=mesh)
    return Part(Built(module, lesson.network.head), own, lesson.optimizer)


class Shared(Loop):
    """Everything that changes in training, in parts; `state` is whole, in process 0."""

    crew: InParts
    beside: nn.Module

    def state(self) -> State:
        """Return all of it as a checkpoint, in process 0; the others give their parts."""
        self.crew.asking_for_all()
        now = super().state()
        return State(self._gathered(now.tensors), now.facts)

    def restore(self, state: State) -> None:
        """Take the part of this process of a checkpoint."""
        super().restore(State({k: self.part(k, t) for k, t in state.tensors.items()}, state.facts))

    def part(self, name: str, tensor: Tensor) -> Tensor:
        """Return the part of this process of a checkpoint's tensor."""
        what, _, rest = name.partition(".")
        like = tensor
        if what in ("network", "average"):
            like = self.average[rest]
        elif what == "optimizer":
            learnt = [p for group in self.optimizer.param_groups for p in group["params"]]
            of = learnt[int(rest.partition(".")[0])]
            like = of if of.shape == tensor.shape else tensor
        return part_like(like, tensor)

    @contextmanager
    def averaged(self) -> Iterator[dict[str, Tensor]]:
        """Put the averaged weights into the whole network of process 0 for a while."""
        weights = self.average_of_all()
        self.beside.load_state_dict(weights)
        self.beside.to(self.recipe.compute.device)
        try:
            yield weights
        finally:
            self.beside.to("cpu")

    def average_of_all(self) -> dict[str, Tensor]:
        """Return the averaged weights, in process 0; the others give their parts."""
        self.crew.asking_for_average()
        return self._gathered(self.average)

    def _gathered(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        found = {}
        with self.crew.together():
            for name, tensor in tensors.items():
                every = whole(tensor.detach())
                if self.crew.rank == 0:
                    found[name] = every.cpu()
        return found


class InParts(Talk, Crew):
    """How processes keep a network in parts, where one of them has no room for the whole."""

    _part: Part | None
    """What this process holds of the network, where it is in parts."""

    def settle_sharding(self, lesson: Lesson) -> None:
        """Settle whether each process keeps the whole network, by the memory that all have."""
        recipe = lesson.recipe
        if not chosen(recipe, "compute.sharding"):
            if recipe.compute.device.startswith("cuda"):
                self.tell(ROOM)
                how = (recipe.optimizer.name, self.world, self.room())
                told = decided(lesson.network.module, *how)
            else:
                told = "replicate", "parts save memory of GPUs: the first process keeps the whole"
            lesson.decide("compute.sharding", *told)
        if lesson.recipe.compute.sharding == "shard":
            if _has_single(lesson.network.module):
                raise ChoiceError(
                    "This network learns single numbers, which cannot be kept in parts.",
                    "Leave compute.sharding out.",
                )
            lesson.decide("compute.compile", False, "in parts a network is not compiled")

    def room(self) -> float:
        """Return the least memory that a process may have on its GPU, in bytes."""
        free = torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved()
        return -float(self.most(-free)[0])

    def come_in(self, lesson: Lesson) -> None:
        """Take this process's part of the network, if it is in parts; wait until all have."""
        if lesson.recipe.compute.sharding == "shard":
            self._part = cut(self, lesson)
        self.mean(0.0)

    def held(self, network: Built) -> Built:
        """Return a network as this process computes steps with it: itself, or its part of it."""
        return network if self._part is None else self._part.network

    def share(self, loop: Loop) -> Loop:
        """Return what changes in training, for what this process holds of the network."""
        return loop if self._part is None else self._part.share(loop)

    def asking_for_all(self) -> None:
        """Have the others give their parts of a checkpoint."""
        if self.rank == 0:
            self.tell(ALL)

    def asking_for_average(self) -> None:
        """Have the others give their parts of the averaged weights."""
        if self.rank == 0:
            self.tell(AVERAGE)

    def compute_part(
        self, part: Part, recipe: Recipe, loss_of: nn.Module, x: Tensor, target: Tensor, parts: int
    ) -> float:
        """Leave in a part of the network its part of the gradient; return the mean loss.

        Raises `RunError` where memory ends: in the midst of a step nothing can be tried again.
        """
        try:
            with self.together():
                loss = forward_backward(part.network, recipe, loss_of, x, target, parts)
                self.mean_gradients(loss_of.parameters())
        except (MemoryError, RuntimeError) as problem:
            if not out_of_memory(problem):
                raise
            raise RunError(
                f"{len(x)} examples do not fit the memory of a worker beside its part of the "
                "network.",
                f"--set batch={max(1, recipe.batch // 2)}, or start more workers.",
            ) from problem
        return self.mean(loss)

    def mean_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Average the gradients of what is not averaged on the way: a loss's own parameters."""
        for parameter in parameters:
            if parameter.grad is not None:
                here = parameter.grad.cpu()
                dist.all_reduce(here, group=self.talk)
                parameter.grad.copy_(here / self.world)


def chosen(recipe: Recipe, key: str) -> bool:
    """Whether somebody chose what a recipe says."""
    return recipe.why.get(key, "").startswith(("you set it", "from "))
