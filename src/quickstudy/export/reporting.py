"""What was exported of a model, told in the report of its run."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from quickstudy import report
from quickstudy.errors import ModelError
from quickstudy.folders import disk_errors
from quickstudy.runtimes.checked import believing
from quickstudy.runtimes.choosing import exports_in, quickest
from quickstudy.runtimes.exported import told_in


def tell_report(model: Path) -> None:
    """Write the exports in a model's folder into ``report.json`` and ``report.html`` of its run.

    Nothing where it lies in no run's folder. Raises `RunError` on a full disk.
    """
    file = model.parent / "report.json"
    if model.name != "model" or not file.is_file():
        return
    facts = json.loads(file.read_text(encoding="utf-8"))
    through, _ = quickest(model)
    used = through.file.parent.name if through is not None else None
    facts["exports"] = _readable(model, used)
    with disk_errors("the report"):
        report.write(facts, model.parent)


def _readable(model: Path, used: str | None) -> list[dict[str, Any]]:
    """Return what is told of each export; of one that is damaged nothing, nor is it ever used."""
    found = []
    for name, place in exports_in(model).items():
        with suppress(ModelError), believing(place):
            found.append(_told(name, place, used))
    return found


def _told(name: str, place: Path, used: str | None) -> dict[str, Any]:
    told = told_in(place)
    return {
        "name": name,
        "used": name == used,
        "milliseconds": told["measured"]["milliseconds"],
        "bytes": sum(file.stat().st_size for file in place.iterdir()),
        "parity": {key: told["parity"].get(key) for key in ("n", "largest", "same")},
    }
