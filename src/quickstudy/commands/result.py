"""How good what was learnt is, and where it lies: said in a terminal."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from quickstudy.learning import Run


def say_result(console: Console, run: Run) -> None:
    """Say how good what was learnt is, and where it lies."""
    from quickstudy.kinds import EXAMPLES

    first, *others = run.lines
    console.print(f"[bold]Result: {first}[/bold]", highlight=False, soft_wrap=True)
    for line in others:
        console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)
    for event in run.facts["events"]:
        console.print(f"  Note: {event['what']}.", markup=False, highlight=False, soft_wrap=True)
    quoted = shlex.quote(str(run.folder / "model"))
    for word, what in (
        ("Report", str(run.report)),
        ("Model", str(run.folder / "model")),
        ("Next", f"quickstudy predict {quoted} {EXAMPLES[run.model.kind]}"),
    ):
        console.print(f"{word:<7} {what}", markup=False, highlight=False, soft_wrap=True)
