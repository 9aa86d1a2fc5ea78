"""The network of a recipe as learning begins with it: built, with trained weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from quickstudy.catalog import Catalog
from quickstudy.errors import ChoiceError
from quickstudy.kinds import Preparation
from quickstudy.kinds.table.columns import described
from quickstudy.learning.graphs import graph_of, is_graph, put_graph
from quickstudy.network import Built, Spec, build, hub, scores, weights
from quickstudy.network.hearing import Hearing
from quickstudy.network.own import PREFIX
from quickstudy.recipe import Recipe, SoundAugment, is_formula
from quickstudy.tasks import Task, task_of
from quickstudy.training import Lesson


def task_for(
    recipe: Recipe, catalog: Catalog, train: NDArray[np.int64], kept: NDArray[np.int64]
) -> Task:
    """Return what is asked; numbers on the scale of the training examples, but for a formula."""
    task = task_of(catalog.task, catalog.classes)
    if is_formula(recipe.network.name, recipe.kind):
        return task
    return task.learning_from(catalog.truth[kept][train])


def learn_statistics(lesson: Lesson) -> None:
    """Let a network for tables see the training rows: their scales and words, and no others'."""
    module: Any = lesson.network.module
    if hasattr(module, "fit_statistics"):
        module.fit_statistics(lesson.decoded.pieces(lesson.train)[:, 0])


def build_network(
    recipe: Recipe,
    outputs: int,
    how: Preparation,
    code: Mapping[str, Any],
    say: Callable[[str], None] | None = None,
) -> Built:
    """Return the recipe's network as learning begins with it, where it computes."""
    if (
        is_formula(recipe.network.name, recipe.kind)
        and recipe.task != "classification"
        and outputs > 1
    ):
        raise ChoiceError(
            f"One formula gives one number, not {outputs}.",
            "Learn one column at a time, or leave --network out.",
        )
    torch.manual_seed(recipe.seed)
    if recipe.compute.threads != "auto":  # else as `quicken` set them, until training begins
        torch.set_num_threads(recipe.compute.threads)
    network = build(spec_of(recipe, outputs, how, auxiliary=True), code.get("network"))
    if is_graph(recipe.network.weights):
        put_graph(network, recipe.network.weights)
    elif recipe.network.weights != "none":
        file = hub.fetch(recipe.network.weights, say or (lambda _: None))
        weights.put(network, weights.read(file), recipe.network.name)
    if isinstance(network.module, Hearing) and isinstance(recipe.augment, SoundAugment):
        network.module.mask.time = recipe.augment.mask_time
        network.module.mask.bands = recipe.augment.mask_bands
        _check_hears(network, recipe, how)
    if recipe.kind == "image":
        _check_sees(network, recipe)
    network.module.to(recipe.compute.device)
    return network


def _check_sees(network: Built, recipe: Recipe) -> None:
    """Raise `ChoiceError` for a network that cannot take pictures of the sizes chosen.

    Only of sizes that it is not made for: asking a large network takes a second.
    """
    name, how = recipe.network.name, recipe.picture
    own = name in ("compact", "stack") or name.startswith(PREFIX) or is_graph(name)
    if own or how is None:
        return
    native = hub.described(name).size
    for key, size in (("picture.size", how.size), ("picture.start_size", how.start_size)):
        try:
            if size != native:
                with torch.inference_mode():
                    network.module.eval()(torch.zeros(2, recipe.network.channels, size, size))
        except (RuntimeError, AssertionError, ValueError) as problem:
            raise ChoiceError(
                f"The network '{name}' cannot take pictures of {size} pixels: "
                f"{(str(problem) or type(problem).__name__).splitlines()[0]}",
                f"It is made for {native}: --set {key}={native}, or leave it out.",
            ) from problem


def _check_hears(network: Built, recipe: Recipe, how: Preparation) -> None:
    """Raise `ChoiceError` for a network that cannot take spectra."""
    try:
        with torch.inference_mode():
            scores(network.module.eval(), how.prepare(how.blank(2, recipe.size)))
    except (RuntimeError, AssertionError, ValueError) as problem:
        raise ChoiceError(
            f"The network '{recipe.network.name}' cannot take spectra of {recipe.size:,} samples: "
            f"{str(problem).splitlines()[0] or type(problem).__name__}",
            "Choose another --network, or leave it out.",
        ) from problem


def spec_of(recipe: Recipe, outputs: int, how: Preparation, *, auxiliary: bool) -> Spec:
    """Return what builds the recipe's network again."""
    network = recipe.network
    graph = graph_of(network.name)[0] if is_graph(network.name) else None
    return Spec(
        name=Path(network.name).name if graph else network.name,
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
        graph=graph,
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
