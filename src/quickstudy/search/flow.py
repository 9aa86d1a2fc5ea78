"""The flow of a search, a line or two a stage: look and plan, try, learn by the best recipe."""

from __future__ import annotations

import os

from quickstudy import decoding, kinds
from quickstudy.cluster import SEARCH, Connected, Group
from quickstudy.errors import ChoiceError, RunError
from quickstudy.evaluation import percent
from quickstudy.hardware import usable_cores
from quickstudy.learning import Run, begun, learn, streaming, taught
from quickstudy.learning.ending import conclude
from quickstudy.learning.job import Job, told
from quickstudy.recipe import KEYS, Recipe
from quickstudy.search import halving
from quickstudy.search import leaderboard as boards
from quickstudy.search.distilling import untaught
from quickstudy.search.keeping import Search
from quickstudy.search.members import drop
from quickstudy.search.searching import Searching
from quickstudy.search.selecting import MOST
from quickstudy.search.shipping import shipped
from quickstudy.search.study import Study

#: What the last learning does without: the search has done that.
_DONE = {"race": (1, "the search has raced recipes already")}


def searched(search: Search, job: Job, there: Connected | None) -> Run:
    """Search, then learn: return the run. `there` is the cluster to do both on, if any."""
    job.resumed_by = "tune"
    if there is not None:
        from quickstudy.search.on_ray import check_reach

        check_reach(there, search.folder, search.source, told(job.test))
    if search.stage == "prepare":
        job.recipe = prepared(search, job, there)
        search.keep(job.clock.spent())
    if search.stage != "learn":
        with job.stage("search"):
            _search(search, job, there)
    if there is not None and not search.keeps:
        source = job.source if told(job.source) is None else None  # a path is known there
        return learn(source, on=there.on, resume=search.folder, listen=job.listen)
    if there is not None:
        _bring_home(job)
    looks = MOST if search.ensemble else 1
    run = conclude(shipped(search, taught(job, looks=looks, later=search.distilling)))
    if not job.stop.asked:
        drop(search.folder)
    return run


def _bring_home(job: Job) -> None:
    """Have the last learning use all of this computer: what ships is put together here."""
    job.say("  The last learning runs on this computer, where what ships is put together")
    if job.recipe is not None and "compute.threads" not in job.own:
        job.keep_recipe(job.recipe.decided("compute.threads", "auto", "learnt on one computer"))


def prepared(search: Search, job: Job, there: Connected | None) -> Recipe:
    """Look, plan for the last learning's time, and decode once for all trials."""
    job.budget = search.final
    catalog, machine, seen, recipe, _ = begun(job)
    with job.stage("decode"):
        how = kinds.planned(recipe, seen.seen)
        catalog = streaming.divided(job, catalog, recipe, how, machine.cores)
        by = recipe.compute.device if recipe.epochs is None else "cpu"  # as `taught` does
        decoding.decode(catalog, how, job.cache, machine.cores, job.progress("decode"), by)
    if search.distil and (why := untaught(recipe, job.stream is not None)):
        raise ChoiceError(f"--distil is not to be had: {why}.", "Leave it out.")
    job.budget = search.budget
    share = percent(1 - (search.final + search.distilling) / search.budget)
    recipe = recipe.decided("budget", search.budget, f"you gave it: {share} % is for the search")
    for key, (value, why) in _DONE.items():
        if key in KEYS:
            recipe = recipe.decided(key, value, why)
    if there is not None and "compute.threads" not in job.own:
        recipe = recipe.decided("compute.threads", there.threads, "the cores of each worker")
    job.keep_recipe(recipe)
    return recipe


def _search(search: Search, job: Job, there: Connected | None) -> None:
    recipe = job.recipe
    if recipe is None:
        raise RunError("The search has lost its plan.", "Search again: quickstudy tune SOURCE")
    study = Study(search.folder, search.storage, job.seed, search.name)
    at = Searching(search, job, study, recipe, ray=there)
    if isinstance(job.crew, Group) and "compute.threads" not in job.own:
        search.settled["compute.threads"] = max(1, usable_cores() // job.crew.sharing)
    if search.stage == "prepare":
        at.plan_first(search.budget - search.final - search.distilling)
    else:
        at.recall()
        halving.revive(at)
    if isinstance(job.crew, Group) and search.stage == "race":
        job.crew.tell(SEARCH)
        job.crew.send({"folder": str(search.folder.absolute())}, {})
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
    job.own.setdefault("batch", (recipe.batch, "as the trials had it"))
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
