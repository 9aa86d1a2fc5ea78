"""What makes a model believable, measured: corrupted data, promises, inputs that are none of it.

python benchmarks/trust.py NAME ...      # the names are the keys of MEASURED; without any, all
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import measuring
import trust_compare
import trust_copies
import trust_cost
import trust_explained
import trust_labels
import trust_promises
import trust_unknown

#: Name of a measurement -> the title of its result, what returns its rows.
MEASURED: dict[str, tuple[str, Callable[[], list[dict[str, Any]]]]] = {
    "labels": ("Cats and dogs, 5 % of the labels flipped, through `learn`", trust_labels.flips),
    "labels-seeds": (
        "Cats and dogs, 5 % of the labels flipped, on features",
        trust_labels.seeds,
    ),
    "labels-tables": ("Tables, 5 % of the labels flipped", trust_labels.tables),
    "copies": ("Copies of photographs planted and found", trust_copies.pictures),
    "copies-small": ("Copies of 32-pixel pictures planted and found", trust_copies.small_pictures),
    "copies-sounds": ("Copies of spoken digits planted and found", trust_copies.recordings),
    "copies-many": ("100,000 pictures searched for copies", trust_copies.many),
    "copies-whole": ("`quickstudy check` on very many files", trust_copies.whole),
    "promises": (
        "Promises of cats and dogs, cut anew for each seed, on features",
        trust_promises.seeds,
    ),
    "promises-runs": ("Promises of whole runs", trust_promises.runs),
    "unknown-pictures": (
        "Unlike inputs, told from those known: cats and dogs",
        trust_unknown.pictures,
    ),
    "unknown-sounds": (
        "Unlike inputs, told from those known: spoken digits",
        trust_unknown.sounds,
    ),
    "unknown-rows": ("Unlike inputs, told from those known: rows", trust_unknown.rows),
    "explained-pictures": (
        "What a map says counted: hidden, or alone (pictures)",
        trust_explained.pictures,
    ),
    "explained-sounds": (
        "What a map says counted: hidden, or alone (sounds)",
        trust_explained.sounds,
    ),
    "compare-alarms": ("Equal models called different", trust_compare.false_alarms),
    "compare-power": ("Differences shown at the size asked for", trust_compare.power),
    "compare-passes": ("Less data: as many passes, or as many steps", trust_compare.passes),
    "compare-seconds": ("What the curve over data costs", trust_compare.seconds),
    "cost": ("What being believable costs in `learn`", trust_cost.cost),
}


def main() -> None:
    for name in sys.argv[1:] or list(MEASURED):
        if name not in MEASURED:
            raise SystemExit(f"There is no '{name}'. Names: {', '.join(MEASURED)}.")
        title, rows = MEASURED[name]
        measuring.keep(f"trust-{name}", title, rows())


if __name__ == "__main__":
    main()
