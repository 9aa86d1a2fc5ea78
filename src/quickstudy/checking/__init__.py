"""What is wrong with labelled examples, before anything is learnt from them."""

from quickstudy.checking.duplicates import (
    Duplicates,
    components,
    duplicates,
    leaks,
    same_rows,
)
from quickstudy.checking.findings import NOTE, SERIOUS, SEVERITIES, WARNING, Finding, grouped
from quickstudy.checking.looking import Looked, Unreadable, look
from quickstudy.checking.verifying import alike
from quickstudy.checking.whole import Cleaned, check, cleaned, truths

__all__ = [
    "NOTE",
    "SERIOUS",
    "SEVERITIES",
    "WARNING",
    "Cleaned",
    "Duplicates",
    "Finding",
    "Looked",
    "Unreadable",
    "alike",
    "check",
    "cleaned",
    "components",
    "duplicates",
    "grouped",
    "leaks",
    "look",
    "same_rows",
    "truths",
]
