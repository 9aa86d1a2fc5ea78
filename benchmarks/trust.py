"""What makes a model believable, measured on corrupted data.

python benchmarks/trust.py [labels] [labels-seeds] [labels-tables]
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import measuring
import trust_labels

#: Name of a measurement -> the title of its result, what returns its rows.
MEASURED: dict[str, tuple[str, Callable[[], list[dict[str, Any]]]]] = {
    "labels": (
        "Cats and dogs, 5 % of the labels flipped, through `learn`",
        trust_labels.flips,
    ),
    "labels-seeds": (
        "Cats and dogs, 5 % of the labels flipped, on features",
        trust_labels.seeds,
    ),
    "labels-tables": ("Tables, 5 % of the labels flipped", trust_labels.tables),
}


def main() -> None:
    for name in sys.argv[1:] or list(MEASURED):
        title, rows = MEASURED[name]
        measuring.keep(f"trust-{name}", title, rows())


if __name__ == "__main__":
    main()
