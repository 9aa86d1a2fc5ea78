"""Answers that can be believed: honest probabilities, guaranteed sets, and `unknown`."""

from quickstudy.calibration.conformal import (
    ClassSets,
    Covered,
    LabelSets,
    Ranges,
    covered_classes,
    covered_labels,
    covered_numbers,
    promisable,
)
from quickstudy.calibration.ece import Reliability, of_classes, of_labels, reliability
from quickstudy.calibration.kept import Calibration, Detector, Sets, calibrated, restored
from quickstudy.calibration.selective import Selective, auroc, auroc_between, risk_coverage
from quickstudy.calibration.unknown import (
    REFUSED,
    Chosen,
    Energy,
    Mahalanobis,
    Measure,
    Neighbours,
    choose,
    share_refused,
    threshold,
)

__all__ = [
    "REFUSED",
    "Calibration",
    "Chosen",
    "ClassSets",
    "Covered",
    "Detector",
    "Energy",
    "LabelSets",
    "Mahalanobis",
    "Measure",
    "Neighbours",
    "Ranges",
    "Reliability",
    "Selective",
    "Sets",
    "auroc",
    "auroc_between",
    "calibrated",
    "choose",
    "covered_classes",
    "covered_labels",
    "covered_numbers",
    "of_classes",
    "of_labels",
    "promisable",
    "reliability",
    "restored",
    "risk_coverage",
    "share_refused",
    "threshold",
]
