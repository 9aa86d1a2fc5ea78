"""The flow of a search, a line or two a stage: look and plan, try, learn by the best recipe."""

from __future__ import annotations

import os
import shlex

from quickstudy import decoding, kinds
from quickstudy.errors import RunError
from quickstudy.learning import Run, begun, streaming, taught
from quickstudy.learning.ending import conclude
from quickstudy.learning.job import Job
from quickstudy.recipe import KEYS, Recipe
from quickstudy.search import halving
from quickstudy.search import leaderboard as boards
from quickstudy.search.keeping import Search
from quickstudy.search.rungs import FINAL
from quickstudy.search.searching import Searching
from quickstudy.search.study import Study

#: What the last learning does without: the search has done that.
_DONE = {"race": (1, "the search has raced recipes already")}


def searched(search: Search, job: Job) -> Run:
    """Search, then learn: return the run."""
    if search.stage == "prepare":
        try:
            job.recipe = prepared(search, job)
        except RunError as problem:
            if not job.stop.asked:
                raise
            again = f"Go on with: quickstudy tune --resume {shlex.quote(str(job.folder))}"
            raise RunError("Stopped before anything was tried.", again) from problem
        search.keep(job.clock.spent())
    if search.stage != "learn":
        with job.stage("search"):
            _search(search, job)
    return conclude(taught(job))


def prepared(search: Search, job: Job) -> Recipe:
    """Look, plan for the last learning's time, and decode once for all trials."""
    job.budget = search.budget * FINAL
    catalog, machine, seen, recipe, _ = begun(job)
    with job.stage("decode"):
        how = kinds.planned(recipe, seen.seen)
        catalog = streaming.divided(job, catalog, recipe, how, machine.cores)
        decoding.decode(catalog, how, job.cache, machine.cores, job.progress("decode"))
    job.budget = search.budget
    recipe = recipe.decided("budget", search.budget, "you gave it: half of it is for the search")
    for key, (value, why) in _DONE.items():
        if key in KEYS:
            recipe = recipe.decided(key, value, why)
    job.keep_recipe(recipe)
    return recipe


def _search(search: Search, job: Job) -> None:
    recipe = job.recipe
    if recipe is None:
        raise RunError("The search has lost its plan.", "Search again: quickstudy tune SOURCE")
    study = Study(search.folder, search.storage, job.seed, search.name)
    at = Searching(search, job, study, recipe)
    if search.stage == "prepare":
        at.plan_first(search.budget * (1 - FINAL))
    else:
        at.recall()
        halving.revive(at)
    if not job.stop.asked:
        halving.halve(at)
    if job.stop.asked:
        at.keep()
        raise halving.stopped(at)
    at.importance = study.importances(search.space)
    best = halving.winning(at)
    search.stage = "learn"
    at.keep()
    for line in search.told["sentences"]:
        job.say(line)
    job.keep_recipe(_found(at, best))


def helped(search: Search, job: Job) -> int:
    """Run trials of a search that another process leads; return how many."""
    if job.recipe is None or search.stage == "prepare":
        raise RunError("That search has nothing to help with yet.", "Wait for its first trial.")
    study = Study(search.folder, search.storage, job.seed + os.getpid(), search.name)
    at = Searching(search, job, study, job.recipe, leads=False)
    halving.help_out(at)
    return at.ran


def _found(at: Searching, best: boards.Row | None) -> Recipe:
    """Return the plan with what the best trial changed, each with its reason."""
    recipe, job = at.recipe, at.job
    if best is None or best["plan"]:
        return recipe
    why = (
        f"found by tune: trial {boards.root(best)} of {at.search.told['recipes']}, "
        f"{boards.score_words(at.score_name, best['val_score'])} on val"
    )
    for key, value in best["differs"].items():
        recipe = recipe.decided(key, value, why)
        job.own[key] = (value, why)
    return recipe
