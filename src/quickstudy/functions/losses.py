"""What says how wrong a network is: by name, as an expression, or in Python -> one module.

Every loss takes scores ``N K`` as the network gives them and a target ``N K``: probabilities of
classes, 0 or 1 for each label, or numbers, as the task is.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quickstudy.errors import ChoiceError, did_you_mean
from quickstudy.functions.expression import Expression, Function, is_expression, parse
from quickstudy.functions.given import Given, check_given
from quickstudy.functions.grammar import Call
from quickstudy.functions.seen import CHOICES, TASKS, Seen
from quickstudy.functions.torch_losses import TORCHS, OfTorch

#: Seen -> what each score (``N K``) or each example (``N``) loses.
Each = Callable[[Seen], Tensor]


def cross_entropy(seen: Seen) -> Tensor:
    """Surprise at the truth: -target * log softmax(scores), in nats."""
    return -seen.target * F.log_softmax(seen.scores, dim=1)


def focal(seen: Seen) -> Tensor:
    """Cross entropy in which what is easy counts less: times (1 - p)^2 (Lin et al., 2017)."""
    if seen.task == "classification":
        log_p = F.log_softmax(seen.scores, dim=1)
        return -seen.target * (1 - log_p.exp()) ** 2 * log_p
    yes, no = F.logsigmoid(seen.scores), F.logsigmoid(-seen.scores)
    return -seen.target * no.exp() ** 2 * yes - (1 - seen.target) * yes.exp() ** 2 * no


def binary_cross_entropy(seen: Seen) -> Tensor:
    """Each class or label asked on its own, yes or no (Wightman et al., 2021)."""
    return F.binary_cross_entropy_with_logits(seen.scores, seen.target, reduction="none")


def mean_squared_error(seen: Seen) -> Tensor:
    """Squared distance of the prediction from the target; of probabilities: Brier, 1950."""
    return (seen.prediction - seen.target).square()


def mean_absolute_error(seen: Seen) -> Tensor:
    """Distance of the prediction from the target; bears wrong labels (Ghosh et al., 2017)."""
    return (seen.prediction - seen.target).abs()


def huber(seen: Seen) -> Tensor:
    """Half the squared distance up to 1, straight beyond: bears outliers (Huber, 1964)."""
    return F.huber_loss(seen.prediction, seen.target, reduction="none")


def cosine(seen: Seen) -> Tensor:
    """One minus the cosine of the angle between prediction and target, ``N``."""
    if seen.task == "regression" and seen.target.shape[1] == 1:
        raise ChoiceError("The loss cosine needs several numbers.", "Take mean_squared_error.")
    return 1 - F.cosine_similarity(seen.prediction, seen.target)


#: Name -> function, and the tasks it fits.
NAMED: dict[str, tuple[Each, tuple[str, ...]]] = {
    "cross_entropy": (cross_entropy, ("classification",)),
    "focal": (focal, CHOICES),
    "binary_cross_entropy": (binary_cross_entropy, CHOICES),
    "mean_squared_error": (mean_squared_error, TASKS),
    "mean_absolute_error": (mean_absolute_error, TASKS),
    "huber": (huber, ("regression",)),
    "cosine": (cosine, ("classification", "regression")),
}
LOSSES = tuple(NAMED)
_SUMMED = {*NAMED, "KLDivLoss"}  # over the classes; torch's other losses are means, as in torch


def fitting(task: str | None) -> list[str]:
    """Return the names of the losses that fit a task, or any."""
    ours = [name for name, (_, tasks) in NAMED.items() if task is None or task in tasks]
    return ours + [name for name, how in TORCHS.items() if task is None or task in how.tasks]


def check_loss(loss: str | Callable[..., Tensor], task: str | None = "classification") -> None:
    """Raise `ChoiceError` unless `loss` is a name, an expression or a function for the task.

    Where the task is not known yet, None, any will do.
    """
    if not isinstance(loss, str):
        check_given(loss)
    elif is_expression(loss):
        _function(loss, task)
    elif loss not in fitting(task):
        raise _misfit(loss, task)


def _misfit(name: str, task: str | None) -> ChoiceError:
    known = fitting(task)
    fit = ("Losses: " if task is None else f"For {task}: ") + ", ".join(known) + "."
    if name in NAMED or name in TORCHS:
        reason = TORCHS[name].reason if name in TORCHS else ""
        return ChoiceError(f"{name} is no loss for {task}" + f": {reason}." * bool(reason), fit)
    if name.endswith("Loss") and hasattr(nn, name):
        needs = "it needs more, or other, than scores and a target of one shape."
        return ChoiceError(f"torch.nn's {name} cannot be used here: {needs}", fit)
    return ChoiceError(f"There is no loss '{name}'.", did_you_mean(name, known) or fit)


def _inputs(task: str | None) -> tuple[str, ...]:
    of_truth = () if task == "regression" else ("p", "log_p", "log_not_p")
    return (*of_truth, "prediction", "scores", "target")


def _function(text: str, task: str | None) -> Function:
    """Return an expression as a module; an outermost mean is left to `Criterion`."""
    expression = parse(text)
    if task == "regression" and "p" in expression.names:
        hint = "Use prediction, scores and target: mean((prediction - target)**2)"
        raise expression.fault("p", "A number has no probability p.", hint)
    *inside, last = expression.tree
    if isinstance(last, Call) and last.function == "mean" and last.arguments == (len(inside) - 1,):
        fields = (expression.fixed, expression.learned, expression.places, tuple(inside))
        expression = Expression(expression.text, expression.names, *fields)
    function = Function(expression, _inputs(task), elementwise=False, logs=True)
    if not {"p", "log_p", "log_not_p", "prediction", "scores"} & {*expression.names}:
        raise ChoiceError(
            f"The loss {text} does not look at the answer: nothing can be learnt from it.",
            "Use prediction, p or scores: mean((prediction - target)**2)",
        )
    return function


class Criterion(nn.Module):
    """A loss: scores ``N K``, target ``N K`` -> the mean, in float32 or in what is finer.

    Of classes the losses by name are summed over ``K``, as one question is asked; of labels and
    numbers they are averaged. `class_weights` ``K`` multiply what each class loses, or each example
    by its classes; they do not reach into a function in Python, nor into an expression that sums
    up otherwise than by one mean around it all.
    """

    def __init__(
        self, loss: str | Callable[..., Tensor], task: str, smoothing: float, weights: Tensor | None
    ) -> None:
        super().__init__()
        self.task, self.smoothing = task, smoothing
        self.each = _each(loss, task)
        self.summed = task == "classification" and isinstance(loss, str) and loss in _SUMMED
        self.weights: Tensor | None
        self.register_buffer("weights", weights, persistent=False)

    def forward(self, scores: Tensor, target: Tensor) -> Tensor:
        """Compute."""
        scores = scores if scores.dtype == torch.float64 else scores.float()
        target = target.to(scores.dtype)
        if self.smoothing:
            target = target * (1 - self.smoothing) + self.smoothing / target.shape[1]
        each: Tensor = self.each(Seen(scores, target, self.task))
        if self.weights is not None and each.ndim:
            if each.ndim == 2 and each.shape[1] == len(self.weights):
                each = each * self.weights
            elif each.ndim == 1 and self.task == "classification":
                each = each * (target @ self.weights.to(target.dtype))
        return (each.sum(1) if self.summed and each.ndim == 2 else each).mean()


def criterion(
    loss: str | Callable[..., Tensor],
    *,
    task: str,
    smoothing: float = 0.0,
    class_weights: Tensor | None = None,
) -> Criterion:
    """Return a loss as a module; what it learns itself are its parameters.

    `smoothing` spreads that share of the truth over all classes (Szegedy et al., 2015). Raises
    `ChoiceError` for what does not fit the task.

    >>> loss = criterion("mean(-(1 - p)**gamma * log(p)), gamma=2", task="classification")
    >>> round(float(loss(torch.zeros(1, 2), torch.tensor([[0.0, 1.0]]))), 4)
    0.1733
    """
    check_loss(loss, task)
    if smoothing and task != "classification":
        raise ChoiceError(
            f"Labels are smoothed over classes; for {task} there are none.",
            "Leave loss.label_smoothing at 0.",
        )
    return Criterion(loss, task, smoothing, class_weights)


def _each(loss: str | Callable[..., Tensor], task: str) -> Callable[[Seen], Tensor]:
    if not isinstance(loss, str):
        return _OfPython(loss)
    if is_expression(loss):
        return _OfExpression(_function(loss, task), _inputs(task))
    return NAMED[loss][0] if loss in NAMED else OfTorch(loss)


class _OfPython(nn.Module):
    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.given = Given(function)

    def forward(self, seen: Seen) -> Tensor:
        found: Tensor = self.given(seen.scores, seen.target)
        return found


class _OfExpression(nn.Module):
    def __init__(self, function: Function, inputs: tuple[str, ...]) -> None:
        super().__init__()
        self.function, self.inputs = function, inputs
        named = set(function.expression.names)
        self.asked = named | ({"log_p", "log_not_p"} if "p" in named else set())

    def forward(self, seen: Seen) -> Tensor:
        found: Tensor = self.function(*[self._input(seen, name) for name in self.inputs])
        return found

    def _input(self, seen: Seen, name: str) -> Tensor:
        value: Tensor = getattr(seen, name) if name in self.asked else seen.scores
        return value


def class_weights(counts: list[int], exponent: float) -> Tensor:
    """Return K weights proportional to 1 / count^exponent whose mean over examples is 1."""
    n = torch.tensor(counts, dtype=torch.float32).clamp_min(1)
    weight = n**-exponent
    return weight * n.sum() / (weight * n).sum()
