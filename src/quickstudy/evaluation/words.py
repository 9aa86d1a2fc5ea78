"""Numbers as one would write them in a sentence."""

from __future__ import annotations

import math


def percent(share: float) -> str:
    """Return a share in percent, without the sign; only the whole is 100 and only nothing is 0.

    >>> [percent(x) for x in (0.967, 0.5, 1.0, 0.9996, 0.0, 0.0004, 0.93999)]
    ['96.7', '50', '100', '99.96', '0', '0.04', '94.0']
    """
    value = 100 * share
    if abs(value - round(value)) < 1e-9:
        return str(round(value))
    for digits in range(1, 9):
        text = f"{value:.{digits}f}"
        if 0 < float(text) < 100:
            return text
    return text


def figure(value: float, digits: int = 3) -> str:
    """Return a number with about `digits` significant digits, as one would write it.

    >>> [figure(x) for x in (3.204, 9.999, 45_312.0, 5.0, -0.00031, 0.0, 1.2e-9)]
    ['3.20', '10.0', '45,300', '5', '-0.00031', '0', '1.2e-09']
    """
    rounded = float(f"{value:.{digits}g}")
    if rounded == 0 or not 1e-4 <= abs(rounded) < 1e15:
        return f"{rounded:g}"
    places = max(0, digits - 1 - math.floor(math.log10(abs(rounded))))
    said = f"{rounded:,.{places}f}"
    short = said.rstrip("0").rstrip(".") if "." in said else said
    return short if abs(float(short.replace(",", "")) - value) <= 1e-9 * abs(value) else said


def fraction(value: float) -> str:
    """Return a score such as R2, at most 1, with two decimals; only 1 itself is 1.

    >>> [fraction(x) for x in (0.871, 0.99996, 1.0, -0.004, -12.3)]
    ['0.87', '0.99996', '1', '0.00', '-12.30']
    """
    if value == 1:
        return "1"
    for digits in range(2, 9):
        text = f"{value:.{digits}f}"
        if float(text) != 1:
            return "0.00" if float(text) == 0 else text
    return "1"
