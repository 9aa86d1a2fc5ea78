"""What was measured here before: one file of JSON for each computer, network and size.

Files that cannot be read, or that say what is not possible, count as not there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quickstudy.errors import QuickstudyError
from quickstudy.folders import cache_folder, write_whole

_VERSION = 1
_MOST = 500  # files kept: the oldest are dropped


def place() -> Path:
    """Return the folder: ``speed`` in the cache's."""
    return cache_folder() / "speed"


def recall(key: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what was kept under a key, or None."""
    try:
        kept = json.loads(_file(key).read_text(encoding="utf-8"))
        found = kept["found"] if kept["version"] == _VERSION and kept["key"] == dict(key) else None
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def remember(key: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Keep something under a key; a cache that cannot be written is done without."""
    file = _file(key)
    whole = {"version": _VERSION, "key": dict(key), "found": dict(found)}
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, json.dumps(whole, indent=1, ensure_ascii=False))
        dated = sorted(file.parent.glob("*.json"), key=lambda one: one.stat().st_mtime)
        for old in dated[:-_MOST]:
            old.unlink(missing_ok=True)
    except (OSError, QuickstudyError):
        return


def _file(key: Mapping[str, Any]) -> Path:
    text = json.dumps(dict(key), sort_keys=True)
    return place() / f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.json"
