"""What a search keeps in its folder, so that it can be stopped, gone on with, and helped."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quickstudy.errors import RunError
from quickstudy.folders import alive, disk_errors, write_whole
from quickstudy.search.rungs import FINAL, TAUGHT, Rung
from quickstudy.search.space import Space, as_data, from_data

FILE, LEADER = "search.json", "search.leader"
_SILENT = 30.0  # seconds after which a leader on another machine is taken for dead
#: Where a search stands, in this order.
STAGES = ("prepare", "race", "learn")


@dataclass
class Search:
    """A search's own facts; its trials are in the study, its request in the run's file."""

    folder: Path
    budget: float
    """Seconds for all of it."""
    name: str
    """Of the study in its storage."""
    trials: int | None = None
    """Most recipes that somebody wants tried."""
    storage: str | None = None
    source: Any = None
    """A path, or the names of two files with arrays."""
    asked: dict[str, Any] = field(default_factory=dict)
    """The space that somebody asked for, as data."""
    own: tuple[str, ...] = ()
    """Keys that somebody fixed."""
    secret: bool = False
    """The storage's URL holds a password: it is not kept, and must be given again."""
    ensemble: bool = False
    """The best few may ship together."""
    distil: bool = False
    """The best few teach one network, which may ship."""
    stage: str = "prepare"
    space: Space = field(default_factory=dict)
    settled: dict[str, Any] = field(default_factory=dict)
    """What the plan's own trial settled by measuring, for all others."""
    rungs: tuple[Rung, ...] = ()
    rung: int = 0
    spent: float = 0.0
    """On the search's clock, at `wall`."""
    wall: float = 0.0
    told: dict[str, Any] = field(default_factory=dict)
    """What the report tells."""

    @property
    def keeps(self) -> bool:
        """Whether trials keep their networks."""
        return self.ensemble or self.distil

    @property
    def final(self) -> float:
        """Seconds for the last learning."""
        return self.budget * (TAUGHT if self.distil else FINAL)

    @property
    def distilling(self) -> float:
        """Seconds for a network that the best few teach."""
        return self.budget * TAUGHT if self.distil else 0.0

    def keep(self, spent: float) -> None:
        """Write all of it."""
        self.spent, self.wall = spent, time.time()
        kept = {
            **{name: getattr(self, name) for name in _PLAIN},
            "storage": None if self.secret else self.storage,
            "space": as_data(self.space),
            "rungs": [[one.seconds, one.until] for one in self.rungs],
            "told": self.told,
        }
        write_whole(self.folder / FILE, json.dumps(kept, indent=1))

    def now(self) -> float:
        """Return the seconds on the search's clock, wherever it runs."""
        return self.spent + time.time() - self.wall

    def again(self) -> bool:
        """Read what the leader has written since; return whether there was anything to read."""
        try:
            found = kept_search(self.folder)
        except RunError:
            return False
        for name in ("stage", "space", "settled", "rungs", "rung", "spent", "wall"):
            setattr(self, name, getattr(found, name))
        return True


_PLAIN = (
    *("budget", "name", "trials", "source", "asked", "own", "secret", "stage", "settled", "rung"),
    *("spent", "wall", "ensemble", "distil"),
)
#: What searches had not always.
_SINCE = {"ensemble": False, "distil": False}


def kept_search(folder: Path) -> Search:
    """Return the search of a folder. Raises `RunError` for none, or one that is damaged."""
    path = folder / FILE
    if not path.is_file():
        raise RunError(f"{folder} holds no search to go on with.", "quickstudy tune SOURCE")
    try:
        kept: Mapping[str, Any] = {**_SINCE, **json.loads(path.read_text(encoding="utf-8"))}
        found = Search(folder, **{name: kept[name] for name in (*_PLAIN, "storage", "told")})
        found.own = tuple(kept["own"])
        found.space = from_data(kept["space"])
        found.rungs = tuple(Rung(float(a), float(b)) for a, b in kept["rungs"])
        if found.stage not in STAGES or not isinstance(found.told, dict):
            raise ValueError(f"the stage '{found.stage}'")
    except (OSError, LookupError, TypeError, ValueError) as problem:
        raise RunError(
            f"{path} is not what a search writes: {type(problem).__name__}: {problem}.",
            "It was altered or cut short: search again with quickstudy tune SOURCE.",
        ) from problem
    return found


def lead(folder: Path) -> bool:
    """Take the lead of a search unless a process that lives has it; return whether it is ours."""
    path = folder / LEADER
    mine = f"{os.getpid()} {socket.gethostname()}"
    for _ in range(2):
        try:
            with disk_errors("the search's folder"), path.open("x", encoding="utf-8") as file:
                file.write(mine)
            return True
        except RunError:
            if not path.exists():
                raise
        if _lives(path):
            return path.read_text(encoding="utf-8") == mine
        path.unlink(missing_ok=True)
    return False


def _lives(path: Path) -> bool:
    try:
        number, _, host = path.read_text(encoding="utf-8").partition(" ")
        told = time.time() - path.stat().st_mtime
    except (OSError, ValueError):
        return False
    if host != socket.gethostname():
        return told < _SILENT
    return number.isdigit() and alive(int(number)) and (os.name == "posix" or told < _SILENT)


def still(folder: Path) -> None:
    """Say that the leader lives."""
    (folder / LEADER).touch()


def leave(folder: Path) -> None:
    """Give the lead back."""
    (folder / LEADER).unlink(missing_ok=True)
