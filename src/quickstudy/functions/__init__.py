"""Mathematical functions: by name, or as an expression -> torch."""

from quickstudy.functions.losses import LOSSES, check_loss, class_weights, loss_named

__all__ = ["LOSSES", "check_loss", "class_weights", "loss_named"]
