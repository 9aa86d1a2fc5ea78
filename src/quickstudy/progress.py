"""What a run says while it works: one callback that receives an immutable record.

The terminal, the notebook and the log file are readers of it; no room prints anything itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """Where a run stands. Times are seconds since the run began, `fraction` is of the stage."""

    stage: str
    """``look``, ``plan``, ``decode``, ``features``, ``train``, ``evaluate`` or ``save``."""
    seconds: float
    fraction: float = 0.0
    """How much of this stage is done, 0 to 1."""
    left: float | None = None
    """Forecast of the seconds left until the whole run has ended; None while unknown."""
    loss: float | None = None
    """Smoothed training loss."""
    val: float | None = None
    """Latest score on `val`: accuracy, mean average precision or R2."""
    val_name: str = "accuracy"
    """What that score is: ``accuracy``, ``mAP`` or ``R2``."""
    said: str = ""
    """A line for the reader to show as it is (what was found, a choice made, a warning)."""

    @property
    def val_words(self) -> str:
        """Return ``val 95.9 %`` or ``val R2 0.871``; nothing where there is no score yet."""
        if self.val is None:
            return ""
        if self.val_name == "accuracy":
            return f"val {100 * self.val:.1f} %"
        return f"val {self.val_name} {self.val:.3f}"


Listener = Callable[[Progress], None]


def silent(_: Progress) -> None:
    """Listen to nothing."""
