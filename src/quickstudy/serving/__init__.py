"""Models asked over HTTP, and a page to ask them by hand: `quickstudy serve`.

`serve` builds a server and runs it until it is told to stop. A request's way: `connections` (bytes
and seconds), `safety` (who may ask), `app` (paths), `answering` (`bodies`, `given`, `opening`,
`batching`), and back as `typed` JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import ipaddress
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quickstudy.errors import ChoiceError, MissingExtra
from quickstudy.serving.limits import Limits

__all__ = ["Limits", "Place", "Ready", "serve"]

_NEEDED = (
    *("fastapi", "fastapi_swagger", "uvicorn", "httptools", "python_multipart"),
    "prometheus_client",
)
_SHORTEST_TOKEN = 8


@dataclass(frozen=True)
class Place:
    """Where a server listens, and who may ask."""

    host: str = "127.0.0.1"
    port: int = 8000
    token: str = field(default="", repr=False)
    open: bool = False
    """Whether other machines may ask without a token."""

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            found = socket.getaddrinfo(self.host or "0.0.0.0", None)
        except OSError as problem:
            said = f"There is no host '{self.host[:80]}': {problem}."
            raise ChoiceError(said, "As --host 127.0.0.1.") from problem
        return all(ipaddress.ip_address(str(one[4][0])).is_loopback for one in found)

    def check(self) -> None:
        """Raise `ChoiceError` where anybody could ask, and nobody has said that they may."""
        if self.token and (len(self.token) < _SHORTEST_TOKEN or not self.token.isascii()):
            said = f"The token is shorter than {_SHORTEST_TOKEN} plain characters."
            make = "import secrets; print(secrets.token_urlsafe())"
            raise ChoiceError(said, f"Make one: python -c '{make}'")
        if not self.loopback and not self.token and not self.open:
            raise ChoiceError(
                f"At {self.host} other machines could ask.",
                "Give them a token (--token TEXT, or QUICKSTUDY_TOKEN), or say --no-token.",
            )


@dataclass(frozen=True)
class Ready:
    """A server whose models have answered."""

    url: str
    models: list[dict[str, Any]]
    """What ``GET /models`` tells of each."""
    stop: Callable[[], None]
    """Begins to stop it, as a signal does; for any thread."""


def serve(
    folders: Sequence[str | Path],
    place: Place | None = None,
    limits: Limits | None = None,
    *,
    ready: Callable[[Ready], None] = lambda told: None,
) -> int:
    """Serve models until a signal ends it; return the exit code.

    `ready` hears where and what is served, once all models have answered. Raises
    `ChoiceError` for a host or port that cannot be used, `ModelError` for what is no model,
    `MissingExtra`.
    """
    if any(importlib.util.find_spec(name) is None for name in _NEEDED):
        raise MissingExtra("Serving", "serve")
    from quickstudy.serving.models import named

    place, limits = place or Place(), limits or Limits()
    place.check()
    models = named(folders)
    with _listening(place) as listener:
        return _run(_served(models, place, limits, listener, ready))


def _run(work: Any) -> int:
    """Run it in the quicker loop where there is one."""
    factory: Any = None
    if importlib.util.find_spec("uvloop") is not None:
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        found: int = runner.run(work)
        return found


def _listening(place: Place) -> socket.socket:
    """Return a bound socket; raises `ChoiceError`."""
    family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((place.host, place.port))
    except (OSError, OverflowError) as problem:
        listener.close()
        why = getattr(problem, "strerror", None) or str(problem)
        raise ChoiceError(
            f"Port {place.port} at {place.host} cannot be used: {why}.",
            "Choose another: --port 8001, or --port 0 for any that is free.",
        ) from problem
    return listener


async def _served(
    models: Any, place: Place, limits: Limits, listener: socket.socket, ready: Any
) -> int:
    """Listen, load, answer, stop."""
    import uvicorn

    from quickstudy.serving.answering import Answering
    from quickstudy.serving.app import app_of
    from quickstudy.serving.batching import Queue
    from quickstudy.serving.connections import Connection
    from quickstudy.serving.explaining import Explaining
    from quickstudy.serving.metrics import Metrics
    from quickstudy.serving.models import Shelf
    from quickstudy.serving.safety import Guard
    from quickstudy.serving.stopping import Life, Server

    metrics = Metrics()
    answering, explaining = Answering(limits), Explaining(limits)
    metrics.held.set_function(lambda: answering.room.held)
    shelf = Shelf(models, lambda one: Queue(one.name, one.model.kind, limits, metrics), metrics)
    life = Life(limits, metrics)
    app = app_of(shelf, answering, explaining, metrics, life, protected=bool(place.token))
    guard = Guard(app, metrics, life, token=place.token, loopback=place.loopback)
    config = uvicorn.Config(
        guard,
        http=type("Limited", (Connection,), {"life": life}),
        ws="none", lifespan="off", access_log=False, log_config=None, log_level="error",
        server_header=False, proxy_headers=False, timeout_keep_alive=5,
        timeout_graceful_shutdown=5,
    )  # fmt: skip
    server = Server(config, life)
    serving = asyncio.create_task(server.serve([listener]))
    watching: asyncio.Task[None] | None = None
    try:
        await server.wait_started()
        await _loaded(shelf, serving)
        if shelf.ready:
            watching = asyncio.create_task(shelf.watch())
            about = [_told(one, limits) for one in models]
            ready(Ready(_address(place, listener), about, server.stop))
        await serving
    except Exception:
        server.stop()
        await serving
        raise
    finally:
        if watching is not None:
            watching.cancel()
        _stop(shelf, answering, explaining)
    return 0


async def _loaded(shelf: Any, serving: asyncio.Task[None]) -> None:
    """Load all models, unless the server is stopped before."""
    loading = asyncio.create_task(shelf.load())
    await asyncio.wait({loading, serving}, return_when=asyncio.FIRST_COMPLETED)
    if not loading.done():
        loading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await loading
        return
    loading.result()


def _told(one: Any, limits: Limits) -> dict[str, Any]:
    from quickstudy.serving.app import about

    return about(one, limits.as_dict())


def _address(place: Place, listener: socket.socket) -> str:
    host = f"[{place.host}]" if ":" in place.host else place.host
    return f"http://{host}:{listener.getsockname()[1]}"


def _stop(shelf: Any, answering: Any, explaining: Any) -> None:
    explaining.stop()
    answering.stop()
    for one in shelf.models.values():
        if one.queue is not None:
            one.queue.stop()
