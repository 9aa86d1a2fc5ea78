"""``quickstudy pack``: examples as shards, to be learnt from wherever they are put."""

from __future__ import annotations

import argparse
import re
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quickstudy.commands.columns import columns
from quickstudy.commands.telling import print_json, printable
from quickstudy.errors import ChoiceError

if TYPE_CHECKING:
    from collections.abc import Callable

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def bytes_of(text: str) -> int:
    """Return a size in bytes: ``256MB``, ``1G``; raises `ChoiceError` for what is none.

    >>> bytes_of("256MB")
    256000000
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)B?", text.strip().upper())
    size = round(float(found[1]) * _UNITS[found[2]]) if found else 0
    if size < 1000:
        raise ChoiceError(f"'{text}' is no size.", "Write it as 256MB or 1GB; at least 1KB.")
    return size


def pack(asked: argparse.Namespace, started: float) -> int:
    """Write shards; say how many and what is next."""
    from quickstudy.catalog import scan
    from quickstudy.folders import cache_folder
    from quickstudy.kinds import NOUNS
    from quickstudy.shards import is_far
    from quickstudy.shards import pack as write

    size = bytes_of(asked.size)
    if is_far(asked.folder):
        raise ChoiceError(
            "Shards are written to a folder of this computer.",
            "Copy the folder to where it shall be, with the store's own tool.",
        )
    if asked.seed < 0:
        raise ChoiceError(f"The seed {asked.seed} is below 0.", "Give 0, 1, 2, ...")
    how: dict[str, Any] = {**columns(asked), "kind": asked.kind, "task": asked.task}
    catalog = scan(asked.source, cache=cache_folder(), learnable=False, **how)
    if catalog.kind == "table":
        raise ChoiceError(
            "Rows of a table are small, and are not packed.", "Learn from the table as it is."
        )
    folder = Path(asked.folder).expanduser()
    made = write(catalog, folder, size=size, seed=asked.seed, each=_progress(asked.json))
    index, many = made.index, NOUNS[catalog.kind][1]
    total = sum(one.bytes for one in index.shards)
    if asked.json:
        left = [{"name": name, "reason": reason} for name, reason in made.left_out]
        told = {"shards": len(index.shards), "examples": len(index), "bytes": total}
        print_json({**told, "folder": str(folder), "lost": made.lost, "left_out": left})
        return 0
    before = f", {made.resumed:,} of them from before" if made.resumed else ""
    sys.stdout.write(
        f"{len(index):,} {many} in {len(index.shards):,} shards ({total / 1e6:,.1f} MB){before}\n"
    )
    for name, reason in made.left_out:
        sys.stderr.write(printable(f"left out: {name}: {reason}\n"))
    if made.lost > len(made.left_out):
        sys.stderr.write(f"left out: {made.lost:,} in all\n")
    sys.stderr.write(printable(f"Next    quickstudy learn {shlex.quote(str(folder))}\n"))
    return 0


def _progress(quiet: bool) -> Callable[[float], None]:
    """Return what says every second on a terminal how far it is."""
    last = time.perf_counter()

    def each(share: float) -> None:
        nonlocal last
        if quiet or not sys.stderr.isatty() or (time.perf_counter() - last < 1 and share < 1):
            return
        last = time.perf_counter()
        sys.stderr.write(f"\r{100 * share:3.0f} %" + ("\n" if share >= 1 else ""))
        sys.stderr.flush()

    return each
