"""Progress in a notebook: one line with a bar, updated in place."""

from __future__ import annotations

import sys
from html import escape
from typing import Any

from quickstudy.progress import Listener, Progress, silent


def in_notebook() -> bool:
    """Return whether this runs in a Jupyter kernel; imports nothing."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return type(shell).__name__ == "ZMQInteractiveShell"


def here() -> Listener:
    """Return the reader of progress that suits where this runs: a bar in a notebook, or none."""
    return bar() if in_notebook() else silent


def bar() -> Listener:
    """Return a listener that shows what is said and how far the run is."""
    from IPython.display import HTML, display

    handle: Any = display(HTML(""), display_id=True)
    said: list[str] = []

    def show(progress: Progress) -> None:
        if progress.said:
            said.append(progress.said)
        handle.update(HTML(page(said, progress)))

    return show


def page(said: list[str], progress: Progress) -> str:
    """Return the HTML of one moment: lines said, then a bar with the forecast."""
    numbers = []
    if progress.val_words:
        numbers.append(progress.val_words)
    if progress.loss is not None:
        numbers.append(f"loss {progress.loss:.2f}")
    if progress.left is not None:
        numbers.append(f"{progress.left // 60:.0f}:{progress.left % 60:02.0f} left")
    lines = escape("\n".join(said))
    return (
        f"<pre>{lines}</pre><p>{escape(progress.stage)} "
        f"<progress max='1' value='{progress.fraction:.3f}'></progress> "
        f"{escape(' · '.join(numbers))}</p>"
    )
