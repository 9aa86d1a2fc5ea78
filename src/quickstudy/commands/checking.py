"""``quickstudy check``: look at every example, list what is wrong, write the page and the lists."""

from __future__ import annotations

import argparse
import csv
import io
import os
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quickstudy.commands.cleaning import apply, next_step, refuse_apply
from quickstudy.commands.columns import columns
from quickstudy.commands.telling import print_json, printable
from quickstudy.errors import ChoiceError, ExampleError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quickstudy.catalog import Catalog
    from quickstudy.checking import Cleaned, Duplicates, Finding, Looked
    from quickstudy.progress import Listener

_SHOWN = {"image": 12, "sound": 6}  # of each sort, on the page: 12 kB a picture, 50 kB a recording
_LISTED = 2_000  # of each sort, on the page; check.csv has all
_ENDS = (".zip", ".tar", ".gz", ".tgz", ".csv", ".tsv", ".parquet")
_FIELDS = ("file", "problem", "severity", "check", "fix", "other")


def check(asked: argparse.Namespace, started: float) -> int:
    """Check a source; return 1 with ``--strict`` where more than notes were found."""
    from rich.console import Console

    from quickstudy.checking import NOTE, grouped
    from quickstudy.progress import silent
    from quickstudy.terminal import terminal

    _refuse(asked)
    console = Console(stderr=True)
    if asked.json:
        catalog, looked, twins, findings, why_not = _checked(asked, silent)
    else:
        with terminal(console) as listen:
            catalog, looked, twins, findings, why_not = _checked(asked, listen)
    folder = _folder(asked)
    groups = grouped(findings)
    listed = [one for group in groups for one in group.findings]
    _write_page(folder, catalog, looked, listed, source=asked.source)
    _write_csv(folder / "check.csv", listed)
    applied = None
    if asked.apply:
        applied = apply(Path(asked.apply), catalog, looked, findings, twins)
    code = int(asked.strict and any(one.severity != NOTE for one in findings))
    if asked.json:
        document = {
            "source": asked.source,
            "examples": len(catalog),
            "findings": [one.as_dict() for one in listed],
            "labels_not_doubted": why_not or None,
            "page": str(folder / "check.html"),
            "applied": None if applied is None else {"file": asked.apply, **_told(applied)},
        }
        print_json(document)
        return code
    for group in groups:
        sys.stdout.write(printable(f"{group.severity + ':':<9}{group.said()}\n"))
        sys.stdout.write(printable(f"{'':<9}-> {group.fix}\n"))
    if not groups:
        sys.stdout.write("Nothing was found wrong.\n")
    if why_not:
        sys.stderr.write(printable(f"Labels were not doubted: {why_not}.\n"))
    sys.stderr.write(printable(f"\nPage    {folder / 'check.html'}\n"))
    sys.stderr.write(printable(f"List    {folder / 'check.csv'}\n"))
    if applied is not None:
        _say_applied(asked, catalog, applied)
    return code


def _refuse(asked: argparse.Namespace) -> None:
    """Raise `ChoiceError` before any work for what would be refused after it."""
    if asked.weights not in (None, "none"):
        from quickstudy.learning.mislabelled import refuse_weights

        refuse_weights(asked.weights)
    if asked.apply and os.path.lexists(asked.apply):
        raise ChoiceError(
            f"{asked.apply} exists already; check never changes a file of yours.",
            "Choose another name for --apply.",
        )
    if asked.apply and Path(asked.apply).suffix.lower() != ".csv":
        raise ChoiceError(f"{asked.apply} is no name of a CSV table.", "Let it end in .csv.")
    if asked.out and any((Path(asked.out) / name).exists() for name in ("check.html", "check.csv")):
        raise ChoiceError(f"{asked.out} holds a check already.", "Choose another --out.")
    _refuse_place(Path(asked.out or "runs"), "--out")
    if asked.apply:
        _refuse_place(Path(asked.apply).parent, "--apply")


def _refuse_place(folder: Path, option: str) -> None:
    """Raise `ChoiceError` for a folder that is none, or that nothing can be written to."""
    there = next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())
    if not there.is_dir():
        raise ChoiceError(f"{there} is a file, not a folder.", f"Choose another {option}.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ChoiceError(f"Nothing can be written to {there}.", f"Choose another {option}.")


def _checked(
    asked: argparse.Namespace, listen: Listener
) -> tuple[Catalog, Looked, Duplicates, list[Finding], str]:
    """Return what was looked at, which are the same, what was found, why no label was doubted."""
    from quickstudy import checking
    from quickstudy.checking.whole import twins_of
    from quickstudy.clock import Stop, ctrl_c
    from quickstudy.facts import said
    from quickstudy.hardware import readers, survey
    from quickstudy.kinds.image.decode import MAX_PIXELS
    from quickstudy.learning.mislabelled import mislabelled
    from quickstudy.progress import Progress

    began = time.perf_counter()

    def tell(stage: str, fraction: float = 0.0, line: str = "") -> None:
        listen(Progress(stage, time.perf_counter() - began, fraction, said=line))

    tell("look")
    catalog = _scanned(asked)
    if asked.apply:
        refuse_apply(asked.source, catalog)
    for line in said(catalog):
        tell("look", line=line)
    with readers(survey("cpu").cores) as pool:
        looked = checking.look(catalog, pool, MAX_PIXELS, lambda share: tell("look", share))
    twins = twins_of(catalog, looked)
    findings = checking.check(catalog, looked, twins)
    stop = Stop()
    with ctrl_c(stop):
        doubted = mislabelled(catalog, looked, twins, asked.weights, tell, stop)
    return catalog, looked, twins, [*findings, *doubted.findings], doubted.why_not


def _scanned(asked: argparse.Namespace) -> Catalog:
    """Return the catalog of the source, however small its classes: that is for a finding to say."""
    from quickstudy.catalog import merge, scan
    from quickstudy.folders import cache_folder

    cache = cache_folder()
    told: dict[str, Any] = dict(columns(asked))
    catalog = scan(
        asked.source, cache=cache, learnable=False, kind=asked.kind, task=asked.task, **told
    )
    if asked.test is None:
        return catalog
    named: dict[str, Any] = {key: told[key] for key in ("label_from", "target", "group_from")}
    if catalog.kind == "table" and named["target"] is None:
        named["target"] = told["label_column"] or catalog.target
    tested = scan(
        asked.test,
        cache=cache,
        learnable=False,
        kind=catalog.kind,
        task=catalog.task,
        outputs=catalog.classes if catalog.task != "classification" else (),
        known=dict.fromkeys(catalog.columns, True),
        **named,
    )
    return merge(catalog, tested)


def _folder(asked: argparse.Namespace) -> Path:
    from quickstudy.folders import disk_errors, new_folder

    if asked.out is None:
        stem = Path(asked.source).absolute().name
        while Path(stem).suffix.lower() in _ENDS:
            stem = Path(stem).stem
        name = re.sub(r"[^\w.-]+", "_", stem).strip("._") or "data"
        return new_folder(Path("runs"), f"{name}-check")
    folder = Path(asked.out)
    with disk_errors("the check's folder"):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def _write_page(
    folder: Path, catalog: Catalog, looked: Looked, listed: Sequence[Finding], *, source: str
) -> None:
    from quickstudy.checking import grouped
    from quickstudy.folders import write_whole
    from quickstudy.kinds import NOUNS
    from quickstudy.report import check_page

    number = {str(catalog.names[row]): row for row in looked.rows}
    groups = []
    for group in grouped(listed):
        records: list[dict[str, Any]] = []
        for one in group.findings[:_LISTED]:
            record: dict[str, Any] = dict(one.as_dict())
            if len(records) < _SHOWN.get(catalog.kind, 0):
                record |= _shown(catalog, one.row, "")
                record |= _shown(catalog, number.get(one.other, -1), "other_")
            records.append(record)
        groups.append(
            {
                "check": group.check,
                "severity": group.severity,
                "fix": group.fix,
                "count": len(group.findings),
                "findings": records,
            }
        )
    many = NOUNS[catalog.kind][1]
    looked_at = f"{len(catalog):,} {many}"
    title = f"{Path(source).name or source}, checked"
    page = check_page({"title": title, "source": source, "looked": looked_at, "groups": groups})
    write_whole(folder / "check.html", page.encode("utf-8", "backslashreplace"))


def _shown(catalog: Catalog, row: int, prefix: str) -> dict[str, str | None]:
    """Return an example to look at and to hear, nothing of one that cannot be read."""
    from quickstudy.kinds import shown
    from quickstudy.kinds.image.decode import MAX_PIXELS

    if row < 0:
        return {}
    try:
        found = shown(catalog.kind, catalog.read(row), MAX_PIXELS, catalog.columns)
    except ExampleError:  # the finding itself says so
        return {}
    return {f"{prefix}{key}": value for key, value in found.items()}


def _write_csv(path: Path, listed: Sequence[Finding]) -> None:
    from quickstudy.folders import write_whole

    text = io.StringIO(newline="")
    out = csv.DictWriter(text, _FIELDS, lineterminator="\n")
    out.writeheader()
    out.writerows({key: _cell(text) for key, text in one.as_dict().items()} for one in listed)
    write_whole(path, text.getvalue().encode("utf-8", "backslashreplace"))


def _cell(text: str) -> str:
    """Return a cell that a spreadsheet takes for text: file names may begin as formulas do."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def _told(left: Cleaned) -> dict[str, Any]:
    return {"kept": len(left.rows), "left_out": left.dropped}


def _say_applied(asked: argparse.Namespace, catalog: Catalog, left: Cleaned) -> None:
    why = ", ".join(f"{name} ({n:,})" for name, n in left.dropped.items())
    sys.stderr.write(printable(f"Cleaned {asked.apply}: {len(left.rows):,} examples\n"))
    sys.stderr.write(f"        left out: {why or 'nothing'}\n")
    sys.stderr.write(printable(f"{next_step(asked.apply, catalog, left)}\n"))
