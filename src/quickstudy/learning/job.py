"""What somebody asked for, in a folder of its own, so that a killed run can go on."""

from __future__ import annotations

import json
import math
import os
import shlex
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quickstudy.catalog import Catalog, merge, part, scan
from quickstudy.clock import Clock, Stop
from quickstudy.cluster import Launched
from quickstudy.errors import (
    ChoiceError,
    ExampleError,
    MissingExtra,
    RunError,
    SourceError,
    WeightsError,
)
from quickstudy.facts import Facts
from quickstudy.folders import cache_folder, disk_errors, write_whole
from quickstudy.kinds import NOUNS
from quickstudy.progress import Listener, Progress, silent
from quickstudy.recipe import Recipe, write
from quickstudy.shards import is_far
from quickstudy.shards.stream import Stream
from quickstudy.training import Stopped
from quickstudy.training.crew import Crew

_DECODING = 0.35  # of the budget, at most
_FEWEST_TESTED = 200
_FEWEST_DECODED = 10  # of a class, on average

Own = dict[str, tuple[Any, str]]


@dataclass
class Job:
    """A request, its folder, and the clock it works against."""

    source: Any
    test: Any
    columns: dict[str, str | tuple[str, ...] | None]
    own: Own
    """Dotted recipe keys that somebody chose, with why."""
    budget: float
    seed: int
    device: str | None
    folder: Path
    recipe: Recipe | None = None
    """The recipe as planned before a kill."""
    made: bool = False
    """Whether the folder was made for this run (else it was there: never remove it)."""
    most: int = 0
    """Most examples that there is time to decode; 0 while unknown."""
    later: float | None = None
    """Seconds kept for a rehearsal; None while unknown."""
    stamp: str = ""
    """The catalog's fingerprint when the run began; empty before."""
    asks_test: bool = True
    """Whether the run ends with its test; a trial of a search does not, and keeps it no time."""
    resumed_by: str = "learn"  # the command
    launch: str = ""
    """What names the start of processes that this one belongs to; empty for one by itself."""
    workers: list[int] = field(default_factory=list)
    """How many processes have learnt together, each time that the run began or went on."""
    crew: Crew = field(default_factory=Crew)
    started: Launched | None = None
    """The processes that this one has started for its other GPUs."""
    spent_before: float = 0.0
    clock: Clock = field(default_factory=lambda: Clock(0.0))
    stop: Stop = field(default_factory=Stop)
    listen: Listener = silent
    code: dict[str, Any] = field(default_factory=dict)
    """The network, loss and optimiser that are code, by these words."""
    notes: list[str] = field(default_factory=list)
    findings: list[dict[str, Any]] = field(default_factory=list)
    """What is wrong with the data, for the report."""
    cache: Path = field(default_factory=cache_folder)
    stream: Stream | None = None
    """Where the examples to learn from come from, if they are not all decoded beforehand."""
    seconds_each: float = 1.0
    """Of a recording, on average."""

    @property
    def max_pixels(self) -> int:
        """The most pixels a file may claim."""
        return int(self.own.get("picture.max_pixels", (200_000_000, ""))[0])

    @property
    def fixed_length(self) -> bool:
        """Whether the epochs are given: then the clock decides nothing."""
        return self.own.get("epochs", (None, ""))[0] is not None

    @contextmanager
    def working(self, clock: Clock, listen: Listener) -> Iterator[None]:
        """Work on the job: its clock runs, and everything said is also kept in a log."""
        self.clock = clock
        with ExitStack() as files:
            with disk_errors("the run's log"):
                log = files.enter_context((self.folder / "log.jsonl").open("ab", buffering=0))

            def both(progress: Progress) -> None:
                listen(progress)
                with disk_errors("the run's log"):
                    log.write(json.dumps(asdict(progress)).encode() + b"\n")

            self.listen = both
            self.keep()
            try:
                yield
            except Stopped as stopped:
                raise self.stopped("train") from stopped
            except (ChoiceError, ExampleError, MissingExtra, SourceError, WeightsError):
                if self.made:
                    shutil.rmtree(self.folder)  # it could not begin: leave nothing behind
                raise

    def stopped(self, stage: str) -> RunError:
        """Return the word for a Ctrl-C that came before anything was learnt."""
        return RunError(
            f"Stopped while in stage '{stage}': nothing was learnt yet.",
            f"Go on with: quickstudy {self.resumed_by} --resume {shlex.quote(str(self.folder))}",
        )

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage; a Ctrl-C in it ends the run with a clear word where nothing is learnt."""
        with self.clock.stage(name):
            yield
        if self.stop.asked and name in ("look", "plan", "decode"):
            raise self.stopped(name)

    def progress(self, stage: str, *, stoppable: bool = True) -> Callable[[float], None]:
        """Return what tells the listener how far `stage` is; a Ctrl-C then ends it if it may."""

        def each(share: float) -> None:
            spent = self.clock.spent()
            self.listen(Progress(stage, spent, share, max(0.0, self.budget - spent)))
            if stoppable and self.stop.asked:
                raise self.stopped(stage)

        return each

    def say(self, line: str) -> None:
        """Say a line as it is."""
        self.listen(Progress("said", self.clock.spent(), said=line))

    def find_examples(self) -> Catalog:
        """Return the catalog of the source, with that of ``--test`` added."""
        self.listen(Progress("look", self.clock.spent()))
        columns: dict[str, Any] = dict(self.columns)
        task = self.own.get("task", (None, ""))[0]
        catalog = scan(self.source, cache=self.cache, task=task, **columns)
        if self.test is not None:
            named = {k: columns[k] for k in ("label_from", "target", "group_from")}
            if catalog.kind == "table" and named["target"] is None:
                named["target"] = columns["label_column"] or catalog.target
            tested = scan(
                self.test,
                cache=self.cache,
                learnable=False,
                kind=catalog.kind,
                task=catalog.task,
                outputs=catalog.classes if catalog.task != "classification" else (),
                known=dict.fromkeys(catalog.columns, True),
                **named,
            )
            catalog = merge(catalog, tested)
        if self.stamp and self.stamp != catalog.stamp:
            raise RunError(
                f"{catalog.source} is not what it was when the run began: files were added, "
                "removed or changed, and what was learnt from could now be tested on.",
                "Learn again: quickstudy learn SOURCE",
            )
        self.stamp = catalog.stamp
        self.keep()
        return catalog

    def afford(self, catalog: Catalog, seen: Facts) -> Catalog:
        """Return the part of the catalog that there is time to decode, at random, and say so."""
        each = seen.seconds_to_decode / len(catalog)
        most = self.most or int(_DECODING * self.budget / max(1e-9, each))
        self.most = most
        self.keep()
        if len(catalog) <= most or self.fixed_length or self.own.get("stream", (None, ""))[0]:
            return catalog
        many = NOUNS[catalog.kind][1]
        if most < _FEWEST_DECODED * len(catalog.classes):
            needed = _FEWEST_DECODED * len(catalog.classes) * each / _DECODING
            raise SourceError(
                f"The budget leaves time to decode {most:,} {many}: too few for "
                f"{len(catalog.classes)} classes.",
                f"Give --budget {max(60, 10 * math.ceil(needed / 10))}s or more.",
            )
        rng = np.random.default_rng(self.seed)
        kept = np.sort(rng.permutation(len(catalog))[:most])
        note = (
            f"the budget leaves time to decode {most:,} of {len(catalog):,} {many}: "
            "these are a random part; a larger budget uses more"
        )
        self.notes.append(note)
        self.say(f"  {note}")
        return part(catalog, kept)

    def afford_test(self, rows: NDArray[np.int64], each: float, later: float) -> NDArray[np.int64]:
        """Return the test examples there is time for, at random, and say so.

        `each` takes so many seconds; `later` seconds are for what comes after.
        """
        grace = max(10.0, 0.05 * self.budget)  # half of what a budget may be overrun by
        fewest = min(_FEWEST_TESTED, max(20, int(0.2 * self.budget / max(1e-9, each))))
        most = max(fewest, int((self.clock.left() + grace - later) / max(1e-9, each)))
        if len(rows) <= most or self.fixed_length:
            return rows
        note = f"the budget left time to test on {most:,} of {len(rows):,} examples, at random"
        self.notes.append(note)
        return np.sort(np.random.default_rng(self.seed).permutation(rows)[:most])

    def keep_recipe(self, recipe: Recipe) -> None:
        """Keep the recipe as it now is, for people (YAML) and for resuming."""
        self.recipe = recipe
        write_whole(self.folder / "recipe.yaml", write(recipe))
        self.keep()

    def keep(self) -> None:
        """Write what is needed to go on after a kill."""
        recipe = None
        if self.recipe is not None:
            recipe = {k: [c.value, c.why] for k, c in self.recipe.choices().items()}
        kept = {
            "source": told(self.source),
            "test": told(self.test),
            "columns": self.columns,
            "own": self.own,
            "budget": self.budget,
            "seed": self.seed,
            "device": self.device,
            "spent": self.clock.spent(),
            "most": self.most,
            "later": self.later,
            "stamp": self.stamp,
            "launch": self.launch,
            "workers": self.workers,
            "tested": self.test is not None,
            "recipe": recipe,
        }
        write_whole(self.folder / "run.json", json.dumps(kept, indent=1))

    def command(self) -> str:
        """Return the command line, or the line of Python, that repeats the run."""
        listed = [one for one in self.columns.values() if isinstance(one, tuple)]
        commas = any("," in name for names in listed for name in names)
        if told(self.source) is None or self.code or commas:
            source = "SOURCE" if told(self.source) is None else repr(told(self.source))
            own = {key: value for key, (value, _) in self.own.items()}
            code = {k: str(own.pop(f"{k}.name")).partition(":")[2] for k in self.code}
            settings = "".join(f", {what}={name}" for what, name in code.items())
            settings += f", settings={own}" if own else ""
            settings += "".join(
                f", {name}={value!r}" for name, value in self.columns.items() if value
            )
            return f"quickstudy.learn({source}, budget={self.budget:g}, seed={self.seed}{settings})"
        words = ["quickstudy", "learn", told(self.source) or "SOURCE"]
        if self.test is not None:
            words += ["--test", told(self.test) or "TEST"]
        words += ["--budget", f"{self.budget:g}s", "--seed", str(self.seed)]
        words += ["--device", self.device] if self.device else []
        for name, value in self.columns.items():
            said = ",".join(value) if isinstance(value, tuple) else value
            words += [f"--{name.replace('_', '-')}", said] if said else []
        options = {
            "network.name": "--network",
            "network.weights": "--weights",
            "loss.name": "--loss",
        }
        plain = {k: v for k, (v, _) in self.own.items()}
        for key, option in options.items():
            if key in plain:
                words += [option, str(plain.pop(key))]
        if plain:
            words += ["--set", *(f"{k}={json.dumps(v)}" for k, v in plain.items())]
        return shlex.join(words)


def told(source: Any) -> str | None:
    """Return a path as text; None for what only a Python program can give again."""
    if isinstance(source, str | os.PathLike):
        return str(source if is_far(source) else Path(source).expanduser().absolute())
    return None
