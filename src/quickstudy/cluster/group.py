"""Several processes that teach one network together: gradients averaged, decisions told by one.

Every process computes its part of each batch, and all take the same step with the mean gradient
(distributed data parallelism; Li et al., 2020). What depends on the clock (when to stop, sizes,
rates) process 0 decides and tells the others, in a few numbers a step.
"""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from quickstudy.cluster.averaging import Running, Speed, Weighted, unsynchronised
from quickstudy.cluster.sharding import InParts, Part, chosen
from quickstudy.cluster.talking import END, LEARN, LEAVE, RATES, STEP, STEPS, LostError, values
from quickstudy.cluster.words import part_words, speed_words
from quickstudy.errors import RunError
from quickstudy.hardware import usable_cores
from quickstudy.network import Built
from quickstudy.recipe import Recipe
from quickstudy.training.checkpoints import NAME
from quickstudy.training.compiling import GRAPHS
from quickstudy.training.lesson import Lesson
from quickstudy.training.state import Loop
from quickstudy.training.step import forward_backward, in_memory

_LEAST = {"cpu": 16, "cuda": 64}  # examples a process and step, unless somebody chose the batch
_TIMING = 0.5  # seconds of steps of one process alone, three at least


@dataclass(eq=False)
class Group(InParts):
    """The processes of a run; `talk` is the group that they tell each other things in."""

    rank: int = 0
    world: int = 1
    machines: tuple[str, ...] = ()
    """The name of each process's machine."""
    sharing: int = 1
    """How many of them run on the same cores as this one."""
    talk: Any = None
    broken: bool = False
    _tried: set[tuple[int, ...]] = field(default_factory=set)
    """Sizes of input that fit the memory of all."""
    _unused: bool = False
    """Whether some parameters get no gradient: then that has to be looked for at each step."""
    _shared: Any = None
    """The network as it averages gradients, once there is one."""
    _speed: Speed | None = None
    _part: Part | None = None
    """What this process holds of the network, where it is in parts."""

    def enough(self, lesson: Lesson) -> None:
        """Settle a batch that gives every process enough to do, where nobody chose it."""
        recipe = lesson.recipe
        least = _LEAST.get(torch.device(recipe.compute.device).type, 16)
        fixed = chosen(recipe, "batch") or (lesson.folder / NAME).is_file()  # goes on as it began
        most = max(recipe.batch, lesson.learnable // 16)  # steps a pass
        batch = recipe.batch if fixed else min(max(recipe.batch, least * self.world), most)
        batch = min(max(batch, 2 * self.world), lesson.learnable)
        if batch < 2 * self.world:
            raise RunError(
                f"{lesson.learnable} examples are too few to share among {self.world} workers.",
                "Start fewer.",
            )
        if batch != recipe.batch:
            each = batch / self.world
            lesson.decide("batch", batch, f"{each:g} for each of {self.world} workers")
        if recipe.compute.compile == GRAPHS:
            lesson.decide("compute.compile", False, "a CUDA graph is of one process")
        self.settle_sharding(lesson)
        self.share_cores(recipe)

    def begin(self, lesson: Lesson) -> None:
        """Send the others what they need to know, and wait until they have it."""
        lesson.said("train", 0.0)
        self.anew()
        facts = {
            **lesson.known,
            "recipe": values(lesson.recipe),
            "task": lesson.task.as_dict(),
            "kind": lesson.decoded.how.kind,
            "how": lesson.decoded.how.as_dict(),
            "decoded": str(lesson.decoded.folder),
            "keeps": _keeps_memory(lesson),
            "outputs": lesson.outputs,
            "budget": lesson.clock.budget,
        }
        rows = {"truth": torch.from_numpy(lesson.truth), "train": torch.from_numpy(lesson.train)}
        with self.doing(LEARN):
            self.send(facts, rows)
            self.come_in(lesson)
        lesson.happened(part_words(self.machines, lesson.recipe.batch))

    @contextmanager
    def trying_rates(self) -> Iterator[None]:
        """Have the others try learning rates inside as well."""
        with self.doing(RATES):
            yield

    @contextmanager
    def steps(self, loop: Loop) -> Iterator[Loop]:
        """Give the others the state, lend what does steps, and tell them that these have ended."""
        recipe, now = loop.recipe, loop.state()
        self.share_cores(recipe)
        self.tell(STEPS)
        own = ("average.", "best.") if self._part is None else ("best.",)
        tensors = {k: t for k, t in now.tensors.items() if not k.startswith(own)}
        self.send({"recipe": values(recipe), "state": now.facts}, tensors)
        try:
            taught = self.share(loop)
            if taught is not loop:
                taught.restore(now)
            yield taught
            if taught is not loop:
                loop.restore(taught.state())
        except BaseException:
            if not self.broken:
                with suppress(LostError):
                    self.tell(END)
                    self.mean(0.0)  # as they do
            raise
        finally:
            torch.set_num_threads(_threads(recipe))
        self.tell(END)
        self.mean(0.0)  # who was sent SIGTERM because another one died finds that out here

    @contextmanager
    def step(self, done: float) -> Iterator[None]:
        """Have the others do the step inside too, at this share of the run."""
        with self.doing(STEP, done):
            yield

    def compute(
        self,
        network: Built,
        recipe: Recipe,
        loss_of: nn.Module,
        x: Tensor,
        target: Tensor,
        parts: int = 1,
    ) -> tuple[float, int]:
        """Leave the gradient of the mean loss over a whole batch; return the loss, and the parts.

        Raises `LostError`.
        """
        share = len(x) * self.world / recipe.batch
        weighted = loss_of if share == 1 else Weighted(loss_of, share)
        if self._part is not None:
            return self.compute_part(self._part, recipe, weighted, x, target, parts), parts
        size = tuple(x.shape[1:])
        if size not in self._tried:
            parts = self._fitting(network, recipe, loss_of, x, target, parts)
            self._tried.add(size)
        began = perf_counter()
        run = self._averaging(network, recipe, len(x.chunk(parts)))
        with self.together():
            loss = forward_backward(Built(network.module, network.head, run), recipe, weighted, x,
                                    target, parts)  # fmt: skip
            self.mean_gradients(loss_of.parameters())
        loss = self.mean(loss)
        if self._speed is not None and self._speed.size == size:
            self._speed.add(perf_counter() - began)
        return loss, parts

    def told(self) -> list[str]:
        """Return a sentence on who worked, and how quick that was beside one of them alone."""
        times = self._speed.times(self.world) if self._speed is not None else None
        return [speed_words(self.world, times)] if times is not None else []

    def share_cores(self, recipe: Recipe) -> None:
        """Use this process's part of the cores."""
        torch.set_num_threads(max(1, _threads(recipe) // self.sharing))

    def anew(self) -> None:
        """Forget the network that was taught before."""
        self._tried.clear()
        self._unused, self._shared, self._speed, self._part = False, None, None, None

    def leave(self) -> None:
        """Let the others go: nothing more is to be done together."""
        if self.rank == 0 and not self.broken:
            with suppress(LostError):
                self.tell(LEAVE)

    def _fitting(
        self,
        network: Built,
        recipe: Recipe,
        loss_of: nn.Module,
        x: Tensor,
        target: Tensor,
        parts: int,
    ) -> int:
        """Return in how many parts a size fits the memory of all; time one process alone.

        Where memory ends in the midst of averaging gradients the others would wait for ever: so
        that is found out here, without averaging.
        """
        module = network.module
        before = [b.clone() for b in module.buffers()]
        where = [torch.device(recipe.compute.device)] if x.is_cuda else []

        def alone() -> int:
            return in_memory(network, recipe, loss_of, x, target, parts)[1]

        with torch.random.fork_rng(devices=where):
            needed = alone()
            unused = any(p.requires_grad and p.grad is None for p in module.parameters())
            parts, idle = self.most(needed, int(unused))
            self._unused = self._unused or bool(idle)
            if self._speed is None:
                self._speed = Speed(tuple(x.shape[1:]), self._alone(alone))
        module.zero_grad(set_to_none=True)
        with torch.no_grad():
            for buffer, kept in zip(module.buffers(), before, strict=True):
                buffer.copy_(kept)
        return parts

    def _alone(self, step: Callable[[], object]) -> float:
        """Return the seconds of a step of process 0 while the others wait; 0 for those."""
        took: list[float] = []
        while self.rank == 0 and (len(took) < 3 or sum(took) < _TIMING):
            began = perf_counter()
            step()
            took.append(perf_counter() - began)
        self.mean(0.0)
        return statistics.median(took) if took else 0.0

    def _averaging(self, network: Built, recipe: Recipe, parts: int) -> Callable[[Tensor], Any]:
        """Return what computes the network and averages gradients in the last of the parts."""
        if self._shared is None:
            device = torch.device(recipe.compute.device)
            only = [device.index or 0] if device.type == "cuda" else None
            # of channels_last: it costs a copy
            warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
            with self.together():
                self._shared = nn.parallel.DistributedDataParallel(
                    Running(network),
                    device_ids=only,
                    gradient_as_bucket_view=True,
                    find_unused_parameters=self._unused,
                    **unsynchronised(),
                )
        shared, left = self._shared, [parts]

        def run(piece: Tensor) -> Any:
            left[0] = (left[0] or parts) - 1  # float16 may need the parts once more
            shared.require_backward_grad_sync = left[0] == 0
            return shared(piece)

        return run


def _keeps_memory(lesson: Lesson) -> bool:
    """Whether the C library keeps large buffers in process 0."""
    told = lesson.recipe.compute.allocator
    return lesson.hardware.memory_kept if told == "auto" else told == "keep"


def _threads(recipe: Recipe) -> int:
    """Return the threads of an operation where no other process computes."""
    told = recipe.compute.threads
    return usable_cores() if told == "auto" else told
