"""Recipe + network + batches -> trained network, crash-safe."""

from quickstudy.training.head import Stopped
from quickstudy.training.lesson import KNOWING, Lesson
from quickstudy.training.loop import Trained
from quickstudy.training.optimizers import check_optimizer
from quickstudy.training.teach import VIEWS, HeldOut, Taught, teach

__all__ = [
    "KNOWING",
    "VIEWS",
    "HeldOut",
    "Lesson",
    "Stopped",
    "Taught",
    "Trained",
    "check_optimizer",
    "teach",
]
