"""One connection: what uvicorn leaves without a limit of time or size is given one here.

It waits for ever for a request's head, lets a head grow for ever, and waits for ever for a client
that does not read its answer.
"""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    from quickstudy.serving.stopping import Life

_UNREAD = 30.0  # seconds that a client may leave an answer unread


class Connection(HttpToolsProtocol):
    """A connection with limits; `life` is set on a subclass for each server."""

    life: Life

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._unread_timer: asyncio.TimerHandle | None = None
        self._in_body = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin; beyond all limits, end at once."""
        super().connection_made(transport)
        life = self.life
        life.connections = len(self.connections)
        if life.connections > 4 * life.limits.connections:
            life.refused("connections")
            self._refuse(503, "Too many connections are open.", "Retry-After: 2\r\n")
            return
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._forget_head()
        self.resume_writing()
        super().connection_lost(exc)
        self.life.connections = len(self.connections)

    def data_received(self, data: bytes) -> None:
        """Take bytes: of a head only so many, and only for so long."""
        if self.transport.is_closing():
            return
        if not self._in_body:
            self._head_bytes += len(data)
            if self._head_timer is None:
                self._await_head()
        super().data_received(data)
        if not self._in_body and self._head_bytes > self.life.limits.headers:
            self.life.refused("headers")
            self._refuse(431, "The request's head is too large.")

    def on_headers_complete(self) -> None:
        """Begin to answer."""
        self._in_body = True
        self._head_bytes = 0
        self._forget_head()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """End a request: what comes next is another's head."""
        self._in_body = False
        super().on_message_complete()

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(self.life.limits.patience, self._too_slow)

    def _forget_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _too_slow(self) -> None:
        self._head_timer = None
        if self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self._await_head()  # another's head behind a request that is being answered
            return
        self.life.refused("slow")
        if self._head_bytes:
            self._refuse(408, "The request's head came too slowly.")
        else:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP."""
        self.life.refused("http")
        self._refuse(400, msg)

    def _refuse(self, status: int, message: str, more: str = "") -> None:
        """Answer without a request, and close."""
        self._forget_head()
        if self.transport.is_closing():
            return
        body = json.dumps({"error": message, "hint": ""})
        head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{more}"
        head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
        self.transport.write(f"{head}connection: close\r\n\r\n{body}".encode())
        self.transport.close()

    def pause_writing(self) -> None:
        """Wait for the client to read, but not for ever."""
        super().pause_writing()
        if self._unread_timer is None:
            self._unread_timer = self.loop.call_later(_UNREAD, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on: it has read."""
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None
        super().resume_writing()
