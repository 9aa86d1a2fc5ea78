"""What the report tells: a whole one to look at (docs/guide/reading.md)."""

from __future__ import annotations

import shutil

import quickstudy as qs
from keeping import FIGURES, PLAIN, digits, elsewhere, keep
from settings import network


def main() -> None:
    """Learn the digits, and keep the report that every run leaves."""
    settings = PLAIN | {"epochs": 6, "batch": 32}
    run = qs.learn(digits(), network=network(8), settings=settings, out="digits")
    shutil.copy(run.report, FIGURES / "report.html")
    worst = run.facts["test"]["mistakes"][0]
    keep(
        "reading",
        lines=" ".join(run.lines),
        accuracy=100 * run.test.accuracy,
        low=100 * run.test.interval[0],
        high=100 * run.test.interval[1],
        n=run.test.n,
        guess=100 * run.facts["test"]["baseline"]["accuracy"],
        val=100 * run.facts["val"]["score"],
        true=worst["true"],
        predicted=worst["predicted"],
        sure=100 * worst["probability"],
    )


if __name__ == "__main__":
    with elsewhere():
        main()
