"""Pictures and recordings that are odd beside the others: blank, dark, blurred, silent, clipped.

A limit on its own accuses whole data sets (X-rays are dark, drawings are flat), a comparison on its
own always finds somebody. So each needs both: a limit that means something, and, where the data may
be so by nature, an outlier's distance from the rest (`outliers.FAR`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from quickstudy.checking.findings import NOTE, SERIOUS, WARNING, Finding
from quickstudy.checking.outliers import FAR, modified_z

if TYPE_CHECKING:
    from quickstudy.kinds.image.measured import PictureMeasures
    from quickstudy.kinds.sound.measured import SoundMeasures

BLANK = 8.0
"""Grey levels between the 1st and 99th percentile: JPEG's own noise is about that."""
DARK = 50.0
"""Grey levels: where even the brightest parts stay below, little is to be seen on any screen."""
FLAT = 40.0
"""Grey levels between the darkest and the brightest part: a sixth of the range."""
BLURRED = 0.6
"""Of Crete's measure. Of 2,600 photographs of cats and dogs one lies above it; blurred by a
Gaussian of 1.5 pixels (at some 260 pixels a side) half of them do, of 3 pixels all."""
JUDGED = 64
"""Pixels: of a smaller picture sharpness cannot be told from what it shows."""
TINY = 4.0
"""Times smaller or larger (by a side) than the median picture."""
NARROW = 3.0
"""Long side beside the short one, and `TINY` beside the median shape: a crop or a strip."""
SILENT = 0.02
"""Share of the frames of 20 ms above -60 dB."""
CLIPPED = 0.001
"""Share of samples in runs at the peak."""
LONG = 3.0
"""Times longer or shorter than the median recording."""
NAMED = "It is read all the same; rename it so that other programs read it too."
_FEW = 10  # examples under which there are no others to compare with

Bools = NDArray[np.bool_]


def odd_pictures(
    names: Sequence[str], rows: Sequence[int], seen: Sequence[PictureMeasures]
) -> list[Finding]:
    """Return what is odd about pictures; all three have length ``N``."""
    return list(_findings(names, rows, _pictures(seen)))


def odd_sounds(
    names: Sequence[str], rows: Sequence[int], seen: Sequence[SoundMeasures]
) -> list[Finding]:
    """Return what is odd about recordings; all three have length ``N``."""
    return list(_findings(names, rows, _sounds(seen)))


#: check, severity, fix, which are so, what to say of each, how bad each is (larger first).
_Sort = tuple[str, str, str, Bools, Sequence[str], NDArray[np.float64]]


def _findings(
    names: Sequence[str], rows: Sequence[int], sorts: Iterable[_Sort]
) -> Iterator[Finding]:
    taken = np.zeros(len(names), bool)  # what is blank need not be called dark as well
    for check, severity, fix, which, said, badness in sorts:
        found = np.flatnonzero(which & ~taken)
        for i in found[np.argsort(-badness[found], kind="stable")].tolist():
            yield Finding(check, names[i], f"{check}: {said[i]}", severity, fix, row=rows[i])
        if check != "wrong name":
            taken |= which


def _numbers(seen: Sequence[Any], name: str) -> NDArray[np.float64]:
    return np.array([getattr(one, name) for one in seen], np.float64)


def _far(values: NDArray[np.float64], least: float) -> NDArray[np.float64]:
    """Return modified z-scores; of a few, where there is no telling, zeros."""
    return modified_z(values, least) if len(values) >= _FEW else np.zeros(len(values))


def _wrong_name(seen: Sequence[Any]) -> _Sort:
    return (
        "wrong name",
        NOTE,
        NAMED,
        np.array([one.remark.startswith("is ") for one in seen], bool),
        [f"the file {one.remark.partition(';')[0]}" for one in seen],
        np.zeros(len(seen)),
    )


def _pictures(seen: Sequence[PictureMeasures]) -> Iterator[_Sort]:
    yield _wrong_name(seen)
    dark, bright = _numbers(seen, "dark"), _numbers(seen, "bright")
    span = bright - dark
    yield (
        "blank",
        SERIOUS,
        "Leave it out: there is nothing to learn from.",
        span < BLANK,
        [
            f"its light goes from {a:.0f} to {b:.0f} of 255"
            for a, b in zip(dark, bright, strict=True)
        ],
        -span,
    )
    brighter = _far(bright, 10.0)
    yield (
        "dark",
        WARNING,
        "Look at it: brighten it, or leave it out.",
        (bright < DARK) & (brighter < -FAR),
        [f"even its brightest parts are at {b:.0f} of 255" for b in bright],
        -bright,
    )
    wider = _far(np.log(np.maximum(span, 1.0)), 0.1)
    yield (
        "low contrast",
        NOTE,
        "Look at it: fog, a lens cap, or a scan without ink.",
        (span < FLAT) & (wider < -FAR),
        [f"only {s:.0f} of 255 grey levels" for s in span],
        -span,
    )
    yield _blurred(seen)
    yield from _sizes(seen)


def _blurred(seen: Sequence[PictureMeasures]) -> _Sort:
    """Blurred by Crete's measure, and an outlier in the variance of the Laplacian as well.

    The variance alone (Pech-Pacheco et al. 2000) calls every plain wall blurred, the other alone
    every soft drawing.
    """
    judged = _numbers(seen, "judged") >= JUDGED
    sharpness, blur = _numbers(seen, "sharpness"), _numbers(seen, "blur")
    sharp, soft = np.zeros(len(seen)), np.zeros(len(seen))
    sharp[judged] = _far(np.log(np.maximum(sharpness[judged], 1e-3)), 0.2)
    soft[judged] = _far(blur[judged], 0.03)
    return (
        "blurred",
        WARNING,
        "Look at it: leave it out where what it shows cannot be told.",
        judged & (blur > BLURRED) & (soft > FAR) & (sharp < -FAR / 2),
        [
            f"far less sharp than the others ({b:.2f} of 0, sharp, to 1; theirs {m:.2f})"
            for b in blur
            for m in [_median(blur[judged])]
        ],
        blur,
    )


def _median(values: NDArray[np.float64]) -> float:
    return float(np.median(values)) if len(values) else 0.0


def _sizes(seen: Sequence[PictureMeasures]) -> Iterator[_Sort]:
    width, height = _numbers(seen, "width"), _numbers(seen, "height")
    shape, side = np.log(width / height), np.log(width * height) / 2
    usual, middle = _median(shape), _median(side)
    strip = (np.abs(_far(shape, 0.1)) > FAR) & (np.abs(shape) > np.log(NARROW))
    said = [f"{w:.0f} x {h:.0f} pixels" for w, h in zip(width, height, strict=True)]
    yield (
        "odd shape",
        WARNING,
        "Look at it: a strip, or a piece cut out by mistake.",
        strip & (np.abs(shape - usual) > np.log(NARROW)),
        said,
        np.abs(shape - usual),
    )
    typical = f", the others have about {np.exp(middle):.0f} a side"
    small, large = side - middle < -np.log(TINY), side - middle > np.log(TINY)
    odd = np.abs(_far(side, 0.1)) > FAR
    yield (
        "tiny",
        WARNING,
        "Find a larger copy, or leave it out: little is to be seen.",
        odd & small,
        [one + typical for one in said],
        -side,
    )
    yield (
        "huge",
        NOTE,
        "It is shrunk when it is read; check that it is one picture and not a scan of many.",
        odd & large,
        [one + typical for one in said],
        side,
    )


def _sounds(seen: Sequence[SoundMeasures]) -> Iterator[_Sort]:
    yield _wrong_name(seen)
    heard, seconds = _numbers(seen, "heard"), _numbers(seen, "seconds")
    yield (
        "silent",
        SERIOUS,
        "Leave it out: there is nothing to hear.",
        heard < SILENT,
        [f"{100 * h:.0f} % of it is above -60 dB" for h in heard],
        -heard,
    )
    clipped = _numbers(seen, "clipped")
    more = _far(clipped, CLIPPED / 10)
    often = _median(clipped) > CLIPPED  # then most are, and no comparison will tell
    yield (
        "clipped",
        WARNING,
        "Record it again with less gain, or leave it out where it sounds broken.",
        (clipped > CLIPPED) & ((more > FAR) | often),
        [f"{100 * c:.2g} % of its samples stand at its peak" for c in clipped],
        clipped,
    )
    length = np.log(np.maximum(seconds, 1e-6))
    middle = _median(length)
    odd = np.abs(_far(length, 0.1)) > FAR
    said = [f"{s:.2f} s, the others have about {np.exp(middle):.2f} s" for s in seconds]
    yield (
        "short",
        WARNING,
        "Listen to it: cut off, or empty?",
        odd & (length < middle - np.log(LONG)),
        said,
        -length,
    )
    yield (
        "long",
        NOTE,
        "Listen to it: several recordings in one, or never stopped?",
        odd & (length > middle + np.log(LONG)),
        said,
        length,
    )
