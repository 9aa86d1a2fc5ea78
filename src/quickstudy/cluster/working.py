"""What every worker of a cluster does: learn as one of its group."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from quickstudy.clock import Stop
from quickstudy.cluster.joining import LAUNCH, leave_all, unfinished
from quickstudy.cluster.talking import LostError
from quickstudy.errors import QuickstudyError
from quickstudy.progress import Progress

_SEND_EVERY = 1.0  # seconds


class Teller:
    """Who listens to a run on a cluster: keeps what it says and writes in an office.

    `stop` is asked where somebody has asked the office.
    """

    def __init__(self, put: Callable[[dict[str, bytes | None], list[dict[str, Any]]], bool],
                 folder: Path) -> None:  # fmt: skip
        self.put, self.folder, self.stop = put, folder, Stop()
        self.lines: list[dict[str, Any]] = []
        self.seen: dict[str, tuple[int, int]] = {}
        self.ended, self.sending = threading.Event(), threading.Lock()
        self.thread = threading.Thread(target=self._now_and_then, name="quickstudy-teller",
                                       daemon=True)  # fmt: skip
        self.thread.start()

    def __call__(self, progress: Progress) -> None:
        """Take what the run says."""
        self.lines.append(asdict(progress))

    def send(self) -> None:
        """Send what is new."""
        with self.sending:
            lines = self.lines[:]
            changed: dict[str, bytes | None] = {}
            there: dict[str, tuple[int, int]] = {}
            for path in self.folder.rglob("*"):
                with suppress(FileNotFoundError):  # replaced just now: the next time has it
                    if path.is_file() and not path.name.endswith(".part"):
                        name, about = path.relative_to(self.folder).as_posix(), path.stat()
                        there[name] = (about.st_mtime_ns, about.st_size)
                        if self.seen.get(name) != there[name]:
                            changed[name] = path.read_bytes()
            changed |= dict.fromkeys(self.seen.keys() - there.keys())
            self.seen = there
            if self.put(changed, lines):
                self.stop.asked = True
            del self.lines[: len(lines)]  # not all: the run may have said more meanwhile

    def end(self) -> None:
        """Send what is left, and no more."""
        self.ended.set()
        self.thread.join()
        self.send()

    def _now_and_then(self) -> None:
        while not self.ended.wait(_SEND_EVERY):
            self.send()


def work(told: Mapping[str, Any]) -> None:
    """Learn as a worker of Ray Train: the first one leads, the others follow."""
    import quickstudy

    os.environ[LAUNCH] = told["launch"]
    if int(os.environ.get("RANK", "0")) > 0:
        with suppress(SystemExit):  # how one ends that follows
            quickstudy.learn(**told["asked"])
        return
    _lead(told, quickstudy.learn)


def _lead(told: Mapping[str, Any], learn: Callable[..., Any]) -> None:
    """Learn in a folder that begins with what the office has, and let the office have it all."""
    import ray

    office, asked = told["office"], dict(told["asked"])
    with tempfile.TemporaryDirectory(prefix="quickstudy-") as around:
        folder = Path(around) / told["name"]
        for name, content in ray.get(office.contents.remote()).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        begun = (folder / "run.json").is_file() and unfinished([folder]) is None
        asked |= {"resume": folder, "out": None} if begun else {"resume": None, "out": folder}
        teller = Teller(lambda *new: bool(ray.get(office.put.remote(*new))), folder)
        result: dict[str, Any] | None = None
        problem: tuple[str, str, str] | None = None
        try:
            run = learn(**asked, listen=teller)
            result = {"test": run.test, "recipe": run.recipe, "facts": dict(run.facts),
                      "lines": run.lines}  # fmt: skip
        except LostError:
            raise  # Ray starts those again that are left
        except QuickstudyError as found:
            problem = (type(found).__name__, found.message, found.hint)
        except Exception as found:  # a defect: to be told, not tried again a hundred times
            said = next(iter(str(found).splitlines()), "")
            problem = ("RunError", f"The first worker failed: {type(found).__name__}: {said}", "")
        finally:
            teller.end()
            leave_all()
        ray.get(office.end.remote(result, problem))
        shutil.rmtree(folder, ignore_errors=True)
