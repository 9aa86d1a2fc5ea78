"""From rung to rung: many short trials, then the best of them for longer, to the winner."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Mapping
from typing import Any

from quickstudy.errors import RunError
from quickstudy.search import leaderboard as boards
from quickstudy.search.rungs import Rung
from quickstudy.search.searching import Searching
from quickstudy.search.tasks import task

_LEAST_AGAIN = 2  # trials of a rung: the plan's own and the best other


def halve(at: Searching) -> None:
    """Run trials, rung by rung, until the search's time is spent or all are run."""
    at.run_all(task(at, *one) if one else None for one in _upcoming(at))


def _upcoming(at: Searching) -> Iterator[tuple[Any, int] | None]:
    """Yield the next trial and its rung; None as long as others must end before there is one."""
    while at.search.rungs and not _stopped(at):
        rung = at.search.rungs[at.search.rung]
        if one := _next(at, rung):
            yield one
        elif at.study.trials("RUNNING"):
            _give_up(at, rung)
            yield None
        elif at.search.rung + 1 == len(at.search.rungs) or not _promote(at):
            return


def help_out(at: Searching) -> None:
    """Run trials beside the process that leads, until it says that the search is over."""
    while not _stopped(at):
        at.search.again()
        if at.search.stage == "learn":
            return
        one = None
        if at.search.stage == "race":
            one = _next(at, at.search.rungs[at.search.rung])
        at.run_all([task(at, *one) if one else None])


def _stopped(at: Searching) -> bool:
    return at.job.stop.asked


def _next(at: Searching, rung: Rung) -> tuple[Any, int] | None:
    """Return the next trial and its rung; None where there is none, or no time for it."""
    search, number = at.search, at.search.rung
    if number == 0:
        tried = [t for t in at.study.trials() if t.user_attrs.get("rung") == 0]
        waiting = [t for t in tried if t.state.name == "WAITING"]
        full = search.trials is not None and len(tried) - len(waiting) >= search.trials
        if full or not rung.has_time(at.spent()):
            return None
        trial = at.study.ask_first(search.space, at.planned())
    else:
        if not at.study.trials("WAITING"):
            return None
        trial = at.study.ask(search.space)
    its = trial.user_attrs.get("rung", -1)
    if its < number:  # another process was quicker, and this one is new
        at.study.tell(trial, "FAIL", {"why": boards.HIDDEN})
        return _next(at, rung)
    return trial, its


def _give_up(at: Searching, rung: Rung) -> None:
    """Begin again those trials of other processes that must have ended."""
    longest = at.search.budget if at.job.fixed_length else 2 * rung.seconds + 60
    for trial in at.study.trials("RUNNING"):
        began = trial.datetime_start
        if began is not None and time.time() - began.timestamp() > longest:
            at.study.give_up(trial)


def _promote(at: Searching) -> bool:
    """Let the best of this rung wait for the next one, and the plan's own; False where none did."""
    search = at.search
    here, above = search.rung, search.rungs[search.rung + 1]
    rows = boards.ranked(boards.board(at.study, search.space), here)
    others = [row for row in rows if not row["plan"]]
    if not others:
        return False
    fitting = max(_LEAST_AGAIN, at.workers * above.fitting(at.spent()))
    plan = [row for row in rows if row["plan"]][:1]
    chosen = [others[0], *plan, *others[1:]][:fitting]
    by_number = {trial.number: trial for trial in at.study.trials()}
    search.rung = here + 1
    at.keep()  # before they wait: whoever takes one must know the rung
    for row in chosen:
        told: dict[str, Any] = {"rung": search.rung, "again": boards.root(row)}
        told |= {"plan": True} if row["plan"] else {}
        at.study.wait_for(by_number[row["number"]].params, **told)
    names = ", ".join(str(boards.root(row)) for row in chosen)
    at.say(f"  Again, with {above.seconds:.0f} s each: trials {names} (0 is the plan's own)")
    return True


def revive(at: Searching) -> None:
    """Begin again, in a search that goes on, the trials whose process is no more."""
    for trial in at.study.trials("RUNNING"):
        at.study.give_up(trial)


def stopped(at: Searching) -> RunError:
    """Return the word for a search that somebody stopped."""
    best = "" if at.best is None else f", best {boards.score_words(at.score_name, at.best)} on val"
    return RunError(
        f"Stopped after {at.ran} trials{best}: all are kept.",
        f"Go on with: quickstudy tune --resume {shlex.quote(str(at.search.folder))}",
    )


def winning(at: Searching) -> Mapping[str, Any] | None:
    """Return the row of the trial whose recipe is learnt in the end; None where all failed."""
    return boards.winner(boards.board(at.study, at.search.space))
