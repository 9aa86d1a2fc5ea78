"""Why a model says what it says, for one request: the map as pictures, and what is near.

It computes on a copy of the model, in a thread of its own: nobody who asks for an answer waits.
The training examples are looked at once, by another thread on another copy; until that is done, and
where the run's folder is not beside the model, the answer has no neighbours and says why.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path, PureWindowsPath
from typing import Any

from quickstudy.errors import ExampleError, QuickstudyError
from quickstudy.serving.given import Given
from quickstudy.serving.limits import Limits
from quickstudy.serving.memory import give_back
from quickstudy.serving.models import Served, checksums_of
from quickstudy.serving.refusing import Refused, busy

_WAITING = 8  # explanations of all models
_THUMB = 12_000_000  # pixels of a training picture that is shown small
_LOOKED_AT = "neighbours.npz"


class _Stopped(Exception):  # noqa: N818 - it says what happened
    """The server stops: looking at the training examples ends."""


class _Gone(Exception):  # noqa: N818 - it says what happened
    """A model's folder is gone, or being written."""


class Explaining:
    """The explanations of one server."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._thread = ThreadPoolExecutor(1, "explain")
        self._copies: dict[str, tuple[str, Any]] = {}
        self._looking: dict[str, threading.Thread] = {}
        self._ready: dict[str, str] = {}
        self._stopping = threading.Event()
        self._waiting = 0

    async def explain(self, served: Served, given: Given, of: str | None) -> dict[str, Any]:
        """Return what is answered; raises `Refused`."""
        if not served.explains:
            said = f"{served.name} is an export: it has no layers to look into."
            raise Refused(422, "option", said, "Serve the model's own folder.")
        if len(given.raw) != 1:
            raise Refused(422, "option", "One example is explained at a time.", "Send one.")
        if self._waiting >= _WAITING:
            raise busy("full", f"{self._waiting} explanations wait already.", 3)
        self._waiting += 1
        future = self._thread.submit(_then_give_back, self._explained, served, given, of)
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._done))
        try:
            return await asyncio.wrap_future(future)
        except _Gone as problem:
            said = f"{served.name}'s own folder cannot be read now, to look into its layers."
            raise busy("loading", said, 5) from problem
        except QuickstudyError as problem:
            raise Refused(422, "option", problem.message, problem.hint) from problem

    def _done(self) -> None:
        self._waiting -= 1

    def _explained(self, served: Served, given: Given, of: str | None) -> dict[str, Any]:
        from quickstudy.explanation import explain

        model = self._copy(served)
        near = self._is_ready(served)
        found = explain(model, self._example(model, given), of=of, run=served.run if near else None)
        told = dict(found.as_dict())
        told["answer"] = {**told["answer"], "name": given.names[0]}
        told["neighbours"] = [_near(found, one) for one in found.neighbours]
        told["about"] = None if found.neighbours else self._why_none(served, near)
        return {"model": served.name, **told, **_pictures(found)}

    def _example(self, model: Any, given: Given) -> Any:
        """Return what `explain` takes; raises `ExampleError` for what is beyond the limits."""
        from quickstudy.serving.opening import is_large

        if model.kind == "table":
            return dict(given.raw[0])
        try:
            is_large(model.kind, given.raw[0], self._limits)
        except ExampleError as problem:
            raise ExampleError(f"{given.names[0]}: {problem.message}", problem.hint) from problem
        return given.raw[0]

    def _copy(self, served: Served) -> Any:
        """Return a model that only this thread asks, the same as is served now."""
        kept = self._copies.get(served.name)
        if kept is None or kept[0] != served.loaded:
            loaded = served.loaded
            kept = (loaded, _loaded(served))
            if loaded != checksums_of(served.folder):  # another was put there, and not served
                raise _Gone
            self._copies[served.name] = kept
        return kept[1]

    def _is_ready(self, served: Served) -> bool:
        """Whether the training examples have been looked at; else begin to."""
        if served.run is None:
            return False
        if self._ready.get(served.name) == served.loaded:
            return (served.run / _LOOKED_AT).is_file()
        looking = self._looking.get(served.name)
        if looking is None or not looking.is_alive():
            work = partial(_then_give_back, self._look, served)
            looking = threading.Thread(target=work, daemon=True)
            self._looking[served.name] = looking
            looking.start()
            looking.join(0.5)  # where it was done before, it is quick
        return self._ready.get(served.name) == served.loaded

    def _look(self, served: Served) -> None:
        from quickstudy.explanation.neighbours import nearest

        def tell(done: int, of: int) -> None:
            if self._stopping.is_set():
                raise _Stopped

        loaded, run = served.loaded, served.run
        try:
            model = _loaded(served)
            nearest(model, run, _some_values(model), tell)  # type: ignore[arg-type]
        except (_Stopped, _Gone):
            return
        except (QuickstudyError, OSError, ValueError) as problem:
            sys.stderr.write(f"{served.name}: no nearest training examples: {problem}\n")
        self._ready[served.name] = loaded

    def _why_none(self, served: Served, near: bool) -> str:
        if served.run is None:
            return "The folder of its run is not beside the model: no training examples to show."
        if self._ready.get(served.name) != served.loaded:
            return "The training examples are being looked at, once: ask again in a while."
        return "Its training examples are gone, or its run's folder cannot be written to."

    def stop(self) -> None:
        """End what goes on."""
        self._stopping.set()
        self._thread.shutdown(wait=False, cancel_futures=True)
        for looking in self._looking.values():
            looking.join(5)


def _then_give_back(work: Callable[..., Any], *given: Any) -> Any:
    try:
        return work(*given)
    finally:
        give_back()


def _loaded(served: Served) -> Any:
    """Return a copy of a model; raises `_Gone` where its folder no longer holds it."""
    from quickstudy.model import load

    try:
        return load(served.folder)
    except (QuickstudyError, OSError) as problem:  # they name the folder: not for a client
        sys.stderr.write(f"{served.name}: cannot be explained now: {problem}\n")
        raise _Gone from problem


def _some_values(model: Any) -> Any:
    """Return an example of nothing, decoded."""
    import numpy as np

    how = model.preparation
    if model.kind == "image":
        return np.zeros((1, *how.item), np.uint8)
    return (
        np.zeros((1, how.size), np.float32)
        if model.kind == "table"
        else np.zeros(how.size, np.float16)
    )


def _near(found: Any, one: Any) -> dict[str, Any]:
    """Return a neighbour, with a small picture of it where its file is still there."""
    from quickstudy import kinds

    told: dict[str, Any] = {"name": _shown(one.name), "label": one.label, "alike": one.alike}
    if one.cells:
        told["cells"] = dict(one.cells)
    if one.path:
        try:
            shown = kinds.shown(found.kind, Path(one.path), _THUMB)
            told["thumbnail"] = shown["sound"] or shown["picture"]
        except ExampleError:  # its file has gone: name and label remain
            return told
    return told


def _shown(name: str) -> str:
    """Return an example's name; of one that is named by a path of this machine, the last parts.

    >>> _shown("/home/ada/cats/cat/1.jpg"), _shown("C:\\\\cat\\\\1.jpg"), _shown("test/cat/1.jpg")
    ('cat/1.jpg', 'cat/1.jpg', 'test/cat/1.jpg')
    """
    parts = PureWindowsPath(name).parts  # it knows both separators
    if PureWindowsPath(name).anchor or name.startswith("~") or ".." in parts:
        return "/".join(part for part in parts[-2:] if not part.endswith(("/", "\\", ":", "..")))
    return name


def _pictures(found: Any) -> dict[str, Any]:
    """Return what was looked at and the map over it, as data URLs."""
    from quickstudy.explanation import drawing
    from quickstudy.explanation.page import pictures

    if found.picture is None or found.where is None:
        return {}
    plain, mapped = pictures(found)
    told = {"picture": drawing.uri(plain), "overlay": drawing.uri(mapped)}
    if found.heard is not None:
        told |= {"sound": found.heard.sound, "part": found.heard.part}
    return told
