"""`quickstudy explain`: why a model says what it says of one example."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from quickstudy.commands.telling import print_json, printable
from quickstudy.errors import SourceError

_TELL_EVERY = 100  # training examples


def explain(asked: argparse.Namespace, started: float) -> int:
    """Write a page on one example, and say it in one sentence."""
    from quickstudy import explanation
    from quickstudy.explanation.page import write
    from quickstudy.hardware import keep_memory
    from quickstudy.model import load

    keep_memory()
    file, folder = Path(asked.file).expanduser(), Path(asked.model)
    if not file.is_file():
        raise SourceError(f"There is no file {asked.file}.", "Give one example's file.")
    model = load(folder, asked.device)
    out = Path(asked.out) if asked.out else Path(f"{file.stem}-explained.html")
    run = Path(asked.run) if asked.run else folder.resolve().parent
    found = explanation.explain(model, file, of=asked.of, run=run, row=asked.row, tell=_tell)
    write(found, out)
    if asked.json:
        print_json({**found.as_dict(), "page": str(out)})
        return 0
    sys.stdout.write(printable(f"{found.sentence}\n"))
    sys.stderr.write(printable(f"{_compared(found)}{out}\n"))
    return 0


def _tell(done: int, of: int) -> None:
    """Say how far looking at the training examples is: the first time it takes a while."""
    if done and done % _TELL_EVERY == 0:
        sys.stderr.write(f"Looking at the training examples, once: {done:,} of {of:,}\n")


def _compared(found: Any) -> str:
    from quickstudy.explanation import wording
    from quickstudy.kinds import NOUNS

    labels = [one.label for one in found.neighbours]
    many = NOUNS[found.kind][1]
    return f"{wording.agreed(labels, found.prediction.label, found.compared, many)}\n"
