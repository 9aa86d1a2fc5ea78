"""A graph of fixed shapes, for runtimes that have no others: one example, prepared by the host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from quickstudy.errors import ModelError
from quickstudy.export.whole import Whole
from quickstudy.runtimes.sessions import Arrays, Session


class _AsItIs(nn.Module):
    """Pictures that are fitted already, as ``N 3 S S``."""

    def forward(self, pictures: Tensor) -> Tensor:
        """Return levels."""
        return pictures.permute(0, 3, 1, 2).float()


class _Still(nn.Module):
    """A graph without its first part, the resize, while it is traced."""

    def __init__(self, pictures: Any) -> None:
        super().__init__()
        self.whole = pictures
        self.as_it_is = _AsItIs()

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """Return answers, and how unlike what was learnt from each is."""
        return self.whole.after(self.as_it_is(pictures))  # type: ignore[no-any-return]


def fixed(whole: Whole, model: Any) -> Whole:
    """Return a graph that takes one example as the model's preparation gives it.

    Pictures ``1 S S 3``, or rows ``1 F``. Raises `ModelError` for sound.
    """
    how = model.preparation
    if model.kind == "sound":
        raise ModelError(
            "A model of sound cannot be exported to this format yet: its graph would have to take "
            "recordings of one length alone.",
            "Take onnx, which takes any.",
        )
    if model.kind == "table":
        return Whole(whole.module, (torch.zeros(1, how.size),), whole.inputs, whole.outputs, ({},))
    picture = torch.zeros(1, how.decode_size, how.decode_size, 3, dtype=torch.uint8)
    return Whole(_Still(whole.module).eval(), (picture,), whole.inputs, whole.outputs, ({},))


class Fitting:
    """Resizes as the host does, then asks a session of fixed shapes, one example at a time."""

    def __init__(self, whole: Whole, session: Session) -> None:
        self._whole, self._session = whole, session

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Return the outputs by name."""
        (name,) = self._whole.inputs
        given = inputs[name]
        if name == "pictures":
            fitted: Any = self._whole.module.whole.fitted
            with torch.inference_mode():
                x = fitted(torch.from_numpy(np.ascontiguousarray(given)))
            given = x.permute(0, 2, 3, 1).to(torch.uint8).numpy()
        found: list[Mapping[str, NDArray[Any]]] = [
            self._session.run({name: given[i : i + 1]}) for i in range(len(given))
        ]
        return {one: np.concatenate([each[one] for each in found]) for one in found[0]}
