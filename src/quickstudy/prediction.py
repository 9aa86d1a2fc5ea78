"""One answer of a model, and for a long recording what is heard when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from math import isfinite
from typing import Any

NONE_OF_THESE = "none of these"
UNLIKE = "unlike all it learnt from"


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
    """Whether the example is like nothing that was learnt from; None: the model cannot tell.

    What is said of it is still there, and not to be believed.
    """

    @property
    def value(self) -> float:
        """The number, of a model for one number; raises `ValueError` of any other."""
        if self.values is None or len(self.values) != 1:
            raise ValueError("value is that of a model for one number; see values, label, labels")
        return next(iter(self.values.values()))

    def __repr__(self) -> str:
        if self.error:
            return f"Prediction(None, error={self.error!r})"
        sure = "" if self.coverage is None else f", coverage={self.coverage:g}"
        if self.labels_set is not None:
            sure += f", labels_set={self.labels_set!r}"
        if self.ranges is not None:
            sure += f", ranges={dict(self.ranges)!r}"
        if self.values is not None:
            said = ", ".join(f"{k}={v:.6g}" for k, v in self.values.items())
        elif self.labels is not None:
            said = f"{list(self.labels)!r}"
        elif self.unknown:
            return f"Prediction({NONE_OF_THESE!r}, likeliest={self.label!r}{sure})"
        else:
            said = f"{self.label!r}, {self.probability:.2f}"
        return f"Prediction({said}{', unknown=True' if self.unknown else ''}{sure})"

    def said(self) -> str:
        """Return the answer in words, as ``quickstudy predict`` prints it.

        >>> shares = {"cat": 0.62, "dog": 0.38}
        >>> Prediction("a.jpg", "cat", 0.62, shares, coverage=0.9, labels_set=("cat", "dog")).said()
        'cat  62.0 %  (90 % sure: cat or dog)'
        >>> Prediction("a.jpg", "cat", 0.62, shares, unknown=True).said()
        'none of these  (the likeliest: cat, 62.0 %)'
        """
        sure = "" if self.coverage is None else f"{100 * self.coverage:g} % sure: "
        if self.values is not None:
            told = f"{UNLIKE}, " if self.unknown else ""
            return told + ", ".join(self._number(name, sure) for name in self.values)
        if self.labels is not None:
            named = [f"{label} {100 * self.probabilities[label]:.0f} %" for label in self.labels]
            told = ", ".join(named) or "none of its labels"
            told = f"{UNLIKE}, {told}" if self.unknown else told
            among = ", ".join(self.labels_set or ()) or "none"
            return f"{told}  ({sure}no others than {among})" if sure else told
        share = f"{100 * self.probability:.1f} %"
        among = f"  ({sure}{' or '.join(self.labels_set or ())})" if sure else ""
        if self.unknown:
            told = f"; {sure}{' or '.join(self.labels_set or ())}" if sure else ""
            return f"{NONE_OF_THESE}  (the likeliest: {self.label}, {share}{told})"
        return f"{self.label}  {share}{among}"

    def _number(self, name: str, sure: str) -> str:
        value = f"{name} {(self.values or {})[name]:.6g}"
        if self.ranges is None:
            return value
        low, high = self.ranges[name]
        if not isfinite(high - low):
            return f"{value} ({sure}any number, too few were held out)"
        return f"{value} ({sure}{low:.6g} to {high:.6g})"

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
        ranges = None  # JSON has no infinity: null where too few were held out to promise so much
        if self.ranges is not None:
            ends = self.ranges.items()
            ranges = {name: [x if isfinite(x) else None for x in two] for name, two in ends}
        found = {"coverage": self.coverage, "labels_set": self.labels_set, "ranges": ranges}
        found["unknown"] = self.unknown
        return {key: value for key, value in found.items() if value is not None}

    def _repr_html_(self) -> str:
        """Show the answer and the likeliest classes as bars in a notebook."""
        if self.error:
            return f"<p><b>{escape(self.name)}</b>: not read, {escape(self.error)}</p>"
        title = f"<p><b>{escape(self.said())}</b></p>"
        if self.values is not None:
            return title
        best = sorted(self.probabilities.items(), key=lambda item: -item[1])[:5]
        rows = "".join(
            f"<tr><td>{escape(name)}</td><td><progress max='1' value='{p:.4f}'></progress></td>"
            f"<td>{100 * p:.1f} %</td></tr>"
            for name, p in best
        )
        return f"{title}<table>{rows}</table>"
