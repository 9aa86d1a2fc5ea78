"""Names of classes that may well be one: ``cat``, ``Cat ``, ``cats``, ``labradr``."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import combinations, pairwise

from quickstudy.checking.findings import NOTE, WARNING, Finding

_MISSPELT = 6  # letters: of a shorter name one letter makes another word, as cat and car
_MOST = 3000  # classes whose names are compared pair by pair
_FIX = "If they are one class, put its examples together under one name."


def alike_names(classes: Sequence[str], counts: Sequence[int]) -> list[Finding]:
    """Return the pairs of class names that differ by case, spaces, a plural or one letter.

    `counts` are the examples of each class: the rarer one of a pair is named first.
    """
    found = []
    for one, two in _pairs(classes):
        how = difference(classes[one], classes[two])
        if not how:
            continue
        rare, common = sorted((one, two), key=lambda i: counts[i])
        said = (
            f"classes {classes[rare]!r} ({counts[rare]:,}) and {classes[common]!r} "
            f"({counts[common]:,}) differ only {how}"
        )
        severity = NOTE if how == "by one letter" else WARNING
        found.append(Finding("class names", "", said, severity, _FIX))
    return found


def _pairs(classes: Sequence[str]) -> list[tuple[int, int]]:
    """Return the pairs to compare: of very many classes those that are neighbours when sorted."""
    if len(classes) <= _MOST:
        return list(combinations(range(len(classes)), 2))
    order = sorted(range(len(classes)), key=lambda i: spelling(classes[i]))
    return list(pairwise(order))


def difference(one: str, two: str) -> str:
    """Return in what two names differ where that is next to nothing, else ''.

    Single letters are what they are: of handwriting ``a`` and ``A`` are two classes.

    >>> difference("cat", "Cat "), difference("box", "boxes"), difference("cat", "car")
    ('in case, spaces or signs', 'by a plural', '')
    """
    a, b = spelling(one), spelling(two)
    if max(len(one.strip()), len(two.strip())) == 1:
        return "in spaces" if one.strip() == two.strip() else ""
    if a == b:
        return "in case, spaces or signs" if a else ""
    if singulars(a) & singulars(b):
        return "by a plural"
    digits = re.findall(r"\d+", a) != re.findall(r"\d+", b)
    long = min(len(a), len(b)) >= _MISSPELT
    return "by one letter" if long and not digits and one_edit(a, b) else ""


def spelling(name: str) -> str:
    """Return a name without case, spaces and signs: what two spellings of it share.

    A sign between digits stays: ``1-2`` is not ``12``; so does a lone sign: ``+`` is not ``-``.

    >>> spelling(" Golden_Retriever"), spelling("1-2"), spelling("+")
    ('golden retriever', '1-2', '+')
    """
    folded = unicodedata.normalize("NFKC", name).casefold()
    words = re.sub(r"(?<!\d)[\s_\-.]+|[\s_\-.]+(?!\d)", " ", folded).strip()
    return words or folded.strip()


def singulars(name: str) -> set[str]:
    """Return a name and what it may be the English plural of.

    >>> sorted(singulars("boxes")), sorted(singulars("puppies")), sorted(singulars("glass"))
    (['box', 'boxe', 'boxes'], ['puppie', 'puppies', 'puppy'], ['glass'])
    """
    found = {name}
    if len(name) > 3 and name.endswith("s") and not name.endswith("ss"):
        found.add(name[:-1])
        if name.endswith("ies"):
            found.add(f"{name[:-3]}y")
        if re.search(r"(s|x|z|ch|sh|o)es$", name):
            found.add(name[:-2])
    return found


def one_edit(one: str, two: str) -> bool:
    """Whether one letter more, less, exchanged or swapped with its neighbour makes the other.

    >>> one_edit("labrador", "labradr"), one_edit("beagle", "baegle"), one_edit("abcdef", "abdcfe")
    (True, True, False)
    """
    if one == two or abs(len(one) - len(two)) > 1:
        return False
    at = next((i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), None)
    if at is None:
        return True
    if len(one) != len(two):
        short, long = sorted((one, two), key=len)
        return short[at:] == long[at + 1 :]
    swapped = one[at : at + 2] == two[at : at + 2][::-1] and one[at + 2 :] == two[at + 2 :]
    return swapped or one[at + 1 :] == two[at + 1 :]
