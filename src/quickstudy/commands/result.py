"""How good what was learnt is, and where it lies: said in a terminal."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from quickstudy.commands.telling import print_json

if TYPE_CHECKING:
    from rich.console import Console

    from quickstudy.learning import Run


def told_run(as_json: bool, learn: Callable[..., Run], **options: Any) -> int:
    """Learn, by `learn` or `tune`, and say how good it is: in words, or as JSON."""
    from quickstudy.cluster import follows

    if follows():  # the first process says everything
        learn(**options)
        return 0
    if as_json:
        run = learn(**options)
        print_json({**run.facts, "run": str(run.folder), "report": str(run.report)})
        return 0

    from rich.console import Console

    from quickstudy.terminal import terminal

    console = Console(stderr=True)
    with terminal(console) as listen:
        run = learn(listen=listen, **options)
    for line in (run.facts.get("search") or {}).get("sentences", ()):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    _say_result(console, run)
    return 0


def _say_result(console: Console, run: Run) -> None:
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
