"""What this computer has and how fast it really is: measured, with reasons.

`survey` looks; `quicken` sets threads and memory, measuring; `tune` finds the quickest way to
compute a training step; `recall` and `remember` keep what was found for the next run.
"""

from quickstudy.hardware.cached import recall, remember
from quickstudy.hardware.memory import keep_memory, keeps_memory, readers
from quickstudy.hardware.speed import (
    autocast,
    in_layout,
    lay_out,
    quicken,
    seconds_per_call,
    settle,
)
from quickstudy.hardware.survey import (
    Hardware,
    bfloat16_is_quick,
    physical_cores,
    survey,
    usable_cores,
    usable_memory,
)
from quickstudy.hardware.tuning import (
    BUSY,
    QUICKER,
    Answers,
    Tuned,
    Way,
    difference,
    refusal,
    same_answers,
    tune,
    waited_so_far,
)

__all__ = [
    "BUSY",
    "QUICKER",
    "Answers",
    "Hardware",
    "Tuned",
    "Way",
    "autocast",
    "bfloat16_is_quick",
    "difference",
    "in_layout",
    "keep_memory",
    "keeps_memory",
    "lay_out",
    "physical_cores",
    "quicken",
    "readers",
    "recall",
    "refusal",
    "remember",
    "same_answers",
    "seconds_per_call",
    "settle",
    "survey",
    "tune",
    "usable_cores",
    "usable_memory",
    "waited_so_far",
]
