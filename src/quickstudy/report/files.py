"""Put a report on disk so that a reader sees the old one or the new one, never half of one."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from quickstudy.report.layout import page

#: What a reader of the raw file asks first comes first.
_ORDER = (
    *("schema", "title", "made", "source", "command", "budget", "outcome", "task", "data", "test"),
    *("groups", "val", "curves", "candidates", "events", "learned", "network", "recipe"),
    *("seconds", "versions", "hardware"),
)
#: A list of bare numbers that `json` has spread over lines; no JSON string holds a raw newline.
_NUMBERS = re.compile(r"\[\n(?:null|[\s\d.,eE+-])*\]")


def write(report: Mapping[str, Any], folder: Path) -> Path:
    """Write ``report.json`` and ``report.html`` into `folder`; return the path of the page.

    The JSON goes first: whatever happens to the page, the numbers are safe. Numbers that are
    not finite become null. Raises OSError when the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    clean = plain(report)
    known = {key: clean[key] for key in _ORDER if key in clean}
    said = json.dumps(known | clean, indent=2, ensure_ascii=False, allow_nan=False)
    said = _NUMBERS.sub(lambda found: "[" + " ".join(found[0][1:-1].split()) + "]", said)
    _replace(folder / "report.json", said + "\n")
    target = folder / "report.html"
    _replace(target, page(clean))
    return target


def plain(value: Any) -> Any:
    """Return `value` as JSON can say it: NumPy scalars unwrapped, paths as text, NaN as null."""
    if isinstance(value, str | bool | int) or value is None:
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, bytes):
        return [plain(item) for item in value]
    unwrap = getattr(value, "tolist", None)  # NumPy arrays and scalars
    return plain(unwrap()) if callable(unwrap) else str(value)


def _replace(path: Path, said: str) -> None:
    """Write `said` beside `path`, force it to the disk, then take the place of `path`.

    A file name that is not UTF-8 holds lone surrogates; ``backslashreplace`` keeps them readable,
    and in JSON the result is the right escape.
    """
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with new.open("wb") as file:
            file.write(said.encode("utf-8", "backslashreplace"))
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
