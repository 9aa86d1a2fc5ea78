"""The tensors of an ONNX file -> torch, after every size it declares was checked."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from quickstudy.errors import WeightsError

#: TensorProto.DataType -> bytes a cell, and the field that holds cells where `raw_data` does not.
_TYPES = {
    1: (4, "float_data"), 2: (1, "int32_data"), 3: (1, "int32_data"), 4: (2, "int32_data"),
    5: (2, "int32_data"), 6: (4, "int32_data"), 7: (8, "int64_data"), 9: (1, "int32_data"),
    10: (2, "int32_data"), 11: (8, "double_data"), 12: (4, "uint64_data"),
    13: (8, "uint64_data"), 16: (2, "int32_data"),
}  # fmt: skip
_EXTERNAL = 1  # TensorProto.DataLocation
_COPY = "Copy the file again from where it was made, or export the network anew."


def read_tensor(proto: Any, folder: Path) -> Tensor:
    """Return a TensorProto as float32, int64 or bool.

    External data is read only from beside the file. Raises `WeightsError` where declared and
    actual sizes differ, before anything is allocated.
    """
    name, dims = proto.name[:80], tuple(proto.dims)
    if proto.data_type not in _TYPES:
        raise WeightsError(
            f"The tensor '{name}' has the type {proto.data_type}, which is not supported.",
            "Export the network with float32 weights.",
        )
    if any(size < 0 for size in dims) or proto.HasField("segment"):
        raise WeightsError(f"The tensor '{name}' declares the shape {dims}.", _COPY)
    width, field = _TYPES[proto.data_type]
    cells = math.prod(dims)
    raw = proto.data_location == _EXTERNAL or proto.HasField("raw_data")
    if proto.data_location == _EXTERNAL:
        content: bytes = _external(proto, folder, cells * width)
    else:
        content = proto.raw_data
    found = len(content) // width if raw else len(getattr(proto, field))
    if found != cells or (raw and len(content) != cells * width):
        raise WeightsError(f"The tensor '{name}' declares {cells} cells and holds {found}.", _COPY)
    return _converted(proto, content if raw else None).reshape(dims)


def _converted(proto: Any, raw: bytes | None) -> Tensor:
    from onnx import numpy_helper

    if raw is not None and proto.data_type == 16:
        halves = np.frombuffer(raw, "<u2").astype(np.uint32) << 16  # bfloat16: a float's upper half
        return torch.from_numpy(halves.view(np.float32))
    if raw is None:
        array = np.asarray(numpy_helper.to_array(proto)).astype(
            np.float32 if proto.data_type in (1, 10, 11, 16) else np.int64
        )
    else:
        kinds = {1: "<f4", 2: "u1", 3: "i1", 4: "<u2", 5: "<i2", 6: "<i4", 7: "<i8", 9: "?",
                 10: "<f2", 11: "<f8", 12: "<u4", 13: "<u8"}  # fmt: skip
        array = np.frombuffer(raw, kinds[proto.data_type])
    kind = np.float32 if array.dtype.kind == "f" else bool if proto.data_type == 9 else np.int64
    return torch.from_numpy(array.astype(kind).reshape(-1))


def _external(proto: Any, folder: Path, length: int) -> bytes:
    """Return the bytes of a tensor that lies in a file of its own beside the ONNX file."""
    said = {entry.key: entry.value for entry in proto.external_data}
    place = said.get("location", "")
    path = (folder / place).resolve()
    if not place or Path(place).is_absolute() or not path.is_relative_to(folder.resolve()):
        raise WeightsError(
            f"The tensor '{proto.name[:80]}' lies outside the file's own folder: '{place[:200]}'.",
            "Put its data beside the ONNX file, and export the network anew.",
        )
    if not path.is_file():
        raise WeightsError(
            f"The data of the network, {place[:200]}, is not beside the ONNX file.",
            "Copy it there; the two belong together.",
        )
    try:
        start, given = int(said.get("offset") or 0), int(said.get("length") or length)
    except ValueError as problem:
        raise WeightsError(f"The tensor '{proto.name[:80]}' has no place in {place}.", _COPY) from (
            problem
        )
    if start < 0 or given != length or start + length > path.stat().st_size:
        raise WeightsError(
            f"The tensor '{proto.name[:80]}' needs {length} bytes at {start} of {place[:200]}, "
            f"which has {path.stat().st_size}.",
            _COPY,
        )
    with path.open("rb") as source:
        source.seek(start)
        content: bytes = source.read(length)
    return content
