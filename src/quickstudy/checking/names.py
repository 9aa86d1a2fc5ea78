"""Names of classes that may well be one: ``cat``, ``Cat ``, ``cats``, ``labradr``."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations

from quickstudy.checking.findings import NOTE, WARNING, Finding

_MISSPELT = 6  # letters: of a shorter name one letter makes another word, as cat and car
_LONGEST = 100  # letters: each makes a key
_SERIES = 30  # names one letter apart from one another: they count something
_CODES = 1 / 3  # of the names: where so many have another one letter away, they are codes
_FEW = 3  # names of which a share says nothing
_FIX = "If they are one class, put its examples together under one name."
_LETTER = "by one letter"


def alike_names(classes: Sequence[str], counts: Sequence[int]) -> list[Finding]:
    """Return the pairs of class names that differ by case, spaces, a plural or one letter.

    `counts` are the examples of each class: the rarer one of a pair is named first. Where a third
    of the names have another one letter away they are codes, and none is said to be misspelt.
    Near-linear in the number of names: some 30 us each.
    """
    spelt = [spelling(name) for name in classes]
    pairs = set(_together(spelt, ([word] for word in spelt)))
    pairs |= set(_together(spelt, map(singulars, spelt)))
    near, series = _misspelt(spelt)
    twins = series.union(*near) if near else series
    if not (len(twins) > _FEW and len(twins) >= _CODES * len(classes)):
        pairs |= near
    found = []
    for one, two in sorted(pairs):
        how = difference(classes[one], classes[two])
        if not how:
            continue
        rare, common = sorted((one, two), key=lambda i: counts[i])
        said = (
            f"classes {classes[rare]!r} ({counts[rare]:,}) and {classes[common]!r} "
            f"({counts[common]:,}) differ only {how}"
        )
        severity = NOTE if how == _LETTER else WARNING
        found.append(Finding("class names", "", said, severity, _FIX))
    return found


def _together(spelt: Sequence[str], keys: Iterable[Iterable[str]]) -> Iterator[tuple[int, int]]:
    """Yield the pairs of names, by number, that share a key; of very many each with the first."""
    members: dict[str, list[int]] = defaultdict(list)
    for i, mine in enumerate(keys):
        for key in mine if spelt[i] else ():
            members[key].append(i)
    for some in members.values():
        yield from (
            combinations(some, 2) if len(some) <= _SERIES else ((some[0], i) for i in some[1:])
        )


def _misspelt(spelt: Sequence[str]) -> tuple[set[tuple[int, int]], set[int]]:
    """Return the pairs one edit apart, and the names that are in a long series of such.

    Two such words are the same after a letter is taken out of one of them or of both (Garbe 2012,
    SymSpell), so that words meet in a table instead of each with each.
    """
    numbers: dict[str, list[int]] = defaultdict(list)
    for i, word in enumerate(spelt):
        if _MISSPELT - 1 <= len(word) <= _LONGEST:
            numbers[word].append(i)
    meeting: dict[tuple[str, str], list[str]] = defaultdict(list)
    for word in numbers:
        fixed = "\0".join(_fixed(word))
        for key in {word, *(word[:i] + word[i + 1 :] for i in range(len(word)))}:
            meeting[key, fixed].append(word)
    pairs: set[tuple[int, int]] = set()
    series: set[int] = set()
    for words in meeting.values():
        if len(words) > _SERIES:
            series.update(numbers[word][0] for word in words)
            continue
        for one, two in combinations(words, 2):
            if misspelt(one, two):
                a, b = numbers[one][0], numbers[two][0]
                pairs.add((min(a, b), max(a, b)))
    return pairs, series


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
    return _LETTER if _fixed(a) == _fixed(b) and misspelt(a, b) else ""


def misspelt(one: str, two: str) -> bool:
    """Whether two spellings are long enough for one letter to be a slip, and one letter apart."""
    return min(len(one), len(two)) >= _MISSPELT and one_edit(one, two)


def _fixed(word: str) -> list[str]:
    """Return what is no slip where it differs: numbers, and letters that stand alone."""
    return re.findall(r"\d+|\b[^\W\d_]\b", word)


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
