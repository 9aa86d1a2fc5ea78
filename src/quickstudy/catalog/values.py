"""One example as a data set holds it (file, bytes, picture, samples, array, tensor) -> `Raw`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from quickstudy.catalog.draft import word
from quickstudy.catalog.kind import kind_of
from quickstudy.catalog.types import Raw
from quickstudy.errors import ExampleError
from quickstudy.kinds import NOUNS
from quickstudy.kinds.image.decode import identify

_CHANNELS = (1, 3, 4)


def kind_of_value(value: Any) -> str | None:
    """Return the kind of an example, None if nothing but the content of its file tells."""
    if samples_of(value) is not None:
        return "sound"
    if isinstance(value, Mapping):
        value = value.get("path") or b""
    if isinstance(value, (str, Path)):
        return kind_of(str(value))
    return None if isinstance(value, bytes) or value is None else "image"


def raw_of(value: Any, kind: str) -> Raw:
    """Return an example of `kind` as what can be decoded; raises `ExampleError`."""
    if (samples := samples_of(value)) is not None:
        return samples
    if isinstance(value, Mapping):
        held = value.get("bytes")
        value = held if held is not None else value.get("path") or value
    if isinstance(value, bytes):
        return identify(value) if kind == "image" else value
    if isinstance(value, (str, Path)):
        return Path(value)
    if isinstance(value, Image):
        return value
    if isinstance(value, (list, np.ndarray)) or hasattr(value, "detach"):
        return _channels_last(value)
    raise ExampleError(f"not a {NOUNS[kind][0]}: a {type(value).__name__}")


def samples_of(value: Any) -> tuple[NDArray[Any], int] | None:
    """Return samples and their rate (Hz) where a mapping or a pair holds them, else None.

    Arrays are ``T`` or ``T C`` and stay; a tensor is ``C T``, as torchaudio has it, and is turned.
    """
    if isinstance(value, Mapping) and {"array", "sampling_rate"} <= value.keys():
        value = (value["array"], value["sampling_rate"])
    if not isinstance(value, tuple) or len(value) != 2:
        return None
    wave, rate = value
    if not isinstance(rate, (int, np.integer)) or isinstance(rate, bool):
        return None
    if hasattr(wave, "detach"):
        turned: NDArray[Any] = wave.detach().cpu().numpy().T
        return turned, int(rate)
    return (np.asarray(wave), int(rate)) if isinstance(wave, (np.ndarray, list)) else None


def _channels_last(value: Any) -> NDArray[Any]:
    """Turn a tensor ``C H W`` or an array into ``H W C``; arrays ``H W C`` stay."""
    tensor = hasattr(value, "detach")
    array: NDArray[Any] = value.detach().cpu().numpy() if tensor else np.asarray(value)
    first = array.ndim == 3 and array.shape[0] in _CHANNELS
    if first and (tensor or array.shape[2] not in _CHANNELS):
        array = array.transpose(1, 2, 0)
    if tensor and array.dtype.kind == "f":
        if not (np.isfinite(array).all() and array.min() >= -1e-3 and array.max() <= 1.001):
            raise ExampleError(
                "a tensor with values outside 0..1", "Take Normalize out of its transform."
            )
        array = np.rint(np.clip(array, 0, 1) * 255).astype(np.uint8)
    return array


def class_word(label: Any, names: Sequence[str]) -> str:
    """Return a label, or several, as text; the hub writes -1 where it is withheld."""
    if isinstance(label, (list, tuple)):
        return ";".join(filter(None, (class_word(one, names) for one in label)))
    if names and isinstance(label, int) and not isinstance(label, bool):
        return names[label] if 0 <= label < len(names) else ""
    return word(label)
