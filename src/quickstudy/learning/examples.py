"""Which examples a run learnt from, kept in its folder: what a script needs to repeat it."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from quickstudy.catalog import Catalog
from quickstudy.catalog.types import PARTS
from quickstudy.decoding import Decoded
from quickstudy.folders import disk_errors, write_whole
from quickstudy.splitting import Split

NAME, DECODED = "examples.csv", "examples.npz"
#: Bytes of examples from memory that are kept beside a run at most.
MOST_KEPT = 2**26


def keep_examples(folder: Path, catalog: Catalog, decoded: Decoded, parts: Split) -> None:
    """Write name, path, label and part of every example that can be used.

    Examples that are no files have no path; they are kept as they were decoded where they are
    `MOST_KEPT` bytes at most. Raises `RunError` on a full disk.
    """
    text = io.StringIO(newline="")
    out = csv.writer(text, lineterminator="\n")
    out.writerow(("name", "path", "label", "part"))
    files = bool(len(decoded)) and isinstance(catalog.read(int(decoded.kept[0])), Path)
    every = files
    for row, side in zip(decoded.kept.tolist(), parts.part.tolist(), strict=True):
        raw = catalog.read(row) if files else None  # a data set would decode its own
        path = str(raw.absolute()) if isinstance(raw, Path) else ""
        every = every and bool(path)
        out.writerow((catalog.names[row], path, _told(catalog, row), PARTS[side]))
    write_whole(folder / NAME, text.getvalue())
    if not every and catalog.kind != "table":  # its rows are in the table
        _keep_decoded(folder, decoded)


def _told(catalog: Catalog, row: int) -> str:
    """Return what is true of an example: its class, its labels, or its numbers, as `a;b`."""
    if catalog.values is None:
        return str(catalog.classes[catalog.labels[row]])
    values = catalog.values[row].tolist()
    if catalog.task == "regression":
        return ";".join(f"{value:.17g}" for value in values)
    return ";".join(name for name, there in zip(catalog.classes, values, strict=True) if there)


def _keep_decoded(folder: Path, decoded: Decoded) -> None:
    pieces = [decoded.piece(row) for row in range(len(decoded))]
    if sum(piece.nbytes for piece in pieces) > MOST_KEPT:
        return
    with disk_errors("the run's examples"), (folder / DECODED).open("wb") as file:
        np.savez(file, examples=np.concatenate(pieces), counts=decoded.counts)
