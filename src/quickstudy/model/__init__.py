"""What a run hands over: weights, labels and preprocessing, in one folder that is safe to open.

What is scored is what is shipped: the test of a run goes through `Model.probabilities`, the same
code that `predict` uses. A folder holds safetensors, JSON and text; loading runs no code from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from quickstudy import tasks
from quickstudy.calibration import Calibration
from quickstudy.calibration import restored as promises_of
from quickstudy.catalog import rows_of, scan
from quickstudy.errors import ExampleError, SourceError
from quickstudy.folders import cache_folder
from quickstudy.kinds import NOUNS, Preparation, files_in, restored
from quickstudy.kinds.views import averaged, in_views
from quickstudy.model import folder as folder_of
from quickstudy.model.believed import promised, unknown_of, with_set
from quickstudy.model.described import believing, network_of, shell_of, taken
from quickstudy.model.reading import Read, is_samples, read
from quickstudy.network import Spec, build
from quickstudy.network.seen import beside
from quickstudy.prediction import Prediction, Segment
from quickstudy.tasks import Task

_BATCH = {"image": 32, "sound": 32, "table": 1024}  # views


@dataclass(frozen=True, eq=False)
class Model:
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

    @property
    def kind(self) -> str:
        """What sort of examples it takes: ``image``, ``sound`` or ``table``."""
        return self.preparation.kind

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes, labels or numbers that it answers with, in order."""
        return self.task.outputs

    def predict(self, what: Any, coverage: float | None = None) -> Any:
        """Return a `Prediction` for one example; a list for many.

        With a `coverage`, as 0.95, it has the set of classes or labels, or the ranges of numbers,
        that hold the truth about that often (split conformal prediction, on held-out examples that
        steered the training too; the report measures it on the test). Raises `ModelError` of a
        model that kept nothing to promise it by.

        An example is a path, the bytes of a file, a PIL picture, an array ``H W C``, or, for
        sound, samples ``T`` (or ``T C``) with their rate in Hz: ``(samples, rate)``. A folder
        gives a list, as does an array ``N H W C`` or a list; a file in it that cannot be read has
        an `error`, a single one raises `ExampleError`. A long recording has a `timeline`.

        Of a model for tables an example is a row: a mapping, or an array ``F``; many are a data
        frame, an array ``N F``, a list of mappings, or a CSV or Parquet file.

        >>> import numpy as np
        >>> model = untrained(("dark", "light"), size=32)
        >>> model.predict(np.zeros((8, 8, 3), np.uint8)).label in ("dark", "light")
        True
        """
        if self.kind == "table":
            return self._predict_rows(what, coverage)
        if isinstance(what, str | Path) and Path(what).is_dir():
            return list(self.predictions(files_in(Path(what), self.kind), coverage))
        if isinstance(what, np.ndarray) and what.ndim == 4:
            return list(self.predictions(list(what), coverage))
        if isinstance(what, list | tuple) and not is_samples(what):
            return list(self.predictions(what, coverage))
        (answer,) = self.predictions([what], coverage)
        if answer.error:
            hint = f"Give a {NOUNS[self.kind][0]} file."
            raise ExampleError(f"{answer.name}: {answer.error}", hint)
        return answer

    def _predict_rows(self, what: Any, coverage: float | None) -> Any:
        single = isinstance(what, Mapping) or getattr(what, "ndim", 2) == 1
        found = list(self.predictions(rows_of(what, self._columns()), coverage))
        if single and found[0].error:
            raise ExampleError(f"{found[0].name}: {found[0].error}", "Give one value a column.")
        return found[0] if single else found

    def doubts(self, what: Any) -> list[str]:
        """Return sentences on rows that are not like those learnt from; nothing of other kinds.

        As words never met in most of a column, or numbers written in another way.
        """
        how: Any = self.preparation
        return how.doubts(rows_of(what, self._columns())) if self.kind == "table" else []

    def _columns(self) -> dict[str, bool]:
        """Return the columns of a table learnt from, and whether they are needed; else nothing."""
        return {column.name: bool(column.features) for column in self.preparation.columns}

    def predictions(
        self, what: Sequence[Any], coverage: float | None = None
    ) -> Iterator[Prediction]:
        """Yield a `Prediction` for each of `what`, in order, reading ahead on all cores."""
        promise = promised(self.calibration, coverage)
        waiting: list[Read] = []
        views = 0
        for name, values in read(self.preparation, what, self._batch):
            waiting.append((name, values))
            views += 0 if isinstance(values, str) else len(self.preparation.starts(len(values)))
            if views >= self._batch or len(waiting) >= self._batch:
                yield from self._answers(waiting, promise)
                waiting, views = [], 0
        yield from self._answers(waiting, promise)

    @property
    def _batch(self) -> int:
        """How many views are looked at together."""
        return _BATCH[self.kind]

    def _answers(self, found: Sequence[Read], coverage: float | None) -> Iterator[Prediction]:
        fine = [values for _, values in found if not isinstance(values, str)]
        answers, features, given = self.looked(fine)
        unknowns = unknown_of(features, given, self.calibration)
        rows = iter(zip(answers, unknowns, strict=True))
        for name, values in found:
            if isinstance(values, str):
                yield Prediction(name, None, 0.0, {}, values)
                continue
            row, unknown = next(rows)
            told: tuple[Segment, ...] = ()
            if self.task.name == "classification":
                told = self.preparation.timeline(values, self._asked, self.classes)
            said = replace(self.task.prediction(name, row, told), unknown=unknown)
            yield with_set(said, row, self.calibration, self.classes, coverage)

    def answers(self, decoded: Iterable[NDArray[Any]]) -> NDArray[np.float64]:
        """Return answers ``N K`` about decoded examples: of each the mean over its views.

        Probabilities of classes or labels, or numbers.
        """
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

    def evaluate(self, source: Any, **columns: Any) -> Any:
        """Return the scores on a labelled source: all that `learn` takes, same columns.

        Several numbers or labels are found by the names of their columns, in any order. Raises
        `SourceError` for a source that cannot be used, lacks one of them, or has none of the
        model's classes.
        """
        catalog = scan(
            source,
            cache=cache_folder(),
            learnable=False,
            kind=self.kind,
            task=self.task.name,
            outputs=self.classes,
            known=self._columns(),
            **self._target(columns),
        )
        left_out = [(one.name, one.reason) for one in catalog.left_out]
        rows, found = [], []
        for start in range(0, len(catalog), self._batch):
            part = range(start, min(start + self._batch, len(catalog)))
            got = list(read(self.preparation, [catalog.read(i) for i in part], self._batch))
            left_out += [
                (str(catalog.names[i]), values)
                for i, (_, values) in zip(part, got, strict=True)
                if isinstance(values, str)
            ]
            rows += [i for i, (_, v) in zip(part, got, strict=True) if not isinstance(v, str)]
            found.append(self.answers(v for _, v in got if not isinstance(v, str)))
        if not rows:
            raise SourceError(
                f"{catalog.source} has no readable {NOUNS[self.kind][0]} of the model's classes.",
                "The model knows: " + ", ".join(self.classes[:20]) + ".",
            )
        truth = catalog.truth[rows]
        tested = self.task.tested(truth, np.concatenate(found), self.task.guess(truth), 0)
        return replace(tested, left_out=tuple(left_out))

    def _target(self, columns: dict[str, Any]) -> dict[str, Any]:
        """Return the options of `evaluate`: of a table the target is the one learnt, unasked."""
        unnamed = columns.get("target") is None and columns.get("label_column") is None
        if self.kind == "table" and unnamed and self.facts.get("target"):
            return {**columns, "target": self.facts["target"]}
        return columns

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
