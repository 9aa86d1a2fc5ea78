"""The trials as a table: what differed, how they did, what the plan's own recipe scored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from quickstudy.evaluation import percent
from quickstudy.search.space import Space
from quickstudy.search.study import Study, values, worth

Row: TypeAlias = Mapping[str, Any]

_STATES = {"COMPLETE": "done", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running"}
#: Why of a trial that was asked for and not begun.
HIDDEN = "left out"


def board(study: Study, space: Space) -> list[dict[str, Any]]:
    """Return all trials that were begun: those with the longest time first, the best on top."""
    rows = [_row(trial, space) for trial in study.trials(*_STATES)]
    rows = [row for row in rows if row["why"] != HIDDEN]
    return sorted(rows, key=_place)


def _row(trial: Any, space: Space) -> dict[str, Any]:
    told = trial.user_attrs
    state = _STATES[trial.state.name]
    why = told.get("why", "")
    if state == "failed" and not why:
        why = "its search was cut short"
    return {
        "number": trial.number,
        "again": told.get("again"),
        "rung": told.get("rung", 0),
        "state": state,
        "why": why,
        "plan": bool(told.get("plan")),
        "val_score": told.get("score"),
        "val_loss": told.get("loss"),
        "seconds": told.get("seconds"),
        "passes": told.get("passes"),
        "differs": {} if told.get("plan") else values(space, trial),
    }


def _place(row: Mapping[str, Any]) -> tuple[Any, ...]:
    states = list(_STATES.values())
    done = row["state"] == "done"
    return (-row["rung"], states.index(row["state"]), -_worth(row) if done else row["number"])


def _worth(row: Mapping[str, Any]) -> float:
    return worth(row["val_score"], row["val_loss"])


def ranked(rows: Iterable[Mapping[str, Any]], rung: int) -> list[Mapping[str, Any]]:
    """Return the trials that ended in a rung, the best first; of equals the plan's own."""
    ended = [row for row in rows if row["rung"] == rung and row["state"] == "done"]
    return sorted(ended, key=lambda row: (-_worth(row), not row["plan"], row["number"]))


def winner(rows: list[dict[str, Any]]) -> Mapping[str, Any] | None:
    """Return the best trial of the highest rung in which any ended; None where all failed."""
    for rung in sorted({row["rung"] for row in rows}, reverse=True):
        if ended := ranked(rows, rung):
            return ended[0]
    return None


def root(row: Mapping[str, Any]) -> int:
    """Return the number of the trial that first had a trial's recipe."""
    return int(row["number"] if row["again"] is None else row["again"])


def recipes(rows: Iterable[Mapping[str, Any]]) -> int:
    """Return how many recipes were tried."""
    return len({root(row) for row in rows})


def score_words(name: str, value: float | None) -> str:
    """Return a score as people read it.

    >>> score_words("accuracy", 0.987), score_words("R2", 0.5), score_words("R2", None)
    ('98.7 %', 'R2 0.500', '-')
    """
    if value is None:
        return "-"
    return f"{percent(value)} %" if name == "accuracy" else f"{name} {value:.3f}"


def differs_words(differs: Mapping[str, Any], most: int = 6) -> str:
    """Return what differs in short words.

    >>> differs_words({"optimizer.lr": 0.004213, "batch": 32})
    'lr 0.00421, batch 32'
    """
    words = [f"{key.rpartition('.')[2]} {short(value)}" for key, value in differs.items()]
    return ", ".join(words[:most]) + (", ..." if len(words) > most else "")


def short(value: Any) -> str:
    """Return a value with three digits at most.

    >>> short(0.123456), short(16), short("adamw")
    ('0.123', '16', 'adamw')
    """
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def sentences(told: Mapping[str, Any]) -> list[str]:
    """Return what the search found, in words: the winner, and what mattered."""
    rows = {row["number"]: row for row in told["board"]}
    best, plan = rows.get(told["winner"]), rows.get(told["plan"])
    name, count = told["score_name"], told["recipes"]
    lines = []
    if best is None:
        return ["No trial came to an end: the plan's own recipe is learnt."]
    if count == 1:
        lines.append("There was time for no recipe but the plan's own: it was kept.")
    elif best["plan"]:
        lines.append(
            f"None of {count - 1} other recipes did better on val than the plan's own "
            f"({score_words(name, best['val_score'])} in {best['seconds']:.0f} s): it was kept."
        )
    else:
        time = f"in {best['seconds']:.0f} s"
        if plan is not None and plan["rung"] == best["rung"]:
            beside = score_words(name, plan["val_score"])
            time = f"against {beside} of the plan's own, {time} each"
            time += ", with a lower loss" * (beside == score_words(name, best["val_score"]))
        lines.append(
            f"The recipe of trial {root(best)}, of {count} tried, was best on val: "
            f"{score_words(name, best['val_score'])}, {time}."
        )
    if told["importance"]:
        first = told["importance"][0]
        lines.append(
            f"Of what was varied, {first['key']} mattered most: {percent(first['share'])} % of the "
            f"differences among {told['importance_of']} trials of equal time."
        )
    else:
        lines.append(
            f"Too few trials ended ({told['importance_of']}) to tell which choice mattered most."
        )
    return lines
