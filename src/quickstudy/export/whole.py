"""The network with all that stands before and behind it: what is exported takes what the user has.

Before it resize, crop, normalise, or resample and spectra; behind it calibration, and how unlike
what was learnt from an input is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from quickstudy.export.sounds import Sounds
from quickstudy.export.tables import Rows
from quickstudy.export.unlike import unlike
from quickstudy.kinds.image.augment import normalise
from quickstudy.kinds.image.resizing import Fitted, Shrunk
from quickstudy.kinds.sound.decode import BLOCK
from quickstudy.model import Model
from quickstudy.network.seen import beside


@dataclass(frozen=True, eq=False)
class Whole:
    """A graph ready to be written, with examples of what it takes."""

    module: nn.Module
    examples: tuple[Tensor, ...]
    """Inputs to trace it with, all sides more than one."""
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    free: tuple[dict[int, str], ...]
    """Of each input the sides that may be of any length, and what they count."""

    def told_inputs(self) -> dict[str, dict[str, Any]]:
        """Return type and shape of each input, a word for a side of any length."""
        found = {}
        for name, one, free in zip(self.inputs, self.examples, self.free, strict=True):
            shape = [free.get(side, n) for side, n in enumerate(one.shape)]
            found[name] = {"type": str(one.dtype).removeprefix("torch."), "shape": shape}
        return found


class Answering(nn.Module):
    """Asks a network about what was prepared: answers ``N K``, and how unlike it is, ``N``."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.network, self.task = model.network, model.task
        self.how: Any = model.preparation
        self.k = len(model.classes)
        detector = model.calibration.detector
        self.layer = detector.layer if detector else ""
        self.measure = unlike(detector.measure) if detector else None

    def ask(self, x: Tensor) -> Tensor:
        """Return answers, features and scores side by side."""
        found: Tensor = self.how.answer(
            lambda one: beside(self.network, self.layer, self._said, one), x
        )
        return found

    def _said(self, scores: Tensor) -> Tensor:
        return self.task.answers(scores)

    def told(self, found: Tensor) -> tuple[Tensor, ...]:
        """Return what `ask` found, or its mean over views, as the graph's outputs."""
        found = found.float()  # numbers are computed in double precision
        answers = found[:, : self.k]
        if self.measure is None:
            return (answers,)
        end = found.shape[1] - self.k
        return answers, self.measure(found[:, self.k : end], found[:, end:])


class Pictures(nn.Module):
    """Takes ``pictures``: ``N H W 3`` uint8 of any size, upright RGB."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        how: Any = model.preparation
        self.how = how
        self.fitted = Fitted(how.decode_size, how.fit)
        self.shrunk = None if how.decode_size == how.size else Shrunk(how.decode_size, how.size)
        self.answering = Answering(model)

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """Return answers ``N K``, and how unlike what was learnt from each is, ``N``."""
        return self.after(self.fitted(pictures))

    def after(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the same of pictures ``N 3 S S`` that were fitted, whole levels 0 to 255."""
        x = x if self.shrunk is None else self.shrunk(x)
        x = normalise(x / 255, self.how.mean, self.how.std)
        if self.how.channels != 3:
            x = x.mean(1, keepdim=True)
        return self.answering.told(self.answering.ask(x))


def whole(model: Model) -> Whole:
    """Return a model as one graph, on the processor."""
    outputs = ("answers",) if model.calibration.detector is None else ("answers", "unlike")
    answering, size = Answering(model), model.preparation.size
    if model.kind == "sound":
        # Longer than a block: AOTInductor would take one for all there can be, and crash on two
        heard = (torch.zeros(2, BLOCK + 3 * size + 11, 2), torch.tensor(44_100))
        sides: tuple[dict[int, str], ...] = ({0: "n", 1: "samples", 2: "channels"}, {})
        return Whole(Sounds(model, answering).eval(), heard, ("samples", "rate"), outputs, sides)
    if model.kind == "table":
        rows = (torch.zeros(2, size),)
        return Whole(Rows(answering).eval(), rows, ("rows",), outputs, ({0: "n"},))
    example = torch.zeros(2, size + 3, size + 5, 3, dtype=torch.uint8)
    free = {0: "n", 1: "high", 2: "wide"}
    return Whole(Pictures(model).eval(), (example,), ("pictures",), outputs, (free,))
