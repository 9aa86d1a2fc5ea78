"""What a run on a cluster has written and said so far, kept where it outlives its workers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Office:
    """An actor of a cluster. Files by their names in the run's folder; None: it has gone."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.lines: list[dict[str, Any]] = []
        self.stop = False
        self.result: dict[str, Any] | None = None
        self.problem: tuple[str, str, str] | None = None

    def put(self, files: Mapping[str, bytes | None], lines: list[dict[str, Any]]) -> bool:
        """Keep what is new; return whether somebody has asked the run to stop."""
        for name, content in files.items():
            if content is None:
                self.files.pop(name, None)
            else:
                self.files[name] = content
        self.lines += lines
        return self.stop

    def contents(self) -> dict[str, bytes]:
        """Return all files."""
        return self.files

    def said(self, after: int) -> list[dict[str, Any]]:
        """Return what was said after so many lines."""
        return self.lines[after:]

    def ask_to_stop(self) -> None:
        """Ask the run to stop with what it has learnt."""
        self.stop = True

    def end(self, result: dict[str, Any] | None, problem: tuple[str, str, str] | None) -> None:
        """Keep how the run has ended; a problem is its family, what is wrong and how to mend it."""
        self.result, self.problem = result, problem

    def ended(
        self,
    ) -> tuple[dict[str, Any] | None, tuple[str, str, str] | None, dict[str, bytes]]:
        """Return how the run has ended, and its files."""
        return self.result, self.problem, self.files
