"""Recipe + network + batches -> trained network, crash-safe."""

from quickstudy.training.head import Stopped
from quickstudy.training.lesson import Lesson
from quickstudy.training.loop import Trained
from quickstudy.training.optimizers import check_optimizer
from quickstudy.training.teach import VIEWS, Taught, teach

__all__ = ["VIEWS", "Lesson", "Stopped", "Taught", "Trained", "check_optimizer", "teach"]
