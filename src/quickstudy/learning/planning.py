"""The plan of a run and the network it names, with trained weights where they can be had."""

from __future__ import annotations

from dataclasses import replace

from quickstudy.catalog import Catalog
from quickstudy.errors import WeightsError
from quickstudy.facts import Facts
from quickstudy.folders import room
from quickstudy.hardware import Hardware
from quickstudy.kinds import planned
from quickstudy.learning.building import build_network
from quickstudy.learning.choosing import refuse_formula
from quickstudy.learning.graphs import (
    check_graph,
    fixed_by_graph,
    is_graph,
    offer_of_graph,
    offered,
)
from quickstudy.learning.job import Job
from quickstudy.network import Built, hub
from quickstudy.network.own import PREFIX
from quickstudy.recipe import Offer, Recipe, plan

#: Float32 GFLOP/s a core that planning assumes where the clock must decide nothing.
_NOMINAL = 50.0
_SHOWN = (
    ("task", "task", ""),
    ("network", "network.name", ""),
    ("weights", "network.weights", ""),
    ("picture", "picture.size", " px"),
    ("rate", "sound.rate", " Hz"),
    ("window", "sound.window", " s"),
    ("bands", "sound.mels", ""),
    ("method", "method", ""),
    ("optimiser", "optimizer.name", ""),
    ("mirror", "augment.mirror", ""),
    ("speed", "augment.speed", ""),
    ("rehearsal", "rehearsal", ""),
)  # those that this kind has
_UNSAID = {"task": ("classification",)}


def plan_and_build(
    job: Job, catalog: Catalog, seen: Facts, machine: Hardware
) -> tuple[Recipe, Built]:
    """Return the recipe (as planned before a kill, if so) and the network with its weights."""
    recipe = job.recipe
    if recipe is None:
        known = machine
        if job.fixed_length:
            known = replace(machine, gigaflops=_NOMINAL * machine.cores)
        recipe = _plan(job, _of(seen, len(catalog), room(job.cache)), known)
    job.keep_recipe(recipe)
    _say(job, recipe)
    how = planned(recipe, seen.seen)
    return recipe, build_network(recipe, len(catalog.classes), how, job.code, job.say)


def _of(seen: Facts, examples: int, free: float) -> Facts:
    """Return the facts for the part of the examples that there is time to decode."""
    learnable = round(seen.learnable * examples / max(1, seen.examples))
    return replace(seen, examples=examples, learnable=learnable, room=free)


def _plan(job: Job, seen: Facts, machine: Hardware) -> Recipe:
    """Plan; where the hub promised weights and then failed, plan again without."""
    name = job.own.get("network.name", (None, ""))[0]
    asked = job.own.get("network.weights", (None, ""))[0]
    found: list[Offer] = []
    none_why = ""
    graph = name is not None and is_graph(name)
    if name is not None and not graph and not _unpublished(name):
        refuse_formula(name, seen.kind)
    if graph:
        check_graph(seen.kind)
    if graph and asked is None and seen.kind == "image":
        asked = name
        job.own["network.weights"] = (name, "the weights in your file")
    if seen.kind != "image" or (seen.picture.short_side < 32 and name is None and asked is None):
        pass  # trained networks expect photographs: no need to look
    elif _unpublished(name):
        none_why = "this network is your own"
    elif name is not None and graph:
        found = offered(name, asked)
    else:
        found, none_why = hub.offers(name, asked)
        if none_why and asked != "none" and name != "compact":
            job.say(f"  {none_why}: learning from scratch")
    if asked is not None and asked != "none" and found and name is None:
        job.own["network.name"] = (found[0].network, "named by the weights file")
    recipe = _planned(job, seen, machine, found, none_why)
    if recipe.network.weights.startswith("hub:"):
        try:
            hub.fetch(recipe.network.weights, job.say)
        except WeightsError as problem:
            job.say(f"  {problem.message} Learning from scratch.")
            return _planned(job, seen, machine, [], problem.message)
    return recipe


def _unpublished(name: str | None) -> bool:
    """Whether nobody publishes weights for such a network: a stack, or code."""
    return name is not None and (name == "stack" or name.startswith(PREFIX))


def _planned(job: Job, seen: Facts, machine: Hardware, found: list[Offer], none_why: str) -> Recipe:
    own = dict(job.own)
    if found and own.get("network.weights", ("none", ""))[0] != "none":
        # the offer knows the file's whole path; the reason stays
        own["network.weights"] = (found[0].weights, own["network.weights"][1])
    name = str(own.get("network.name", ("compact", ""))[0])
    native = None
    if is_graph(name):
        native = offer_of_graph(name).size
        for key, choice in fixed_by_graph(name).items():
            if seen.kind == "image" or not key.startswith("picture."):
                own.setdefault(key, choice)
    elif seen.kind == "image" and name != "compact" and not _unpublished(name):
        native = hub.described(name).size
    return plan(
        seen, machine, job.budget, found, seed=job.seed, own=own, no_offer=none_why, native=native
    )


def _say(job: Job, recipe: Recipe) -> None:
    job.say(f"Plan (every choice and its reason: {job.folder / 'recipe.yaml'})")
    choices = recipe.choices()
    for word, key, unit in _SHOWN:
        if key not in choices or (key == "rehearsal" and not choices[key].value):
            continue
        if choices[key].value in _UNSAID.get(key, ()):
            continue
        choice = choices[key]
        value = f"{choice.value}{unit}"
        value = value.rpartition("/")[2] if key == "network.weights" else value
        job.say(f"  {word:<10}  {value:<26}  {choice.why}")
