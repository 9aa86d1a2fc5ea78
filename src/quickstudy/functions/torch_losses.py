"""torch.nn's losses of (input, target) in one shape, and what each calls its input."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from quickstudy.functions.seen import CHOICES, TASKS, Seen


@dataclass(frozen=True)
class Torch:
    """How one of torch.nn's losses is fed: what its documentation calls the input."""

    takes: str
    tasks: tuple[str, ...]
    reason: str = ""
    """Why it fits no other task."""

    def input(self, seen: Seen) -> Tensor:
        """Return what the loss is given first."""
        if self.takes == "log-probabilities":
            return seen.scores.log_softmax(1)
        return seen.scores if self.takes == "scores" else seen.prediction


_SMALL = "between probabilities it is half of MSELoss"
_RATES = "elsewhere it would fall without end, or teach no probability"
#: torch.nn's losses of (input, target) in one shape.
TORCHS: dict[str, Torch] = {
    "BCELoss": Torch("prediction", CHOICES),
    "BCEWithLogitsLoss": Torch("scores", CHOICES),
    "CrossEntropyLoss": Torch("scores", ("classification",)),
    "HuberLoss": Torch("prediction", ("regression",), _SMALL),
    "KLDivLoss": Torch("log-probabilities", ("classification",)),
    "L1Loss": Torch("prediction", TASKS),
    "MSELoss": Torch("prediction", TASKS),
    "MultiLabelSoftMarginLoss": Torch("scores", CHOICES),
    "PoissonNLLLoss": Torch("scores", ("classification",), _RATES),  # rates / their sum: softmax
    "SmoothL1Loss": Torch("prediction", ("regression",), _SMALL),
    "SoftMarginLoss": Torch("scores", CHOICES),
}


class OfTorch(nn.Module):
    """One of torch.nn's losses, before its mean."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.how = TORCHS[name]
        more = {"log_input": True} if name == "PoissonNLLLoss" else {}
        self.loss = getattr(nn, name)(reduction="none", **more)
        self.name = name

    def forward(self, seen: Seen) -> Tensor:
        """Compute."""
        if self.name == "SoftMarginLoss":  # of 1 and -1; torch's own overflows far out
            return F.softplus(seen.scores * (1 - 2 * seen.target))
        found: Tensor = self.loss(self.how.input(seen), seen.target)
        return found
