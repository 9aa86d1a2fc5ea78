"""`quickstudy tune`: search for a better recipe than the plan's, then learn by it."""

from __future__ import annotations

import argparse
import shlex
import sys

from quickstudy.commands.columns import columns
from quickstudy.commands.result import say_result
from quickstudy.commands.telling import print_json, printable
from quickstudy.errors import ChoiceError


def tune(asked: argparse.Namespace, started: float) -> int:
    """Search within a budget, or help a search that another process leads."""
    if asked.join is not None:
        return _join(asked)

    from quickstudy.recipe import settings
    from quickstudy.search import tune as search

    options = {
        "source": asked.source,
        "budget": asked.budget,
        "space": asked.space,
        "trials": asked.trials,
        "storage": asked.storage,
        "test": asked.test,
        "network": asked.network,
        "weights": asked.weights,
        "loss": asked.loss,
        "optimizer": asked.optimizer,
        "settings": settings(asked.set),
        "recipe": asked.recipe,
        "out": asked.out,
        "seed": asked.seed,
        "device": asked.device,
        "resume": asked.resume,
        "kind": asked.kind,
        "task": asked.task,
        "started": started,
        **columns(asked),
    }
    if asked.json:
        run = search(**options)
        print_json({**run.facts, "run": str(run.folder), "report": str(run.report)})
        return 0

    from rich.console import Console

    from quickstudy.terminal import terminal

    console = Console(stderr=True)
    with terminal(console) as listen:
        run = search(listen=listen, **options)
    for line in run.facts["search"]["sentences"]:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    say_result(console, run)
    return 0


def _join(asked: argparse.Namespace) -> int:
    """Run trials of another's search until it has enough."""
    from rich.console import Console

    from quickstudy.search import join
    from quickstudy.terminal import terminal

    if asked.source is not None or asked.resume is not None:
        raise ChoiceError(
            "A search that is joined keeps its source.", f"quickstudy tune --join {asked.join}"
        )
    with terminal(Console(stderr=True)) as listen:
        ran = join(asked.join, storage=asked.storage, listen=listen)
    if asked.json:
        print_json({"trials": ran})
    else:
        line = f"Ran {ran} trials of the search in {shlex.quote(str(asked.join))}.\n"
        sys.stdout.write(printable(line))
    return 0
