"""One answer of a model, and for a long recording what is heard when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any


@dataclass(frozen=True)
class Segment:
    """A stretch of a recording; times in seconds from its beginning."""

    start: float
    end: float
    label: str | None
    """None: silence."""
    probability: float
    """How likely, 0 to 1, on average over the stretch."""

    def as_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        return {
            "from": self.start,
            "to": self.end,
            "label": self.label,
            "probability": self.probability if self.label is not None else None,
        }


@dataclass(frozen=True, repr=False)
class Prediction:
    """What a model says of one example: a class, several labels, or numbers.

    >>> Prediction("photo.jpg", "cat", 0.97, {"cat": 0.97, "dog": 0.03})
    Prediction('cat', 0.97)
    >>> Prediction("row 0", None, 0.0, {}, values={"price": 312.5}).value
    312.5
    """

    name: str
    """The example: its path, or what kind of thing it was."""
    label: str | None
    """The likeliest class; None where the example could not be read, and of numbers."""
    probability: float
    """How likely, 0 to 1."""
    probabilities: Mapping[str, float]
    """Of every class, in the model's order; of classes they add up to 1, of labels not."""
    error: str | None = None
    """Why the example could not be read."""
    timeline: tuple[Segment, ...] = ()
    """What is heard when, for a recording clearly longer than those learnt from."""
    labels: tuple[str, ...] | None = None
    """Of a model for several labels: those that are there, the likeliest first."""
    values: Mapping[str, float] | None = None
    """Of a model for numbers: each by name."""
    coverage: float | None = None
    """With which probability the set or the ranges hold the truth, where that was asked for."""
    labels_set: tuple[str, ...] | None = None
    """The classes that the truth is among, or all labels that may be there; the likeliest first."""
    ranges: Mapping[str, tuple[float, float]] | None = None
    """Of a model for numbers: from where to where each lies."""
    unknown: bool | None = None
    """Whether the example is like nothing that was learnt from; None: the model cannot tell."""

    @property
    def value(self) -> float:
        """The number, of a model for one number; raises `ValueError` of any other."""
        if self.values is None or len(self.values) != 1:
            raise ValueError("value is that of a model for one number; see values, label, labels")
        return next(iter(self.values.values()))

    def __repr__(self) -> str:
        if self.error:
            return f"Prediction(None, error={self.error!r})"
        if self.values is not None:
            return f"Prediction({', '.join(f'{k}={v:.6g}' for k, v in self.values.items())})"
        if self.labels is not None:
            return f"Prediction({list(self.labels)!r})"
        return f"Prediction({self.label!r}, {self.probability:.2f})"

    def as_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        if self.values is not None:
            values = {"name": self.name, "values": dict(self.values), "error": self.error}
            return {**values, **self._believed()}
        told = {} if self.labels is None else {"labels": list(self.labels)}
        return {
            "name": self.name,
            **told,
            "label": self.label,
            "probability": self.probability if self.error is None else None,
            "probabilities": dict(self.probabilities),
            "error": self.error,
            "timeline": [segment.as_dict() for segment in self.timeline],
            **self._believed(),
        }

    def _believed(self) -> dict[str, Any]:
        """Return what was promised of the answer, where something was."""
        ranges = None if self.ranges is None else {k: list(v) for k, v in self.ranges.items()}
        found = {"coverage": self.coverage, "labels_set": self.labels_set, "ranges": ranges}
        found["unknown"] = self.unknown
        return {key: value for key, value in found.items() if value is not None}

    def _repr_html_(self) -> str:
        """Show the answer and the likeliest classes as bars in a notebook."""
        if self.error:
            return f"<p><b>{escape(self.name)}</b>: not read, {escape(self.error)}</p>"
        if self.values is not None:
            said = ", ".join(f"{escape(k)} {v:.6g}" for k, v in self.values.items())
            return f"<p><b>{said}</b></p>"
        best = sorted(self.probabilities.items(), key=lambda item: -item[1])[:5]
        rows = "".join(
            f"<tr><td>{escape(name)}</td><td><progress max='1' value='{p:.4f}'></progress></td>"
            f"<td>{100 * p:.1f} %</td></tr>"
            for name, p in best
        )
        title = str(self.label) if self.labels is None else ", ".join(self.labels) or "none"
        return f"<p><b>{escape(title)}</b></p><table>{rows}</table>"
