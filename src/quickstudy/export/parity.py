"""Whether an export answers as its model does: real examples through both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quickstudy.errors import ExampleError, ModelError
from quickstudy.export.fixed import Fitting
from quickstudy.kinds import NOUNS, Preparation, files_in
from quickstudy.model import Model
from quickstudy.model.examples import decoded, examples_in
from quickstudy.runtimes.believed import unknown_of
from quickstudy.runtimes.sessions import Session

MOST = 100
#: Of a probability; of numbers in their own deviations.
TOLERANCE = 1e-3
_CLOSE = 1e-2  # of how unlike examples are: share of the threshold within which answers may differ

Given = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Parity:
    """How alike an export and its model answer."""

    n: int
    largest: float
    """Difference of a probability; of numbers in their own deviations."""
    same: float
    """Share of examples with the same answer."""
    changed: int
    """Answers that changed and were no near ties: the two likeliest apart by what may differ."""
    unknown_changed: int
    """Examples that are unknown to one alone, though not close to the threshold."""
    unlike: float | None
    """Largest difference of how unlike an example is, as a share of the threshold or of the
    examples' spread; None where no export of it tells."""
    passed: bool

    def as_dict(self) -> dict[str, Any]:
        """Return what ``export.json`` keeps."""
        return asdict(self)

    def sentence(self) -> str:
        """Return e.g. ``100 examples: largest difference 2.1e-07, 100 % the same answer``."""
        same = f"{100 * self.same:.4g} %"
        return f"{self.n} examples: largest difference {self.largest:.1e}, {same} the same answer"

    def demand(self, to: str) -> None:
        """Raise `ModelError` where the answers of an export to a format differ."""
        if self.passed:
            return
        flips = self.unknown_changed
        unknown = f", {flips} become known or unknown" if flips else ""
        if self.unlike is not None and not self.unlike <= _CLOSE:
            unknown += f", how unlike they are differs by {100 * self.unlike:.2g} %"
        raise ModelError(
            f"The export to {to} answers differently, and was not kept: of {self.n} examples the "
            f"largest difference is {self.largest:.2g}, {self.changed} have another "
            f"answer{unknown}.",
            "Use another format, or the model itself.",
        )


class Opened(Sequence[Given]):
    """What the exported graph is given of each example, read when asked for.

    A hundred photographs of 50 million pixels would be 15 GB.
    """

    def __init__(self, how: Preparation, of: Sequence[tuple[Path | None, NDArray[Any]]]) -> None:
        self._how, self._of = how, of

    def __len__(self) -> int:
        return len(self._of)

    def __getitem__(self, which: Any) -> Any:
        if isinstance(which, slice):
            return Opened(self._how, self._of[which])
        return whole_of(self._how, *self._of[which])


@dataclass(frozen=True, eq=False)
class Asked:
    """Real examples: what the exported graph is given of each, and what the model says."""

    given: Sequence[Given]
    answers: NDArray[np.float64]
    unknown: Sequence[bool | None]
    unlike: NDArray[np.float64] | None = None
    """How unlike what was learnt from the model finds each, where it can tell."""


def asked(model: Model, run: Path | None, source: Path | None) -> Asked:
    """Return up to `MOST` examples of a `source`, or of a run's test; raises `ModelError` if none.

    The model is asked as ever, from what it decodes; the graph is given all that a file holds.
    """
    found = list(_found(model, run, source))
    if not found:
        one, many = NOUNS[model.kind]
        why = "those that the model was tested on are not there"
        if source is not None:
            why = (
                f"{source} holds no {one} that can be read"
                if source.exists()
                else (f"there is no {source}")
            )
        raise ModelError(
            f"There is no example to compare the export's answers on: {why}.",
            f"Give some {many}: --examples FOLDER",
        )
    answers, features, scores = model.looked(piece for _, piece in found)
    unknown = unknown_of(features, scores, model.calibration)
    detector = model.calibration.detector
    unlike = detector.measure.unlike(features, scores) if detector else None
    return Asked(Opened(model.preparation, found), answers, unknown, unlike)


def _spread(some: Sequence[Any]) -> list[Any]:
    """Return `MOST` of some, evenly apart: neighbours are often of one class."""
    if len(some) <= MOST:
        return list(some)
    return [some[i] for i in np.linspace(0, len(some) - 1, MOST).round().astype(int)]


def _found(model: Model, run: Path | None, source: Path | None) -> Any:
    how = model.preparation
    if source is not None:
        if model.kind == "table":
            yield from ((None, piece) for piece in _rows(model, source))
            return
        for path in _spread(files_in(source, model.kind)) if source.is_dir() else [source]:
            try:
                yield path, how.values(path)
            except ExampleError:
                continue
        return
    tested = examples_in(run, "test") if run is not None else []
    some = _spread(tested)
    for one, piece in zip(some, decoded(run or Path(), how, some), strict=True):
        if piece is not None:
            yield (Path(one.path) if one.path else None), piece


def _rows(model: Model, source: Path) -> list[NDArray[Any]]:
    from quickstudy.catalog import rows_of

    how: Any = model.preparation
    needed = {column.name: bool(column.features) for column in how.columns}
    found = how.decode_many(_spread(rows_of(source, needed)))
    return [one.values for one in found if not isinstance(one, str)]


def whole_of(how: Preparation, raw: Path | None, piece: NDArray[Any]) -> Given:
    """Return what the graph takes of an example: all of a file, or what was decoded of no file."""
    if how.kind == "table":
        return {"rows": piece.astype(np.float32)}
    if how.kind == "image":
        if raw is None:
            return {"pictures": piece}
        from quickstudy.kinds.image.decode import open_picture

        limit: int = how.max_pixels  # type: ignore[attr-defined]
        return {"pictures": np.array(open_picture(raw, max_pixels=limit))[None]}
    if raw is None:
        return {"samples": piece.astype(np.float32)[None, :, None], "rate": np.array(how.rate)}  # type: ignore[attr-defined]
    import soundfile

    samples, rate = soundfile.read(raw, dtype="float32", always_2d=True)
    return {"samples": samples[None], "rate": np.array(rate)}


def compared(model: Model, examples: Asked, session: Session) -> Parity:
    """Return how alike a session's answers are to a model's."""
    found = [session.run(one) for one in examples.given]
    answers = np.concatenate([one["answers"] for one in found]).astype(np.float64)
    apart = np.abs(answers - examples.answers) / _scale(model)
    finite = bool(np.isfinite(answers).all())
    same, near = _same(model, examples.answers, answers)
    flips, unlike = _unknown(model, examples, session, found)
    if unlike is not None and not np.isfinite(unlike):
        finite = False
    largest = float(apart.max(initial=0)) if finite else float("inf")
    changed = int((~same & ~near).sum())
    alike = unlike is None or unlike <= _CLOSE
    passed = bool(largest <= TOLERANCE and not changed and not flips and alike)
    return Parity(len(answers), largest, float(same.mean()), changed, flips, unlike, passed)


def _unknown(
    model: Model, examples: Asked, session: Session, found: Sequence[Given]
) -> tuple[int, float | None]:
    """Return how many become known or unknown, and the largest difference of how unlike one is."""
    detector = model.calibration.detector
    if detector is None:
        return 0, None
    limit = detector.threshold
    tells = np.array(["unlike" in one or not isinstance(session, Fitting) for one in found])
    if not tells.any():
        return 0, None
    told = [one["unlike"] if tell else [limit] for one, tell in zip(found, tells, strict=True)]
    unlike = np.concatenate(told).astype(np.float64)
    # By what the model finds: an export that always said the threshold would never be clear
    by = unlike if examples.unlike is None else examples.unlike
    clear = tells & ~(np.abs(by - limit) <= _CLOSE * abs(limit))
    flips = int(((unlike > limit) != np.array(examples.unknown, bool))[clear].sum())
    scale = max(abs(limit), float(by.std()), float(np.finfo(np.float32).tiny))
    apart = np.abs(unlike - by)[tells] / scale
    return flips, float(apart.max()) if np.isfinite(apart).all() else float("inf")


def _scale(model: Model) -> NDArray[np.float64]:
    std = getattr(model.task, "std", ())
    return np.array(std, np.float64) if std else np.ones(len(model.classes))


def _same(
    model: Model, first: NDArray[np.float64], second: NDArray[np.float64]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return for ``N`` examples whether the answers are the same, and whether nearly tied."""
    n = len(first)
    if model.task.name == "regression":
        return np.ones(n, bool), np.zeros(n, bool)
    if model.task.name == "multilabel":
        limit = model.task.threshold  # type: ignore[attr-defined]
        equal = (first >= limit) == (second >= limit)
        return equal.all(1), (equal | (np.abs(first - limit) <= 2 * TOLERANCE)).all(1)
    best = np.sort(first, axis=1)[:, -2:]
    near = best[:, -1] - best[:, 0] <= 2 * TOLERANCE if first.shape[1] > 1 else np.zeros(n, bool)
    return first.argmax(1) == second.argmax(1), near
