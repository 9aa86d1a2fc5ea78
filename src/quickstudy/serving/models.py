"""The models of a server: loaded, warmed, and replaced when their folder changes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from quickstudy.errors import ModelError, QuickstudyError
from quickstudy.serving.batching import Queue
from quickstudy.serving.memory import give_back
from quickstudy.serving.metrics import Metrics

_EVERY = 1.0  # seconds between looks at the folders
_LOOKED_AT = ("checksums.sha256", "model.json", "weights.safetensors", "export.json")
_SOUND = 0.5  # seconds of noise that a model is warmed with

#: What a folder's files look like from outside: name, nanoseconds, bytes.
Sight = tuple[tuple[str, int, int], ...]


@dataclass(eq=False)
class Served:
    """One model of a server. `model` is replaced; who took it before goes on with the old one."""

    name: str
    folder: Path
    model: Any = None
    queue: Queue = None  # type: ignore[assignment] # made once its kind is known
    loaded: str = ""
    """The text of its checksums."""
    since: int = 0
    """How often it was replaced."""
    seen: Sight = field(default=())
    tried: Sight = field(default=())

    @property
    def runtime(self) -> str:
        """What computes."""
        return str(getattr(self.model, "runtime", "torch"))

    @property
    def explains(self) -> bool:
        """Whether it can say why: an export alone has no layers to look into."""
        from quickstudy.runtimes.exported import is_export

        return not is_export(self.folder)

    @property
    def run(self) -> Path | None:
        """The folder of the run it is from, where that is beside it."""
        inside = (self.folder / "model").is_dir()
        run = self.folder if inside else self.folder.resolve().parent
        return run if (run / "examples.csv").is_file() else None


def named(folders: Sequence[str | Path]) -> list[Served]:
    """Return the models to be, each with a name of its own; raises `ModelError` for no model."""
    found: list[Served] = []
    for one in folders:
        folder = Path(one).expanduser()
        if not folder.exists():
            raise ModelError(f"There is no model at {folder}.", "Give the folder of a run.")
        name = _name(folder)
        taken = {served.name for served in found}
        number = next(n for n in range(1, len(taken) + 2) if _numbered(name, n) not in taken)
        found.append(Served(_numbered(name, number), folder))
    return found


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}-{number}"


def _name(folder: Path) -> str:
    """Return the name of the run a folder belongs to, else its own."""
    place = folder.resolve()
    parts = list(place.parts)
    if "exports" in parts[-3:-1]:
        place = Path(*parts[: parts.index("exports", len(parts) - 3)])
    if place.name == "model" and place.parent.name:
        place = place.parent
    name = (place.stem if place.is_file() else place.name) or "model"
    return name.encode("utf-8", "replace").decode()


def load_and_warm(folder: Path) -> Any:
    """Return a model that has answered once; raises `ModelError` and its kin."""
    from quickstudy.loading import answering

    model = answering(folder)
    how: Any = model.preparation
    if model.kind == "image":
        blank: Any = np.zeros((how.decode_size, how.decode_size, 3), np.uint8)
    elif model.kind == "sound":
        rng = np.random.default_rng(0)
        blank = (rng.normal(0, 0.1, round(how.rate * _SOUND)).astype(np.float32), how.rate)
    else:
        values = np.zeros((1, how.size), np.float32)
        list(model.answered([("row 0", values)], None))
        return model
    values = how.decode(blank).values
    for size in (1, 32, 24, 12, 1):  # a runtime keeps memory for the sizes that it has met
        list(model.answered([("warming", values)] * size, None))
    return model


def sight_of(folder: Path) -> Sight:
    """Return what the files of a model look like from outside; empty where it has none."""
    found = []
    places = [folder, folder / "model"] if folder.is_dir() else [folder.parent]
    for place in places:
        for file in [place / name for name in _LOOKED_AT] + sorted(place.glob("exports/*/*.json")):
            try:
                told = file.stat()
            except OSError:
                continue
            found.append((str(file), told.st_mtime_ns, told.st_size))
    return tuple(found)


def checksums_of(folder: Path) -> str:
    """Return the text that changes with a model; empty where there is none to read."""
    texts = []
    for name, _, _ in sight_of(folder):
        if name.endswith(("checksums.sha256", "export.json")):
            try:
                texts.append(Path(name).read_text(errors="replace"))
            except OSError:
                continue
    return "\n".join(texts)


class Shelf:
    """All models of a server, by name."""

    def __init__(
        self, models: Sequence[Served], queue_for: Callable[[Served], Queue], metrics: Metrics
    ) -> None:
        self.models = {one.name: one for one in models}
        self._queue_for = queue_for
        self.ready = False
        self._told = metrics.loaded

    async def load(self) -> None:
        """Load and warm all; raises `ModelError` and its kin."""
        for one in self.models.values():
            sight, loaded = sight_of(one.folder), checksums_of(one.folder)
            one.model = await asyncio.to_thread(load_and_warm, one.folder)
            one.seen, one.tried, one.loaded = sight, sight, loaded
            one.queue = self._queue_for(one)
            one.queue.start()
        self.ready = True

    async def watch(self) -> None:
        """Replace models whose folder has changed, for ever."""
        while True:
            await asyncio.sleep(_EVERY)
            for one in self.models.values():
                await self._look(one)

    async def _look(self, one: Served) -> None:
        sight = await asyncio.to_thread(sight_of, one.folder)
        still, one.seen = sight == one.seen, sight
        if not still or sight == one.tried:  # being written, or known
            return
        one.tried = sight
        loaded = await asyncio.to_thread(checksums_of, one.folder)
        if loaded == one.loaded:
            return
        try:
            new = await asyncio.to_thread(load_and_warm, one.folder)
            if new.kind != one.model.kind:
                raise ModelError(f"It takes {new.kind}s, not {one.model.kind}s.", "Start again.")
        except QuickstudyError as problem:
            _log(f"{one.name}: the new model cannot be used, the old one stays: {problem.message}")
            self._told(one.name, False)
            return
        except Exception as problem:  # whatever a file makes a library raise: the old one stays
            what = f"{type(problem).__name__}: {str(problem)[:200]}"
            _log(f"{one.name}: the new model cannot be used, the old one stays: {what}")
            self._told(one.name, False)
            return
        one.model, one.loaded, one.since = new, loaded, one.since + 1
        give_back()
        _log(f"{one.name}: replaced by the new model ({one.runtime})")
        self._told(one.name, True)


def _log(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
