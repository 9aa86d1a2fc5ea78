"""The search itself: the plan's own recipe first, then many short trials, then the best for longer.

One process leads: it says in which rung the trials are, and begins again those cut short. Others
that join run trials beside it. Nothing here looks at the test: a trial ends before it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from quickstudy.cluster import Connected
from quickstudy.learning.job import Job
from quickstudy.progress import Progress
from quickstudy.recipe import Recipe
from quickstudy.search import leaderboard as boards
from quickstudy.search.keeping import Search, still
from quickstudy.search.members import prune
from quickstudy.search.one import NO_TIME
from quickstudy.search.rungs import LEAST, LONGER, rungs, too_short
from quickstudy.search.space import merged, read
from quickstudy.search.study import Study, values
from quickstudy.search.tasks import WITHOUT, Task, task
from quickstudy.search.trials import GO_ON, Outcome, longest, run_trial

_WAIT = 0.5  # seconds
_TELL = 2.0  # seconds between words on how far the search is: they are kept in its log
_CHECKED = (0.5, 0.75)  # shares of a trial's time at which it may be pruned


@dataclass
class Searching:
    """One process at work on a search: its leader, or one that helps."""

    search: Search
    job: Job
    study: Study
    recipe: Recipe
    """As planned for the last learning."""
    leads: bool = True
    ray: Connected | None = None
    """The cluster that trials run on; None: in this process."""
    score_name: str = "accuracy"
    best: float | None = None
    ran: int = 0
    ticked: float = -_TELL
    importance: tuple[dict[str, float], int] = field(default_factory=lambda: ({}, 0))

    @property
    def few(self) -> bool:
        """Whether trials are few and long: with trained weights each runs the whole body first."""
        return self.recipe.method != "scratch"

    @property
    def workers(self) -> int:
        """How many trials run at a time."""
        return self.ray.slots() if self.ray is not None else self.job.crew.world

    def spent(self) -> float:
        """Return the seconds on the search's clock."""
        return self.job.clock.spent() if self.leads else self.search.now()

    def keep(self) -> None:
        """Write where the search stands; only its leader does."""
        if self.leads:
            self.search.told = self.tell()
            self.search.keep(self.spent())
            self.job.keep()
            if self.search.keeps:
                prune(self.search.folder, self.search.told["board"])
            still(self.search.folder)

    def plan_first(self, until: float) -> None:
        """Try the plan's own recipe, for longer where that tells too little; open the space."""
        search, least = self.search, LEAST
        asked = read(search.asked)
        merged(self.recipe, asked, set(search.own))  # refused before time is spent
        self.job.made = False  # from here on nothing may remove the folder
        if until - self.spent() < LEAST and not self.job.fixed_length:
            self.say("  looking and decoding have left no time for trials")
            return
        while True:
            left = rungs(self.spent(), until, search.trials, few=self.few, least=least)
            search.rungs = (left[-1],) if self.job.fixed_length else left
            outcome = self._plan_tried()
            if outcome.state == "STOPPED":
                return
            passes = outcome.told.get("passes") if outcome.told else None
            late = outcome.seconds > longest(left[0].seconds)
            if outcome.state == "FAIL" and (late or outcome.why == NO_TIME):
                passes = 0.0  # a computer that is slow, or busy
            if self.job.fixed_length or not too_short(passes, left, until - self.spent()):
                break
            least = LONGER * left[0].seconds
            self.say(f"  {passes:.1f} passes over the examples tell too little: longer trials")
        settled = dict(outcome.told["settled"]) if outcome.told else {}
        search.settled |= _settled(self.recipe, settled)
        plan = self.planned()
        search.space = merged(self.recipe_measured(), asked, set(search.own))
        self.study.add(search.space, plan, {"rung": 0, "plan": True, **_attributes(outcome)})
        self.ended(0, 0, {"plan": True}, outcome)
        search.stage, search.rung = "race", 0
        self.keep()

    def _plan_tried(self) -> Outcome:
        ended: list[Outcome] = []
        self.run_all([task(self, None, 0, ended.append)])
        return ended[0] if ended else Outcome("STOPPED", 0.0)

    def recall(self) -> None:
        """Know again what a search that goes on had found."""
        self.score_name = str(self.search.told.get("score_name", self.score_name))
        rows = boards.board(self.study, self.search.space)
        scores = [row["val_score"] for row in rows if row["val_score"] is not None]
        self.best = max(scores, default=None)
        self.ran = sum(row["state"] != "running" for row in rows)

    def planned(self) -> dict[str, Any]:
        """Return the plan's own values, with what its trial has settled."""
        choices = {key: choice.value for key, choice in self.recipe.choices().items()}
        return {**choices, **self.search.settled}

    def recipe_measured(self) -> Recipe:
        """Return the plan's recipe with the learning rate that its trial found."""
        rate = self.search.settled.get("optimizer.lr")
        if rate is None:
            return self.recipe
        return self.recipe.decided("optimizer.lr", rate, "measured")

    def run_all(self, tasks: Iterable[Task | None]) -> None:
        """Run trials: one after the other here, or several at a time on a cluster."""
        if self.ray is not None:
            from quickstudy.search.on_ray import run_on_ray

            run_on_ray(self.ray, iter(tasks), self.stopping)
            return
        for one in tasks:
            if one is None:
                self.tick()
                time.sleep(_WAIT)
            else:
                one.ended(run_trial(one.folder, one.spec, one.limit, one.watch))

    def stopping(self) -> bool:
        """Tell how far the search is; return whether somebody has stopped it."""
        self.tick()
        return self.job.stop.asked

    def watching(self, trial: Any, rung: int) -> Any:
        """Return what hears how a trial goes, tells it, and says when it is to stop."""
        reported: set[float] = set()

        def watch(share: float, val: float | None) -> tuple[str, str]:
            self.tick(val)
            if self.job.stop.asked:
                return "STOPPED", "stopped by Ctrl-C"
            if trial is None or rung > 0 or trial.user_attrs.get("plan") or val is None:
                return GO_ON
            for at in _CHECKED:
                if share >= at and at not in reported:
                    reported.add(at)
                    trial.report(val, round(100 * at))
                    if trial.should_prune():
                        said = boards.score_words(self.score_name, val)
                        return "PRUNED", f"{said} on val after {100 * at:.0f} % of its time"
            return GO_ON

        return watch

    def tick(self, val: float | None = None) -> None:
        """Tell how far the search is."""
        if self.leads:
            still(self.search.folder)
        spent = self.spent()
        if spent - self.ticked < _TELL:
            return
        self.ticked = spent
        best = self.best if self.best is not None else val
        self.job.listen(
            Progress(
                "search",
                spent,
                min(1.0, spent / self.search.budget),
                max(0.0, self.search.budget - spent),
                None,
                best,
                self.score_name,
            )
        )

    def say(self, line: str) -> None:
        """Say a line as it is."""
        self.job.say(line)

    def finish(self, trial: Any, rung: int, outcome: Outcome) -> None:
        """Keep how a trial went."""
        told = _attributes(outcome)
        if outcome.state == "STOPPED":
            self.study.tell(trial, "FAIL", {"why": outcome.why})
            again = {"plan": True} if trial.user_attrs.get("plan") else {}
            root = trial.user_attrs.get("again")
            again |= {} if root is None else {"again": root}
            self.study.wait_for(trial.params, rung=rung, **again)
            return
        self.study.tell(trial, outcome.state, told)
        self.ended(trial.number, rung, trial.user_attrs, outcome, values(self.search.space, trial))
        self.keep()

    def ended(
        self,
        number: int,
        rung: int,
        attributes: Mapping[str, Any],
        outcome: Outcome,
        changed: Mapping[str, Any] | None = None,
    ) -> None:
        """Say how a trial went, in a line."""
        self.ran += 1
        told = outcome.told or {}
        self.score_name = str(told.get("score_name", self.score_name))
        score = told.get("score")
        better = score is not None and (self.best is None or score > self.best)
        self.best = score if better else self.best
        name = f"trial {number}"
        if attributes.get("again") is not None:
            name += f" (trial {attributes['again']} again)"
        what = "the plan's own recipe" if attributes.get("plan") else ""
        what = what or boards.differs_words(changed or {})
        words = boards.score_words(self.score_name, score)
        if outcome.state != "COMPLETE":
            words = {"PRUNED": "pruned", "FAIL": "failed"}.get(outcome.state, outcome.state.lower())
            words += f" ({outcome.why})" if outcome.why else ""
        mark = ", best so far" if better else ""
        self.say(f"  {name}: {words} in {outcome.seconds:.0f} s{mark}   {what}")

    def tell(self) -> dict[str, Any]:
        """Return what the report tells of the search."""
        search = self.search
        rows = boards.board(self.study, search.space) if search.space else []
        plan = [row for row in rows if row["plan"] and row["state"] == "done"]
        best = boards.winner(rows)
        shares, among = self.importance
        order = sorted(shares, key=lambda key: -shares[key])
        told: dict[str, Any] = {
            "score_name": self.score_name,
            "budget": search.budget,
            "seconds": round(self.spent(), 1),
            "recipes": boards.recipes(rows),
            "winner": best["number"] if best else None,
            "plan": max(plan, key=lambda row: row["rung"])["number"] if plan else None,
            "importance": [{"key": key, "share": shares[key]} for key in order],
            "importance_of": among,
            "rungs": [round(one.seconds, 1) for one in search.rungs],
            "board": rows,
        }
        return {**told, "sentences": boards.sentences(told) if rows else []}


def _settled(recipe: Recipe, found: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a trial measured that the plan had left open."""
    choices = {key: choice.value for key, choice in recipe.choices().items()}
    fixed = {*WITHOUT, "budget"}
    return {
        key: value
        for key, value in found.items()
        if key not in fixed
        and choices.get(key, "") in (None, "auto")
        and value not in (None, "auto")
    }


def _attributes(outcome: Outcome) -> dict[str, Any]:
    told = outcome.told or {}
    found = {"seconds": round(outcome.seconds, 2), "why": outcome.why}
    found |= {key: told[key] for key in ("score", "loss", "passes") if key in told}
    return {key: value for key, value in found.items() if value not in ("", None)}
