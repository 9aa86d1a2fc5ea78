"""One sound file, its bytes, or samples -> mono float32 in a stream, or a plain reason why not.

Raises only `ExampleError`; its message is a reason without the file's name, which the caller adds.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from io import BytesIO
from numbers import Real
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray

from quickstudy.errors import ExampleError, QuickstudyError
from quickstudy.kinds.faults import explained
from quickstudy.kinds.sound.container import (
    NEARLY_ALL,
    Claims,
    Stream,
    claims_of,
    identify,
    no_sound,
    odd_ends,
)
from quickstudy.kinds.sound.mono import Block, Heard, scaled, zero_samples

#: A file, the bytes of one, or samples (``T`` or ``T C``) and their rate in Hz.
Example: TypeAlias = Path | bytes | tuple[NDArray[Any], int]

_FORMAT_OF_SUFFIX = {
    ".wav": "WAV", ".wave": "WAV", ".flac": "FLAC", ".ogg": "OGG", ".oga": "OGG", ".opus": "OGG",
    ".mp3": "MP3", ".aif": "AIFF", ".aiff": "AIFF", ".au": "AU", ".w64": "W64", ".caf": "CAF",
}  # fmt: skip
#: What a sound file's name ends in, in lower case.
SUFFIXES = frozenset(_FORMAT_OF_SUFFIX)
#: Hz.
MIN_RATE, MAX_RATE = 2_000, 768_000
MIN_SECONDS = 0.01
MAX_CHANNELS = 1_024
#: Frames in a block, at most.
BLOCK = 2**18

_AGAIN = "Copy the file again from where it came from."
_STEP = 4096  # frames: a FLAC frame; after an error the bytes reached tell a cut from a wound
_ENDLESS = 2**62  # frames: libsndfile's word for unknown is 2**63 - 1
_CLEARER: dict[Any, str] = {  # by libsndfile's code, and what it says itself
    7: "it cannot be decoded",  # "File does not exist or is not a regular file"
    24: "its header says no sample rate",  # "SF_INFO struct incomplete"
    29: "it cannot be decoded",  # "Unspecified internal error"
}


@dataclass(frozen=True)
class Header:
    """What a recording says about itself, before decoding."""

    rate: int
    """Hz."""
    channels: int
    seconds: float | None
    """None where the file does not say: some FLAC, and MP3 without a count of its frames."""
    format: str
    """``WAV``, ``FLAC``, ``OGG``, ``MP3``, ``AIFF``, ``AU``, ``W64``, ``CAF``; or ``array``."""
    about: float | None = field(default=None, compare=False)
    """Seconds, roughly, where libsndfile has only a guess."""


class Recording:
    """An opened recording, read once. Closes itself when read through, given up, or faulty."""

    rate: int
    """Hz."""
    remarks: list[str]
    """What is odd but no fault; filled when read through."""

    def __init__(self, rate: int, raw: Iterator[Block], remarks: list[str], files: ExitStack):
        self.rate = rate
        self.remarks = remarks
        self._raw: Iterator[Block] | None = raw
        self._files = files

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """Yield the samples, mono, ``T`` at most `BLOCK`; raises `ExampleError`.

        Mono is the mean over the channels, or where they cancel each other the loudest of them.
        That a recording is silent or too short is known, and raised, after the last block.
        """
        if self._raw is None:
            raise ValueError("this recording is read or closed; open it again")
        heard = Heard()
        with self, _explained():
            for block in self._raw:
                yield heard.mono(block)
            heard.judge(self.rate, MIN_SECONDS)
            self.remarks += heard.remarks()

    def close(self) -> None:
        """Let go of the file."""
        self._raw = None
        self._files.close()

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


def header(example: Example) -> Header:
    """Return rate, channels, length and format without decoding; raises `ExampleError`."""
    with _explained(), ExitStack() as files:
        return _opened(example, files, [])[0]


def open_recording(example: Example) -> Recording:
    """Open `example` without decoding it; raises `ExampleError`, and so does reading it."""
    remarks: list[str] = []
    with _explained(), ExitStack() as files:
        head, raw = _opened(example, files, remarks)
        return Recording(head.rate, raw, remarks, files.pop_all())


def samples(example: Example) -> tuple[NDArray[np.float32], int]:
    """Return all samples ``T`` at once, mono, and their rate in Hz; raises `ExampleError`."""
    with open_recording(example) as recording:
        blocks = list(recording.blocks())
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks), recording.rate


def suffix_mismatch(path: Path) -> str | None:
    """Return what `path` really holds where that is not what its suffix says, else None.

    The answer is a format (``FLAC``) or ``not a sound``, from the first bytes alone; a name
    without a sound's suffix says nothing. Raises `ExampleError` if the file cannot be read.
    """
    with _explained(), path.open("rb") as file:
        found = identify(file).format or "not a sound"
    claimed = _FORMAT_OF_SUFFIX.get(path.suffix.lower())
    return None if claimed is None or claimed == found else found


def _opened(
    example: Example, files: ExitStack, remarks: list[str]
) -> tuple[Header, Iterator[Block]]:
    """Open; `files` closes what was opened, `remarks` fills as the blocks are taken."""
    if isinstance(example, tuple):
        return _of_array(*example)
    file: BinaryIO
    if isinstance(example, bytes):
        file = BytesIO(example)
    else:
        file = files.enter_context(example.open("rb", buffering=0))
    size = file.seek(0, os.SEEK_END)
    if not size:
        raise ExampleError("empty file", _AGAIN)
    found = identify(file)
    if found.format is None:
        raise no_sound(found.head)
    claims = claims_of(file, found, size)
    if claims and claims.rate is not None and claims.channels is not None:
        _check(claims.rate, claims.channels)
    sound = files.enter_context(_decoder(file, claims))
    _check(sound.samplerate, sound.channels)
    if sound.frames <= 0:
        cut = claims is not None and claims.claimed > 0 and not claims.endless
        raise _truncated(0, None) if cut else zero_samples()
    guessed = found.format == "MP3" and not found.counted
    about = None if sound.frames > _ENDLESS else sound.frames / sound.samplerate
    head = Header(sound.samplerate, sound.channels, None if guessed else about, found.format, about)
    return head, _decoded(sound, file, size, head, claims, remarks)


def _decoder(file: BinaryIO, claims: Claims | None) -> Any:
    """Return an opened `soundfile.SoundFile`."""
    try:
        import soundfile
    except (ImportError, OSError) as error:
        raise QuickstudyError(
            f"Reading sound needs libsndfile: {error}.",
            "pip install --force-reinstall soundfile; on some systems also apt install libsndfile1",
        ) from error
    file.seek(0)
    endless_at = claims.length_at if claims and claims.claimed == 0 and claims.endless else None
    if isinstance(file, BytesIO) or endless_at is not None or os.name != "posix":
        return soundfile.SoundFile(Stream(file, endless_at))
    # libsndfile reads by itself: no callback waits for the interpreter
    return soundfile.SoundFile(file.fileno(), closefd=False)


def _decoded(
    sound: Any, file: BinaryIO, size: int, head: Header, claims: Claims | None, remarks: list[str]
) -> Iterator[Block]:
    """Yield the samples ``T C``."""
    frames, rate, exact = sound.frames, head.rate, head.format == "FLAC"
    if claims and (claims.share - 1) * frames >= MIN_SECONDS * rate:
        raise _truncated(frames / rate, frames / rate * claims.share)
    if head.format == "MP3":
        sound.seek(0)  # as `soundfile.read` does: the last bit of its samples depends on it
    sound.seekable = lambda: False  # or it seeks after every read: slower, and see above
    done, most = 0, max(1, min(BLOCK, 4 * BLOCK // head.channels))
    while done < frames:
        block = np.empty((min(most, frames - done), head.channels), np.float32)
        filled = 0
        while filled < len(block):
            try:
                got = len(sound.read(out=block[filled:][: _STEP if exact else most]))
            except RuntimeError as error:
                if exact and file.tell() >= size:
                    raise _truncated((done + filled) / rate, head.seconds) from error
                raise
            if not got:
                break
            filled += got
        if not filled:
            break
        yield block[:filled]
        done += filled
    if head.seconds is not None and done < frames * (1 if exact else NEARLY_ALL):
        raise _truncated(done / rate, head.seconds)
    remarks += odd_ends(file, size, head.format, claims, done / rate)


def _of_array(values: Any, rate: Any) -> tuple[Header, Iterator[Block]]:
    array = np.asarray(values)
    if array.dtype.kind not in "iuf":
        reason = f"an array of type {array.dtype} is not a sound"
        raise ExampleError(reason, "Give samples as int16, int32 or float32.")
    if isinstance(rate, bool) or not isinstance(rate, Real) or not math.isfinite(rate):
        raise ExampleError("its sample rate is not a number", "Give (samples, rate in Hz).")
    if array.ndim not in (1, 2):
        reason = f"an array of shape {array.shape} is not a sound"
        raise ExampleError(reason, "Give samples in time, or time by channels.")
    if array.ndim == 1:
        array = array[:, None]
    elif array.shape[0] <= 8 and array.shape[1] > 64:
        array = array.T
    frames, channels = array.shape
    if array.size == 0:
        raise zero_samples()
    rate = round(rate)
    _check(rate, channels)
    most = max(1, min(BLOCK, 4 * BLOCK // channels))
    blocks = (scaled(array[start : start + most]) for start in range(0, frames, most))
    return Header(rate, channels, frames / rate, "array", frames / rate), blocks


def _check(rate: int, channels: int) -> None:
    if not MIN_RATE <= rate <= MAX_RATE:
        raise ExampleError(
            f"claims a sample rate of {rate:,} Hz",
            f"Quickstudy reads {MIN_RATE:,} to {MAX_RATE:,} Hz.",
        )
    if channels > MAX_CHANNELS:
        raise ExampleError(f"claims {channels:,} channels", f"The most is {MAX_CHANNELS:,}.")


def _explained() -> AbstractContextManager[None]:
    """Turn whatever a damaged or hostile file makes libsndfile raise into an `ExampleError`."""
    return explained("sound", _damaged)


def _damaged(error: Exception) -> ExampleError:
    text = getattr(error, "error_string", str(error)).removeprefix("Error : ")
    text = _CLEARER.get(getattr(error, "code", None), text)
    detail = " ".join(text.split()).rstrip(".") or type(error).__name__
    return ExampleError(f"damaged: {detail[:1].lower()}{detail[1:]}", _AGAIN)


def _truncated(held: float, claimed: float | None) -> ExampleError:
    if claimed is None:
        return ExampleError("truncated: the end of the file is missing", _AGAIN)
    digits = next((n for n in (1, 2) if 0 < round(held, n) < round(claimed, n)), 3)
    lengths = f"{held:.{digits}f} of the {claimed:.{digits}f} s"
    return ExampleError(f"truncated: holds {lengths} its header claims", _AGAIN)
