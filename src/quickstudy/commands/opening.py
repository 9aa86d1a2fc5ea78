"""The model that a command asks, and what its user should know of how it answers."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from quickstudy.commands.telling import printable

if TYPE_CHECKING:
    from quickstudy.loading import Answers


def opened(asked: argparse.Namespace) -> Answers:
    """Return what answers for `asked.model`; says so where an export of it is not used."""
    from quickstudy.hardware import keep_memory
    from quickstudy.loading import answering

    keep_memory()
    model = answering(asked.model, asked.device, asked.runtime)
    if why := getattr(model, "why", ""):
        sys.stderr.write(printable(f"note: answered by torch: {why}\n"))
    return model
