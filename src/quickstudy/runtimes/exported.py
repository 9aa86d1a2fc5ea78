"""An exported model: answers as the model it was made of, without torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quickstudy.calibration import Calibration
from quickstudy.errors import ModelError
from quickstudy.kinds import Preparation
from quickstudy.kinds.views import in_views
from quickstudy.runtimes.answering import Answering, Told
from quickstudy.runtimes.checked import believing, demand
from quickstudy.runtimes.described import taken
from quickstudy.runtimes.sessions import CODE, Onnx, Session, open_session
from quickstudy.tasks import Task

#: Beside an exported file: what it was made of, and what it may be believed by.
TOLD = "export.json"
FORMAT = 1
#: In `TOLD` of an export whose answers differ: what quantising lost.
INT8 = "int8"
#: The property of an ONNX file that says the same of the model.
DESCRIBED = "quickstudy"
_LONGEST = 2**28  # bytes of it: the words of large tables
_SUFFIXES = (".onnx", ".xml", ".tflite", ".pt2", ".so")
_INPUTS = {"image": "pictures", "sound": "samples", "table": "rows"}
_MOST_WINDOWS = 256  # of a recording that the graph takes whole: some 0.7 MB of memory each
_AGAIN = "Export the model again."


@dataclass(frozen=True, eq=False)
class Exported(Answering):
    """A model in a file that a runtime computes; takes examples as they are, as `Model` does."""

    task: Task
    preparation: Preparation
    facts: Mapping[str, Any]
    """What the run knew when it saved: accuracy, versions, date."""
    calibration: Calibration
    """What it can promise; what is unknown is computed in the graph."""
    threshold: float | None
    """What the graph calls more unlike is none of these; None: the model cannot tell."""
    to: str
    """Its format, as ``onnx``."""
    file: Path
    session: Session
    shapes: Mapping[str, Sequence[Any]]
    """Input -> its shape: numbers, and words for what may be of any size."""
    int8: bool = False
    """Whether its layers are 8-bit integers: its answers differ a little from the model's."""

    @classmethod
    def open(
        cls, path: str | Path, threads: int | None = None, runtime: str | None = None
    ) -> Exported:
        """Return an export: its folder, or the file in it; checked against its SHA-256.

        An ONNX file that was moved away alone says itself what it is; nothing can check it then.
        Raises `ModelError` where it is no export, was altered or cut short, or is of a newer
        format; `MissingExtra` where its runtime is not installed. The formats ``pt2`` and
        ``native`` may hold code: they open only where `runtime` names them.
        """
        folder = Path(path) if Path(path).is_dir() else Path(path).parent
        if not (folder / TOLD).is_file() and Path(path).suffix == ".onnx":
            return cls(*_alone(Path(path), threads))
        told = told_in(folder)
        with believing(folder):
            to, about = str(told["to"]), taken(told["described"])
            shapes = {name: tuple(one["shape"]) for name, one in told["inputs"].items()}
            _check_inputs(about[1].kind, shapes)
            file = _verified(folder, told["sha256"])
            demand(folder == Path(path) or file == Path(path), f"it is of {file.name}")
        if to in CODE and runtime != to:
            raise ModelError(
                f"{file} may hold code, which opening it would run.",
                f'If you trust it: load(path, runtime="{to}"), or --runtime {to}.',
            )
        return cls(*about, to, file, open_session(to, file, threads), shapes, INT8 in told)

    @property
    def runtime(self) -> str:
        """The format, which says what computes the answers; ``-int8``: in 8-bit integers."""
        return f"{self.to}-{INT8}" if self.int8 else self.to

    def asked(self, views: NDArray[Any]) -> NDArray[Any]:
        """Return answers ``V K`` about views, all of one shape."""
        return self._run(views)[0]

    def told(self, pieces: Sequence[NDArray[Any]]) -> Told:
        """Return the answers about decoded examples, and which are unlike what was learnt from."""
        how = self.preparation
        many = [len(how.starts(len(piece))) for piece in pieces]
        if many == [1]:  # as most are asked: half the work around the runtime
            one, how_unlike = self._run(how.view(pieces[0], 0)[None])
            return one, [self._unknown(float(how_unlike[0]))]
        answers = np.empty((len(pieces), len(self.classes)))
        unlike = np.full(len(pieces), np.nan)
        alone = [i for i, n in enumerate(many) if n == 1]
        for part in _parts(alone, self._batch):
            views = [how.view(pieces[i], 0) for i in part]
            together = np.stack(views) if len(views) > 1 else views[0][None]
            answers[part], unlike[part] = self._run(together)
        for i in (i for i, n in enumerate(many) if n > 1):
            if many[i] <= _MOST_WINDOWS and not isinstance(self._shape[1], int):
                answers[i : i + 1], unlike[i : i + 1] = self._run(pieces[i][None])
                continue
            found = [self.asked(some) for _, some in in_views([pieces[i]], how, self._batch)]
            answers[i] = np.concatenate(found).mean(0)
        return answers, [self._unknown(one) for one in unlike.tolist()]

    def _unknown(self, unlike: float) -> bool | None:
        limit = self.threshold
        return None if limit is None or unlike != unlike else unlike > limit

    @property
    def _shape(self) -> Sequence[Any]:
        return self.shapes[_INPUTS[self.kind]]

    def _run(self, views: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return answers ``V K`` about views, and how unlike each is: NaN where none can tell."""
        name, fixed, given = _INPUTS[self.kind], self._shape[0], self.given(views)
        if not isinstance(fixed, int) or fixed == len(views):
            found = self._computed(given)
            return self._checked(found, len(views))
        parts = []
        for part in _parts(range(len(views)), fixed):
            some = np.resize(given[name][part], (fixed, *given[name].shape[1:]))  # repeats them
            one = self._checked(self._computed({**given, name: some}), fixed)
            parts.append((one[0][: len(part)], one[1][: len(part)]))
        answers, unlike = zip(*parts, strict=True)
        return np.concatenate(answers), np.concatenate(unlike)

    def _computed(self, given: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        try:
            return self.session.run(given)
        except MemoryError:
            raise
        except Exception as problem:  # each runtime has a family of its own, outside any other
            what = next(iter(str(problem).strip().splitlines()), "") or type(problem).__name__
            raise ModelError(f"{self.file} cannot be computed: {what[:300]}", _AGAIN) from problem

    def given(self, views: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Return views ``V ...``, all of one shape, as the inputs of the graph."""
        if self.kind != "sound":
            return {_INPUTS[self.kind]: views}
        how: Any = self.preparation
        given: dict[str, Any] = {_INPUTS[self.kind]: views.astype(np.float32)[..., None]}
        if "rate" in self.shapes:
            given["rate"] = np.array(how.rate, np.int64)
        return given

    def _checked(
        self, found: Mapping[str, NDArray[Any]], n: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        answers = found["answers"].astype(np.float64) if "answers" in found else np.empty(0)
        unlike = found["unlike"].astype(np.float64) if "unlike" in found else np.full(n, np.nan)
        if answers.shape != (n, len(self.classes)) or unlike.shape != (n,):
            shapes = {name: value.shape for name, value in found.items()}
            raise ModelError(
                f"{self.file} gives {shapes}, not answers {n} x {len(self.classes)}.", _AGAIN
            )
        return answers, unlike


def is_export(path: str | Path) -> bool:
    """Whether a path is an export: a folder with ``export.json``, the file beside one, or ONNX."""
    path = Path(path)
    if path.is_dir():
        return (path / TOLD).is_file()
    return (path.suffix == ".onnx" and path.is_file()) or (
        path.suffix in _SUFFIXES and (path.parent / TOLD).is_file()
    )


def _alone(file: Path, threads: int | None) -> tuple[Any, ...]:
    """Return the fields of an `Exported` that an ONNX file tells by itself."""
    session = open_session("onnx", file, threads)
    assert isinstance(session, Onnx)
    kept, shapes = session.metadata()
    if DESCRIBED not in kept:
        raise ModelError(
            f"{file} was not exported by Quickstudy.",
            "An ONNX file of another's making can be learnt with: learn --network FILE.onnx.",
        )
    with believing(file):
        about = taken(json.loads(kept[DESCRIBED]))
        _check_inputs(about[1].kind, shapes)
    return (*about, "onnx", file, session, shapes)


def told_in(folder: Path) -> dict[str, Any]:
    """Return ``export.json`` of a folder; raises `ModelError`."""
    path = folder / TOLD
    if not path.is_file() or path.stat().st_size > _LONGEST:
        raise ModelError(
            f"{folder} is no export: it has no {TOLD}.", "Make one: quickstudy export MODEL"
        )
    with believing(folder):
        told = json.loads(path.read_text(encoding="utf-8"))
        newer = told["format"] > FORMAT
    if newer:
        raise ModelError(
            f"{folder} was made by a newer Quickstudy (format {str(told['format'])[:20]}).",
            "Update: pip install --upgrade quickstudy",
        )
    return dict(told)


def _verified(folder: Path, sums: Mapping[str, str]) -> Path:
    """Return an export's file, all of its files being what was written; raises `ModelError`."""
    names = [name for name in sums if Path(name).suffix in _SUFFIXES]
    demand(len(names) == 1, "the files")
    for name, digest in sums.items():
        demand(Path(name).name == name, f"the file {name[:40]!r}")
        path = folder / name
        if not path.is_file() or sha256(path) != digest:
            raise ModelError(
                f"{path} is not what was exported: it was altered, cut short, or is missing.",
                _AGAIN,
            )
    return folder / names[0]


def sha256(path: Path) -> str:
    """Return the digest of a file, as ``sha256sum`` prints it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_inputs(kind: str, shapes: Mapping[str, Sequence[Any]]) -> None:
    """Raise `ValueError` unless a graph takes what a kind of examples gives."""
    name = _INPUTS[kind]
    demand(name in shapes and len(shapes) <= (2 if kind == "sound" else 1), "inputs")
    demand(len(shapes[name]) == {"image": 4, "sound": 3, "table": 2}[kind], f"the shape of {name}")
    demand(all(not isinstance(n, int) or n > 0 for n in shapes[name]), f"the shape of {name}")


def _parts(rows: Sequence[int], size: int) -> Iterator[list[int]]:
    for first in range(0, len(rows), size):
        yield list(rows[first : first + size])
