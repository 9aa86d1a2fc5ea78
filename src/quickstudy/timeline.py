"""What is heard when: the answers of a sliding window -> segments of a long recording."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

#: How much likelier another class must be, over all of its time, than the one before and after it.
_SWITCH = math.log(20)
_QUIET_BESIDE, _QUIET = 10 ** (-50 / 20), 1e-4  # of the loudest moment; of full scale (-80 dB)


@dataclass(frozen=True)
class Segment:
    """A stretch of a recording; times in seconds from its beginning."""

    start: float
    end: float
    label: str | None
    """None: silence."""
    probability: float
    """How likely, 0 to 1, on average over the stretch."""

    def as_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        return {
            "from": self.start,
            "to": self.end,
            "label": self.label,
            "probability": self.probability if self.label is not None else None,
        }


def cells(windows: Floats, across: int) -> NDArray[np.float64]:
    """Return the answer for each hop ``C K``, from windows ``V K`` that each cover `across` hops.

    Window `v` covers the hops from `v` on. Those that have a hop in their middle say most.
    """
    weight = np.sin((np.arange(across) + 0.5) * math.pi / across)
    total = np.zeros((len(windows) + across - 1, windows.shape[1]))
    weights = np.zeros(len(total))
    for place, share in enumerate(weight):
        total[place : place + len(windows)] += share * windows
        weights[place : place + len(windows)] += share
    found: NDArray[np.float64] = total / weights[:, None]
    return found


def path(probabilities: Floats, switch: float = _SWITCH) -> NDArray[np.int64]:
    """Return the likeliest class of each hop ``C`` where every change costs `switch` nats.

    Viterbi's algorithm (1967) over ``C K``.
    """
    logs = np.log(np.clip(probabilities, 1e-4, None))
    score = logs[0].copy()
    came = np.empty(logs.shape, np.int64)
    stay = np.arange(logs.shape[1])
    for i in range(1, len(logs)):
        best = int(score.argmax())
        change = score[best] - switch > score
        came[i] = np.where(change, best, stay)
        score = np.where(change, score[best] - switch, score) + logs[i]
    found = np.empty(len(logs), np.int64)
    found[-1] = score.argmax()
    for i in range(len(logs) - 1, 0, -1):
        found[i - 1] = came[i, found[i]]
    return found


def quiet(levels: Floats) -> NDArray[np.bool_]:
    """Say which hops are silent, by their root mean square level ``C`` (1 is full scale)."""
    return np.asarray(levels < max(_QUIET, _QUIET_BESIDE * float(levels.max(initial=0))))


def segments(
    windows: Floats,
    levels: Floats,
    classes: tuple[str, ...],
    *,
    across: int,
    hop: float,
    seconds: float,
) -> tuple[Segment, ...]:
    """Return what is heard when.

    `windows` (``V K``) are the answers of windows of `across` hops of `hop` seconds, each one hop
    after the last; `levels` (``C``, ``C = V + across - 1``) the level of each hop; `seconds` the
    recording's length.
    """
    each = cells(windows, across)
    silent = quiet(levels)
    label = np.where(silent, -1, path(each))
    edges = np.flatnonzero(np.diff(label)) + 1
    found = []
    for first, last in zip([0, *edges.tolist()], [*edges.tolist(), len(label)], strict=True):
        k = int(label[first])
        start, end = first * hop, min(last * hop, seconds)
        if start >= seconds:
            continue
        sure = float(each[first:last, k].mean()) if k >= 0 else 0.0
        end = seconds if last == len(label) else end
        found.append(Segment(round(start, 3), round(end, 3), classes[k] if k >= 0 else None, sure))
    return tuple(found)
