"""A request's body, received within limits: of bytes, of time, and of all bodies together.

It stays in memory. What is announced as too large is refused before a byte of it is read.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType

from starlette.requests import ClientDisconnect

from quickstudy.serving.limits import Limits
from quickstudy.serving.refusing import Refused, busy


class Room:
    """How many bytes are held at once, over all requests."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.held = 0

    def hold(self) -> Hold:
        """Return a hold of nothing yet."""
        return Hold(self)


class Hold:
    """What one request holds; given back once all who use it have let go.

    A thread that decodes cannot be interrupted: its bytes are held until it ends, though the
    request was given up long before.
    """

    def __init__(self, room: Room) -> None:
        self._room = room
        self._bytes = 0
        self._users = 1

    def need(self, total: int) -> None:
        """Hold so many bytes altogether; raises `Refused` where there is no room."""
        self.check(total)
        more = max(0, total - self._bytes)
        self._room.held += more
        self._bytes += more

    def check(self, total: int) -> None:
        """Raise `Refused` where there is no room for so many bytes altogether.

        What is only announced is not held: a few who announce much and send slowly would keep all
        others out.
        """
        if self._room.held + max(0, total - self._bytes) > self._room.most:
            raise busy("memory", "The server holds as many uploads as it can.")

    def also(self) -> None:
        """Count one more user."""
        self._users += 1

    def let_go(self) -> None:
        """Count one user less; the last gives the bytes back."""
        self._users -= 1
        if not self._users:
            self._room.held -= self._bytes
            self._bytes = 0

    def __enter__(self) -> Hold:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.let_go()


def announced(length: str | None, limits: Limits) -> int:
    """Return the length that a request announces, 0 where it does not; raises `Refused`."""
    if length is None:
        return 0
    if not length.isascii() or not length.isdigit():
        raise Refused(400, "length", "The Content-Length is no number.")
    size = int(length[:20])
    if size > limits.upload:
        raise _too_large(limits)
    return size


async def received(
    chunks: AsyncIterator[bytes], length: int, hold: Hold, limits: Limits
) -> bytearray:
    """Return a body; raises `Refused` where it is too large, too slow, or there is no room.

    Its sender has `limits.patience` seconds, and one more for every `limits.pace` bytes.
    """
    hold.check(length)
    body = bytearray()
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        async with asyncio.timeout(limits.patience) as clock:
            async for chunk in chunks:
                if len(body) + len(chunk) > limits.upload:
                    raise _too_large(limits)
                hold.need(len(body) + len(chunk))
                body += chunk
                by_pace = began + limits.patience + len(body) / limits.pace
                clock.reschedule(min(by_pace, loop.time() + limits.patience))
    except TimeoutError as problem:
        raise Refused(
            408, "slow", f"The body came too slowly: {len(body):,} bytes so far."
        ) from problem
    except ClientDisconnect as problem:
        raise Refused(400, "gone", "The client left before its request had come.") from problem
    return body


def _too_large(limits: Limits) -> Refused:
    most = f"{limits.upload / (1 << 20):g} MB"
    return Refused(413, "large", f"The request is larger than {most}.", "Send fewer, or smaller.")
