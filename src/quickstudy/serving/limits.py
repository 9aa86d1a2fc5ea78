"""What a server takes at most: of one request, and of all of them together."""

from __future__ import annotations

import re
from dataclasses import dataclass

from quickstudy.errors import ChoiceError

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


@dataclass(frozen=True)
class Limits:
    """What a server takes at most; what is beyond is refused with a reason."""

    upload: int = 32 << 20
    """Bytes of one request's body."""
    together: int = 128 << 20
    """Bytes of all bodies that are held at once."""
    pixels: int = 50_000_000
    """Of one picture."""
    seconds: float = 600.0
    """Of one recording."""
    files: int = 64
    """Files of one request, or other examples but rows."""
    rows: int = 10_000
    """Rows of one request."""
    waiting: int = 256
    """Examples of one model that are decoded, or wait for it."""
    connections: int = 256
    """Beyond so many, each request is told to come again; beyond four times as many, none opens."""
    timeout: float = 30.0
    """Seconds that an answer may take, once the request is there."""
    patience: float = 10.0
    """Seconds that a request's head may take, and a silence within its body."""
    pace: int = 16 << 10
    """Bytes a second of a body, at least; it has `patience` more."""
    headers: int = 32 << 10
    """Bytes of a request's head."""
    window: float = 0.003
    """Seconds that a batch waits for others that are on their way."""
    grace: float = 30.0
    """Seconds that a stop waits for what was taken."""

    def as_dict(self) -> dict[str, int | float]:
        """Return what ``GET /models`` tells of it."""
        return {
            "bytes": self.upload,
            "files": self.files,
            "rows": self.rows,
            "pixels": self.pixels,
            "seconds": self.seconds,
        }

    def said(self) -> str:
        """Return the limits in words.

        >>> Limits().said()
        '32 MB and 64 files a request, 50 million pixels, 600 s of sound'
        """
        return (
            f"{self.upload / (1 << 20):g} MB and {self.files} files a request, "
            f"{self.pixels / 1e6:g} million pixels, {self.seconds:g} s of sound"
        )


def bytes_of(text: str) -> int:
    """Return a size in bytes; raises `ChoiceError`.

    >>> bytes_of("32M"), bytes_of("1.5G"), bytes_of("100")
    (33554432, 1610612736, 100)
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    size = round(float(found[1]) * _UNITS[found[2].upper()]) if found else 0
    if not 1 <= size <= 1 << 40:
        raise ChoiceError(f"'{text[:40]}' is no size.", "Write it as 32M, 500K or 1G.")
    return size
