"""What the disk has room for: all examples decoded beforehand, or a stream of them."""

from __future__ import annotations

import math

from quickstudy.facts import Facts
from quickstudy.recipe.draft import Draft


def streaming(p: Draft, facts: Facts) -> None:
    """Step 6: whether all examples are decoded beforehand: where the disk has room for them."""
    own = p.own.get("cache", (None, ""))[0]
    room = facts.room if own is None else 1e9 * own
    if facts.kind == "table":
        p.choose("stream", False, "rows are small")
    else:
        each = 3.0 * (1.25 * p.values["picture.size"]) ** 2 if facts.kind == "image" else 0.0
        if facts.kind == "sound":
            each = 2.0 * p.values["sound.rate"] * 1.25 * facts.sound.seconds
        size = each * facts.examples
        said = f"decoded, they take about {size / 1e9:.2g} GB"
        if size <= room:
            p.choose("stream", False, f"{said}, for which there is room")
        else:
            p.choose("stream", True, f"{said}, and the cache may have {room / 1e9:.2g}")
    settled = p.values["stream"] and math.isfinite(room)  # the same when the run goes on
    p.choose("cache", room / 1e9 if settled else None, "half of what is free on its disk")
