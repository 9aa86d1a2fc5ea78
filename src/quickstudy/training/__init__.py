"""Recipe + network + batches -> trained network, crash-safe."""

from quickstudy.training.head import Stopped
from quickstudy.training.lesson import Lesson
from quickstudy.training.loop import Trained
from quickstudy.training.teach import Taught, teach

__all__ = ["Lesson", "Stopped", "Taught", "Trained", "teach"]
