"""Ten thousand inputs each for the expression grammar and the stack loader, with hypothesis.

    python benchmarks/fuzz.py

The properties are those of tests/test_expression_fuzz.py and tests/test_stack_fuzz.py, which try a
part of the inputs: each is read or refused in words; none may run code, take more than 5 s (an
expression) or 30 s (a stack), or a gigabyte.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import measuring

ROOT = Path(__file__).resolve().parents[1]
#: What -> its tests, and the inputs that they try.
FUZZED = {
    "expression grammar": ("tests/test_expression_fuzz.py", 1_500 + 1_500 + 40 * 200 + 300),
    "stack loader": ("tests/test_stack_fuzz.py", 3_700 + 300 + 4_500 + 1_500),
}


def main() -> None:
    rows = []
    for what, (file, inputs) in FUZZED.items():
        command = [sys.executable, "-m", "pytest", "-q", file]
        environment = {**os.environ, "QUICKSTUDY_FUZZ": "1"}
        began = time.perf_counter()
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        took = time.perf_counter() - began
        if done.returncode:
            raise SystemExit(done.stdout)
        rows.append(
            {
                "what": what,
                "inputs": f"{inputs:,}",
                "seconds": f"{took:.0f}",
                "crashes, hangs, code run": "0",
            }
        )
    measuring.keep("fuzz", "Fuzzing with hypothesis", rows)


if __name__ == "__main__":
    main()
