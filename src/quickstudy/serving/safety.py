"""What stands before every path: who may ask, what every answer says to a browser, what is counted.

A server on the loopback address answers only to its own names, so that no other site's page can
reach it by giving its own name this machine's address (DNS rebinding). What another site's page
sends is refused as well, though it could not read the answer.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import sys
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from quickstudy.serving.refusing import Refused, busy

if TYPE_CHECKING:
    from quickstudy.serving.metrics import Metrics
    from quickstudy.serving.stopping import Life

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

_OWN_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_OPEN = frozenset({"/", "/docs", "/openapi.json", "/healthz", "/readyz"})
_STATE = frozenset({"/healthz", "/readyz", "/metrics"})
_POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob: data:; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = [
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(self), microphone=(self), geolocation=()"),
]
_NO_STORE = (b"cache-control", b"no-store")
_DRAIN_BYTES, _DRAIN_SECONDS = 64 << 20, 1.0
_LOGGED_EVERY = 1.0  # seconds between lines on refusals of one reason


class Guard:
    """The application within its walls."""

    def __init__(
        self, inner: App, metrics: Metrics, life: Life, *, token: str = "", loopback: bool = True
    ) -> None:
        self._inner = inner
        self._metrics = metrics
        self._life = life
        self._token = token.encode()
        self._loopback = loopback
        self._logged: dict[str, float] = {}
        self._unlogged: dict[str, int] = {}

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        path, began = scope["path"], time.perf_counter()
        answer = _Answer(scope, receive, send)
        headers = dict(scope["headers"])
        with self._life.asked(path not in _STATE):
            try:
                self._check(scope, headers)
            except Refused as problem:
                scope["quickstudy.refused"] = problem.reason, problem.message
                await _say(problem, answer.send)
            else:
                await self._inner(scope, answer.receive, answer.send)
        self._metrics.answered(path, answer.status, time.perf_counter() - began)
        if refused := scope.get("quickstudy.refused"):
            reason, message = refused
            self._tell(reason, message, answer.status)

    def _check(self, scope: MutableMapping[str, Any], headers: dict[bytes, bytes]) -> None:
        path = scope["path"]
        host = headers.get(b"host", b"").decode("latin-1")
        if self._loopback and _name_of(host) not in _OWN_NAMES:
            said = "This server answers only to localhost and 127.0.0.1."
            raise Refused(403, "host", said, "For other machines, serve with --host and --token.")
        origin = headers.get(b"origin")
        if origin is not None and _host_of(origin.decode("latin-1")) != host:
            raise Refused(403, "origin", "A page of another site may not ask this server.")
        if self._token and path not in _OPEN and not path.startswith(("/page/", "/docs/")):
            self._check_token(headers.get(b"authorization", b""))
        if self._life.busy and path not in _STATE:
            raise busy("connections", "Too many connections are open.", 2)
        if self._life.stopping and path not in _STATE:
            raise busy("stopping", "The server stops.", 5)

    def _check_token(self, given: bytes) -> None:
        scheme, _, token = given.partition(b" ")
        right = hmac.compare_digest(token.strip(), self._token)
        if scheme.lower() != b"bearer" or not right:
            raise Refused(
                401, "token", "This server needs its token.", "Send Authorization: Bearer TOKEN."
            )

    def _tell(self, reason: str, message: str, status: int) -> None:
        """Count a refusal; say it on stderr, a line a second for each reason at most."""
        self._metrics.refused(reason)
        now = time.monotonic()
        if now - self._logged.get(reason, -_LOGGED_EVERY) < _LOGGED_EVERY:
            self._unlogged[reason] = self._unlogged.get(reason, 0) + 1
            return
        self._logged[reason] = now
        more = self._unlogged.pop(reason, 0)
        also = f" (and {more:,} more)" if more else ""
        # as JSON: what a client wrote cannot pretend to be another line
        sys.stderr.write(f"refused {status} {reason}: {json.dumps(message)[1:-1]}{also}\n")
        sys.stderr.flush()


def _name_of(host: str) -> str:
    """Return the name in a Host header, without its port.

    >>> _name_of("localhost:8000"), _name_of("[::1]:80"), _name_of("evil.example:8000")
    ('localhost', '::1', 'evil.example')
    """
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()


def _host_of(origin: str) -> str | None:
    """Return the name and port in an Origin header; none where it is no address.

    >>> _host_of("http://localhost:8000"), _host_of("http://[evil"), _host_of("null")
    ('localhost:8000', None, '')
    """
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


async def _say(problem: Refused, send: Send) -> None:
    """Answer with a refusal."""
    body = problem.body()
    headers = [(name.lower().encode(), text.encode()) for name, text in problem.headers().items()]
    headers += [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


class _Answer:
    """The answer of one request, on its way.

    Where the body was not read to its end the connection closes after the answer; what still comes
    is thrown away for a while first, for a client that is cut off while it sends may lose the
    answer that tells it why.
    """

    def __init__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        self.status = 0
        self._receive, self._send = receive, send
        length = headers.get(b"content-length", b"0")
        self._more = length.strip(b"0") != b"" or b"transfer-encoding" in headers
        self._asks_first = b"expect" in headers  # sends nothing before it is told to
        self._read = False
        self._stores = False

    async def receive(self) -> Message:
        """Return what comes next."""
        message = await self._receive()
        self._read = True
        if message["type"] != "http.request" or not message.get("more_body", False):
            self._more = False
        return message

    async def send(self, message: Message) -> None:
        """Send what is next, with the headers that every answer has."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*message["headers"], *_HEADERS]
            if not any(name == b"cache-control" for name, _ in headers):
                headers.append(_NO_STORE)
            if self._more:
                headers.append((b"connection", b"close"))
            await self._send({**message, "headers": headers})
            return
        if message.get("more_body", False) or not self._more:
            await self._send(message)
            return
        await self._send({**message, "more_body": True})
        if self._read or not self._asks_first:
            await self._drain()
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _drain(self) -> None:
        thrown = 0
        try:
            async with asyncio.timeout(_DRAIN_SECONDS):
                while self._more and thrown < _DRAIN_BYTES:
                    thrown += len((await self.receive()).get("body", b""))
        except TimeoutError:
            return
