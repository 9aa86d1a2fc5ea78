"""The life of a server: it begins before its models are loaded, and ends when all is answered."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn

from quickstudy.serving.limits import Limits
from quickstudy.serving.metrics import Metrics

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Life:
    """What is going on in a server."""

    def __init__(self, limits: Limits, metrics: Metrics) -> None:
        self.limits = limits
        self.stopping = False
        self.connections = 0
        self.requests = 0  # being answered, apart from those about the server's state
        self._metrics = metrics
        metrics.connections.set_function(lambda: self.connections)

    @property
    def busy(self) -> bool:
        """Whether more connections are open than are answered."""
        return self.connections > self.limits.connections

    @contextmanager
    def asked(self, counts: bool) -> Iterator[None]:
        """Count a request while it is answered."""
        self.requests += counts
        try:
            yield
        finally:
            self.requests -= counts

    def refused(self, reason: str) -> None:
        """Count what was refused before it was a request."""
        self._metrics.refused(reason)


class Server(uvicorn.Server):
    """A server that ends well: what was taken is answered, and its exit code is ours.

    While it waits for that it still listens: new requests are told to come again, ``/readyz`` that
    it stops. A second signal ends it at once.
    """

    def __init__(self, config: uvicorn.Config, life: Life) -> None:
        super().__init__(config)
        self._life = life
        self._asked_at = 0.0

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Listen to signals meanwhile; uvicorn's own raises them again at the end."""
        try:
            before = {one: signal.signal(one, self.handle_exit) for one in _SIGNALS}
        except ValueError:  # not the main thread: whoever runs it stops it
            yield
            return
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop; at the second signal, end."""
        if self._life.stopping:
            self.force_exit = self.should_exit = True
        self.stop()

    def stop(self) -> None:
        """Begin to stop: what was taken is answered first."""
        if not self._life.stopping:
            self._life.stopping = True
            self._asked_at = time.monotonic()

    async def on_tick(self, counter: int) -> bool:
        """Look whether it is time to end, ten times a second."""
        if self._life.stopping:
            waited = time.monotonic() - self._asked_at
            if not self._life.requests or waited > self._life.limits.grace:
                self.should_exit = True
        return await super().on_tick(counter)

    async def wait_started(self) -> None:
        """Return once it listens."""
        while not self.started and not self.should_exit:
            await asyncio.sleep(0.01)
