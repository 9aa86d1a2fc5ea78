"""How far a number lies from the others, measured so that a few odd ones change nothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FAR = 3.5
"""Modified z-score beyond which a number is an outlier (Iglewicz and Hoaglin 1993)."""


def modified_z(values: Floats, least: float = 1e-9) -> Floats:
    """Return for each of ``N`` numbers how many robust deviations it lies above the median.

    The deviation is the median absolute deviation times 1.4826, so that it is the standard
    deviation of normal numbers, but `least` at least: where all are alike a hair is no outlier.
    On each side it is that side's own (the double MAD of Rosenmai 2013): sizes and lengths are
    skewed.

    >>> modified_z(np.array([1.0, 2, 3, 4, 100])).round(1).tolist()
    [-1.3, -0.7, 0.0, 0.7, 65.4]
    """
    if len(values) == 0:
        return values.astype(np.float64)
    gap = values - np.median(values)
    scales = []
    for side in (gap <= 0, gap >= 0):
        scales.append(max(least, 1.4826 * float(np.median(np.abs(gap[side])))))
    found: Floats = np.where(gap < 0, gap / scales[0], gap / scales[1])
    return found
