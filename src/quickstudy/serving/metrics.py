"""What a server counts, as Prometheus reads it. Labels are few and ours: no client makes more."""

from __future__ import annotations

from typing import Any

_PATHS = frozenset(
    {"/", "/predict", "/explain", "/models", "/healthz", "/readyz", "/metrics", "/docs"}
    | {"/openapi.json"}
)
_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 256, 1024)


class Metrics:
    """Counters of one server, in a registry of their own."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self._registry = CollectorRegistry()

        def made(kind: Any, name: str, what: str, labels: tuple[str, ...], **more: Any) -> Any:
            return kind(f"quickstudy_{name}", what, labels, registry=self._registry, **more)

        self._requests = made(Counter, "requests", "Requests answered.", ("path", "status"))
        self._latency = made(
            Histogram, "request_seconds", "Seconds from head to answer.", ("path",),
            buckets=_SECONDS,
        )  # fmt: skip
        self._refused = made(Counter, "refusals", "Requests refused, by reason.", ("reason",))
        self._sizes = made(
            Histogram, "batch_size", "Examples answered together.", ("model",), buckets=_SIZES
        )
        self._computing = made(
            Histogram, "batch_seconds", "Seconds that a batch took.", ("model",), buckets=_SECONDS
        )
        self._swaps = made(
            Counter, "model_loads", "Models loaded while serving.", ("model", "result")
        )
        self.waiting = made(Gauge, "waiting", "Examples decoded or waiting for it.", ("model",))
        self.held = made(Gauge, "upload_bytes", "Bytes of uploads held now.", ())
        self.connections = made(Gauge, "connections", "Connections open now.", ())

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count one answer."""
        label = path if path in _PATHS else "/page" if path.startswith("/page/") else "other"
        self._requests.labels(label, str(status)).inc()
        self._latency.labels(label).observe(seconds)

    def refused(self, reason: str) -> None:
        """Count one refusal."""
        self._refused.labels(reason).inc()

    def batch(self, model: str, size: int, seconds: float) -> None:
        """Count one batch."""
        self._sizes.labels(model).observe(size)
        self._computing.labels(model).observe(seconds)

    def loaded(self, model: str, fine: bool) -> None:
        """Count one replacement of a model."""
        self._swaps.labels(model, "ok" if fine else "failed").inc()

    def text(self) -> bytes:
        """Return what is read."""
        from prometheus_client import generate_latest

        return generate_latest(self._registry)
