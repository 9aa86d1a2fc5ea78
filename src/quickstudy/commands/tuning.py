"""`quickstudy tune`: search for a better recipe than the plan's, then learn by it."""

from __future__ import annotations

import argparse
import shlex
import sys

from quickstudy.commands.columns import learning
from quickstudy.commands.result import told_run
from quickstudy.commands.telling import print_json, printable
from quickstudy.errors import ChoiceError


def tune(asked: argparse.Namespace, started: float) -> int:
    """Search within a budget, or help a search that another process leads."""
    if asked.join is not None:
        return _join(asked)

    from quickstudy.search import tune as search

    own = {"space": asked.space, "trials": asked.trials, "storage": asked.storage}
    own |= {"ensemble": asked.ensemble, "distil": asked.distil}
    return told_run(asked.json, search, started=started, **learning(asked), **own)


def _join(asked: argparse.Namespace) -> int:
    """Run trials of another's search until it has enough."""
    from rich.console import Console

    from quickstudy.search import join
    from quickstudy.terminal import terminal

    if (asked.source, asked.resume, asked.on) != (None, None, None):
        raise ChoiceError(
            "Who joins a search runs its trials here, on its source.",
            f"quickstudy tune --join {asked.join}",
        )
    with terminal(Console(stderr=True)) as listen:
        ran = join(asked.join, storage=asked.storage, listen=listen)
    if asked.json:
        print_json({"trials": ran})
    else:
        line = f"Ran {ran} trials of the search in {shlex.quote(str(asked.join))}.\n"
        sys.stdout.write(printable(line))
    return 0
