"""What sorts of examples there are: THE ONLY FORK by kind.

A kind is a folder here with the same parts: `decode` (one file), `augment` (a batch), `facts` (what
planning needs to know), `preparation` (how a file becomes what the network takes), `shown` (an
example in the report). The functions below choose by the kind's name.
Of the other rooms only `recipe` (its steps) and `network` (what stands before the first layer) ask
for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quickstudy.kinds.contract import Piece, Preparation
from quickstudy.kinds.image import facts as _image_facts
from quickstudy.kinds.image.decode import SUFFIXES as _PICTURES
from quickstudy.kinds.image.facts import PictureFacts
from quickstudy.kinds.sound import facts as _sound_facts
from quickstudy.kinds.sound.decode import SUFFIXES as _SOUNDS
from quickstudy.kinds.sound.facts import SoundFacts
from quickstudy.kinds.table import facts as _table_facts
from quickstudy.kinds.table.facts import TableFacts

__all__ = [
    "EXAMPLES",
    "NOUNS",
    "SUFFIXES",
    "TABLES",
    "PictureFacts",
    "Piece",
    "Preparation",
    "SoundFacts",
    "TableFacts",
    "files_in",
    "look",
    "measured",
    "planned",
    "restored",
    "shown",
    "summed_up",
    "unlike",
    "unseen",
]

#: Kind -> what the names of files that hold one example end in, in lower case.
SUFFIXES = {"image": _PICTURES, "sound": _SOUNDS}
#: What the names of tables' files end in: many examples each.
TABLES = frozenset({".csv", ".tsv", ".parquet"})
#: Kind -> a file in an example of use.
EXAMPLES = {"image": "photo.jpg", "sound": "recording.wav", "table": "rows.csv"}
#: Kind -> the words for one example and for many.
NOUNS = {
    "image": ("picture", "pictures"),
    "sound": ("recording", "recordings"),
    "table": ("row", "rows"),
}


def files_in(folder: Path, kind: str) -> list[Path]:
    """Return a folder's files of a kind, by name, those of the folders inside it too."""
    ends = SUFFIXES.get(kind, TABLES)
    return [p for p in sorted(folder.rglob("*")) if p.suffix.lower() in ends]


def look(kind: str, raw: Any, max_pixels: int) -> Any:
    """Look at one example for its facts; raises `ExampleError`."""
    if kind == "sound":
        return _sound_facts.look(raw)
    if kind == "table":
        return raw
    return _image_facts.look(raw, max_pixels)


def measured(kind: str, raw: Any, max_pixels: int, decoded: Any = None) -> Any:
    """Measure what one example is like apart from what it shows; raises `ExampleError`.

    `decoded` is a picture ``H W 3`` where it need not be opened once more.
    Returns `PictureMeasures` or `SoundMeasures`; rows of a table have no such measures.
    """
    if kind == "sound":
        from quickstudy.kinds.sound.measured import measured as sound_measured

        return sound_measured(raw)
    from quickstudy.kinds.image.measured import measured as image_measured

    return image_measured(raw, max_pixels, decoded)


def unseen(kind: str, looks: Sequence[Any]) -> float:
    """Return how many times longer decoding takes than it took to look."""
    return _sound_facts.unseen(looks) if kind == "sound" else 1.0


def summed_up(
    kind: str,
    looks: Sequence[Any],
    labels: NDArray[np.int64],
    columns: Sequence[str],
    rng: np.random.Generator,
) -> PictureFacts | SoundFacts | TableFacts:
    """Return the facts of a sample; `labels` has one for each look, or what examples are alike."""
    if kind == "sound":
        return _sound_facts.summed_up(looks)
    if kind == "table":
        return _table_facts.summed_up(columns, looks)
    return _image_facts.summed_up(looks, labels, int(labels.max(initial=0)) + 1, rng)


def unlike(
    how: Preparation, pieces: Sequence[NDArray[Any]], rng: np.random.Generator
) -> dict[str, list[NDArray[Any]]]:
    """Return sorts of decoded examples that are none, each made of the `pieces`, as many."""
    made: Any
    if how.kind == "sound":
        from quickstudy.kinds.sound.unlike import unlike as unlike_sounds

        made = unlike_sounds(pieces, how.rate, rng)  # type: ignore[attr-defined]
    elif how.kind == "table":
        from quickstudy.kinds.table.unlike import unlike as unlike_rows

        made = unlike_rows(pieces, how.columns, rng)
    else:
        from quickstudy.kinds.image.unlike import unlike as unlike_pictures

        made = unlike_pictures(pieces, rng)
    return dict(made)


def planned(recipe: Any, known: Any) -> Preparation:
    """Return how examples become what the network takes, as a recipe says.

    The columns of a table are those of `known`: its facts, or an earlier preparation.
    """
    return _preparation(recipe.kind).of_recipe(recipe, known)  # type: ignore[no-any-return]


def restored(kind: str, kept: Mapping[str, Any]) -> Preparation:
    """Return the preparation that `as_dict` kept."""
    return _preparation(kind).from_dict(kept)  # type: ignore[no-any-return]


def _preparation(kind: str) -> Any:
    # Imported when first needed: both load torch.
    if kind == "sound":
        from quickstudy.kinds.sound.preparation import Preparation as OfSound

        return OfSound
    if kind == "table":
        from quickstudy.kinds.table.preparation import Preparation as OfTable

        return OfTable
    from quickstudy.kinds.image.preparation import Preparation as OfImage

    return OfImage


def shown(
    kind: str, raw: Any, max_pixels: int, columns: Sequence[str] = ()
) -> dict[str, str | None]:
    """Return an example for the report as data URIs: `picture`, and `sound` to play.

    `columns` are the names of a row's cells. Raises `ExampleError` where its file has gone since.
    """
    if kind == "sound":
        from quickstudy.kinds.sound.shown import shown as sound_shown

        return sound_shown(raw)
    if kind == "table":
        from quickstudy.kinds.table.shown import shown as row_shown

        return row_shown(raw, columns)
    from quickstudy.kinds.image.shown import shown as image_shown

    return {"picture": image_shown(raw, max_pixels), "sound": None}
