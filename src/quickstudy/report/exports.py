"""What computes the model's answers here, and the files it was exported to."""

from __future__ import annotations

from quickstudy.report import words
from quickstudy.report.markup import Html, section, table, tag
from quickstudy.report.reading import Report, number, part, records

_TITLES = ("Runtime", "One example", "Largest difference", "Same answers", "Size")


def exports(report: Report) -> Html:
    """Return each export with its parity and speed, the quickest that `predict` takes first named.

    Nothing where the model was not exported: PyTorch computes the answers.
    """
    found = records(report, "exports")
    if not found:
        return Html()
    used = next((one for one in found if one.get("used") is True), None)
    lead = (
        f"Answers are computed by {used.get('name')}: the quickest here of those that answer as "
        "the model does."
        if used
        else "Answers are computed by PyTorch: none of the exports is quicker and answers the same."
    )
    rows = [_row(one) for one in found]
    listed = table("Exports", _TITLES, rows, numeric=(1, 2, 3, 4))
    return section("exports", "What computes the answers", tag("p", lead), listed)


def _row(one: Report) -> tuple[object, ...]:
    parity, size = part(one, "parity"), number(one.get("bytes"))
    speed, largest = number(one.get("milliseconds")), number(parity.get("largest"))
    return (
        str(one.get("name", words.NONE)),
        f"{words.plain(speed)}{words.NBSP}ms" if speed is not None else words.NONE,
        f"{largest:.1e}" if largest is not None else words.NONE,
        words.percent(parity.get("same")),
        f"{words.plain(size / 1e6)}{words.NBSP}MB" if size is not None else words.NONE,
    )
