"""What somebody asked for, in a folder of its own, so that a killed run can go on."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from quickstudy import facts
from quickstudy.catalog import Catalog, merge, scan
from quickstudy.checking import Duplicates, leaks
from quickstudy.clock import Clock, Stop
from quickstudy.decoding import Pictures
from quickstudy.errors import ChoiceError, RunError, SourceError
from quickstudy.facts import Facts
from quickstudy.folders import cache_folder, disk_errors, new_folder, write_whole
from quickstudy.hardware import Hardware
from quickstudy.progress import Listener, Progress, silent
from quickstudy.recipe import Recipe, coerce, read, write
from quickstudy.recipe.types import assemble
from quickstudy.splitting import Split

BUDGET = "10m"
_DECODING = 0.35  # of the budget, at most
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}

Own = dict[str, tuple[Any, str]]


def seconds(budget: str | float) -> float:
    """Return a budget in seconds: a number, or text as ``90s``, ``10m``, ``1.5h``, ``1h30m``.

    Raises `ChoiceError` for anything else and for under 5 seconds.

    >>> seconds("1h30m")
    5400.0
    """
    found = 0.0
    if isinstance(budget, int | float):
        found = float(budget)
    else:
        text = budget.strip().lower().replace(" ", "")
        parts = re.findall(r"(\d+(?:\.\d+)?)(min|[smh]?)", text)
        if parts and "".join(number + unit for number, unit in parts) == text:
            found = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if not 5 <= found < float("inf"):
        raise ChoiceError(
            f"'{budget}' is no budget.", "Write it as 90s, 10m or 2h; at least 5s."
        )
    return found


@dataclass
class Job:
    """A request, its folder, and the clock it works against."""

    source: Any
    test: Any
    columns: dict[str, str | None]
    own: Own
    """Dotted recipe keys that somebody chose, with why."""
    budget: float
    seed: int
    device: str | None
    folder: Path
    recipe: Recipe | None = None
    """The recipe as planned before a kill."""
    spent_before: float = 0.0
    clock: Clock = field(default_factory=lambda: Clock(0.0))
    stop: Stop = field(default_factory=Stop)
    listen: Listener = silent
    notes: list[str] = field(default_factory=list)
    cache: Path = field(default_factory=cache_folder)

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
        with disk_errors("the run's log"), (self.folder / "log.jsonl").open("a") as log:

            def both(progress: Progress) -> None:
                listen(progress)
                log.write(json.dumps(asdict(progress)) + "\n")
                log.flush()

            self.listen = both
            self.keep()
            yield

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage; a Ctrl-C in it ends the run with a clear word where nothing is learnt."""
        with self.clock.stage(name):
            yield
        if self.stop.asked and name in ("look", "plan", "decode"):
            raise RunError(
                f"Stopped while in stage '{name}': nothing was learnt yet.",
                f"Go on with: quickstudy learn --resume {shlex.quote(str(self.folder))}",
            )

    def progress(self, stage: str) -> Callable[[float], None]:
        """Return what tells the listener how far `stage` is."""

        def each(share: float) -> None:
            spent = self.clock.spent()
            self.listen(Progress(stage, spent, share, max(0.0, self.budget - spent)))
            if self.stop.asked:
                raise RunError(
                    f"Stopped while in stage '{stage}': nothing was learnt yet.",
                    f"Go on with: quickstudy learn --resume {shlex.quote(str(self.folder))}",
                )

        return each

    def say(self, line: str) -> None:
        """Say a line as it is."""
        self.listen(Progress("said", self.clock.spent(), said=line))

    def find_examples(self) -> Catalog:
        """Return the catalog of the source, with that of ``--test`` added."""
        self.listen(Progress("look", self.clock.spent()))
        catalog = scan(self.source, cache=self.cache, **self.columns)
        if self.test is not None:
            tested = scan(self.test, cache=self.cache, learnable=False)
            catalog = merge(catalog, tested)
        return catalog

    def say_found(self, catalog: Catalog, machine: Hardware) -> None:
        """Say what was found and on what computer."""
        for line in facts.said(catalog):
            self.say(line)
        if catalog.left_out:
            self.say(f"  {len(catalog.left_out):,} left out (named in the report)")
        for note in catalog.notes:
            self.say(f"  {note}")
        self.say(f"This computer: {machine.sentence()}")

    def afford(self, catalog: Catalog, seen: Facts) -> Catalog:
        """Return the part of the catalog that there is time to decode, at random, and say so."""
        most = int(_DECODING * self.budget / max(1e-9, seen.seconds_to_decode / len(catalog)))
        if len(catalog) <= most or self.fixed_length:
            return catalog
        rng = np.random.default_rng(self.seed)
        kept = np.sort(rng.permutation(len(catalog))[:most])
        note = (
            f"the budget leaves time to decode {most:,} of {len(catalog):,} pictures: "
            "these are a random part; a larger budget uses more"
        )
        self.notes.append(note)
        self.say(f"  {note}")
        return part_of(catalog, kept)

    def say_parts(
        self, catalog: Catalog, pictures: Pictures, twins: Duplicates, parts: Split
    ) -> None:
        """Say what was left out, which are duplicates, and how the examples were divided."""
        if pictures.left_out:
            first = pictures.left_out[0]
            self.say(
                f"  {len(pictures.left_out):,} unreadable, left out "
                f"(first: {first.name!r}, {first.reason})"
            )
        if twins.identical + twins.near:
            self.say(
                f"  {twins.identical + twins.near:,} look the same as another "
                "(kept on one side of the split)"
            )
        leaked = len(leaks(twins.group, parts.part))
        if leaked:
            note = f"{leaked:,} of the test pictures are also among those learnt from"
            self.notes.append(note)
            self.say(f"  {note}: the score flatters")
        self.say(
            f"  {len(parts.train):,} to learn from, {len(parts.val):,} to steer by, "
            f"{len(parts.test):,} to test on"
        )
        if len(parts.test) == 0:
            raise SourceError(
                "No examples are left to test on.", "Give more examples, or a test folder."
            )

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
        told = {
            "source": _told(self.source),
            "test": _told(self.test),
            "columns": self.columns,
            "own": self.own,
            "budget": self.budget,
            "seed": self.seed,
            "device": self.device,
            "spent": self.clock.spent(),
            "recipe": recipe,
        }
        write_whole(self.folder / "run.json", json.dumps(told, indent=1))

    def command(self) -> str:
        """Return the command line that repeats the run."""
        words = ["quickstudy", "learn", _told(self.source) or "SOURCE"]
        if self.test is not None:
            words += ["--test", _told(self.test) or "TEST"]
        words += ["--budget", f"{self.budget:g}s", "--seed", str(self.seed)]
        words += ["--device", self.device] if self.device else []
        for name, value in self.columns.items():
            words += [f"--{name.replace('_', '-')}", value] if value else []
        options = {"network.name": "--network", "network.weights": "--weights", "loss.name": "--loss"}
        plain = {k: v for k, (v, _) in self.own.items()}
        for key, option in options.items():
            if key in plain:
                words += [option, str(plain.pop(key))]
        if plain:
            words += ["--set", *(f"{k}={json.dumps(v)}" for k, v in plain.items())]
        return shlex.join(words)


def part_of(catalog: Catalog, kept: np.ndarray[Any, np.dtype[np.int64]]) -> Catalog:
    """Return the catalog of some of its examples, by number."""
    from dataclasses import replace

    return replace(
        catalog,
        names=[catalog.names[i] for i in kept],
        labels=catalog.labels[kept],
        given=catalog.given[kept],
        groups=catalog.groups[kept],
        read=lambda i: catalog.read(int(kept[i])),
        stamp=f"{catalog.stamp}-{len(kept)}-{hash(kept.tobytes()) & (2**64 - 1):x}",
    )


def _told(source: Any) -> str | None:
    """Return a path as text; None for what only a Python program can give again."""
    if isinstance(source, str | os.PathLike):
        return str(Path(source).expanduser().absolute())
    return None


def _name(source: Any) -> str:
    stem = Path(os.fspath(source)).absolute().name if _told(source) else type(source).__name__
    while Path(stem).suffix.lower() in (".zip", ".tar", ".gz", ".tgz", ".csv", ".tsv", ".parquet"):
        stem = Path(stem).stem
    return re.sub(r"[^\w.-]+", "_", stem).strip("._") or "run"


def new_job(
    source: Any,
    test: Any,
    columns: dict[str, str | None],
    own: Mapping[str, Any],
    settings: Mapping[str, Any] | None,
    recipe: str | Path | None,
    budget: str | float | None,
    seed: int | None,
    device: str | None,
    out: str | Path | None,
) -> Job:
    """Check a request and give it a folder.

    Raises `ChoiceError` for what does not fit, `RunError` where nothing can be written.
    """
    if source is None:
        raise ChoiceError("No source was given.", "quickstudy learn FOLDER")
    chosen: Own = {}
    if recipe is not None:
        name = Path(recipe).name
        chosen = {k: (v, f"from {name}") for k, v in read(Path(recipe)).items()}
    for key, value in {**(settings or {}), **own, "compute.device": device}.items():
        if value is not None or (settings and key in settings):
            chosen[key] = (coerce(key, str(value) if isinstance(value, Path) else value), "you set it")
    _check_names(chosen)
    kept_budget = chosen.pop("budget", (None, ""))[0]
    kept_seed = chosen.pop("seed", (None, ""))[0]
    wanted = seconds(budget if budget is not None else kept_budget or BUDGET)
    if out is not None:
        folder = Path(out)
        with disk_errors("the run's folder"):
            folder.mkdir(parents=True, exist_ok=True)
        if (folder / "run.json").exists():
            raise RunError(
                f"{folder} holds a run already.",
                f"Choose another --out, or go on with it: quickstudy learn --resume {folder}",
            )
    else:
        folder = new_folder(Path("runs"), _name(source))
    settled_seed = seed if seed is not None else kept_seed if kept_seed is not None else 0
    where = chosen.get("compute.device", (None, ""))[0]
    return Job(source, test, dict(columns), chosen, wanted, settled_seed, where, folder)


def _check_names(own: Own) -> None:
    """Refuse an unknown network or loss before anything is read."""
    from quickstudy.functions import check_loss
    from quickstudy.network import known

    if "network.name" in own:
        known(str(own["network.name"][0]))
    if "loss.name" in own:
        check_loss(str(own["loss.name"][0]))


def resumed_job(folder: Path, source: Any, test: Any) -> Job:
    """Return the job of a run's folder; a source that was a Python object must be given again.

    Raises `RunError` for a folder that holds no run.
    """
    path = folder / "run.json"
    if not path.is_file():
        raise RunError(f"{folder} holds no run to go on with.", "Give a folder as runs/NAME-1.")
    told = json.loads(path.read_text(encoding="utf-8"))
    if source is None and told["source"] is None:
        raise RunError(
            "That run learnt from a Python object, which must be given again.",
            "qs.learn(source, resume=folder)",
        )
    recipe = None
    if told["recipe"] is not None:
        values = {k: coerce(k, v) for k, (v, _) in told["recipe"].items()}
        recipe = assemble(values, {k: why for k, (_, why) in told["recipe"].items()})
    return Job(
        source if source is not None else told["source"],
        test if test is not None else told["test"],
        told["columns"],
        {k: (coerce(k, v), why) for k, (v, why) in told["own"].items()},
        told["budget"],
        told["seed"],
        told["device"],
        folder,
        recipe,
        _spent(folder, told["spent"]),
    )


def _spent(folder: Path, kept: float) -> float:
    """Return the seconds the run had spent when it was last heard of."""
    log = folder / "log.jsonl"
    last = kept
    if log.is_file():
        for line in log.read_text(encoding="utf-8").splitlines()[-3:]:
            try:
                last = max(last, float(json.loads(line)["seconds"]))
            except (ValueError, KeyError):
                continue  # the line that the kill cut short
    return last


