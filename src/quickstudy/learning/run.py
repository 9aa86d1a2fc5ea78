"""What `learn` returns: the model, its test, its recipe, its report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from quickstudy.model import Model
from quickstudy.recipe import Recipe


@dataclass(frozen=True, eq=False)
class Run:
    """One training, ended: everything it hands over, and its folder."""

    folder: Path
    model: Model
    test: Any
    """The scores on the test: `Scores`, `LabelScores` or `NumberScores`."""
    recipe: Recipe
    report: Path
    """The page to look at; `report.json` lies beside it."""
    facts: Mapping[str, Any]
    """What `report.json` holds."""
    lines: tuple[str, ...]
    """The result in plain words."""

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r}: {self.lines[0]})"

    def _repr_html_(self) -> str:
        """Show the result and where things are in a notebook."""
        said = "".join(f"<p>{escape(line)}</p>" for line in self.lines)
        link = f'<a href="{escape(str(self.report), quote=True)}">{escape(str(self.report))}</a>'
        return f"{said}<p>Report: {link}<br>Model: {escape(str(self.folder / 'model'))}</p>"
