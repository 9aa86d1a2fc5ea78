"""What a model and an exported one have alike: examples in as they are, predictions out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quickstudy.calibration import Calibration
from quickstudy.errors import ExampleError, SourceError
from quickstudy.kinds import NOUNS, Preparation, files_in
from quickstudy.prediction import Prediction, Segment
from quickstudy.runtimes.believed import promised, with_set
from quickstudy.runtimes.reading import Read, is_samples, read
from quickstudy.tasks import Task

_BATCH = {"image": 32, "sound": 32, "table": 1024}  # views

#: Answers ``N K``, and of each example whether it is unlike what was learnt from.
Told = tuple[NDArray[np.float64], list[bool | None]]


class Answering(ABC):
    """Takes examples as they are: pictures, recordings, or rows."""

    task: Task
    preparation: Preparation
    calibration: Calibration
    facts: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """What sort of examples it takes: ``image``, ``sound`` or ``table``."""
        return self.preparation.kind

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes, labels or numbers that it answers with, in order."""
        return self.task.outputs

    @property
    @abstractmethod
    def runtime(self) -> str:
        """What computes the answers, by name."""

    @abstractmethod
    def told(self, pieces: Sequence[NDArray[Any]]) -> Told:
        """Return the answers about decoded examples, and which are unlike what was learnt from."""

    @abstractmethod
    def asked(self, views: NDArray[Any]) -> NDArray[Any]:
        """Return answers ``V K`` about views, all of one shape."""

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
        >>> from quickstudy.model import untrained
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
        from quickstudy.catalog import rows_of

        single = isinstance(what, Mapping) or getattr(what, "ndim", 2) == 1
        found = list(self.predictions(rows_of(what, self._columns()), coverage))
        if single and found[0].error:
            raise ExampleError(f"{found[0].name}: {found[0].error}", "Give one value a column.")
        return found[0] if single else found

    def doubts(self, what: Any) -> list[str]:
        """Return sentences on rows that are not like those learnt from; nothing of other kinds.

        As words never met in most of a column, or numbers written in another way.
        """
        from quickstudy.catalog import rows_of

        how: Any = self.preparation
        return how.doubts(rows_of(what, self._columns())) if self.kind == "table" else []

    def _columns(self) -> dict[str, bool]:
        """Return the columns of a table learnt from, and whether they are needed; else nothing."""
        return {column.name: bool(column.features) for column in self.preparation.columns}

    def predictions(
        self, what: Sequence[Any], coverage: float | None = None
    ) -> Iterator[Prediction]:
        """Yield a `Prediction` for each of `what`, in order, reading ahead on all cores."""
        promise, batch = promised(self.calibration, coverage), self._batch
        waiting: list[Read] = []
        views = 0
        for name, values in read(self.preparation, what, batch):
            waiting.append((name, values))
            views += 0 if isinstance(values, str) else len(self.preparation.starts(len(values)))
            if views >= batch or len(waiting) >= batch:
                yield from self.answered(waiting, promise)
                waiting, views = [], 0
        yield from self.answered(waiting, promise)

    @property
    def _batch(self) -> int:
        """How many views are looked at together."""
        return _BATCH[self.kind]

    def answered(self, found: Sequence[Read], coverage: float | None) -> Iterator[Prediction]:
        """Yield a `Prediction` for each name and decoded values, or the reason why not."""
        fine = [values for _, values in found if not isinstance(values, str)]
        rows = iter(zip(*self.told(fine), strict=True) if fine else ())
        for name, values in found:
            if isinstance(values, str):
                yield Prediction(name, None, 0.0, {}, values)
                continue
            row, unknown = next(rows)
            heard: tuple[Segment, ...] = ()
            if self.task.name == "classification":
                heard = self.preparation.timeline(values, self.asked, self.classes)
            said = self.task.prediction(name, row, heard)
            if unknown is not None:
                said = replace(said, unknown=unknown)
            yield with_set(said, row, self.calibration, self.classes, coverage)

    def answers(self, decoded: Iterable[NDArray[Any]]) -> NDArray[np.float64]:
        """Return answers ``N K`` about decoded examples: of each the mean over its views.

        Probabilities of classes or labels, or numbers.
        """
        found, some = [np.empty((0, len(self.classes)))], []
        for piece in decoded:
            some.append(piece)
            if len(some) == self._batch:
                found.append(self.told(some)[0])
                some = []
        if some:
            found.append(self.told(some)[0])
        return np.concatenate(found)

    def evaluate(self, source: Any, **columns: Any) -> Any:
        """Return the scores on a labelled source: all that `learn` takes, same columns.

        Several numbers or labels are found by the names of their columns, in any order. Raises
        `SourceError` for a source that cannot be used, lacks one of them, or has none of the
        model's classes.
        """
        from quickstudy.catalog import scan
        from quickstudy.folders import cache_folder

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
