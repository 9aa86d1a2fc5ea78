"""What goes into a network's last layer: where examples that look alike to it lie together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from quickstudy.errors import ModelError
from quickstudy.network.standard import main_and_auxiliary
from quickstudy.network.tabular import Heads, Tabular


def last_layer(module: nn.Module, head: str) -> str:
    """Return the dotted path of the layer whose input tells examples apart, '' for none.

    That is the last linear layer `head`, or TabM's layers for all members.
    """
    return head or ("head" if isinstance(module, Tabular) else "")


@contextmanager
def seen_by(network: nn.Module, layer: str) -> Iterator[list[Tensor]]:
    """Lend what goes into a layer, ``N D`` each time the network runs; of members their mean.

    Raises `ModelError` where there is no such layer.
    """
    seen: list[Tensor] = []

    def keep(one: nn.Module, given: tuple[Tensor, ...]) -> None:
        if not given or given[0].ndim < 2:  # by name, or not a row each: somebody's own
            return
        x = given[0].detach()
        seen.append((x.mean(0) if isinstance(one, Heads) else x).flatten(1).float())

    try:
        hook = network.get_submodule(layer).register_forward_pre_hook(keep)
    except AttributeError as problem:
        raise ModelError(
            f"The network has no layer '{layer}'.", "Copy the model again."
        ) from problem
    try:
        yield seen
    finally:
        hook.remove()


@torch.inference_mode()
def sees_each(network: nn.Module, layer: str, x: Tensor) -> bool:
    """Whether a layer sees something of each of ``N`` inputs: somebody's own may skip it.

    As one for learning alone, or one that is shown all steps of all inputs at once.
    """
    network.eval()
    with seen_by(network, layer) as seen:
        network(x)
    return bool(seen) and len(seen[-1]) == len(x)


def beside(
    network: nn.Module, layer: str, answers: Callable[[Tensor], Tensor], x: Tensor
) -> Tensor:
    """Return answers ``N K``, what `layer` sees ``N D`` and scores ``N K``, side by side.

    `answers` makes the first of the scores; of an ensemble's scores the mean is told. The answers
    alone where no layer is named.
    """
    if not layer:
        return answers(main_and_auxiliary(network(x))[0].float())
    with seen_by(network, layer) as seen:
        given = main_and_auxiliary(network(x))[0].float()
    found = answers(given)
    if not seen or seen[-1].shape[0] != found.shape[0]:  # `len` would fix the batch when traced
        raise ModelError(f"The layer '{layer}' does not see each example.", "Copy the model again.")
    told = given.mean(1) if given.ndim == 3 else given
    return torch.cat([one.to(found) for one in (found, seen[-1], told)], dim=1)
