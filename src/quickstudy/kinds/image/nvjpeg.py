"""JPEG files decoded by an NVIDIA GPU, many at once, and fitted there as Pillow fits them.

By torchvision's nvJPEG, which decodes all pixels and knows nothing of EXIF. What it might read
otherwise than Pillow does is left to the processor: see `taken`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quickstudy.errors import ExampleError
from quickstudy.kinds.contract import Piece
from quickstudy.kinds.image.decode import identify, suffix_mismatch, turned
from quickstudy.kinds.image.preparation import THUMB, Preparation

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_END = b"\xff\xd9"
_AT_ONCE = 2**24  # pixels that are fitted together: about a gigabyte
_RGB = (82, 71, 66)  # the components of a file that holds red, green and blue as they are


def taken(raw: Any, max_pixels: int) -> bytes | None:
    """Return what is in a file where a GPU reads it as Pillow does, else None.

    That is a whole JPEG file in colour (YCbCr), upright and of one picture.
    """
    try:
        data = raw.read_bytes() if isinstance(raw, Path) else raw
        if not isinstance(data, bytes) or not data.rstrip(b"\0").endswith(_END):
            return None
        picture: Any = identify(data, max_pixels=max_pixels)
    except (OSError, ExampleError):
        return None  # the processor says why
    if picture.format != "JPEG" or picture.mode != "RGB" or turned(picture):
        return None
    plain = picture.info.get("adobe_transform", 1) == 1
    few = picture.width * picture.height <= max_pixels
    return data if plain and few and tuple(part[0] for part in picture.layer) != _RGB else None


def decoded(
    raws: Sequence[Any], files: Sequence[bytes | None], how: Preparation, device: str
) -> list[Piece | None]:
    """Return the examples as `how.decode` does, None for what the GPU cannot read.

    `files` are what `taken` has said of each. Raises `RuntimeError` where its memory is too small.
    """
    import torch

    from quickstudy.kinds.image.resizing import Fitted

    found: list[Piece | None] = [None] * len(raws)
    given = {n: data for n, data in enumerate(files) if data is not None}
    read = dict(zip(given, _pixels([*given.values()], torch.device(device)), strict=True))
    pixels = {n: one for n, one in read.items() if one is not None}
    fitted = Fitted(how.decode_size, how.fit), Fitted(THUMB, "squash")

    def shape(n: int) -> torch.Size:
        return pixels[n].shape

    for (_, high, wide), alike in groupby(sorted(pixels, key=shape), shape):
        numbers, most = [*alike], max(1, _AT_ONCE // (high * wide))
        for some in (numbers[at : at + most] for at in range(0, len(numbers), most)):
            together = torch.stack([pixels[n] for n in some]).permute(0, 2, 3, 1)
            levels = (fit(together).byte().permute(0, 2, 3, 1).contiguous() for fit in fitted)
            both = (one.cpu().numpy() for one in levels)
            for n, values, thumb in zip(some, *both, strict=True):
                really = suffix_mismatch(raws[n]) if isinstance(raws[n], Path) else None
                found[n] = Piece(values[None], thumb, f"is {really}" if really else "")
    return found


def _pixels(files: list[bytes], device: torch.device) -> list[Tensor | None]:
    """Return the pixels ``3 H W`` of each; None where the GPU cannot read it.

    All at once; where one of them is refused none comes back, so then one by one.
    """
    import torch

    if not files:
        return []
    try:
        return on_gpu(
            [torch.frombuffer(bytearray(data), dtype=torch.uint8) for data in files], device
        )
    except (RuntimeError, AttributeError):  # the second: this torchvision has no such operator
        if len(files) == 1:
            return [None]
    return [one for data in files for one in _pixels([data], device)]


def on_gpu(files: list[Tensor], device: torch.device) -> list[Tensor | None]:
    """Return the pixels ``3 H W`` of JPEG files; raises `RuntimeError` where one cannot be read."""
    import torch
    import torchvision.io  # noqa: F401 - it brings the operator

    # not through decode_jpeg, which warns that TorchCodec will take its place
    found: list[Tensor | None] = torch.ops.image.decode_jpegs_cuda(files, 3, device)  # 3: RGB
    return found
