"""Muon against SGD from scratch on cats and dogs: the same budget, in turn (A B A B).

python benchmarks/optimizers.py [BUDGET]
"""

from __future__ import annotations

import sys

import measuring


def main() -> None:
    budget = sys.argv[1] if len(sys.argv) > 1 else "3m"
    source = measuring.SHARED / "data" / "cats_dogs"
    rows = []
    for turn in (0, 1):
        for name, settings in {
            "muon": ["optimizer.name=muon"],
            "sgd": ["optimizer.name=sgd", "optimizer.weight_decay=0.0005"],
        }.items():
            told, took, _ = measuring.learn(
                source, "--weights", "none", "--budget", budget, "--seed", str(turn),
                "--set", "picture.size=64", "picture.start_size=48", *settings,
            )  # fmt: skip
            rows.append(
                {
                    "optimiser": name,
                    "seed": turn,
                    "test accuracy": f"{100 * told['test']['accuracy']:.1f} %",
                    "passes": f"{told['curves'][-1]['epoch']:.0f}",
                    "rate found": told["recipe"]["optimizer.lr"]["value"],
                    "seconds": f"{took:.0f}",
                }
            )
            print(rows[-1], file=sys.stderr, flush=True)
    measuring.keep("optimizers", f"Muon and SGD from scratch, {budget}", rows)


if __name__ == "__main__":
    main()
