"""Classes with too few examples, and classes that drown beside others."""

from __future__ import annotations

from collections.abc import Sequence

from quickstudy.catalog import FEWEST
from quickstudy.checking.findings import SERIOUS, WARNING, Finding

TINY = 20
"""Examples under which some three are left to test on: the class's score then says nothing."""
RATIO = 10.0
"""Times more examples in the largest class than in the smallest (He and Garcia 2009: beyond this
accuracy hides the small class)."""


def unbalanced(
    classes: Sequence[str], counts: Sequence[int], *, several: bool = False
) -> list[Finding]:
    """Return the classes, of `counts` examples each, that are too small, or so beside others.

    Of labels that an example has `several` of at once, one alone is no fault.

    >>> [one.severity for one in unbalanced(["cat", "dog", "cow"], [2000, 100, 3])]
    ['serious', 'warning']
    """
    found = []
    for name, n in sorted(zip(classes, counts, strict=True), key=lambda pair: pair[1]):
        if n < TINY:
            can = n >= FEWEST
            said = "too few to test" if can else f"too few to learn from (at least {FEWEST})"
            found.append(
                Finding(
                    "tiny class",
                    "",
                    f"class {name!r} has {n:,} example{'s' * (n != 1)}: {said}",
                    WARNING if can else SERIOUS,
                    "Add examples of it, or take the class away.",
                )
            )
    if len(classes) == 1 and not several:
        only = f"there is only one class, {classes[0]!r}"
        fix = "Add a second class: learning to tell apart takes at least two."
        found.append(Finding("tiny class", "", only, SERIOUS, fix))
    fair = [(n, name) for name, n in zip(classes, counts, strict=True) if n >= TINY]
    if len(fair) >= 2 and max(fair)[0] >= RATIO * min(fair)[0]:
        (many, most), (few, least) = max(fair), min(fair)
        times = f"{many / few:.0f} times fewer"
        said = f"class {most!r} has {many:,} examples, {least!r} {few:,}: {times}"
        fix = "Add examples of the small classes; look at their own scores, not at the accuracy."
        found.append(Finding("imbalance", "", said, WARNING, fix))
    return found
