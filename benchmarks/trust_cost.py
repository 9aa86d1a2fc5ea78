"""What being believable costs: the share of `learn`'s budget that goes into checking itself.

The seconds of the stages in which a run checks its data, doubts labels, learns what is unknown to
it and learns from less, as report.json tells them. Copies are looked for while decoding and have
no stage of their own.
"""

from __future__ import annotations

from typing import Any

import measuring

CATS = measuring.SHARED / "data" / "cats_dogs"
DIGITS = measuring.SHARED / "data" / "spoken_digits"
WEIGHTS = measuring.SHARED / "weights" / "squeezenet1_0.safetensors"
STAGES = ("check", "doubt", "know", "data curve")

RUNS = (
    ("cats and dogs, SqueezeNet", (CATS, "--weights", WEIGHTS, "--budget", "60s")),
    ("cats and dogs, SqueezeNet", (CATS, "--weights", WEIGHTS, "--budget", "180s")),
    ("cats and dogs, from scratch", (CATS, "--weights", "none", "--budget", "120s")),
    ("spoken digits", (DIGITS, "--budget", "75s")),
)


def cost() -> list[dict[str, Any]]:
    """Return a row for each run: its budget, its seconds, those of trust, and their share."""
    rows = []
    for name, words in RUNS:
        facts, took, _ = measuring.learn(*words)
        seconds = facts["seconds"]
        spent = {stage: seconds.get(stage, 0.0) for stage in STAGES}
        budget = facts["budget"]
        rows.append(
            {
                "run": name,
                "budget, s": f"{budget:.0f}",
                "took, s": f"{took:.0f}",
                **{f"{stage}, s": f"{value:.1f}" for stage, value in spent.items()},
                "share of the budget, %": f"{100 * sum(spent.values()) / budget:.1f}",
            }
        )
        print(rows[-1], flush=True)
    return rows
