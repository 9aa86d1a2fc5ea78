"""The parameters of your own functions, as the run has learnt them."""

from __future__ import annotations

from collections.abc import Sequence

from quickstudy.report import words
from quickstudy.report.markup import Html, long_table, section, tag
from quickstudy.report.reading import Report, number, records

_DIGITS = 7  # as many as single precision holds


def learned(report: Report) -> Html:
    """Return every learned parameter of a formula or an expression with its value."""
    body = [
        (tag("code", str(one.get("name", words.NONE))), _value(one.get("value")))
        for one in records(report, "learned")
    ]
    if not body:
        return Html()
    lead = "The parameters of the functions that you gave, with the values they were learnt to."
    listed = long_table(
        "Learned parameters", ("Parameter", "Value"), body, "The other {n}", numeric=(1,)
    )
    return section("learned", "Learned parameters", tag("p", lead), listed)


def _value(value: object) -> str:
    """Return a number, or several, as they are; nothing is rounded to please."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_value(one) for one in value) or words.NONE
    return words.plain(value, _DIGITS) if number(value) is not None else words.setting(value)
