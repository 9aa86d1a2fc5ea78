"""One family of user errors: what is wrong, and how to mend it.

Everything a user can put right is a `QuickstudyError`; the command line catches it once, prints
``error:`` and ``hint:``, and exits with 2. Anything else that escapes is a defect of ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class QuickstudyError(Exception):
    """Something the user can mend: `message` says what is wrong, `hint` how to mend it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class SourceError(QuickstudyError):
    """The examples cannot be used: a folder, table, archive or class is not as it must be."""


class ExampleError(QuickstudyError):
    """One example cannot be read; a scan collects these, a single prediction raises them."""


class ChoiceError(QuickstudyError):
    """An option, setting or recipe names something that is not there or does not fit."""


class WeightsError(QuickstudyError):
    """A weights file is missing, unsafe, or does not fit the network."""


class ModelError(QuickstudyError):
    """A model folder is missing, altered, or made by a newer version."""


class RunError(QuickstudyError):
    """A run cannot go on: no room on the disk, not resumable, nothing learnt."""


class MissingExtra(QuickstudyError):  # noqa: N818 - it names what is missing
    """An optional library is not installed; the hint is the line that installs it."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(
            f"{what} needs a library that is not installed.",
            f'Install it: pip install "quickstudy[{extra}]"',
        )


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``Did you mean 'x'?`` for the nearest known word, or the empty string."""
    near = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"Did you mean '{near[0]}'?" if near else ""
