"""Which kind examples are, by the names of their files, and the words for it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable

from quickstudy.kinds import NOUNS, SUFFIXES

_KIND_OF_SUFFIX = {suffix: kind for kind, every in SUFFIXES.items() for suffix in every}


def kind_of(name: str) -> str | None:
    """Return the kind that the suffix of a file's name announces, None for any other suffix."""
    return _KIND_OF_SUFFIX.get(os.path.splitext(name)[1].lower())  # noqa: PTH122 - a Path is slow


def commonest(kinds: Iterable[str | None]) -> str:
    """Return the kind of most examples; of none or of equally many, the first kind there is."""
    counts = Counter(kinds)
    return max(SUFFIXES, key=lambda kind: counts[kind])


def misfit(found: str | None, kind: str) -> str:
    """Return why an example of kind `found` is left out of a catalog of `kind`, '' if it is not."""
    return "" if found in (None, kind) else f"a {NOUNS[found][0]}, not a {NOUNS[kind][0]}"


def nouns(kind: str | None) -> str:
    """Return ``pictures``, ``recordings`` or, where the kind is not known, all of them."""
    return NOUNS[kind][1] if kind else " or ".join(NOUNS[one][1] for one in SUFFIXES)
