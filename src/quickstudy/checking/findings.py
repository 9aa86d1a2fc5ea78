"""One thing that is wrong with the examples, how bad it is, and how to mend it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

SERIOUS, WARNING, NOTE = "serious", "warning", "note"
#: The most serious first: a score will lie, or an example cannot be used; worth a look; good to
#: know.
SEVERITIES = (SERIOUS, WARNING, NOTE)


@dataclass(frozen=True)
class Finding:
    """One thing found. Of the whole data, or of a class, `name` is empty."""

    check: str
    """A word for this sort of finding, such as ``blurred``: findings are grouped by it."""
    name: str
    """The example, as the catalog names it."""
    problem: str
    """What is wrong, in words, with the numbers that say so."""
    severity: str
    """One of `SEVERITIES`."""
    fix: str
    """What to do about it."""
    other: str = ""
    """The other example of a pair."""
    row: int = -1
    """The example's number in the catalog; -1 for one that is not in it, or none."""

    def as_dict(self) -> dict[str, str]:
        """Return what ``check.csv`` and JSON hold."""
        return {
            "file": self.name,
            "problem": self.problem,
            "severity": self.severity,
            "check": self.check,
            "fix": self.fix,
            "other": self.other,
        }


@dataclass(frozen=True)
class Group:
    """All findings of one sort, as one line of the list."""

    check: str
    severity: str
    fix: str
    findings: tuple[Finding, ...]

    def said(self) -> str:
        """Return the line: the finding itself, or how many there are and an example.

        >>> one = Finding("blank", "a.png", "blank: one colour", "serious", "Leave it out.")
        >>> Group("blank", "serious", "Leave it out.", (one,)).said()
        'a.png: blank: one colour'
        """
        first = self.findings[0]
        named = f"{first.name}: {first.problem}" if first.name else first.problem
        with_other = f"{named} ({first.other})" if first.other else named
        more = len(self.findings) - 1
        return f"{with_other}; and {more:,} more like it" if more else with_other


def grouped(findings: Iterable[Finding]) -> list[Group]:
    """Return findings by their `check` and severity: the most serious first, then the commonest.

    Inside a group the order stays.
    """
    groups: dict[tuple[str, str], list[Finding]] = {}
    for one in findings:
        groups.setdefault((one.severity, one.check), []).append(one)
    made = [
        Group(check, severity, found[0].fix, tuple(found))
        for (severity, check), found in groups.items()
    ]
    return sorted(made, key=lambda g: (SEVERITIES.index(g.severity), -len(g.findings), g.check))
