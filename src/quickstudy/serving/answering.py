"""One request, from its body to its answer: receive, take apart, decode, batch, answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from quickstudy.errors import ExampleError, QuickstudyError
from quickstudy.hardware import usable_cores
from quickstudy.kinds import NOUNS
from quickstudy.serving.bodies import Hold, Room, announced, received
from quickstudy.serving.given import Given, given_in
from quickstudy.serving.limits import Limits
from quickstudy.serving.models import Served
from quickstudy.serving.opening import Values, decoded, decoded_large, decoded_rows, is_large
from quickstudy.serving.refusing import Refused, busy

_LARGE_BODY = 256 << 10  # bytes: taken apart by a thread, so that nobody else waits


@dataclass(frozen=True)
class Body:
    """What is known of a request before its body is read."""

    chunks: AsyncIterator[bytes]
    content_type: str
    length: str | None


class Answering:
    """What all requests share: the room for bodies, and the threads that decode."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.room = Room(limits.together)
        self._readers = ThreadPoolExecutor(usable_cores(), "read", initializer=_alone)
        self._slow = ThreadPoolExecutor(1, "read large", initializer=_alone)

    @asynccontextmanager
    async def asked(self, served: Served, body: Body) -> AsyncIterator[tuple[Given, Hold]]:
        """Lend what a request asks about; raises `Refused`, also when answering takes too long."""
        served.queue.check()
        with self.room.hold() as hold:
            length = announced(body.length, self.limits)
            content = await received(body.chunks, length, hold, self.limits)
            try:
                async with asyncio.timeout(self.limits.timeout):
                    given = await self._taken_apart(content, body.content_type, served, hold)
                    yield given, hold
            except TimeoutError as problem:
                said = f"The answer took longer than {self.limits.timeout:g} s."
                raise busy("timeout", said, 5) from problem

    async def _taken_apart(
        self, content: bytearray, content_type: str, served: Served, hold: Hold
    ) -> Given:
        kind = served.model.kind

        def work() -> Given:
            return given_in(content, content_type, kind, self.limits)

        if len(content) < _LARGE_BODY:
            return work()
        found: Given = await self._held(self._readers, hold, work)
        return found

    async def predict(
        self, served: Served, given: Given, hold: Hold, coverage: float | None
    ) -> list[dict[str, Any]]:
        """Return the answers as JSON takes them; raises `Refused`."""
        model, n = served.model, len(given.raw)
        with _options():
            from quickstudy.runtimes.believed import promised

            promised(model.calibration, coverage)
        served.queue.take(n)
        try:
            try:
                pairs = await self._decoded(model, given, hold)
            finally:
                served.queue.decoded()
            with _options():
                found = await served.queue.answered(model, pairs, coverage)
        finally:
            served.queue.drop(n)
        return [one.as_dict() for one in found]

    async def _decoded(self, model: Any, given: Given, hold: Hold) -> list[tuple[str, Values]]:
        how: Any = model.preparation
        if model.kind == "table":
            with _options():
                rows = await self._held(self._readers, hold, lambda: decoded_rows(how, given.raw))
            return list(zip(given.names, rows, strict=True))
        if len(given.raw) == 1:
            return [(given.names[0], await self._one(how, given.raw[0], hold))]
        values = await asyncio.gather(*(self._one(how, raw, hold) for raw in given.raw))
        return list(zip(given.names, values, strict=True))

    async def _one(self, how: Any, raw: bytes, hold: Hold) -> Values:
        def quick() -> Values | None:
            try:
                large = is_large(how.kind, raw, self.limits)
            except ExampleError as problem:
                return problem.message
            return None if large else decoded(how, raw, self.limits)

        found: Values | None = await self._held(self._readers, hold, quick)
        if found is not None:
            return found
        made: Values = await self._held(
            self._slow, hold, lambda: decoded_large(how, raw, self.limits)
        )
        return made

    async def _held(self, threads: Executor, hold: Hold, work: Callable[[], Any]) -> Any:
        """Return what `work` gives; its bytes are held until it ends, whoever has given up."""
        loop = asyncio.get_running_loop()
        found: asyncio.Future[Any] = loop.create_future()

        def ended(future: Future[Any]) -> None:
            hold.let_go()
            if found.done():  # given up meanwhile
                return
            if problem := future.exception():
                found.set_exception(problem)
            else:
                found.set_result(future.result())

        def tell(future: Future[Any]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
                loop.call_soon_threadsafe(ended, future)

        hold.also()
        future = threads.submit(work)
        future.add_done_callback(tell)
        try:
            return await found
        finally:
            future.cancel()  # where it was given up before a thread began with it

    def stop(self) -> None:
        """Let the threads end."""
        for threads in (self._readers, self._slow):
            threads.shutdown(wait=False, cancel_futures=True)


def _alone() -> None:
    """Let a thread that decodes compute by itself: else they wait for one another."""
    import sys

    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


class _options:  # noqa: N801 - used as a statement
    """What a request may not ask of this model -> `Refused`."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, problem: BaseException | None, where: Any) -> None:
        if isinstance(problem, QuickstudyError):
            raise Refused(422, "option", problem.message, problem.hint) from problem


def coverage_of(asked: str | None, given: Given) -> float | None:
    """Return the coverage that a request asks for; raises `Refused`."""
    said: Any = asked if asked is not None else given.options.get("coverage")
    if said is None or said == "":
        return None
    try:
        if isinstance(said, bool):
            raise ValueError
        coverage = float(said)
    except (TypeError, ValueError, OverflowError):
        raise Refused(422, "option", "The coverage is no number.", "As coverage=0.95.") from None
    return coverage


def status_of(predictions: list[dict[str, Any]], given: Given, kind: str) -> Mapping[str, Any]:
    """Return what an answer says beside the predictions where the only example cannot be read."""
    if given.many or not predictions[0]["error"]:
        return {}
    hint = "Give one value a column." if kind == "table" else f"Give a {NOUNS[kind][0]} file."
    return {"error": f"{predictions[0]['name']}: {predictions[0]['error']}", "hint": hint}
