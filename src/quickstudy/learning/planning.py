"""The plan of a run and the network it names, with trained weights where they can be had."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from quickstudy.catalog import Catalog
from quickstudy.errors import ChoiceError, WeightsError
from quickstudy.facts import Facts
from quickstudy.hardware import Hardware
from quickstudy.kinds import Preparation, planned
from quickstudy.kinds.table.columns import described
from quickstudy.learning.job import Job
from quickstudy.network import Built, Spec, build, hub, scores, weights
from quickstudy.network.hearing import Hearing
from quickstudy.network.own import PREFIX
from quickstudy.recipe import Offer, Recipe, SoundAugment, plan
from quickstudy.tasks import Task, task_of
from quickstudy.training import Lesson

#: Float32 GFLOP/s a core that planning assumes where the clock must decide nothing.
_NOMINAL = 50.0
_SHOWN = (
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


def plan_and_build(
    job: Job, catalog: Catalog, seen: Facts, machine: Hardware
) -> tuple[Recipe, Built]:
    """Return the recipe (as planned before a kill, if so) and the network with its weights."""
    recipe = job.recipe
    if recipe is None:
        known = machine
        if job.fixed_length:
            known = replace(machine, gigaflops=_NOMINAL * machine.cores)
        recipe = _plan(job, _of(seen, len(catalog)), known)
    job.keep_recipe(recipe)
    _say(job, recipe)
    how = planned(recipe, seen.seen)
    return recipe, build_network(recipe, len(catalog.classes), how, job.code, job.say)


def task_for(
    recipe: Recipe, catalog: Catalog, train: NDArray[np.int64], kept: NDArray[np.int64]
) -> Task:
    """Return what is asked; numbers on the scale of the training examples, but for a formula."""
    task = task_of(catalog.task, catalog.classes)
    if is_formula(recipe):
        return task
    return task.learning_from(catalog.truth[kept][train])


def is_formula(recipe: Recipe) -> bool:
    """Whether the network is a formula in the columns of a table."""
    name = recipe.network.name
    return recipe.kind == "table" and not name.startswith(PREFIX) and name not in ("tabm", "stack")


def learn_statistics(lesson: Lesson) -> None:
    """Let a network for tables see the training rows: their scales and words, and no others'."""
    module = lesson.network.module
    if hasattr(module, "fit_statistics"):
        rows = [lesson.decoded.piece(row) for row in lesson.train.tolist()]
        module.fit_statistics(np.concatenate(rows))


def build_network(
    recipe: Recipe,
    outputs: int,
    how: Preparation,
    code: Mapping[str, Any],
    say: Callable[[str], None] | None = None,
) -> Built:
    """Return the recipe's network as learning begins with it, where it computes."""
    torch.manual_seed(recipe.seed)
    torch.set_num_threads(recipe.compute.threads)
    network = build(spec_of(recipe, outputs, how, auxiliary=True), code.get("network"))
    if recipe.network.weights != "none":
        file = hub.fetch(recipe.network.weights, say or (lambda _: None))
        weights.put(network, weights.read(file), recipe.network.name)
    if isinstance(network.module, Hearing) and isinstance(recipe.augment, SoundAugment):
        network.module.mask.time = recipe.augment.mask_time
        network.module.mask.bands = recipe.augment.mask_bands
        _check_hears(network, recipe)
    network.module.to(recipe.compute.device)
    return network


def _check_hears(network: Built, recipe: Recipe) -> None:
    """Raise `ChoiceError` for a network that cannot take spectra."""
    how = planned(recipe)
    try:
        with torch.inference_mode():
            scores(network.module.eval(), how.prepare(how.blank(2, recipe.size)))
    except (RuntimeError, AssertionError, ValueError) as problem:
        raise ChoiceError(
            f"The network '{recipe.network.name}' cannot take spectra of {recipe.size:,} samples: "
            f"{str(problem).splitlines()[0] or type(problem).__name__}",
            "Choose another --network, or leave it out.",
        ) from problem


def _of(seen: Facts, examples: int) -> Facts:
    """Return the facts for the part of the examples that there is time to decode."""
    learnable = round(seen.learnable * examples / max(1, seen.examples))
    return replace(seen, examples=examples, learnable=learnable)


def spec_of(recipe: Recipe, outputs: int, how: Preparation, *, auxiliary: bool) -> Spec:
    """Return what builds the recipe's network again."""
    network = recipe.network
    return Spec(
        name=network.name,
        classes=outputs,
        size=recipe.size,
        width=network.width,
        dropout=network.dropout,
        auxiliary=auxiliary,
        sound=_spectra(recipe),
        activation=network.activation,
        depth=network.depth,
        stem=network.stem,
        channels=network.channels,
        stack=network.stack,
        table=_rows(recipe, how),
    )


def _rows(recipe: Recipe, how: Preparation) -> dict[str, Any] | None:
    if recipe.table is None:
        return None
    return {**described(how.columns), "members": recipe.table.members, "bins": recipe.table.bins}


def _spectra(recipe: Recipe) -> dict[str, Any] | None:
    how = recipe.sound
    if how is None:
        return None
    return {name: getattr(how, name) for name in ("rate", "fft", "hop", "mels", "low", "high")}


def _plan(job: Job, seen: Facts, machine: Hardware) -> Recipe:
    """Plan; where the hub promised weights and then failed, plan again without."""
    name = job.own.get("network.name", (None, ""))[0]
    asked = job.own.get("network.weights", (None, ""))[0]
    found: list[Offer] = []
    none_why = ""
    if seen.kind != "image" or (seen.picture.short_side < 32 and name is None and asked is None):
        pass  # trained networks expect photographs: no need to look
    elif _unpublished(name):
        none_why = "this network is your own"
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
    if seen.kind == "image" and name != "compact" and not _unpublished(name):
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
        choice = choices[key]
        value = f"{choice.value}{unit}"
        value = value.rpartition("/")[2] if key == "network.weights" else value
        job.say(f"  {word:<10}  {value:<26}  {choice.why}")
