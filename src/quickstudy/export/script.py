"""The run as one plain PyTorch file, tried where Quickstudy is not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

from quickstudy.errors import ModelError
from quickstudy.export.contract import Making
from quickstudy.script import write_script

#: What a script answers, beside what the model does, where Quickstudy cannot be imported.
_ALONE = """
import runpy, sys
sys.modules["quickstudy"] = None
sys.argv = [sys.argv[1], "--check"]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


class Script:
    """What ``quickstudy script`` writes; it needs the run's own folder."""

    name: ClassVar[str] = "script"
    file: ClassVar[str] = "train.py"

    def write(self, made: Making, folder: Path) -> None:
        """Write ``train.py``; raises what `write_script` does."""
        if made.run is None:
            raise ModelError(
                "A script tells of a whole run, and this model's folder has left its run.",
                "Export from the run's folder: quickstudy export runs/NAME-1 --to script",
            )
        write_script(made.run, folder / self.file)

    def check(self, made: Making, folder: Path) -> None:
        """Let the script score the run's own weights; raises `ModelError` where it cannot."""
        command = [sys.executable, "-I", "-c", _ALONE, str(folder / self.file)]
        told = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=told)
        if done.returncode:
            last = next(reversed(done.stderr.strip().splitlines()), "it did not say why")
            raise ModelError(f"The script does not run: {last[:300]}", "Take another format.")
