"""Newton's steps with the exact second derivatives, for the last digits of a few parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

MOST = 64  # parameters: the Hessian costs a backward pass for each
_STEPS = 30
_HALVINGS = 30


def newton(loss: Callable[[], Tensor], parameters: Sequence[Tensor]) -> tuple[int, bool] | None:
    """Move `parameters` to the minimum near by; return the steps and whether it was reached.

    Curvatures are taken positive, so that no step climbs to a saddle (Dauphin et al., 2014), and
    a step is halved until it lowers the loss. The loss should be about 1 or below. None where
    there are more than `MOST` parameters or no second derivatives.
    """
    if sum(p.numel() for p in parameters) > MOST:
        return None
    for done in range(_STEPS):
        derivatives = _derivatives(loss, parameters)
        if derivatives is None:
            return None if done == 0 else (done, False)
        now, gradient, hessian = derivatives
        step = _step(gradient, hessian)
        if step is None:
            return None if done == 0 else (done, False)
        promised = float(gradient @ step) / 2
        if promised <= 1e-12 * abs(now) + 1e-28:
            _moved(loss, parameters, step, now)  # the last digits
            return done + 1, True
        if not _moved(loss, parameters, step, now):
            return done, promised <= 1e-9 * abs(now) + 1e-15  # below the rounding of the loss
    return _STEPS, False


def _derivatives(
    loss: Callable[[], Tensor], parameters: Sequence[Tensor]
) -> tuple[float, Tensor, Tensor] | None:
    """Return loss, gradient ``P`` and Hessian ``P P``; None where an operation has no second."""
    value = loss()
    first = torch.autograd.grad(value, parameters, create_graph=True, materialize_grads=True)
    gradient = torch.cat([part.reshape(-1) for part in first])
    if not gradient.requires_grad:
        return None  # straight everywhere, as mean(abs(x - y)) of a line is
    try:
        rows = [
            torch.autograd.grad(each, parameters, retain_graph=True, materialize_grads=True)
            for each in gradient.unbind()
        ]
    except RuntimeError as problem:
        if "not implemented" in str(problem) or "twice" in str(problem):
            return None
        raise
    hessian = torch.stack([torch.cat([part.reshape(-1) for part in row]) for row in rows])
    if not (gradient.isfinite().all() and hessian.isfinite().all()):
        return None
    return float(value.detach()), gradient.detach(), hessian.detach()


def _step(gradient: Tensor, hessian: Tensor) -> Tensor | None:
    """Return what to subtract; parameters are first put on scales on which they curve alike."""
    scale = hessian.diagonal().abs()
    scale = torch.where(scale > 0, scale, torch.ones_like(scale)).rsqrt()
    values, vectors = torch.linalg.eigh(scale[:, None] * (hessian + hessian.T) / 2 * scale)
    size = values.abs()
    if not size.max() > 0:
        return None
    floor = 1e-14 * size.max()
    along = vectors.T @ (scale * gradient)
    along = torch.where(size > floor, along / size.clamp_min(floor), torch.zeros_like(along))
    step: Tensor = scale * (vectors @ along)
    return step


@torch.no_grad()
def _moved(
    loss: Callable[[], Tensor], parameters: Sequence[Tensor], step: Tensor, now: float
) -> bool:
    """Subtract the step, halved until the loss is lower; else leave all as it was."""
    parts = torch.split(step, [p.numel() for p in parameters])
    before = [p.detach().clone() for p in parameters]
    for halvings in range(_HALVINGS):
        for p, old, part in zip(parameters, before, parts, strict=True):
            p.copy_(old - part.view_as(p) * 0.5**halvings)
        if float(loss()) < now:
            return True
    for p, old in zip(parameters, before, strict=True):
        p.copy_(old)
    return False
