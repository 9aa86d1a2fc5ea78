"""What is heard when: the answers of a sliding window -> segments of a long recording."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quickstudy.prediction import Segment

Floats = NDArray[np.floating[Any]]

#: How much likelier another class must be, over all of its time, than the one before and after it.
_SWITCH = math.log(3)
_BATCH = 32  # windows asked about together
_QUIET_BESIDE, _QUIET = 10 ** (-50 / 20), 1e-4  # of the loudest moment; of full scale (-80 dB)


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
        if round(start, 3) >= round(seconds, 3):
            continue
        sure = float(each[first:last, k].mean()) if k >= 0 else 0.0
        end = seconds if last == len(label) else end
        found.append(Segment(round(start, 3), round(end, 3), classes[k] if k >= 0 else None, sure))
    return tuple(found)


def timeline(
    values: NDArray[Any],
    rate: int,
    view: Callable[[NDArray[Any]], NDArray[Any]],
    ask: Callable[[NDArray[Any]], NDArray[np.float32]],
    classes: tuple[str, ...],
    *,
    hop: int,
    across: int,
) -> tuple[Segment, ...]:
    """Return what is heard when in samples ``T`` at `rate` Hz.

    A window of `across` hops of `hop` samples slides through; `view` makes of it what the network
    takes, `ask` returns the probabilities ``V K`` of many.
    """
    hops = max(across, -(-len(values) // hop))
    found = []
    for first in range(0, hops - across + 1, _BATCH):
        places = range(first, min(first + _BATCH, hops - across + 1))
        views = [view(values[place * hop : (place + across) * hop]) for place in places]
        found.append(ask(np.stack(views)))
    levels = np.zeros(hops)
    for place in range(-(-len(values) // hop)):
        end = min((place + 1) * hop, len(values))  # the last one is as long as the others
        heard = values[max(0, end - hop) : end].astype(np.float32)
        levels[place] = np.sqrt(np.mean(heard**2))
    return segments(
        np.concatenate(found),
        levels,
        classes,
        across=across,
        hop=hop / rate,
        seconds=len(values) / rate,
    )
