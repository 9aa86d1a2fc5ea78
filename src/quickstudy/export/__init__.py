"""A model in another runtime's file, which takes what the user has and answers the same, or fails.

Read `export` first: trace the model with all that stands before and behind it, write, open what was
written, ask both about real examples, and keep it only where the answers agree.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quickstudy.errors import ChoiceError, did_you_mean
from quickstudy.export.contract import Folder, Format, Making, Prepared
from quickstudy.export.coreml import CoreMl
from quickstudy.export.docker import Docker
from quickstudy.export.hub import Hub
from quickstudy.export.litert import LiteRt
from quickstudy.export.onnx import Onnx
from quickstudy.export.openvino import OpenVino
from quickstudy.export.parity import Asked, Parity, compared
from quickstudy.export.program import Native, Program
from quickstudy.export.quantising import Int8, check_int8, quantise
from quickstudy.export.reporting import tell_report
from quickstudy.export.script import Script
from quickstudy.export.whole import whole
from quickstudy.folders import disk_errors, write_whole
from quickstudy.hardware import seconds_per_call
from quickstudy.model import load
from quickstudy.runtimes.choosing import EXPORTS, SUMS, folder_of
from quickstudy.runtimes.described import describe
from quickstudy.runtimes.exported import FORMAT, INT8, TOLD, Exported, sha256
from quickstudy.runtimes.sessions import Session, open_session

#: By name, in the order of the documentation.
FORMATS: dict[str, Format | Folder] = {
    one.name: one
    for one in (
        *(Onnx(), OpenVino(), LiteRt(), Program(), Native(), CoreMl()),
        *(Script(), Hub(), Docker()),
    )
}
#: Hears what is being done.
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Written:
    """One export, kept."""

    to: str
    folder: Path
    file: Path
    parity: Parity | None
    """None where no runtime answers from it."""
    milliseconds: float | None
    """For one example, here, with what was given of it; the quickest of several."""
    size: int
    """Bytes of all its files."""
    int8: Int8 | None = None
    """What quantising lost and won."""

    def as_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        told: dict[str, Any] = {"to": self.to, "file": str(self.file), "bytes": self.size}
        told |= {"milliseconds": self.milliseconds, "parity": self.parity and self.parity.as_dict()}
        return told if self.int8 is None else {**told, INT8: self.int8.as_dict()}


def export(
    model: str | Path,
    to: str | Sequence[str],
    *,
    out: str | Path | None = None,
    examples: str | Path | None = None,
    int8: bool = False,
    max_loss: float = 0.5,
    install_tools: bool = False,
    tell: Tell | None = None,
) -> list[Written]:
    """Write a model's folder in other formats, each checked; return what was kept.

    They lie in ``exports`` in the model's folder, where `load` finds them, or in `out`. Up to 100
    `examples`, or those that the model's run tested on, go through both. `install_tools`: what
    needs an environment of its own may be installed in the cache folder. Raises `ModelError` where
    an export answers differently, of which nothing is left; `ChoiceError` for a format that there
    is not; `MissingExtra` where its tools are not installed.
    With `int8`, ``onnx-int8`` too: in 8-bit integers, if the score on the run's `val` then falls by
    less than `max_loss` points; see `quantise`. No `load` takes it unasked.
    """
    formats = chosen(to)
    if int8:
        check_int8([one.name for one in formats], max_loss)
    folder = folder_of(Path(model))
    say = tell or (lambda _: None)
    say("loading the model")
    loaded = load(folder, "cpu")
    source = Path(examples) if examples is not None else None
    described = describe(loaded.task, loaded.preparation, loaded.calibration, loaded.facts)
    made = Making(loaded, folder, whole(loaded), described, say, install_tools, source)
    run = made.run
    real = made.real if any(not isinstance(one, Folder) for one in formats) else None
    place = Path(out) if out is not None else folder / EXPORTS
    written = []
    try:
        for one in formats:
            say(f"writing {one.name}")
            if isinstance(one, Folder):
                written.append(_tried(made, one, place / one.name))
            elif real is not None:
                written.append(_kept(made, one, place / one.name, real))
        if int8 and real is not None:
            written.append(_quantised(made, place, real, run, max_loss, say))
    finally:
        if out is None and written:
            tell_report(folder)
    return written


def chosen(to: str | Sequence[str]) -> list[Format | Folder]:
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
    if isinstance(one, Prepared):
        made = one.shaped(made)
    with _beside(place) as part:
        with disk_errors("the export"):
            one.write(made, part)
        session = open_session(one.name, part / one.file)
        if isinstance(one, Prepared):
            session = one.asking(made, session)
        parity = compared(made.model, real, session)
        parity.demand(one.name)
        speed = 1000 * _seconds(session, real)
        told = {"parity": parity.as_dict(), "measured": {"milliseconds": speed}}
        _tell(made, one.name, part, told)
    return Written(one.name, place, place / one.file, parity, speed, _size(place))


def _quantised(
    made: Making, exports: Path, real: Asked, run: Path | None, max_loss: float, say: Tell
) -> Written:
    """Write ``onnx-int8`` beside ``onnx``: judged by its score, not by each answer."""
    place = exports / f"{Onnx.name}-{INT8}"
    with _beside(place) as part:
        file = part / Onnx.file
        lost = quantise(Exported.open(exports / Onnx.name), run, file, max_loss=max_loss, tell=say)
        parity = compared(made.model, real, open_session(Onnx.name, file))
        speed = lost.milliseconds[1]
        # `passed` by its own rule, which `int8` tells: the score fell by less than `max_loss`
        told = {"parity": {**parity.as_dict(), "passed": True}, INT8: lost.as_dict()}
        _tell(made, Onnx.name, part, {**told, "measured": {"milliseconds": speed}})
    return Written(Onnx.name, place, place / file.name, parity, speed, _size(place), lost)


@contextmanager
def _beside(place: Path) -> Iterator[Path]:
    """Lend an empty folder that takes the place of an older one once all went well."""
    part = place.with_name(f".{place.name}.{os.getpid()}.part")
    try:
        with disk_errors("the export"):
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
        yield part
        with disk_errors("the export"):
            _replace(place, part)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _replace(place: Path, part: Path) -> None:
    """Put a new folder in its place; raises `ChoiceError` where that is not an older export's."""
    if place.is_symlink() or place.exists():
        inside = {one.name for one in place.iterdir()} if place.is_dir() else {""}
        ours = TOLD in inside or inside <= {one.name for one in part.iterdir()}
        if place.is_symlink() or not ours:
            raise ChoiceError(
                f"{place} is there already, and is no older export.",
                "Move it away, or choose another place with --out DIR.",
            )
        older = part.with_suffix(".older")
        place.rename(older)
        try:
            part.rename(place)
        except OSError:
            older.rename(place)
            raise
        shutil.rmtree(older, ignore_errors=True)
    else:
        part.rename(place)


def _tried(made: Making, one: Folder, place: Path) -> Written:
    """Write a folder beside its place, try what is in it, and put it there."""
    with _beside(place) as part:
        with disk_errors("the export"):
            one.write(made, part)
        one.check(made, part)
    return Written(one.name, place, place / one.file, None, None, _size(place))


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _seconds(session: Session, real: Asked) -> float:
    """Return how long one example takes, the first of the real ones."""
    given = real.given[0]
    return seconds_per_call(lambda: session.run(given), least=0.3)


def _tell(made: Making, to: str, folder: Path, found: dict[str, Any]) -> None:
    """Write what the file was made of, and what was `found`: what it may be believed by."""
    sums = {file.name: sha256(file) for file in sorted(folder.iterdir())}
    told = {
        "format": FORMAT,
        "to": to,
        "model": sha256(made.folder / SUMS),
        "described": made.described,
        "inputs": made.whole.told_inputs(),
        "outputs": list(made.whole.outputs),
        **found,
        "sha256": sums,
    }
    write_whole(folder / TOLD, json.dumps(told, indent=1))
