"""What the report tells of labels that are probably wrong."""

from __future__ import annotations

from typing import Any

from quickstudy import kinds
from quickstudy.catalog import Catalog
from quickstudy.errors import ExampleError
from quickstudy.kinds import NOUNS
from quickstudy.learning.job import Job
from quickstudy.training import Lesson

_SHOWN = 24  # with their picture


def left_out(lesson: Lesson) -> list[int]:
    """Return the rows that were not learnt from because of their label."""
    return [one["row"] for one in lesson.suspects if one["left_out"]]


def told(job: Job, catalog: Catalog, lesson: Lesson) -> list[dict[str, Any]]:
    """Return the lesson's suspects by name, the most suspicious first; say how many there are."""
    found = []
    for place, one in enumerate(lesson.suspects):
        example = int(lesson.decoded.kept[one["row"]])
        picture = None
        if place < _SHOWN:
            try:
                raw = catalog.read(example)
                picture = kinds.shown(catalog.kind, raw, job.max_pixels, catalog.columns)["picture"]
            except ExampleError:  # its file has gone since
                picture = None
        rest = {key: value for key, value in one.items() if key != "row"}
        found.append({"name": str(catalog.names[example]), **rest, "picture": picture})
    out = sum(one["left_out"] for one in found)
    if found:
        many = NOUNS[catalog.kind][1]
        note = f"{len(found):,} {many} are probably labelled wrong: {out:,} were not learnt from"
        job.notes.append(note)
        job.say(
            f"  {note}; the report shows them (first: {found[0]['name']!r}, labelled "
            f"{found[0]['label']!r}, probably {found[0]['instead']!r})"
        )
    return found
