"""TensorBoard: event files in RUN/tensorboard, by torch's own writer."""

from __future__ import annotations

import importlib
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from quickstudy.tracking.contract import Point, Result, Tracker

FOLDER = "tensorboard"


class TensorBoard(Tracker):
    """Curves against the whole seconds of the run, what was said, the recipe beside the scores."""

    title = "TensorBoard"

    @classmethod
    def load(cls) -> None:
        """Import torch's writer, which needs the `tensorboard` package."""
        importlib.import_module("torch.utils.tensorboard")

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        place = folder / FOLDER
        self._writer: Any = SummaryWriter(str(place))
        self._last = 0
        self.where = f"TensorBoard: tensorboard --logdir {shlex.quote(str(place))}"

    def write(self, points: Sequence[Point]) -> None:
        """Keep points; what was said is text."""
        for point in points:
            self._last = step = int(point.seconds)
            for name, value in point.numbers.items():
                self._writer.add_scalar(name, value, step, walltime=point.moment)
            if point.said:
                self._writer.add_text("said", point.said.strip(), step, walltime=point.moment)
        self._writer.flush()  # raises here what went wrong in its thread

    def result(self, result: Result, *, copying: bool) -> None:
        """Keep the scores as points, the words as text and both with the recipe as `hparams`."""
        from torch.utils.tensorboard import summary

        for name, value in result.scores.items():
            self._writer.add_scalar(name, value, self._last, walltime=result.moment)
        self._writer.add_text("result", result.words.replace("\n", "  \n"), self._last)
        self._writer.add_text("model", str(result.model), self._last)
        # As `add_hparams`, which would put them into a folder of their own beside the curves.
        for part in summary.hparams(dict(result.recipe), dict(result.scores)):  # type: ignore[no-untyped-call]
            self._writer.file_writer.add_summary(part)
        self._writer.flush()

    def close(self, *, whole: bool) -> None:
        """Close the file."""
        self._writer.close()
