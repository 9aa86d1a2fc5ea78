"""Whole runs on real voices: known speakers, speakers never heard, who is speaking.

python benchmarks/voices.py [known] [who] [never]      # all of them take eleven minutes

`never` leaves one of the six speakers out of learning at a time and tests on that one.
"""

from __future__ import annotations

import csv
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import measuring

DIGITS = measuring.SHARED / "data" / "spoken_digits"
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
BUDGET = ("--budget", "75s")
WHO = ("--label-from", "{digit}_{speaker}_{n}", "--target", "speaker")


def row(name: str, asked: str, told: dict[str, Any], took: float, peak: float) -> dict[str, str]:
    test = told["test"]
    correct, low, high = (100 * share for share in (test["accuracy"], *test["interval"]))
    groups = told["groups"] or {}
    never = groups.get("new")
    return {
        "run": name,
        "asked": asked,
        "test accuracy": f"{correct:.1f} % ({low:.1f} to {high:.1f}) of {test['n']}",
        "groups never met": f"{100 * never['accuracy']:.1f} % ({never['from']})" if never else "-",
        "seconds": f"{took:.0f}",
        "peak MB": f"{peak:.0f}",
        "augmenting": f"{100 * told['augmenting']:.0f} %",
        "passes": f"{told['curves'][-1]['epoch']:.0f}",
    }


def never(folder: Path) -> Iterator[dict[str, str]]:
    """Yield a row for each speaker left out, and one for their mean."""
    files = sorted(DIGITS.glob("*/*/*.flac"))
    found = []
    for out in SPEAKERS:
        table = folder / f"{out}.csv"
        with table.open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["path", "label", "split"])
            for path in files:
                digit, speaker, _ = path.stem.split("_")
                rows.writerow([path, digit, "test" if speaker == out else "train"])
        told, took, peak = measuring.learn(table, *BUDGET)
        found.append(told["test"]["accuracy"])
        yield row(f"digits, never heard {out}", "", told, took, peak)
    yield {
        **dict.fromkeys(("seconds", "peak MB", "augmenting", "passes", "groups never met"), ""),
        "run": "digits, mean of the six",
        "asked": "90 %",
        "test accuracy": f"{100 * sum(found) / len(found):.1f} %",
    }


def main() -> None:
    names = sys.argv[1:] or ["known", "who", "never"]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        if "known" in names:
            rows.append(row("digits", "99.0 %", *measuring.learn(DIGITS, *BUDGET)))
        if "who" in names:
            rows.append(row("who speaks", "99.0 %", *measuring.learn(DIGITS, *BUDGET, *WHO)))
        if "never" in names:
            for one in never(Path(folder)):
                rows.append(one)
                print(one, file=sys.stderr, flush=True)
    measuring.keep("voices" if len(sys.argv) < 2 else "-".join(sys.argv[1:]), "Voices", rows)


if __name__ == "__main__":
    main()
