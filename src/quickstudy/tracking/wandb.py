"""Weights & Biases: offline in RUN/wandb, unless WANDB_MODE or WANDB_API_KEY say otherwise."""

from __future__ import annotations

import importlib
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from quickstudy.tracking.contract import Point, Result, Tracker

_PROJECT = "quickstudy"


class WeightsAndBiases(Tracker):
    """Curves against the seconds of the run, the recipe as its config, the scores as its summary.

    Numbers, recipe and the result's words are all it gets: no output, source code, git state or
    measurements of the machine.
    """

    title = "Weights & Biases"
    quiet = {"WANDB_ERROR_REPORTING": "false"}  # noqa: RUF012
    copies = True
    id_file = "wandb.id"

    @classmethod
    def load(cls) -> None:
        """Import the library."""
        importlib.import_module("wandb")

    def __init__(self, folder: Path) -> None:
        import wandb

        key = os.environ.get("WANDB_API_KEY")
        mode: Any = os.environ.get("WANDB_MODE") or ("online" if key else "offline")
        known = self.known(folder)
        self._run: Any = wandb.init(
            id=known,
            resume="allow" if known else None,
            project=os.environ.get("WANDB_PROJECT", _PROJECT),
            name=folder.name,
            dir=str(folder),
            mode=mode,
            reinit="create_new",  # a run of the caller's own goes on beside it
            settings=wandb.Settings(
                console="off",
                silent=True,
                disable_git=True,
                disable_code=True,
                save_code=False,
                x_disable_stats=True,
                x_save_requirements=False,
                init_timeout=25,
            ),
        )
        self._run.define_metric("*", step_metric="seconds")
        self.keep(folder, self._run.id)
        kept = Path(str(self._run.dir)).parent.parent
        parts = f"{shlex.quote(str(kept))}/offline-run-*-{self._run.id}"  # one each time it went on
        self.where = f"Weights & Biases, offline: wandb sync {parts}"
        if not self._run.offline:
            self.where = f"Weights & Biases: {self._run.url}"

    def write(self, points: Sequence[Point]) -> None:
        """Keep points; what was said stays with the run."""
        for point in points:
            if point.numbers:
                self._run.log({"seconds": point.seconds, **point.numbers})

    def result(self, result: Result, *, copying: bool) -> None:
        """Keep scores, recipe and words; the model by its place, or whole where asked."""
        import wandb

        self._run.config.update(dict(result.recipe), allow_val_change=True)
        self._run.summary.update({**result.scores, "result": result.words})
        artifact = wandb.Artifact(f"{_PROJECT}-{self._run.id}", type="model")
        if copying:
            artifact.add_dir(str(result.model))
        else:
            artifact.add_reference(result.model.absolute().as_uri(), checksum=False)
        self._run.log_artifact(artifact)

    def close(self, *, whole: bool) -> None:
        """Finish the run; online, what is left is sent."""
        self._run.finish(exit_code=0 if whole else 1)
