"""A model in another runtime's file, which takes what the user has and answers the same, or fails.

Read `export` first: trace the model with all that stands before and behind it, write, open what was
written, ask both about real examples, and keep it only where the answers agree.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quickstudy.errors import ChoiceError, ModelError, did_you_mean
from quickstudy.export.contract import Format, Making
from quickstudy.export.onnx import Onnx
from quickstudy.export.parity import Asked, Parity, asked, compared
from quickstudy.export.reporting import tell_report
from quickstudy.export.whole import whole
from quickstudy.folders import disk_errors, write_whole
from quickstudy.hardware import seconds_per_call
from quickstudy.model import load
from quickstudy.runtimes.choosing import EXPORTS, SUMS, folder_of
from quickstudy.runtimes.described import describe
from quickstudy.runtimes.exported import FORMAT, TOLD, sha256
from quickstudy.runtimes.sessions import Session, open_session

#: By name, in the order of the documentation.
FORMATS: dict[str, Format] = {one.name: one for one in (Onnx(),)}
#: Hears what is being done.
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Written:
    """One export, kept."""

    to: str
    folder: Path
    file: Path
    parity: Parity
    milliseconds: float
    """For one example, here, with what was given of it; the quickest of several."""
    size: int
    """Bytes of all its files."""

    def as_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        told = {"to": self.to, "file": str(self.file), "bytes": self.size}
        return {**told, "milliseconds": self.milliseconds, "parity": self.parity.as_dict()}


def export(
    model: str | Path,
    to: str | Sequence[str],
    *,
    out: str | Path | None = None,
    examples: str | Path | None = None,
    tell: Tell | None = None,
) -> list[Written]:
    """Write a model's folder in other formats, each checked; return what was kept.

    They lie in ``exports`` in the model's folder, where `load` finds them, or in `out`. Up to 100
    `examples`, or those that the model's run tested on, go through both. Raises `ModelError` where
    an export answers differently, of which nothing is left; `ChoiceError` for a format that there
    is not; `MissingExtra` where its tools are not installed.
    """
    formats = chosen(to)
    folder = folder_of(Path(model))
    say = tell or (lambda _: None)
    say("loading the model")
    loaded = load(folder, "cpu")
    run = folder.parent if folder.name == "model" else None
    say("asking the model about real examples")
    real = asked(loaded, run, Path(examples) if examples is not None else None)
    described = describe(loaded.task, loaded.preparation, loaded.calibration, loaded.facts)
    made = Making(loaded, folder, whole(loaded), described)
    place = Path(out) if out is not None else folder / EXPORTS
    written = []
    for one in formats:
        say(f"writing {one.name}")
        written.append(_kept(made, one, place / one.name, real))
    if out is None:
        tell_report(folder)
    return written


def chosen(to: str | Sequence[str]) -> list[Format]:
    """Return formats by name, ``onnx,openvino``; raises `ChoiceError` for one there is not."""
    names = [name.strip() for name in (to.split(",") if isinstance(to, str) else to)]
    for name in names:
        if name not in FORMATS:
            raise ChoiceError(
                f"There is no format '{name[:40]}'.",
                did_you_mean(name, FORMATS) or f"Formats: {', '.join(FORMATS)}.",
            )
    return [FORMATS[name] for name in dict.fromkeys(names)]


def _kept(made: Making, one: Format, place: Path, real: Asked) -> Written:
    """Write a format beside its place, compare, and put it there; else leave nothing behind."""
    part = place.with_name(f".{place.name}.{os.getpid()}.part")
    with disk_errors("the export"):
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
    try:
        with disk_errors("the export"):
            one.write(made, part)
        session = open_session(one.name, part / one.file)
        parity = compared(made.model, real, session)
        if not parity.passed:
            raise _differs(one.name, parity)
        speed = 1000 * _seconds(session, real)
        _tell(made, one, part, parity, speed)
        with disk_errors("the export"):
            shutil.rmtree(place, ignore_errors=True)
            part.rename(place)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    size = sum(file.stat().st_size for file in place.iterdir())
    return Written(one.name, place, place / one.file, parity, speed, size)


def _differs(to: str, parity: Parity) -> ModelError:
    flips = parity.unknown_changed
    unknown = f", {flips} become known or unknown" if flips else ""
    return ModelError(
        f"The export to {to} answers differently, and was not kept: of {parity.n} examples the "
        f"largest difference is {parity.largest:.2g}, {parity.changed} have another "
        f"answer{unknown}.",
        "Use another format, or the model itself.",
    )


def _seconds(session: Session, real: Asked) -> float:
    """Return how long one example takes, the first of the real ones."""
    return seconds_per_call(lambda: session.run(real.given[0]), least=0.3)


def _tell(made: Making, one: Format, folder: Path, parity: Parity, speed: float) -> None:
    """Write what the file was made of, and what it may be believed by."""
    sums = {file.name: sha256(file) for file in sorted(folder.iterdir())}
    told = {
        "format": FORMAT,
        "to": one.name,
        "model": sha256(made.folder / SUMS),
        "described": made.described,
        "inputs": made.whole.told_inputs(),
        "outputs": list(made.whole.outputs),
        "parity": parity.as_dict(),
        "measured": {"milliseconds": speed},
        "sha256": sums,
    }
    write_whole(folder / TOLD, json.dumps(told, indent=1))
