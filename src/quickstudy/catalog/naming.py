"""Groups that nobody declared, as the names of files betray them: one speaker, one patient.

Examples of one group look alike for reasons that are not the label; divided between learning and
testing they flatter the score. A name only suggests: where it leaves doubt the answer is None.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quickstudy.catalog.draft import part_of
from quickstudy.catalog.types import Catalog

_ALIKE = 0.95  # share of the names that must have the same number of parts
_FEWEST = 8  # examples of the median group; at least so many times more examples than groups
_MANY, _FEWEST_OF_MANY = 50, 3  # ids of more values than 50 may have smaller groups
_PURE = 0.9  # share that one label foretells, from which on a part is another word for the label
_CONDITION = 4  # fewer values are more likely a condition (sex, microphone) than whose they are
_APART = re.compile(r"[_\-. ]+")
_RUNS = re.compile(r"\d+|[^\W\d_]+")
_COUNTED = re.compile(r"([^\W\d_]+)\d+")
#: What stands before a number that only counts. Compared in lower case.
_COUNTERS = frozenset(
    (
        *("aug", "clip", "copy", "crop", "dsc", "dscf", "dscn", "f", "file", "fold", "frame", "i"),
        *("image", "img", "mvi", "n", "no", "nr", "num", "page", "part", "photo", "pic", "pict"),
        *("rep", "sample", "seg", "segment", "slice", "t", "take", "tile", "trial", "try", "utt"),
        *("v", "ver", "vid", "wa", "x"),
    )
)
#: What stands before the number of somebody or something that stays the same.
_OWNERS = frozenset(
    (
        *("actor", "animal", "case", "child", "donor", "id", "participant", "pat", "patient"),
        *("person", "plant", "sess", "session", "singer", "speaker", "spk", "sub", "subj"),
        *("subject", "user", "volunteer"),
    )
)


@dataclass(frozen=True, eq=False)
class Suggested:
    """Groups that file names suggest."""

    field: str
    """Where the group's word stands, in plain words: ``the 2nd part of the file name``."""
    words: tuple[str, ...]
    """The word of group number i."""
    group: NDArray[np.int64]
    """``N``: the group of each example, -1 where its name has no such part."""
    example: str
    """One real name."""


def catalog_suggested(catalog: Catalog) -> Suggested | None:
    """Return `suggested` of a catalog's names, None where it has groups already."""
    declared = bool(catalog.group_names) or bool((catalog.groups >= 0).any())
    return None if declared else suggested(catalog.names, catalog.labels)


def suggested(names: Sequence[str], labels: NDArray[np.int64]) -> Suggested | None:
    """Return the groups that names of files suggest beside their `labels`, None when in doubt.

    A group is a part of the name (between ``_``, ``-``, ``.``, spaces; where that finds none, also
    between letters and digits), or else a folder above the file. It has 2 to N/8 words of which
    the median stands in at least 8 names (of more than 50 words: up to N/3, in at least 3), is
    neither a plain number nor a counter such as ``take3``, and goes with several labels as labels
    go with several groups. Of several such parts, one of at least 4 words is taken, and one that
    holds the others; parts that cut across one another leave doubt.

    >>> names = [f"{n % 10}_{who}_{n}.wav" for who in ("anna", "ben") for n in range(40)]
    >>> suggested(names, np.arange(80) % 10).words
    ('anna', 'ben')
    """
    paths = [name.replace(os.sep, "/").split("/") for name in names]
    stems = [os.path.splitext(path[-1])[0] for path in paths]  # noqa: PTH122 - a Path is slow
    ways = (
        _parts(stems, lambda stem: _APART.split(stem.strip("_-. "))),
        _parts(stems, _RUNS.findall),
        _folders(paths),
    )
    for way in ways:
        found = [
            group
            for field, values, before in way
            if (group := _group(field, values, before, labels)) is not None
        ]
        if found:
            chosen = _one_of(found)
            if chosen is None:
                return None
            first = int(np.argmax(chosen.group >= 0))
            example = names[first] if way is ways[-1] else paths[first][-1]
            return Suggested(chosen.field, chosen.words, chosen.group, example)
    return None


@dataclass(frozen=True, eq=False)
class _Group:
    field: str
    words: tuple[str, ...]
    group: NDArray[np.int64]


#: Where it stands, the word of each example (None: none), and the one word before it, if constant.
_Way = Iterator[tuple[str, list[str | None], str]]


def _parts(stems: list[str], apart: Callable[[str], list[str]]) -> _Way:
    """Each part of the names, if most have equally many."""
    cut = [apart(stem) for stem in stems]
    size, alike = Counter(map(len, cut)).most_common(1)[0] if cut else (0, 0)
    if alike < _ALIKE * len(cut):
        return
    before = ""
    for place in range(size):
        values = [parts[place] if len(parts) == size else None for parts in cut]
        yield f"the {_ordinal(place + 1)} part of the file name", values, before
        distinct = set(filter(None, values))
        before = distinct.pop() if len(distinct) == 1 else ""


def _folders(paths: list[list[str]]) -> _Way:
    """Each folder above the files, from the nearest up."""
    height = 1
    while paths and sum(len(path) > height for path in paths) >= _ALIKE * len(paths):
        values = [path[-1 - height] if len(path) > height else None for path in paths]
        nearest = "the folder that holds the file"
        yield (
            nearest if height == 1 else f"the {_ordinal(height)} folder above the file",
            values,
            "",
        )
        height += 1


def _ordinal(n: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th") if n % 100 not in (11, 12, 13) else "th"
    return f"{n}{ending}"


def _group(
    field: str, values: list[str | None], before: str, labels: NDArray[np.int64]
) -> _Group | None:
    """The groups that `values` make, None if they are none."""
    number = {text: index for index, text in enumerate(dict.fromkeys(filter(None, values)))}
    words = tuple(number)
    group = np.array([number.get(text or "", -1) for text in values], dtype=np.int64)
    many = len(words) > _MANY
    fewest = _FEWEST_OF_MANY if many else _FEWEST
    if len(words) < 2 or len(words) * fewest > len(values):
        return None
    shares = np.bincount(group[group >= 0], minlength=len(words))
    if np.median(shares) < fewest or _counts(words, before):
        return None
    inside = group >= 0
    if not _independent(group[inside], labels[inside]):
        return None
    return _Group(field, words, group)


def _counts(words: Sequence[str], before: str) -> bool:
    """Whether words only number the examples, or name the parts of a split."""
    if all(part_of(text) is not None for text in words):
        return True
    if 2 * sum(text.isdecimal() for text in words) > len(words):
        return before.lower() not in _OWNERS
    if all(len(text) == 1 and text.isalpha() for text in words):
        places = {ord(text.lower()) - ord("a") for text in words}
        return max(places) < 1.25 * len(places)  # a, b, c, d ...
    met = [_COUNTED.fullmatch(text) for text in words]
    before_it = {one[1].lower() for one in met if one}
    if not all(met):
        return False
    if len(before_it) == 1:
        return before_it <= _COUNTERS  # take1, take2 ... count; s1, s2 ... are somebody
    return _CONDITION <= len(before_it) <= len(words) / 2  # anna1, anna2, ben1 ... count each


def _independent(group: NDArray[np.int64], labels: NDArray[np.int64]) -> bool:
    """Whether neither the groups tell the labels nor the labels the groups."""
    return all(
        _mixed(one, other) and not _tells(one, other)
        for one, other in ((group, labels), (labels, group))
    )


def _mixed(one: NDArray[np.int64], other: NDArray[np.int64]) -> bool:
    """Whether most examples have a value of `one` that occurs with at least 2 of `other`."""
    partners = np.bincount(_pairs(one, other)[0])
    return bool((partners[one] >= 2).mean() > 0.5)


def _tells(one: NDArray[np.int64], other: NDArray[np.int64]) -> bool:
    """Whether `one` foretells `other` nearly always, by the commonest value each time."""
    value, times = _pairs(one, other)
    most = np.zeros(int(one.max()) + 1, dtype=np.int64)
    np.maximum.at(most, value, times)
    return bool(most.sum() >= _PURE * len(one))


def _pairs(
    one: NDArray[np.int64], other: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The value of `one` in each pair of values that occurs, and how often it does."""
    width = int(other.max()) + 1
    found, times = np.unique(one * width + other, return_counts=True)
    return found // width, times.astype(np.int64)


def _one_of(found: list[_Group]) -> _Group | None:
    """The one group to suggest, None where several cut across one another."""
    large = [one for one in found if len(one.words) >= _CONDITION] or found
    coarse = min(large, key=lambda one: len(one.words))
    nested = all(_within(one, coarse) for one in large)
    return coarse if nested else None


def _within(fine: _Group, coarse: _Group) -> bool:
    """Whether each group of `fine` lies in one group of `coarse`."""
    both = (fine.group >= 0) & (coarse.group >= 0)
    return bool(np.bincount(_pairs(fine.group[both], coarse.group[both])[0]).max() <= 1)
