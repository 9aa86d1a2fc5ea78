"""`quickstudy explain`: why a model says what it says of one example."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from quickstudy.commands.telling import print_json, printable
from quickstudy.errors import ChoiceError, SourceError

if TYPE_CHECKING:
    from quickstudy.explanation import Explanation
    from quickstudy.explanation.neighbours import Tell
    from quickstudy.model import Model

_LONGEST = 180  # bytes of a file's name that the page's takes over: 255 are the most
_TELL_FIRST, _TELL_EVERY = 2.0, 10.0  # seconds of looking at the training examples


def explain(asked: argparse.Namespace, started: float) -> int:
    """Write a page on one example, and say it in one sentence."""
    file, folder = _the_file(asked.file), Path(asked.model).expanduser()

    from quickstudy import explanation
    from quickstudy.explanation.neighbours import check_run
    from quickstudy.explanation.page import check, write
    from quickstudy.hardware import keep_memory
    from quickstudy.model import load

    keep_memory()
    model = load(folder, asked.device)
    out = Path(asked.out).expanduser() if asked.out else _usual_name(model, file, asked.row)
    check(out, model.kind)
    if out.exists() and out.samefile(file):
        raise ChoiceError(f"{out} is the file to explain itself.", "Choose another --out.")
    run = folder if (folder / "model").is_dir() else folder.resolve().parent
    if asked.run:
        run = Path(asked.run).expanduser()
        check_run(model, run)
    found = explanation.explain(model, file, of=asked.of, run=run, row=asked.row, tell=_tell())
    write(found, out)
    if asked.json:
        print_json({**found.as_dict(), "page": str(out)})
        return 0
    sys.stdout.write(printable(f"{found.sentence}\n"))
    for line in _beside(model, file, found, asked):
        sys.stderr.write(printable(f"{line}\n"))
    sys.stderr.write(printable(f"{out}\n"))
    return 0


def say_how(model: str, files: Sequence[Path], kind: str, code: int) -> int:
    """Say how the answer is explained where one file was asked about, and read; return `code`.

    Of an export nothing can be: it gives answers alone.
    """
    from quickstudy.runtimes.exported import is_export

    if len(files) == 1 and code == 0 and not is_export(model):
        command = shlex.join(["quickstudy", "explain", model, str(files[0])])
        command += " --row N" if kind == "table" else ""
        sys.stderr.write(printable(f"Why: {command}\n"))
    return code


def _the_file(name: str) -> Path:
    file = Path(name).expanduser()
    if file.is_dir():
        raise SourceError(f"{name} is a folder.", "Give one file in it.")
    if not file.is_file():
        raise SourceError(f"There is no file {name}.", "Give one example's file.")
    return file


def _usual_name(model: Model, file: Path, row: int) -> Path:
    which = f"-row{row}" if model.kind == "table" else ""
    stem = os.fsencode(file.stem)[:_LONGEST].decode("utf-8", "ignore")
    return Path(f"{stem}{which}-explained.html")


def _tell() -> Tell:
    """Return what says how far looking at the training examples is, where it takes a while."""
    last = monotonic() + _TELL_FIRST - _TELL_EVERY

    def tell(done: int, of: int) -> None:
        nonlocal last
        if monotonic() - last >= _TELL_EVERY:
            last = monotonic()
            sys.stderr.write(f"Looking at the training examples, once: {done:,} of {of:,}\n")

    return tell


def _beside(model: Model, file: Path, found: Explanation, asked: Any) -> list[str]:
    """Return what is said beside the sentence: on the rows of a file, and what is like it."""
    from quickstudy.explanation import wording
    from quickstudy.kinds import NOUNS

    lines = []
    if model.kind == "table":
        lines += [f"note: {file}: {line}" for line in model.doubts(file)]
        if found.rows > 1:
            lines.append(f"Row {asked.row} of {found.rows:,}, from 0; another one: --row N")
    labels = [one.label for one in found.neighbours]
    many = NOUNS[found.kind][1]
    near = wording.agreed(labels, found.prediction, found.of, found.compared, many)
    return [*lines, near]
