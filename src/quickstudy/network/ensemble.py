"""Several networks as one, whose scores are those of their averaged answers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quickstudy.network.standard import main_and_auxiliary


class Ensemble(nn.Module):
    """Networks for the same inputs and the same `task` -> one network, scores ``N K``.

    What is averaged by `weights`, whose sum is 1, are answers: probabilities, each network's at its
    own temperature, or numbers. The scores are the logarithms of these (of labels their logits), so
    that at temperature 1 the answer is that mean. A member that is many itself (TabM, ``N M K``)
    counts once.
    """

    def __init__(
        self,
        members: Sequence[nn.Module],
        weights: Sequence[float],
        temperatures: Sequence[float],
        task: str,
    ) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.weights, self.temperatures = tuple(weights), tuple(temperatures)
        self.task = task

    def forward(self, x: Tensor) -> Tensor:
        """Compute."""
        found, shares = [], []
        for network, weight, temperature in zip(
            self.members, self.weights, self.temperatures, strict=True
        ):
            scores = main_and_auxiliary(network(x))[0].float() / temperature
            scores = scores if scores.ndim == 3 else scores.unsqueeze(1)
            found.append(scores)
            shares += [weight / scores.shape[1]] * scores.shape[1]
        every = torch.cat(found, dim=1)
        if self.task == "regression":
            return (every * every.new_tensor(shares)[:, None]).sum(1)
        log = every.new_tensor([math.log(share) for share in shares])[:, None]
        if self.task == "classification":
            return (every.log_softmax(-1) + log).logsumexp(1)
        there, absent = F.logsigmoid(every), F.logsigmoid(-every)
        return (there + log).logsumexp(1) - (absent + log).logsumexp(1)
