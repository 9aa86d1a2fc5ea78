"""New processes that need not import torch first: forks of one that imports it, once for all.

Until a new process learns it takes some 5 seconds of a core; most of those in the tests are begun
here instead. The one that they are forks of imports nothing of Quickstudy, and computes nothing.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import runpy
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

#: What torch imports where it learns, and what Quickstudy does.
_FIRST = ["torch._dynamo", "torchvision", "sklearn.linear_model"]


class Process:
    """A call at work in a process of its own; what it says goes to `said`."""

    def __init__(self, said: Path, do: Callable[..., int], *given: Any) -> None:
        forks = "forkserver" in multiprocessing.get_all_start_methods()
        context = multiprocessing.get_context("forkserver" if forks else "spawn")
        context.set_forkserver_preload(_FIRST)
        self.said, self.out = said, said.with_suffix(".out")
        told = (said, self.out, dict(os.environ), do, given)
        self.process = context.Process(target=_do, args=told)
        self.process.start()

    def end(self, seconds: float) -> str:
        """Wait until it has ended well; return what it printed."""
        self.process.join(seconds)
        self.kill()
        assert self.process.exitcode == 0, self.said.read_text()
        return self.out.read_text(encoding="utf-8")

    def kill(self) -> None:
        """Kill it if it lives; return when it is no more."""
        self.process.kill()
        self.process.join()


def _do(
    said: Path, out: Path, told: Mapping[str, str], do: Callable[..., int], given: tuple[Any, ...]
) -> None:
    os.environ.update(told)
    for number, file in ((1, out), (2, said)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), number)
    sys.exit(do(*given))


def command(*words: str) -> int:
    """Do what `quickstudy WORDS` does."""
    from quickstudy import cli

    return cli.main(list(words))


def script(path: str) -> int:
    """Run a script twice, to check and to learn anew, where `import quickstudy` raises."""
    assert not any(name.partition(".")[0] == "quickstudy" for name in sys.modules)
    sys.modules["quickstudy"] = None  # type: ignore[assignment]
    found = []
    for sys.argv in ([path, "--check"], [path]):
        done = runpy.run_path(path, run_name="__main__")
        ask = done.get("numbers") or done["probabilities"]
        asked = [done[name] for name in ("examples", "parameters") if name in done]
        found.append(ask(*asked).tolist())
    print(json.dumps(found))
    return 0
