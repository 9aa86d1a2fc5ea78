"""A run where people already look: TensorBoard, MLflow, Weights & Biases read its progress.

They hear the same `Progress` records as the terminal and log.jsonl, each in a thread of its own, so
that learning waits for no disk and no network. At the end they get the test's scores with their
intervals and the recipe as hyper-parameters. A tracker that fails is named once, and only the
tracking ends.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from quickstudy.errors import ChoiceError, MissingExtra, did_you_mean
from quickstudy.progress import Listener, Progress
from quickstudy.tracking.contract import Tracker
from quickstudy.tracking.mlflow import MLflow
from quickstudy.tracking.numbers import Points, ended
from quickstudy.tracking.reader import Reader
from quickstudy.tracking.tensorboard import TensorBoard
from quickstudy.tracking.wandb import WeightsAndBiases

__all__ = ["TRACKERS", "Tracked", "asked", "tracked"]

TRACKERS: dict[str, type[Tracker]] = {
    "tensorboard": TensorBoard,
    "mlflow": MLflow,
    "wandb": WeightsAndBiases,
}
#: Beside them: the model's folder is copied to where the tracker keeps such things.
MODEL = "model"
_OPENING = 30.0  # seconds waited for, so that opening disturbs no measurement of this machine
_ENDING, _COPYING = 30.0, 600.0  # seconds a tracker may take at the end; where it copies a model


def asked(track: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return the trackers named (``tensorboard,mlflow``), their libraries loaded, telemetry off.

    Raises `ChoiceError` for one that there is not, `MissingExtra` where its library is missing.
    """
    words = track.split(",") if isinstance(track, str) else list(track or ())
    names = tuple(dict.fromkeys(str(word).strip().lower() for word in words if str(word).strip()))
    for name in names:
        if name not in (*TRACKERS, MODEL):
            raise ChoiceError(
                f"There is no tracker '{name}'.",
                did_you_mean(name, (*TRACKERS, MODEL))
                or f"Trackers: {', '.join(TRACKERS)}; and 'model', to copy the model there.",
            )
    if MODEL in names and not any(TRACKERS[name].copies for name in names if name != MODEL):
        raise ChoiceError(
            "'model' copies the model to a tracker, and none that keeps models was named.",
            "--track mlflow,model or --track wandb,model",
        )
    for name in names:
        if name != MODEL:
            _load(name)
    return names


def _load(name: str) -> None:
    """Import a tracker's library here, where what is missing can still be refused."""
    kind = TRACKERS[name]
    for word, value in kind.quiet.items():
        os.environ[word] = value
    try:
        kind.load()
    except ImportError as problem:
        raise MissingExtra(f"Tracking with {kind.title}", name) from problem


class Tracked:
    """The listener of a run that also tells its trackers."""

    def __init__(self, readers: Sequence[Reader], listen: Listener) -> None:
        self._readers = readers
        self._heard = listen
        self._points = Points()
        self._shown: set[Reader] = set()
        self._told: set[Reader] = set()

    def listen(self, progress: Progress) -> None:
        """Hear a record; hand it on, and its numbers to every tracker."""
        self._heard(progress)
        numbers = self._points.of(progress)
        if numbers or progress.said:
            for reader in self._readers:
                reader.point(progress.seconds, numbers, progress.said)
        self.news(progress.seconds)

    def ended(self, facts: Mapping[str, Any], lines: Sequence[str], folder: Path) -> None:
        """Tell what the report holds, once it is written; `folder` is the run's."""
        result = ended(facts, lines, folder / "model")
        for reader in self._readers:
            reader.result(result)

    def news(self, seconds: float) -> None:
        """Say, once each, where the trackers are to be looked at, and which have failed and why."""
        for reader in self._readers:
            if reader.where and reader not in self._shown:
                self._shown.add(reader)
                self._heard(Progress("said", seconds, said=f"  {reader.where}"))
            if reader.failed and reader not in self._told:
                self._told.add(reader)
                line = f"  tracking with {reader.title} has ended: {reader.failed}"
                self._heard(Progress("said", seconds, said=line))


@contextmanager
def tracked(
    names: Sequence[str], folder: Path, listen: Listener, clock: Callable[[], float]
) -> Iterator[Tracked]:
    """Lend a listener that tells `listen` and the trackers; `clock` has the seconds of the run."""
    readers = [
        Reader(TRACKERS[name], folder, copying=MODEL in names) for name in names if name != MODEL
    ]
    tracker = Tracked(readers, listen)
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.opened(_OPENING)
    tracker.news(clock())
    whole = False
    try:
        yield tracker
        whole = True
    finally:
        for reader in readers:
            reader.close(whole, _COPYING if MODEL in names else _ENDING)
        tracker.news(clock())
