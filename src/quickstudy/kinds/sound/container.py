"""What the raw bytes of a sound file say: what it is, and how long it claims to be.

libsndfile corrects a header that lies and says nothing; here is what was written.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple

from quickstudy.errors import ExampleError

READABLE = "Quickstudy reads WAV, FLAC, OGG (Vorbis, Opus), MP3, AIFF, AU, W64 and CAF."

_HEAD = 64  # bytes: every signature, and the tag in the first MP3 frame that counts the others
_STARTS = {
    b"fLaC": "FLAC", b"OggS": "OGG", b".snd": "AU", b"dns.": "AU", b"caff": "CAF",
    b"riff\x2e\x91\xcf\x11": "W64",
}  # fmt: skip
_UNREAD = {
    b"\x30\x26\xb2\x75": "WMA", b"\x1aE\xdf\xa3": "WebM", b"#!AMR": "AMR", b"MThd": "MIDI",
    b"\xff\xf1": "AAC", b"\xff\xf9": "AAC",
}  # fmt: skip
_ANY_LENGTH = 0xFFFF_FFFF
_MOST_CHUNKS = 1_000


class Found(NamedTuple):
    """What the first bytes announce."""

    format: str | None
    start: int
    """Bytes of ID3 tags before it."""
    head: bytes

    @property
    def counted(self) -> bool:
        """Whether the first frame of an MP3 says how many follow; its length is a guess if not."""
        return any(tag in self.head for tag in (b"Xing", b"Info", b"VBRI"))


def identify(file: BinaryIO) -> Found:
    """Tell a sound file by its signature, behind any ID3 tag."""
    start = 0
    head = _at(file, 0, _HEAD)
    while head.startswith(b"ID3") and len(head) >= 10:
        size = sum(part << shift for part, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
        start += 10 + size + (10 if head[5] & 0x10 else 0)
        head = _at(file, start, _HEAD)
    return Found(_signature(head) or ("MP3" if start else None), start, head)


def no_sound(head: bytes) -> ExampleError:
    """Say why a file with these first bytes is no sound that can be read."""
    other = "M4A" if head[4:8] == b"ftyp" else None
    other = other or next((name for start, name in _UNREAD.items() if head.startswith(start)), None)
    if other:
        return ExampleError(f"{other} files are not read", f"Convert it to WAV or FLAC. {READABLE}")
    return ExampleError("not a sound", READABLE)


def _signature(head: bytes) -> str | None:
    if head[:4] in (b"RIFF", b"RIFX", b"RF64") and head[8:12] == b"WAVE":
        return "WAV"
    if head.startswith(b"FORM") and head[8:12] in (b"AIFF", b"AIFC"):
        return "AIFF"
    if _is_mpeg(head):
        return "MP3"
    return next((name for start, name in _STARTS.items() if head.startswith(start)), None)


def _is_mpeg(head: bytes) -> bool:
    """Whether an MPEG audio frame begins here; ``FF FE`` is how UTF-16 text begins."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0 or head[1] == 0xFE:
        return False
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    return version != 1 and layer != 0 and head[2] >> 4 != 15 and head[2] >> 2 & 3 != 3


#: Of the frames that an MP3 or OGG announces, or of their bytes.
NEARLY_ALL = 0.9
_NOTICED = 0.01  # seconds
_TAGS = 4096  # bytes: what may well follow the last frame
_PAGE = 65_307  # bytes: the longest Ogg page
_LAST_PAGE = 4  # bit of its flags (RFC 3533)


@dataclass(frozen=True)
class Claims:
    """What the header of a WAV, AIFF, W64 or AU file says, whatever libsndfile makes of it."""

    rate: int | None
    """Hz, as written in a WAV; None for AIFF and AU."""
    channels: int | None
    claimed: int
    """Bytes of samples."""
    held: int
    """Bytes of the file from the first sample on."""
    beyond: int
    """Bytes after the claimed samples that are no chunks either."""
    length_at: int
    """Where in the file the claim is written."""

    @property
    def endless(self) -> bool:
        """Whether the claim is one that a writer makes who cannot know the length."""
        if self.claimed == 0:
            return self.beyond > 0
        near = 0x7FFF_0000 <= self.claimed <= 0x8000_0000
        return near or 0xFFFF_0000 <= self.claimed <= _ANY_LENGTH or self.claimed >= 2**63

    @property
    def share(self) -> float:
        """Bytes claimed for each byte held; above 1 the end is missing."""
        return 1.0 if self.endless or not self.held else self.claimed / self.held


def claims_of(file: BinaryIO, found: Found, size: int) -> Claims | None:
    """Read what a WAV, AIFF, W64 or AU file of `size` bytes claims; None for all others."""
    if found.format == "AU":
        order = ">" if found.head.startswith(b".") else "<"
        first, claimed = struct.unpack(order + "II", found.head[4:12].ljust(8, b"\0"))
        return Claims(None, None, claimed, max(0, size - found.start - first), 0, found.start + 8)
    layout = _LAYOUTS.get(found.head[:4]) if found.format in ("WAV", "AIFF", "W64") else None
    return _claims_of_chunks(file, found.start, size, layout) if layout else None


class _Layout(NamedTuple):
    """How the chunks of a file are written: name, length, content, padding."""

    order: str
    samples: bytes = b"data"
    first: int = 12
    length: str = "I"
    length_at: int = 4
    head: int = 8
    counted: int = 0
    """Bytes of the head that the length counts as well."""
    padding: int = 2

    def after(self, at: int, length: int) -> int:
        """Where the next chunk begins if a content of `length` bytes is at `at`."""
        return at + length + -length % self.padding


_LAYOUTS = {
    b"RIFF": _Layout("<"), b"RF64": _Layout("<"), b"RIFX": _Layout(">"),
    b"FORM": _Layout(">", samples=b"SSND"),
    b"riff": _Layout("<", first=40, length="Q", length_at=16, head=24, counted=24, padding=8),
}  # fmt: skip


class _Chunk(NamedTuple):
    name: bytes
    at: int
    length: int
    begin: bytes


def _chunks(file: BinaryIO, at: int, layout: _Layout) -> Iterator[_Chunk]:
    length_of = struct.Struct(layout.order + layout.length)
    for _ in range(_MOST_CHUNKS):
        head = _at(file, at, layout.head + 16)
        if len(head) < layout.head or not all(32 <= letter < 127 for letter in head[:4]):
            return
        length = length_of.unpack_from(head, layout.length_at)[0] - layout.counted
        yield _Chunk(head[:4], at + layout.head, length, head[layout.head :])
        at = layout.after(at + layout.head, max(0, length))


def _claims_of_chunks(file: BinaryIO, start: int, size: int, layout: _Layout) -> Claims | None:
    rate = channels = None
    claimed64 = 0
    for chunk in _chunks(file, start + layout.first, layout):
        if chunk.name == b"fmt " and len(chunk.begin) >= 8:
            channels, rate = struct.unpack(layout.order + "HI", chunk.begin[2:8])
        elif chunk.name == b"ds64" and len(chunk.begin) >= 16:
            claimed64 = struct.unpack("<8xQ", chunk.begin[:16])[0]
        elif chunk.name == layout.samples:
            claimed = max(0, chunk.length)
            if claimed == _ANY_LENGTH and claimed64:
                claimed = claimed64
            end = layout.after(chunk.at, claimed)
            beyond = max(0, size - _end_of_chunks(file, end, size, layout))
            length_at = chunk.at - layout.head + layout.length_at
            return Claims(rate, channels, claimed, size - chunk.at, beyond, length_at)
    return None


def _end_of_chunks(file: BinaryIO, at: int, size: int, layout: _Layout) -> int:
    """Where the chunks from `at` on end: at the end of the file if all is well."""
    for chunk in _chunks(file, at, layout):
        if chunk.at + chunk.length > size:
            break
        at = layout.after(chunk.at, max(0, chunk.length))
    return at


def _at(file: BinaryIO, place: int, count: int) -> bytes:
    file.seek(place)
    return file.read(count)


class Stream:
    """An open file for libsndfile: nothing raises, for what its callbacks raise is printed."""

    def __init__(self, file: BinaryIO, endless_at: int | None = None) -> None:
        """With `endless_at` the four bytes there read as all ones."""
        self._file: Any = file
        self._ones = range(0) if endless_at is None else range(endless_at, endless_at + 4)

    def readinto(self, buffer: Any) -> int:
        """Read as a file does."""
        begin = self._file.tell()
        count = int(self._file.readinto(buffer) or 0)
        for place in self._ones:
            if begin <= place < begin + count:
                buffer[place - begin : place - begin + 1] = b"\xff"
        return count

    def seek(self, offset: int, whence: int = 0) -> int:
        """Seek as a file does; where that is no place, stay."""
        try:
            return int(self._file.seek(offset, whence))
        except (OSError, ValueError, OverflowError):
            return self.tell()

    def tell(self) -> int:
        """Return the place in the file."""
        return int(self._file.tell())


def odd_ends(
    file: BinaryIO, size: int, format_: str, claims: Claims | None, seconds: float
) -> Iterator[str]:
    """Yield what is odd about the end of a file of `size` bytes that gave `seconds` of sound."""
    rest = size - file.tell()
    if claims and claims.claimed and not claims.endless:
        more = claims.beyond / claims.claimed * seconds
        if more >= _NOTICED:
            yield f"holds {more:.2f} s more than its header claims, left out"
    elif format_ in ("MP3", "OGG") and rest > max(_TAGS, (1 - NEARLY_ALL) * size):
        share = f"{100 * rest / size:.0f} %"
        yield f"goes on after its announced end: the last {share} of the file are left out"
    if format_ == "OGG" and _unfinished(file, size):
        yield "its end may be missing: it has no mark of the end"


def _unfinished(file: BinaryIO, size: int) -> bool:
    """Whether the last page of an Ogg file is not marked as the last one."""
    file.seek(max(0, size - _PAGE))
    tail = file.read()
    at = tail.rfind(b"OggS")
    return 0 <= at < len(tail) - 5 and not tail[at + 5] & _LAST_PAGE
