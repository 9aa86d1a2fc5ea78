"""What a run hands over: weights, labels and preprocessing, in one folder that is safe to open.

What is scored is what is shipped: the test of a run goes through `Model.probabilities`, the same
code that `predict` uses. A folder holds safetensors, JSON and text; loading runs no code from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from quickstudy import tasks
from quickstudy.calibration import Calibration
from quickstudy.calibration import restored as promises_of
from quickstudy.kinds import Preparation, restored
from quickstudy.kinds.views import averaged, in_views
from quickstudy.model import folder as folder_of
from quickstudy.model.described import network_of, shell_of, taken
from quickstudy.network import Spec, build
from quickstudy.network.seen import beside
from quickstudy.runtimes.answering import Answering, Told
from quickstudy.runtimes.believed import unknown_of
from quickstudy.runtimes.checked import believing
from quickstudy.runtimes.exported import Exported
from quickstudy.tasks import Task


@dataclass(frozen=True, eq=False)
class Model(Answering):
    """A trained network that takes examples as they are: pictures, recordings, or rows."""

    network: nn.Module
    spec: Spec
    task: Task
    preparation: Preparation
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What the run knew when it saved: accuracy, versions, date."""
    calibration: Calibration = field(default_factory=Calibration)
    """What it can promise, and what is unknown to it."""
    card: str = ""  # README.md of its folder; a short one is made where it is empty

    through: Exported | None = None
    """What computes the answers in place of the network: its export in a quicker runtime."""
    why: str = ""
    """Why an export that is there is not used."""

    @property
    def runtime(self) -> str:
        """What computes the answers: ``torch``, with why no export does, or an export's format."""
        if self.through is not None:
            return self.through.runtime
        return f"torch ({self.why})" if self.why else "torch"

    @property
    def on_processor(self) -> bool:
        """Whether the network computes on the processor, as an export does."""
        return next(self.network.parameters()).device.type == "cpu"

    def told(self, pieces: Sequence[NDArray[Any]]) -> Told:
        """Return the answers about decoded examples, and which are unlike what was learnt from."""
        if self.through is not None:
            return self.through.told(pieces)
        if not pieces:
            return np.empty((0, len(self.classes))), []
        answers, features, given = self.looked(pieces)
        return answers, unknown_of(features, given, self.calibration)

    def asked(self, views: NDArray[Any]) -> NDArray[Any]:
        """Return answers ``V K`` about views, all of one shape."""
        return self._asked(views) if self.through is None else self.through.asked(views)

    def answers(self, decoded: Iterable[NDArray[Any]]) -> NDArray[np.float64]:
        """Return answers ``N K`` about decoded examples: of each the mean over its views.

        Probabilities of classes or labels, or numbers.
        """
        if self.through is not None:
            return self.through.answers(decoded)
        return self._over(decoded, len(self.classes), "")

    def looked(
        self,
        decoded: Iterable[NDArray[Any]],
        layer: str | None = None,
        *,
        most: int | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return answers ``N K``, features ``N D`` that go into `layer`, and scores ``N K``.

        The layer of what is unknown, unless another is named; without one ``D`` and the scores'
        ``K`` are 0. Means over the views of each example, `most` of one.
        """
        detector, k = self.calibration.detector, len(self.classes)
        path = layer if layer is not None else (detector.layer if detector else "")
        found = self._over(decoded, 0 if path else k, path, most)
        more = found.shape[1] - k if path else k
        return found[:, :k], found[:, k:more], found[:, more:] if path else found[:, k:]

    def _over(
        self, decoded: Iterable[NDArray[Any]], width: int, layer: str, most: int | None = None
    ) -> NDArray[np.float64]:
        n = 0

        def counted() -> Iterator[NDArray[Any]]:
            nonlocal n
            for values in decoded:
                n += 1
                yield values

        whose, found = [np.empty(0, np.int64)], [np.empty((0, width))] if width else []
        for owners, views in in_views(counted(), self.preparation, self._batch, most=most):
            whose.append(owners)
            found.append(self._asked(views, layer))
        return averaged(np.concatenate(whose), np.concatenate(found), n)

    def _asked(self, views: NDArray[Any], layer: str = "") -> NDArray[Any]:
        """Return answers ``V K`` about views, beside what goes into a layer and the scores."""
        self.network.eval()
        device = next(self.network.parameters()).device

        def ask(x: Tensor) -> Tensor:
            return beside(self.network, layer, self.task.answers, x)

        with torch.inference_mode():
            x = self.preparation.prepare(torch.from_numpy(views).to(device))
            return self.preparation.answer(ask, x).cpu().numpy()

    def blank(self, n: int = 2) -> Tensor:
        """Return `n` empty inputs of `network`, where it computes: what is asked for to trace it.

        >>> untrained(("dark", "light"), size=32).blank().shape
        torch.Size([2, 3, 32, 32])
        """
        return self.preparation.blank(n, self.spec.size).to(next(self.network.parameters()).device)

    def save(self, folder: str | Path) -> Path:
        """Write the model's folder. Raises `RunError` on a full disk or a missing permission."""
        return folder_of.write(
            Path(folder),
            self.network,
            {
                "kind": self.kind,
                "task": self.task.as_dict(),
                "network": self.spec.as_dict(),
                "preparation": self.preparation.as_dict(),
                "facts": dict(self.facts),
                "calibration": self.calibration.as_dict(),
            },
            self.calibration.tensors(),
            self.card,
        )


def load(folder: str | Path, device: str | None = None, network: Any = None) -> Model:
    """Return the model of a folder, checked against its checksums; runs no code from it.

    A `network` that is code, an nn.Module or what makes one, has to be given again. Raises
    `ModelError` for a folder that is no model, was altered or cut short, or is of a newer format;
    `ChoiceError` for a device that cannot be used.
    """
    described, tensors, arrays = folder_of.read(Path(folder))
    with believing(Path(folder)):
        spec, task, preparation, facts = taken(described)
        kept = promises_of(described["calibration"], arrays, task.name, spec.classes)
        shell = shell_of(spec, tensors)
    built = network_of(spec, shell, network)
    folder_of.put(built, tensors, Path(folder), device)
    return Model(built, spec, task, preparation, facts, kept, folder_of.card_in(Path(folder)))


def untrained(classes: tuple[str, ...], *, size: int = 64) -> Model:
    """Return a compact network for pictures that has learnt nothing: for trying things out."""
    spec = Spec("compact", len(classes), size)
    kept = {"decode_size": size, "size": size, "fit": "squash", "mean": (0.5,) * 3}
    how = restored("image", {**kept, "std": (0.25,) * 3, "mirror": False})
    return Model(build(spec).module, spec, tasks.Classification(classes), how)
