"""Accuracy, seconds and memory of whole runs on real pictures, from an empty cache.

python benchmarks/photographs.py [NAME ...]      # names below; all of them take half an hour
"""

from __future__ import annotations

import sys

import measuring

CATS = measuring.SHARED / "data" / "cats_dogs"
CIFAR = measuring.SHARED / "data" / "cifar10_small.zip"
WEIGHTS = measuring.SHARED / "weights" / "squeezenet1_0.safetensors"
PRETRAINED = (CATS, "--weights", WEIGHTS, "--network", "squeezenet1_0")

RUNS = {
    "weights-1m": ((*PRETRAINED, "--budget", "1m"), "96.0 %, under 75 s"),
    "weights-3m": ((*PRETRAINED, "--budget", "3m"), "budget kept"),
    "weights-10m": ((*PRETRAINED, "--budget", "10m"), "97.0 %"),
    "scratch-10m": ((CATS, "--weights", "none", "--budget", "10m"), "90 %"),
    "cifar-5m": ((CIFAR, "--weights", "none", "--budget", "5m"), "62 %"),
}


def main() -> None:
    rows = []
    for name in sys.argv[1:] or RUNS:
        words, asked = RUNS[name]
        told, took, peak = measuring.learn(*words)
        test = told["test"]
        correct, low, high = (100 * share for share in (test["accuracy"], *test["interval"]))
        waiting = told["waiting"]
        rows.append(
            {
                "run": name,
                "asked": asked,
                "test accuracy": f"{correct:.1f} % ({low:.1f} to {high:.1f})",
                "seconds": f"{took:.0f}",
                "peak MB": f"{peak:.0f}",
                "waiting for data": "-" if waiting is None else f"{100 * waiting:.1f} %",
                "augmenting": "-" if waiting is None else f"{100 * told['augmenting']:.1f} %",
                "chosen on val": next((c["name"] for c in told["candidates"] if c["chosen"]), "-"),
            }
        )
        print(rows[-1], file=sys.stderr, flush=True)
    measuring.keep(
        "photographs" if len(sys.argv) < 2 else "-".join(sys.argv[1:]), "Whole runs", rows
    )


if __name__ == "__main__":
    main()
