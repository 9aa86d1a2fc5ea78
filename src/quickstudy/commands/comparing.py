"""`quickstudy compare`: which of two runs is better, on the test examples both were asked about."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from quickstudy.commands.telling import print_json, printable
from quickstudy.errors import ChoiceError

_PAGE = "compare.html"


def compare(asked: argparse.Namespace, started: float) -> int:
    """Say which run is better, worse, or that it cannot be told; write the page."""
    out = Path(asked.out or _PAGE)
    if out.suffix.lower() not in (".html", ".htm"):
        raise ChoiceError(f"{out.name} is no page.", "Let it end in .html.")

    from quickstudy.folders import disk_errors, write_whole
    from quickstudy.learning.comparing import compare as compare_runs
    from quickstudy.report import compare_page

    found = compare_runs(asked.first, asked.second)
    with disk_errors("the page of the comparison"):
        out.parent.mkdir(parents=True, exist_ok=True)
    write_whole(out, compare_page(found.facts).encode("utf-8", "backslashreplace"))
    if asked.json:
        told = {key: value for key, value in found.facts.items() if key != "examples"}
        print_json({**told, "page": str(out)})
        return 0
    sys.stdout.write(printable(f"{found.sentence}\n"))
    sys.stderr.write(printable(f"Page    {out}\n"))
    return 0
