"""What a request is refused with: always one status, one sentence, and how to mend it."""

from __future__ import annotations

import json
from collections.abc import Mapping

_LONGEST = 2_000  # characters of a sentence: it may quote what a client sent


class Refused(Exception):  # noqa: N818 - it names what became of the request
    """A request that is not answered; `reason` is one word, for counting."""

    def __init__(
        self, status: int, reason: str, message: str, hint: str = "", *, after: int = 0
    ) -> None:
        message, hint = message[:_LONGEST], hint[:_LONGEST]
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.hint = hint
        self.after = after

    def body(self) -> bytes:
        """Return what is answered: JSON."""
        return json.dumps({"error": self.message, "hint": self.hint}).encode()

    def headers(self) -> Mapping[str, str]:
        """Return the headers of the answer, beside its type."""
        found = {"Retry-After": str(self.after)} if self.after else {}
        return {**found, "WWW-Authenticate": "Bearer"} if self.status == 401 else found


def busy(reason: str, message: str, after: int = 1) -> Refused:
    """Return a refusal that may be tried again: 503 with the seconds to wait."""
    return Refused(503, reason, message, f"Try again in {after} s.", after=max(1, after))
