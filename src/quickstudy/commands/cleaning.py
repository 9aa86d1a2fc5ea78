"""``check --apply``: the examples that may stay, as a table that `learn` reads."""

from __future__ import annotations

import csv
import io
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quickstudy.errors import ChoiceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from quickstudy.catalog import Catalog
    from quickstudy.checking import Cleaned, Duplicates, Finding, Looked


def refuse_apply(source: str, catalog: Catalog) -> None:
    """Raise `ChoiceError` for examples that no table can name, before they are looked at."""
    from quickstudy.catalog.archives import is_archive

    _refuse_names(catalog)
    if catalog.kind == "table":
        return
    if is_archive(Path(source)):
        raise ChoiceError(
            f"--apply names files, and those inside {source} have no path of their own.",
            "Unpack it and check the folder.",
        )
    if len(catalog) and not isinstance(catalog.read(0), Path):
        raise ChoiceError(
            "--apply writes a table of files, and the examples are no files.",
            "Leave it out; check.csv names what to mend.",
        )
    for row in range(len(catalog)):
        _refuse_no_text(str(Path(str(catalog.read(row))).absolute()), "the file")


def _refuse_names(catalog: Catalog) -> None:
    """Raise `ChoiceError` for class names that a table would be read as others."""
    from quickstudy.catalog.draft import word

    if catalog.task == "regression":
        return
    for name in catalog.classes:
        _refuse_no_text(name, "the class")
        if word(name) != name:
            raise ChoiceError(
                f"The class {name!r} begins or ends with a blank, which a table cannot hold.",
                "Rename it, and check again.",
            )


def _refuse_no_text(name: str, what: str) -> None:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError as problem:
        shown = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        raise ChoiceError(
            f"The name of {what} '{shown}' is not UTF-8, and --apply writes a table in UTF-8.",
            "Rename it, and check again.",
        ) from problem


def apply(
    path: Path, catalog: Catalog, looked: Looked, findings: list[Finding], twins: Duplicates
) -> Cleaned:
    """Write the examples that may stay: of files path and label, of rows all their cells.

    The parts and the groups that the source gave follow. Raises `RunError` on a full disk.
    """
    from quickstudy.checking import cleaned
    from quickstudy.folders import disk_errors, write_whole

    left = cleaned(catalog, looked, findings, twins)
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(_lines(catalog, left))
    with disk_errors("the cleaned table"):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text.getvalue().encode("utf-8", "surrogatepass"))
    return left


def next_step(path: str, catalog: Catalog, left: Cleaned) -> str:
    """Return the command that learns from the table, or why there is nothing to learn from it."""
    if not len(left.rows):
        return "Nothing is left to learn from."
    if catalog.task == "classification" and len(set(catalog.labels[left.rows].tolist())) < 2:
        return "Fewer than two classes are left: nothing can be learnt from them."
    words = ["quickstudy", "learn", path, "--task", catalog.task]
    if catalog.kind == "table" and catalog.target:
        words += ["--target", ",".join(catalog.target)]
    return f"Next    {shlex.join(words)}"


def _lines(catalog: Catalog, left: Cleaned) -> Iterator[list[Any]]:
    from quickstudy.catalog import PARTS

    rows = catalog.kind == "table"
    split = bool((catalog.given[left.rows] >= 0).any())
    grouped = bool((catalog.groups[left.rows] >= 0).any())
    extra = ["split"] * split + ["group"] * grouped
    told, names = _truths(catalog)
    yield [*(catalog.columns if rows else ("path",)), *names, *extra]
    for row in left.rows.tolist():
        raw = catalog.read(row)
        cells = list(raw) if isinstance(raw, tuple) else [str(Path(str(raw)).absolute())]
        part, group = int(catalog.given[row]), int(catalog.groups[row])
        more: list[Any] = [PARTS[part] if part >= 0 else ""] * split
        if grouped and group < 0:
            more.append("")
        elif grouped:
            more.append(catalog.group_names[group] if catalog.group_names else group)
        yield [*("" if cell is None or cell != cell else cell for cell in cells), *told[row], *more]


def _truths(catalog: Catalog) -> tuple[list[list[str]], tuple[str, ...]]:
    """Return what is true of each example, cell by cell, and the names of those columns."""
    from quickstudy.checking import truths

    names = catalog.target if catalog.kind == "table" and catalog.target else ("label",)
    if catalog.values is not None and len(names) == len(catalog.classes):
        return [[f"{value:.17g}" for value in row] for row in catalog.values.tolist()], names
    if catalog.values is not None and catalog.task == "regression":
        joined = (";".join(f"{v:.17g}" for v in row) for row in catalog.values.tolist())
        return [[one] for one in joined], names[:1]
    return [[one] for one in truths(catalog)], names[:1]
