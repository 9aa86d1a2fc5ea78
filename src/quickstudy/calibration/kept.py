"""What a model keeps to answer with guarantees: data that is checked before it is believed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quickstudy.calibration.conformal import METHODS, ClassSets, LabelSets, Ranges
from quickstudy.calibration.unknown import Energy, Mahalanobis, Measure, Neighbours
from quickstudy.errors import ModelError

Arrays = Mapping[str, NDArray[Any]]
Sets = ClassSets | LabelSets | Ranges


@dataclass(frozen=True, eq=False)
class Detector:
    """Says what is unknown: a measure of the features that `layer` sees, and its threshold."""

    measure: Measure
    threshold: float
    layer: str
    """The dotted path of the last layer, whose input the features are."""

    def unknown(self, features: NDArray[Any], scores: NDArray[Any]) -> NDArray[np.bool_]:
        """Return whether each of features ``N D`` and scores ``N K`` is like none learnt from.

        Raises `ModelError` where the measure is of other features.
        """
        width = self.measure.width
        if width not in (None, features.shape[1]):
            raise ModelError(
                f"What is unknown is told by {width:,} numbers of each example; its layer "
                f"'{self.layer}' sees {features.shape[1]:,}.",
                "Copy the model again.",
            )
        found: NDArray[np.bool_] = self.measure.unlike(features, scores) > self.threshold
        return found


@dataclass(frozen=True, eq=False)
class Calibration:
    """What `val` settled about a model: how far to open sets, and what is unknown."""

    sets: Sets | None = None
    detector: Detector | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return what `model.json` keeps; the numbers are in `tensors`."""
        told: dict[str, Any] = {"sets": None, "unknown": None}
        if self.sets is not None:
            told["sets"] = {"method": getattr(self.sets, "method", "split")}
        if self.detector is not None:
            one = self.detector
            told["unknown"] = {"measure": one.measure.name, "layer": one.layer}
            told["unknown"]["threshold"] = one.threshold if math.isfinite(one.threshold) else None
            if isinstance(one.measure, Neighbours):
                told["unknown"]["k"] = one.measure.k
        return told

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Return what `calibration.safetensors` keeps, by name."""
        found: dict[str, NDArray[Any]] = {}
        if self.sets is not None:
            found["sets.ordered"] = self.sets.ordered
        if self.detector is not None:
            kept = self.detector.measure.tensors()
            found |= {f"unknown.{name}": values for name, values in kept.items()}
        return found


def calibrated(task: str, truth: NDArray[Any], answers: NDArray[Any]) -> Sets:
    """Return the sets of a task, calibrated on what is true of held-out examples and was said."""
    if task == "classification":
        return ClassSets.calibrated(truth, answers)
    return (LabelSets if task == "multilabel" else Ranges).calibrated(truth, answers)


def restored(described: Mapping[str, Any], arrays: Arrays, task: str, outputs: int) -> Calibration:
    """Return what a folder says; raises `ValueError` and its kin where that cannot be."""
    sets: Sets | None = None
    if (told := described["sets"]) is not None:
        ordered = arrays["sets.ordered"].astype(np.float64)
        shape = (len(ordered), outputs) if task == "regression" else (len(ordered),)
        _demand(ordered.shape == shape and bool(np.isfinite(ordered).all()), "the sets")
        _demand(bool((np.diff(ordered, axis=0) >= 0).all()), "the order of the sets")
        sets = _sets(task, ordered, told["method"])
    if (told := described["unknown"]) is None:
        return Calibration(sets)
    limit = math.inf if told["threshold"] is None else float(told["threshold"])
    layer = told["layer"]
    _demand(not math.isnan(limit) and isinstance(layer, str) and layer != "", "what is unknown")
    return Calibration(sets, Detector(_measure(told, arrays), limit, layer))


def _sets(task: str, ordered: NDArray[Any], method: str) -> Sets:
    if task == "classification":
        _demand(method in METHODS, f"the sets' method {str(method)[:40]!r}")
        return ClassSets(ordered, method)
    return LabelSets(ordered) if task == "multilabel" else Ranges(ordered)


def _measure(told: Mapping[str, Any], arrays: Arrays) -> Measure:
    name = told["measure"]
    if name == Energy.name:
        return Energy()
    own = ("kept",) if name == Neighbours.name else ("means", "whitening")
    found = [arrays[f"unknown.{one}"] for one in own]
    _demand(all(a.ndim == 2 and bool(np.isfinite(a).all()) for a in found), "what is known")
    if name == Neighbours.name:
        _demand(isinstance(told["k"], int) and 1 <= told["k"] <= len(found[0]), "k")
        return Neighbours(found[0].astype(np.float32), told["k"])
    _demand(name == Mahalanobis.name, f"the measure {str(name)[:40]!r}")
    means, whitening = found[0].shape, found[1].shape
    _demand(whitening == (means[1], means[1]) and min(means) > 0, "the shapes")
    return Mahalanobis(*(one.astype(np.float64) for one in found))


def _demand(fine: bool, what: str) -> None:
    if not fine:
        raise ValueError(what)
