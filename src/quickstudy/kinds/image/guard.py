"""Pillow's global switches (its warnings, its size limit) set for us and put back, thread-safely.

Both are process-wide, so a plain ``with warnings.catch_warnings()`` in each decoding thread would
restore them in the wrong order. Here the first thread in sets them and the last one out restores.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from PIL import Image

_lock = threading.Lock()
_limits: list[int] = []
_saved = ExitStack()


@contextmanager
def pillow_guard(max_pixels: int) -> Iterator[None]:
    """Silence Pillow's own warnings and set its size limit to `max_pixels` while inside.

    Pillow refuses at twice its limit (tiles and frames inside a file included); the exact limit
    is for the caller to check. With several threads inside, the largest limit holds.
    """
    _enter(max_pixels)
    try:
        yield
    finally:
        _leave(max_pixels)


def _enter(max_pixels: int) -> None:
    with _lock:
        if not _limits:
            _saved.callback(setattr, Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
            _saved.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", module=r"PIL\.")
            # Raised with a stack level above Pillow, so the module does not tell:
            warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
            warnings.filterwarnings("ignore", message="(Truncated|Corrupt|Possibly corrupt) ")
        _limits.append(max_pixels)
        Image.MAX_IMAGE_PIXELS = max(_limits)


def _leave(max_pixels: int) -> None:
    with _lock:
        _limits.remove(max_pixels)
        if _limits:
            Image.MAX_IMAGE_PIXELS = max(_limits)
        else:
            _saved.close()
