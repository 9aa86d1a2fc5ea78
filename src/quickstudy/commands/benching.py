"""``quickstudy bench``: how quick each runtime is with a model, on this machine."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from quickstudy.commands.telling import print_json, printable

if TYPE_CHECKING:
    from quickstudy.export.benching import Bench


def bench(asked: argparse.Namespace, started: float) -> int:
    """Time every runtime that is installed, cold and warm; name the quickest."""
    from quickstudy.export.benching import bench as measure
    from quickstudy.hardware import keep_memory
    from quickstudy.runtimes.timing import busy

    keep_memory()
    warning = busy()

    def tell(what: str) -> None:
        if not asked.json:
            sys.stderr.write(printable(f"  {what} ...\n"))

    found = measure(asked.model, make=asked.make, code=asked.code, tell=tell)
    if asked.json:
        print_json(
            {
                "runtimes": [row.as_dict() for row in found.rows],
                "fastest": found.rows[0].runtime,
                "left_out": dict(found.left_out),
                "real_examples": found.real,
                "busy": warning or None,
            }
        )
        return 0
    sys.stdout.write(printable("\n".join(_table(found)) + "\n"))
    notes = [f"not measured: {name}: {why}" for name, why in found.left_out.items()]
    if not found.real:
        notes.append("the run's examples are not there: timed, and compared, on noise")
    notes += [warning] if warning else []
    sys.stderr.write(printable("".join(f"note: {line}\n" for line in notes)))
    return 0


def _table(found: Bench) -> list[str]:
    """Return a line for each runtime, the quickest first, and a sentence that names it."""
    from quickstudy.export.benching import MANY, TORCH

    torch = next(row for row in found.rows if row.runtime == TORCH)
    lines = [
        f"{'runtime':<12} {'cold, s':>8} {'1, ms':>9} {'times':>6} {f'{MANY}, ms':>9} {'times':>6} "
        f"{'difference':>10} {'MB':>7}"
    ]
    for row in found.rows:
        one, many = torch.one.median / row.one.median, torch.many.median / row.many.median
        lines.append(
            f"{row.runtime:<12} {row.cold:>8.2f} {row.one.median:>9.2f} {one:>6.2f} "
            f"{row.many.median:>9.1f} {many:>6.2f} {row.difference:>10.1e} {row.size / 1e6:>7.2f}"
        )
    first = found.rows[0]
    again = min(found.rows, key=lambda row: row.many.median)
    said = f"Fastest for one example: {first.runtime}"
    if again is first:
        said = f"Fastest: {first.runtime}"
    else:
        said += f"; for {MANY} at once: {again.runtime}"
    return [
        *lines,
        f"{said}.",
        "Times are medians, taken in turn, without decoding; 'times': as fast as torch; cold: from",
        "the start of Python to the first answer; difference: the largest, from torch's answers.",
    ]
