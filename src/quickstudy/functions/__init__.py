"""Mathematical functions: by name, or as an expression -> torch."""

from quickstudy.functions.activations import ACTIVATIONS, activation
from quickstudy.functions.expression import (
    Expression,
    Function,
    is_expression,
    parse,
    refuse_slips,
)
from quickstudy.functions.losses import (
    LOSSES,
    check_loss,
    class_weights,
    criterion,
)
from quickstudy.functions.pytensor import as_text, text_of

__all__ = [
    "ACTIVATIONS",
    "LOSSES",
    "Expression",
    "Function",
    "activation",
    "as_text",
    "check_loss",
    "class_weights",
    "criterion",
    "is_expression",
    "parse",
    "refuse_slips",
    "text_of",
]
