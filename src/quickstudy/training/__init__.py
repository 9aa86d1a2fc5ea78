"""Recipe + network + batches -> trained network, crash-safe."""

from quickstudy.training.head import Stopped
from quickstudy.training.loop import Trained, train
from quickstudy.training.teach import Lesson, Taught, teach

__all__ = ["Lesson", "Stopped", "Taught", "Trained", "teach", "train"]
