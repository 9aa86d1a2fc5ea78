"""Make every figure and number of the guide: `python examples/guide/make.py [NAME ...]`.

They go to docs/guide/figures and docs/guide/numbers, from where `mkdocs build` takes them.
"""

from __future__ import annotations

import importlib
import multiprocessing
import sys
import time

#: Two at once, each on one thread: the longest first, so that none is waited for at the end.
SCRIPTS = ("settings", "depth", "own", "testing", "loss", "stacking", "reading", "neuron")


def make(name: str) -> str:
    """Run one script in a folder of its own; return how long it took."""
    from keeping import elsewhere

    began, worked = time.perf_counter(), time.process_time()
    with elsewhere():
        importlib.import_module(name).main()
    took, work = time.perf_counter() - began, time.process_time() - worked
    return f"{name:10} {took:5.1f} s ({work:.1f} s of work)"


def main(names: list[str]) -> None:
    """Run the scripts named, or all of them, and say how long each took."""
    with multiprocessing.get_context("spawn").Pool(2) as workers:
        for said in workers.imap_unordered(make, names or SCRIPTS, chunksize=1):
            print(said, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
