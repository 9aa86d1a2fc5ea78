"""A run -> one readable plain PyTorch file that repeats it without Quickstudy: the way out.

Read `lines_of` first: the pieces in the order in which the file has them. Each piece is a template
of its own; only what the run used is written. What cannot be written out is refused, never left
out in silence.
"""

from __future__ import annotations

from pathlib import Path

from quickstudy.folders import disk_errors, write_whole
from quickstudy.script import fitting, formulas, layers, pictures, sounds, tables, teaching, whole
from quickstudy.script.refusing import refuse
from quickstudy.script.told import told_by
from quickstudy.script.writing import imports_of

__all__ = ["script_of", "write_script"]

NAME = "train.py"
_KINDS = {"image": pictures, "sound": sounds, "table": tables}


def write_script(run: str | Path, out: str | Path | None = None) -> Path:
    """Write the script of a run's folder to `out`, else to ``RUN/train.py``; return its path.

    Raises `RunError` for a folder without an ended run, or whose examples have gone; `ChoiceError`
    for what a script cannot say yet.
    """
    folder = Path(run)
    path = folder / NAME if out is None else Path(out).expanduser()
    text = script_of(folder, path)
    with disk_errors("the script"):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text)
    return path


def script_of(run: str | Path, path: Path | None = None) -> str:
    """Return the script of a run's folder; `path` is where it will lie (default in the folder)."""
    told = told_by(Path(run))
    refuse(told)
    where = path or told.folder / NAME
    if told.formula:
        body = formulas.formula(told, where)
        return f"{whole.header(told)}\n\n{imports_of(body)}\n\n{body}\n"
    kind = _KINDS[told.kind]
    pieces = [
        whole.constants(told, where),
        kind.reading(told),
        tables.network(told) if kind is tables else layers.network(told),
        *([kind.learning(told)] if told.trains else []),
        *([fitting.fitting(told)] if told.fits_head else []),
        *([teaching.training(told)] if told.trains else []),
        kind.answering(told),
        whole.main(told),
    ]
    body = "\n\n".join(piece.strip("\n") for piece in pieces if piece.strip())
    header = whole.header(told)
    return f"{header}\n\n{imports_of(body)}\n\n{body}\n"
