"""Progress in a terminal: lines as they are said, one bar with the forecast below them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from quickstudy.progress import Listener, Progress

_WORDS = {
    "look": "Looking",
    "plan": "Planning",
    "search": "Searching",
    "decode": "Decoding",
    "check": "Checking",
    "features": "Seeing",
    "race": "Racing",
    "train": "Learning",
    "ensemble": "Choosing",
    "distil": "Distilling",
    "know": "Comparing",
    "evaluate": "Testing",
    "rehearse": "Rehearsing",
    "data curve": "Learning anew",
    "save": "Saving",
}
_PLAIN_EVERY = 20.0  # seconds between lines where the output is no terminal


@contextmanager
def terminal(console: Console) -> Iterator[Listener]:
    """Lend a listener that shows progress on `console`: a bar, or now and then a plain line."""
    if not console.is_terminal:
        yield _lines(console)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[numbers]}"))
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("Starting", total=1.0, numbers="")

        def show(progress: Progress) -> None:
            if progress.said:
                bar.console.print(progress.said, markup=False, highlight=False, soft_wrap=True)
            else:
                word = _WORDS.get(progress.stage, progress.stage)
                bar.update(
                    task,
                    description=word,
                    completed=progress.fraction,
                    numbers=numbers(progress),
                )

        yield show


def numbers(progress: Progress) -> str:
    """Return e.g. ``62 %  val 95.9 %  loss 0.11  3:40 left``."""
    parts = [f"{100 * progress.fraction:3.0f} %"]
    if progress.val_words:
        parts.append(progress.val_words)
    if progress.loss is not None:
        parts.append(f"loss {progress.loss:.2f}")
    if progress.left is not None:
        left = max(0, round(progress.left))
        parts.append(f"{left // 60}:{left % 60:02d} left")
    return "  ".join(parts)


def _lines(console: Console) -> Listener:
    last = [-_PLAIN_EVERY]

    def show(progress: Progress) -> None:
        if progress.said:
            console.print(progress.said, markup=False, highlight=False, soft_wrap=True)
        elif progress.seconds - last[0] >= _PLAIN_EVERY:
            last[0] = progress.seconds
            word = _WORDS.get(progress.stage, progress.stage)
            console.print(f"{word}  {numbers(progress)}", markup=False, highlight=False)

    return show
