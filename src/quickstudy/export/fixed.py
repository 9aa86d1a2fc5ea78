"""A graph of fixed shapes, for runtimes that have no others: one example, prepared by the host."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from quickstudy.export.whole import Whole
from quickstudy.runtimes.sessions import Arrays, Session


class _AsItIs(nn.Module):
    """Pictures that are fitted already, as ``N 3 S S``."""

    def forward(self, pictures: Tensor) -> Tensor:
        """Return levels."""
        return pictures.permute(0, 3, 1, 2).float()


class _Window(nn.Module):
    """One window of sound, mono and at the network's rate, as ``N 1 size``."""

    def forward(self, samples: Tensor) -> Tensor:
        """Return windows of samples ``N size 1``."""
        return samples.permute(0, 2, 1)


class _Still(nn.Module):
    """A graph without its first part, which resizes or resamples and cuts."""

    def __init__(self, whole: Any, first: nn.Module) -> None:
        super().__init__()
        self.whole, self.as_it_is = whole, first

    def forward(self, given: Tensor) -> tuple[Tensor, ...]:
        """Return answers, and how unlike what was learnt from each is."""
        return self.whole.after(self.as_it_is(given))  # type: ignore[no-any-return]


def fixed(whole: Whole, model: Any) -> Whole:
    """Return a graph that takes one example as the model's preparation gives it.

    Pictures ``1 S S 3``, samples of one window ``1 size 1``, or rows ``1 F``.
    """
    how, module = model.preparation, whole.module
    if model.kind == "table":
        return Whole(module, (torch.zeros(1, how.size),), whole.inputs, whole.outputs, ({},))
    if model.kind == "sound":
        window = (torch.zeros(1, how.size, 1),)
        return Whole(_Still(module, _Window()).eval(), window, ("samples",), whole.outputs, ({},))
    picture = (torch.zeros(1, how.decode_size, how.decode_size, 3, dtype=torch.uint8),)
    return Whole(_Still(module, _AsItIs()).eval(), picture, whole.inputs, whole.outputs, ({},))


class Fitting:
    """Prepares as the host does, then asks a session of fixed shapes, one example at a time.

    Of a recording of several windows it gives the mean of the answers, but not how unlike it is.
    """

    def __init__(self, whole: Whole, session: Session) -> None:
        self._whole, self._session = whole, session

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Return the outputs by name."""
        (name,) = self._whole.inputs
        parts = self._prepared(name, inputs)
        found = [[self._session.run({name: one[None]}) for one in part] for part in parts]
        told = set(self._whole.outputs)
        if any(len(part) > 1 for part in found):
            told.discard("unlike")
        return {
            one: np.stack([np.concatenate([each[one] for each in part]).mean(0) for part in found])
            for one in told
        }

    def _prepared(self, name: str, inputs: Arrays) -> NDArray[Any]:
        """Return ``N V ...``: of each example one view, of a recording its windows."""
        if name == "rows":
            return inputs[name][:, None]
        first: Any = self._whole.module.whole
        given = [torch.from_numpy(np.require(one, None, ["C", "W"])) for one in inputs.values()]
        with torch.inference_mode():
            if name == "samples":
                return first.windows(*given).numpy()[..., None]  # type: ignore[no-any-return]
            levels = first.fitted(*given).permute(0, 2, 3, 1).to(torch.uint8)
        return levels.numpy()[:, None]  # type: ignore[no-any-return]
