"""Parquet files of bytes, made flat where they are kept: all examples' bytes, and where each ends.

In Parquet one example can only be read with all of its row group.
"""

from __future__ import annotations

import json
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quickstudy.errors import MissingExtra, RunError
from quickstudy.folders import disk_errors

_ROWS = 64  # read at once
_USUAL = ("image", "img", "picture", "photo", "audio", "sound", "bytes", "jpg", "png", "wav")


def is_flat(name: str) -> bool:
    """Whether a shard has to be made flat before an example can be read."""
    return name.endswith(".parquet")


def parquet() -> Any:
    """Return pyarrow's Parquet; raises `MissingExtra`."""
    try:
        import pyarrow.parquet
    except ImportError as problem:
        raise MissingExtra("Reading Parquet", "tables") from problem
    return pyarrow.parquet


def bytes_column(schema: Any) -> str | None:
    """Return the column that holds the examples' bytes, alone or beside their path."""
    from pyarrow import types

    def holds(one: Any) -> bool:
        if types.is_struct(one.type):
            return bool(one.type.get_field_index("bytes") >= 0)
        plain = types.is_binary(one.type) or types.is_large_binary(one.type)
        return bool(plain and one.name.lower() in _USUAL)

    found = [one.name for one in schema if holds(one)]
    return found[0] if found else None


def class_names(schema: Any, column: str) -> tuple[str, ...]:
    """Return the classes that Hugging Face's `datasets` notes for a column of numbers."""
    kept = (schema.metadata or {}).get(b"huggingface")
    if kept is None:
        return ()
    try:
        feature = json.loads(kept)["info"]["features"][column]
        return tuple(map(str, feature.get("names") or ()))
    except (ValueError, LookupError, TypeError, AttributeError):
        return ()


def flatten(file: Path, name: str) -> None:
    """Replace a Parquet file by the bytes of its examples; the ends of each go beside it."""
    ends: list[int] = [0]
    flat = file.with_name(f"{file.name}.flat")
    table = parquet().ParquetFile(file)
    column = bytes_column(table.schema_arrow)
    if column is None:
        raise RunError(f"{name} has no column of bytes.", "Put back the one that was there.")
    try:
        with disk_errors("the cache of shards"), flat.open("wb") as out:
            for rows in table.iter_batches(_ROWS, columns=[column]):
                for cell in rows.column(0).to_pylist():
                    content = cell.get("bytes") if isinstance(cell, dict) else cell
                    out.write(content or b"")
                    ends.append(ends[-1] + len(content or b""))
            kept = file.with_name(_stem(file.name) + ".ends.npy")
            np.save(kept, np.array(ends, np.int64))
        flat.replace(file)
    finally:
        flat.unlink(missing_ok=True)


def _stem(part: str) -> str:
    """Return what a file will be called that is called NAME.PROCESS.THREAD.part for now."""
    return part.rsplit(".", 3)[0]


def ends_path(path: Path) -> Path:
    """Return where the ends of a flat shard's examples are kept."""
    return path.with_name(f"{path.name}.ends.npy")


def ends_of(path: Path, place: int) -> tuple[int, int]:
    """Return where an example of a flat shard begins and ends."""
    ends = _ends(str(path), os.stat(path).st_mtime_ns)  # noqa: PTH116 - a Path is slow
    return int(ends[place]), int(ends[place + 1])


@lru_cache(maxsize=64)
def _ends(path: str, changed: int) -> NDArray[np.int64]:
    return np.asarray(np.load(f"{path}.ends.npy", allow_pickle=False))
