"""``quickstudy export``: a model in other runtimes' files, each of which answers the same."""

from __future__ import annotations

import argparse
import shlex
import sys
from typing import TYPE_CHECKING

from quickstudy.commands.telling import print_json, printable

if TYPE_CHECKING:
    from quickstudy.export import Written


def export(asked: argparse.Namespace, started: float) -> int:
    """Export a model; say how alike the answers are, how quick, and how large."""
    from quickstudy.export import export as write
    from quickstudy.hardware import keep_memory

    keep_memory()

    def tell(what: str) -> None:
        if not asked.json:
            sys.stderr.write(printable(f"  {what} ...\n"))

    found = write(
        asked.model,
        asked.to,
        out=asked.out,
        examples=asked.examples,
        int8=asked.int8,
        max_loss=asked.max_loss,
        install_tools=asked.install_tools,
        tell=tell,
    )
    if asked.json:
        print_json({"exports": [one.as_dict() for one in found]})
        return 0
    for one in found:
        sys.stdout.write(printable(f"{one.file}\n"))
        for line in _said(one):
            sys.stderr.write(printable(f"  {line}\n"))
    return 0


def _said(one: Written) -> list[str]:
    from quickstudy.runtimes.sessions import CODE

    if one.parity is None:
        return [f"{one.size / 1e6:.1f} MB"]
    size = f"{one.size / 1e6:.1f} MB, {one.milliseconds:.1f} ms for one example here"
    where = shlex.quote(str(one.folder))
    if one.int8 is not None:
        said = "In 8-bit integers, asked only by name (--runtime onnx-int8):"
        return [said, *(f"  {line}" for line in one.int8.sentences())]
    how = f"--runtime {one.to}" if one.to in CODE else "  (without PyTorch)"
    return [
        f"Answers as the model does: {one.parity.sentence()}.",
        size,
        f"Try it: quickstudy predict {where} FILE {how}",
    ]
