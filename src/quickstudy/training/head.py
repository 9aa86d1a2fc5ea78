"""The quick way with trained weights: run the frozen body once, learn the last layer on that.

Features go to a file in the run's folder as they come, so a killed run goes on where it was and
memory stays flat. The last layer is logistic regression (of numbers: ridge regression) with its L2
strength chosen by cross-validation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from quickstudy.batches import in_order
from quickstudy.decoding import Decoded
from quickstudy.folders import disk_errors
from quickstudy.hardware import autocast
from quickstudy.network import Built, body_only
from quickstudy.recipe import Recipe

BATCH = 32
#: (scores ``N K``, targets) -> mean loss.
Loss = Callable[[Tensor, Tensor], Tensor]
#: L2 strengths tried, per example, on standardised features.
STRENGTHS = tuple(10.0**e for e in (-5, -4.5, -4, -3.5, -3, -2.5, -2, -1.5, -1))
_FOLDS = 5
_MOST_FOR_FOLDS = 5_000  # examples: choosing one number needs no more
_MOST_WORK = 10**8  # examples times features times classes: about half a minute on two cores


class Stopped(Exception):  # noqa: N818 - a request, not an error
    """Somebody asked to stop before the features were complete."""


def features(
    network: Built,
    decoded: Decoded,
    rows: NDArray[np.int64],
    recipe: Recipe,
    file: Path,
    *,
    mirrored: bool,
    each: Callable[[int], bool],
) -> NDArray[np.float32]:
    """Return the body's features ``N D`` of `rows`, computing those that `file` has not yet.

    `each` hears how many are done and answers whether to go on; else `Stopped` is raised.
    """
    width = network.last.in_features
    done = file.stat().st_size // (4 * width) if file.is_file() else 0
    done = min(done // BATCH * BATCH, len(rows))
    with disk_errors("the features"), file.open("r+b" if file.is_file() else "wb") as out:
        out.truncate(done * 4 * width)
        out.seek(0, 2)
        with body_only(network) as body, torch.inference_mode():
            body.eval()
            for _, x in in_order(decoded, rows[done:], recipe.compute.device, BATCH):
                x = x.flip(-1).contiguous(memory_format=torch.channels_last) if mirrored else x
                with autocast(recipe.compute.device, recipe.compute.precision):
                    found = body(x).flatten(1)
                out.write(found.float().cpu().contiguous().numpy().data)
                done += len(x)
                if not each(done):
                    out.flush()
                    raise Stopped
    return np.fromfile(file, np.float32).reshape(-1, width)


@dataclass(frozen=True)
class Fitted:
    """A last layer ``weight K D``, ``bias K``, and how it was chosen."""

    weight: Tensor
    bias: Tensor
    strength: float
    folds_loss: float
    """Mean loss in cross-validation."""

    def why(self) -> str:
        """Return the reason for the strength."""
        return (
            f"L2 strength {self.strength:.1e} by {_FOLDS}-fold cross-validation, "
            f"loss {self.folds_loss:.3f}"
        )


def fit(
    x: NDArray[np.float32],
    y: Tensor,
    outputs: int,
    loss_of: Loss,
    groups: NDArray[np.int64],
    seed: int,
    known: Fitted | None = None,
    strengths: Sequence[float] = STRENGTHS,
) -> Fitted:
    """Learn the last layer on features ``N D`` (which it may change) and targets ``N ...``.

    `groups` (``N``, -1: alone) keeps duplicates and mirror images in one fold. One of `strengths`
    is chosen; with `known` the one found before is taken.
    """
    features_ = torch.from_numpy(x)
    mean, std = features_.mean(0), features_.std(0).clamp_min(1e-6)
    features_.sub_(mean).div_(std)
    if known is None:
        strength, loss = _choose_strength(features_, y, outputs, loss_of, groups, seed, strengths)
    else:
        strength, loss = known.strength, known.folds_loss
    weight, bias = solve(features_, y, outputs, loss_of, strength)
    plain = weight / std  # the standardisation becomes part of the layer
    return Fitted(plain, bias - plain @ mean, strength, loss)


def _choose_strength(
    x: Tensor,
    y: Tensor,
    outputs: int,
    loss_of: Loss,
    groups: NDArray[np.int64],
    seed: int,
    strengths: Sequence[float],
) -> tuple[float, float]:
    rng = np.random.default_rng(seed)
    most = min(_MOST_FOR_FOLDS, _MOST_WORK // (x.shape[1] * outputs))
    some = np.sort(rng.permutation(len(x))[: max(most, 10 * _FOLDS)])
    fold = torch.from_numpy(folds(groups[some], rng))
    x, y = x[some], y[some]
    loss = torch.zeros(len(strengths))
    for k in range(_FOLDS):
        learn, ask = fold != k, fold == k
        if not ask.any():
            continue
        start: tuple[Tensor, Tensor] | None = None
        for i, strength in reversed(list(enumerate(strengths))):  # strongest first, then go on
            start = solve(x[learn], y[learn], outputs, loss_of, strength, start)
            asked = loss_of(x[ask] @ start[0].T + start[1], y[ask])
            loss[i] += asked * int(ask.sum()) / len(x)
    best = int(loss.argmin())
    return strengths[best], float(loss[best])


def across_folds(
    x: NDArray[np.float32],
    y: Tensor,
    outputs: int,
    loss_of: Loss,
    groups: NDArray[np.int64],
    seed: int,
    strength: float,
    learn: NDArray[np.bool_],
) -> Tensor:
    """Return the scores ``N K`` that last layers give to features ``N D`` they did not learn from.

    By cross-validation with one L2 `strength`; those not to `learn` from are asked about all the
    same. Equal `groups` (-1: alone) are in one fold.
    """
    z = torch.from_numpy(x)
    z = (z - z.mean(0)) / z.std(0).clamp_min(1e-6)  # knows no label
    fold = folds(groups, np.random.default_rng([seed, 9]))
    found = torch.zeros(len(z), outputs)
    for number in range(int(fold.max()) + 1):
        some, ask = torch.from_numpy((fold != number) & learn), torch.from_numpy(fold == number)
        weight, bias = solve(z[some], y[some], outputs, loss_of, strength)
        found[ask] = z[ask] @ weight.T + bias
    return found


def weaker(strength: float) -> tuple[float, ...]:
    """Return the strengths from a tenth of one up to itself."""
    return tuple(s for s in STRENGTHS if 0.09 * strength < s < 1.1 * strength)


def folds(groups: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return a fold per example; equal groups share one."""
    alone = groups < 0
    key = np.where(alone, groups.max(initial=0) + 1 + np.arange(len(groups)), groups)
    _, number = np.unique(key, return_inverse=True)
    which = np.arange(number.max() + 1) % _FOLDS
    rng.shuffle(which)
    return which[number].astype(np.int64)


def solve(
    x: Tensor,
    y: Tensor,
    outputs: int,
    loss_of: Loss,
    strength: float,
    start: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Minimise the mean loss + strength |weight|^2 by L-BFGS; convex, one answer."""
    weight = torch.zeros(outputs, x.shape[1]) if start is None else start[0].clone()
    bias = torch.zeros(outputs) if start is None else start[1].clone()
    weight.requires_grad_()
    bias.requires_grad_()
    solver = torch.optim.LBFGS(
        [weight, bias], max_iter=60, tolerance_grad=1e-5, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        solver.zero_grad()
        loss = loss_of(x @ weight.T + bias, y) + strength * weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    solver.step(closure)  # type: ignore[no-untyped-call]
    return weight.detach(), bias.detach()


def install(network: Built, fitted: Fitted) -> None:
    """Put a fitted last layer into the network."""
    last: nn.Linear = network.last
    with torch.no_grad():
        last.weight.copy_(fitted.weight)
        last.bias.copy_(fitted.bias)
