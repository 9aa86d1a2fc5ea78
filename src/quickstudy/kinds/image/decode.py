"""One picture file, array or opened picture -> an upright RGB picture, or a plain reason why not.

Raises only `ExampleError`; its message is a reason without the file's name, which the caller adds.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from quickstudy.errors import ExampleError
from quickstudy.kinds.faults import explained
from quickstudy.kinds.image.guard import pillow_guard
from quickstudy.kinds.image.modes import from_array, to_rgb

#: The catalog's `Raw`, spelt out (the catalog imports this room), and the bytes of a file.
Example: TypeAlias = Path | Image.Image | NDArray[Any] | bytes
T = TypeVar("T")
Fit: TypeAlias = Literal["crop", "squash", "pad"]

_FORMAT_OF_SUFFIX = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".jfif": "JPEG", ".png": "PNG",
    ".webp": "WEBP", ".gif": "GIF", ".bmp": "BMP", ".tif": "TIFF", ".tiff": "TIFF",
}  # fmt: skip
#: What a picture file's name ends in, in lower case.
SUFFIXES = frozenset(_FORMAT_OF_SUFFIX)
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
#: About 600 MB once decoded to RGB.
MAX_PIXELS = 200_000_000
#: The grey that `fit(..., "pad")` fills with.
PAD = (128, 128, 128)

_READABLE = "Quickstudy reads JPEG, PNG, WebP, GIF, BMP and TIFF."
_GREY_MODES = ("1", "L", "LA", "La", "F")
_TURNED = (5, 6, 7, 8)
_ORIENTATION = 0x0112
_MAKER, _MODEL = 0x010F, 0x0110
_LONGEST_NAME = 80  # characters of a maker's name: EXIF data may hold 64 kB of it
_EXIF_FAULTS = (
    *(OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, RuntimeError),
    struct.error,
)
_HEAD = 32  # bytes: enough for every signature and for the size in a PNG, GIF or BMP


@dataclass(frozen=True)
class Header:
    """What a picture says about itself: its size in pixels, upright, before decoding."""

    width: int
    height: int
    format: str
    """One of `FORMATS`; in memory ``array`` or ``picture``."""
    grey: bool


def open_picture(
    example: Example, *, size: int | None = None, max_pixels: int = MAX_PIXELS
) -> Image.Image:
    """Return `example` as an upright RGB picture: EXIF rotation applied, transparency on white.

    With `size` (pixels) a large JPEG is decoded at 1/2, 1/4 or 1/8 scale so that its short side
    stays at least ``2 * size``: several times quicker, and after resizing about 1/255 away. Of an
    animation, the first frame. More than `max_pixels` is refused before decoding. A picture given
    in memory is not altered. Raises `ExampleError`.
    """
    if isinstance(example, np.ndarray):
        return from_array(example)
    with _explained(max_pixels), pillow_guard(max_pixels), ExitStack() as files:
        picture = _identify(example, files)
        if picture.width * picture.height > max_pixels:
            raise _too_large(max_pixels)
        if size is not None and picture is not example:
            picture.draft(None, (2 * size, 2 * size))
        picture.load()
        upright = to_rgb(_upright(picture))
        return upright.copy() if upright is example else upright


def identify(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Return the picture in the bytes of a file, identified but not decoded.

    Raises `ExampleError` as `open_picture` does.
    """
    with _explained(max_pixels), pillow_guard(max_pixels):
        # The stack is left open on purpose: the picture reads from its bytes later.
        return _identify(data, ExitStack())


def header(example: Example, *, max_pixels: int = MAX_PIXELS) -> Header:
    """Return size (upright), format and greyness without decoding pixels; raises `ExampleError`.

    A picture of more than `max_pixels` is refused, as `open_picture` does.
    """
    if isinstance(example, np.ndarray):
        if example.ndim not in (2, 3) or example.size == 0:
            from_array(example)  # raises with the reason
        grey = example.ndim == 2 or example.shape[2] == 1
        return Header(example.shape[1], example.shape[0], "array", grey)
    with _explained(max_pixels), pillow_guard(max_pixels), ExitStack() as files:
        picture = _identify(example, files)
        width, height = picture.size
        if width * height > max_pixels:
            raise _too_large(max_pixels)
        # Pillow swaps the sides of a turned TIFF itself; of the others it does not. To look for
        # EXIF data it decodes all of a PNG that has none before its pixels.
        told = picture.format != "PNG" or "exif" in picture.info
        if picture.format != "TIFF" and told and _orientation(picture) in _TURNED:
            width, height = height, width
        name = "JPEG" if picture.format == "MPO" else picture.format or "picture"
        grey = picture.mode in _GREY_MODES or picture.mode.startswith("I")
        return Header(width, height, name, grey)


def camera(example: Example, *, max_pixels: int = MAX_PIXELS) -> str:
    """Return maker and model of the camera as EXIF tells them, '' where it does not.

    Raises `ExampleError` for what cannot be opened.
    """
    if isinstance(example, np.ndarray):
        return ""
    with _explained(max_pixels), pillow_guard(max_pixels), ExitStack() as files:
        picture = _identify(example, files)
        exif: dict[int, Any] = _quietly(lambda: dict(picture.getexif()), {})
        told = [str(exif.get(tag, ""))[:_LONGEST_NAME] for tag in (_MAKER, _MODEL)]
        return " ".join(filter(None, (word.replace("\0", "").strip() for word in told)))


def suffix_mismatch(path: Path) -> str | None:
    """Return what `path` really holds where that is not what its suffix says, else None.

    The answer is a format (``PNG``) or ``not a picture``, from the first bytes alone; a name
    without a picture's suffix says nothing. Raises `ExampleError` if the file cannot be read.
    """
    with _explained(MAX_PIXELS), path.open("rb") as file:
        head = file.read(_HEAD)
    claimed = _FORMAT_OF_SUFFIX.get(path.suffix.lower())
    found = _signature(head) or "not a picture"
    return None if claimed is None or claimed == found else found


def fit(picture: Image.Image, size: int, how: Fit) -> NDArray[np.uint8]:
    """Return `picture` as ``size size 3`` uint8, bilinear and antialiased.

    ``crop`` brings the short side to `size` and keeps the centre, ``squash`` stretches to a
    square, ``pad`` brings the long side to `size` and fills the rest with grey.
    """
    rgb = picture if picture.mode == "RGB" else to_rgb(picture)
    if how == "crop":
        side = min(rgb.size)
        left, top = (rgb.width - side) / 2, (rgb.height - side) / 2
        return np.array(_resized(rgb, (size, size), (left, top, left + side, top + side)))
    if how == "squash":
        return np.array(_resized(rgb, (size, size)))
    scale = size / max(rgb.size)
    width, height = (max(1, round(side * scale)) for side in rgb.size)
    paper = Image.new("RGB", (size, size), PAD)
    paper.paste(_resized(rgb, (width, height)), ((size - width) // 2, (size - height) // 2))
    return np.array(paper)


def _resized(
    picture: Image.Image,
    size: tuple[int, int],
    box: tuple[float, float, float, float] | None = None,
) -> Image.Image:
    # Across, then down: asked for both at once, Pillow 13 begins with what costs less, and rounds
    # between. No `reducing_gap`, quicker by a twentieth: an exported graph could not do the same.
    left, top, right, bottom = box or (0, 0, *picture.size)
    wide = picture.resize(
        (size[0], picture.height), Image.Resampling.BILINEAR, box=(left, 0, right, picture.height)
    )
    return wide.resize(size, Image.Resampling.BILINEAR, box=(0, top, size[0], bottom))


def _identify(example: Path | Image.Image | bytes, files: ExitStack) -> Image.Image:
    """Open without decoding; `files` closes what was opened."""
    if isinstance(example, Image.Image):
        if 0 in example.size:
            raise ExampleError("zero pixels")
        return example
    stream: BinaryIO
    if isinstance(example, bytes):
        stream = BytesIO(example)
    else:
        stream = files.enter_context(example.open("rb"))
    head = stream.read(_HEAD)
    if not head:
        raise ExampleError("empty file", "Copy the file again from where it came from.")
    stream.seek(0)
    try:
        return Image.open(stream, formats=FORMATS)
    except UnidentifiedImageError as error:
        raise _unidentified(head) from error


def _unidentified(head: bytes) -> ExampleError:
    """Say why the opening bytes of a file are no picture that can be read."""
    if head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"mif1", b"msf1", b"avif"):
        name = "AVIF" if head[8:12] == b"avif" else "HEIC"
        return ExampleError(f"{name} pictures are not read", f"Convert it to JPEG. {_READABLE}")
    format_ = _signature(head)
    if format_ is None:
        return ExampleError("not a picture", _READABLE)
    if _claims_no_pixels(head, format_):
        return ExampleError("zero pixels")
    return _damaged(f"its {format_} header cannot be read")


def _signature(head: bytes) -> str | None:
    """The format that the first bytes of a file announce."""
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WEBP"
    starts = {
        b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG", b"GIF87a": "GIF", b"GIF89a": "GIF",
        b"BM": "BMP", b"II*\0": "TIFF", b"MM\0*": "TIFF", b"II+\0": "TIFF", b"MM\0+": "TIFF",
    }  # fmt: skip
    return next((name for start, name in starts.items() if head.startswith(start)), None)


def _claims_no_pixels(head: bytes, format_: str) -> bool:
    """Whether a PNG, GIF or BMP header says a side of 0."""
    spans = {"PNG": ((16, 20), (20, 24)), "GIF": ((6, 8), (8, 10)), "BMP": ((18, 22), (22, 26))}
    sides = [head[start:end] for start, end in spans.get(format_, ())]
    return any(len(side) >= 2 and not any(side) for side in sides)


def _orientation(picture: Image.Image) -> int:
    return _quietly(lambda: int(picture.getexif().get(_ORIENTATION, 1)), 1)


def turned(picture: Image.Image) -> bool:
    """Return whether EXIF data say that the picture is to be turned or mirrored."""
    return _orientation(picture) != 1


def _upright(picture: Image.Image) -> Image.Image:
    """Apply the EXIF rotation; damaged EXIF counts as none."""
    if not turned(picture):
        return picture
    return _quietly(lambda: ImageOps.exif_transpose(picture), picture)


def _quietly(read: Callable[[], T], otherwise: T) -> T:
    """The answer of an EXIF reader, or `otherwise`: Pillow raises many kinds on damaged EXIF."""
    try:
        return read()
    except (
        OSError,
        SyntaxError,
        ValueError,
        TypeError,
        LookupError,
        ArithmeticError,
        RuntimeError,
    ):
        return otherwise


def _explained(max_pixels: int) -> AbstractContextManager[None]:
    """Turn whatever a damaged or hostile file makes Pillow raise into an `ExampleError`."""

    def otherwise(error: Exception) -> ExampleError:
        if isinstance(error, Image.DecompressionBombError):
            return _too_large(max_pixels)
        return _damaged(" ".join(str(error).split()) or type(error).__name__)

    return explained("picture", otherwise)


def _damaged(detail: str) -> ExampleError:
    cut = any(word in detail.lower() for word in ("truncated", "unexpected end", "incomplete"))
    reason = "truncated: the end of the file is missing" if cut else f"damaged: {detail}"
    return ExampleError(reason, "Copy the file again from where it came from.")


def _too_large(max_pixels: int) -> ExampleError:
    return ExampleError(f"claims more than {max_pixels:,} pixels", "Shrink it, or leave it out.")
