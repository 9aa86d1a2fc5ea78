"""What every tracker does, in its own thread; whatever it raises ends the tracking alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar


@dataclass(frozen=True)
class Point:
    """What was known at one moment of a run."""

    seconds: float
    """Since the run began."""
    moment: float
    """Seconds since 1970."""
    numbers: Mapping[str, float]
    said: str = ""


@dataclass(frozen=True)
class Result:
    """How a run ended."""

    moment: float
    """Seconds since 1970."""
    scores: Mapping[str, float]
    """``test/accuracy``, and the ends of its interval as ``test/accuracy_low`` and ``_high``."""
    recipe: Mapping[str, str | float | bool]
    """Every choice by its dotted key; lists as text."""
    words: str
    model: Path
    """The model's folder."""


class Tracker(ABC):
    """One run in one tracker. Made, used and closed in one thread."""

    title: ClassVar[str]
    """How its makers write it."""
    quiet: ClassVar[Mapping[str, str]] = {}
    """Environment variables that switch its telemetry off, set before it is imported."""
    copies: ClassVar[bool] = False
    """Whether it keeps models."""
    where: str
    """A line for the user: where to look."""

    id_file: ClassVar[str] = ""
    """In the run's folder: the tracker's own name for the run, for one that goes on."""

    def known(self, folder: Path) -> str | None:
        """Return the tracker's own name for the run in a folder; None for a new run."""
        file = folder / self.id_file
        return (file.read_text(encoding="utf-8") if file.is_file() else "") or None

    def keep(self, folder: Path, name: str) -> None:
        """Keep the tracker's own name for the run in its folder."""
        (folder / self.id_file).write_text(name, encoding="utf-8")

    @classmethod
    @abstractmethod
    def load(cls) -> None:
        """Import the library; raises ImportError."""

    @abstractmethod
    def __init__(self, folder: Path) -> None:
        """Begin a run, or go on with it; `folder` is where it is kept."""

    @abstractmethod
    def write(self, points: Sequence[Point]) -> None:
        """Keep some points, in their order."""

    @abstractmethod
    def result(self, result: Result, *, copying: bool) -> None:
        """Keep the result; with `copying` the model's folder as well."""

    @abstractmethod
    def close(self, *, whole: bool) -> None:
        """End the run; `whole` unless it failed."""
