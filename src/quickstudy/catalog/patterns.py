"""Labels and groups read from file names by patterns such as ``{digit}_{speaker}_{n}``."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from quickstudy.catalog.draft import Draft, suggest, word
from quickstudy.catalog.types import LeftOut
from quickstudy.errors import ChoiceError
from quickstudy.kinds import SUFFIXES

_HOW = "Write the parts of a name in braces, such as {digit}_{speaker}_{n} for 3_anna_17.wav."


@dataclass(frozen=True)
class Pattern:
    """How file names are made: literals, and fields in braces."""

    text: str
    fields: tuple[str, ...]
    depth: int
    """Trailing parts of a path that the pattern describes."""
    fits: re.Pattern[str]

    def part(self, path: str) -> str:
        """Return the end of a path that the pattern describes, without the suffix."""
        stem = os.path.splitext(path)[0].replace(os.sep, "/")  # noqa: PTH122 - a Path is slow
        return "/".join(stem.split("/")[-self.depth :])

    def read(self, path: str) -> dict[str, str] | None:
        """Return the text of each field, None where the path does not fit."""
        met = self.fits.fullmatch(self.part(path))
        return met.groupdict() if met else None


@dataclass(frozen=True)
class Names:
    """What file names tell: the label, the group, or both."""

    label: Pattern | None = None
    target: str = ""
    """The field of `label` that is the label."""
    group: Pattern | None = None


def pattern(text: str) -> Pattern:
    """Return `text` as a pattern; raises `ChoiceError` that names every fault of it.

    A field takes the shortest run of characters that is no ``/`` and does not hold the literal
    after it. With ``/`` the pattern describes as many trailing parts of the path as it has.

    >>> pattern("{digit}_{speaker}_{n}").read("3/3_anna_17.wav")
    {'digit': '3', 'speaker': 'anna', 'n': '17'}
    """
    pieces = re.split(r"\{([^{}]*)\}", text)  # literal, field, literal, field, ..., literal
    literals, fields = pieces[::2], pieces[1::2]
    faults = [f"'{{{name}}}' is no field: a name must be like a word" for name in fields
              if not name.isidentifier()]  # fmt: skip
    faults += [f"'{{{name}}}' stands twice" for name in dict.fromkeys(fields)
               if name.isidentifier() and fields.count(name) > 1]  # fmt: skip
    if any("{" in literal or "}" in literal for literal in literals):
        faults.append("a brace has no partner")
    if not fields:
        faults.append("it has no field")
    if "/" in text and "" in re.sub(r"\{[^{}]*\}", "x", text).split("/"):
        faults.append("a '/' has nothing on one side")
    if faults:
        raise ChoiceError(f"The pattern '{text}' cannot be read: {'; '.join(faults)}.", _HOW)
    regex = re.escape(literals[0])
    for name, after in zip(fields, literals[1:], strict=True):
        end = f"(?!{re.escape(after)})" if after else ""
        regex += f"(?P<{name}>(?:{end}[^/])+?){re.escape(after)}"
    return Pattern(text, tuple(fields), text.count("/") + 1, re.compile(regex, re.DOTALL))


def names_of(
    label_from: str | None,
    target: str | None,
    group_from: str | None,
    *,
    label_column: str | None = None,
    group_column: str | None = None,
) -> Names | None:
    """Return what file names are to tell, None if nothing.

    Raises `ChoiceError` for a faulty pattern, an unknown field, or two sources of one thing.
    """
    for column, text, what in (
        (label_column, label_from, "label"),
        (group_column, group_from, "group"),
    ):
        if column is not None and text is not None:
            raise ChoiceError(
                f"The {what} is to come from the column '{column}' and from the file names.",
                f"Give either --{what}-column or --{what}-from.",
            )
    if label_from is None and group_from is None:
        return None
    label = pattern(label_from) if label_from is not None else None
    group = pattern(group_from) if group_from is not None else None
    if group and "group" not in group.fields:
        raise ChoiceError(
            f"The pattern '{group.text}' has no field {{group}}.",
            suggest("group", group.fields)
            or "Name the part that must stay together so, such as {digit}_{group}_{n}.",
        )
    return Names(label, _target(label, target) if label else "", group)


def _target(label: Pattern, target: str | None) -> str:
    """The field that is the label: the one named, else ``label``, else the only one."""
    fields = ", ".join(label.fields)
    if target is not None and target not in label.fields:
        raise ChoiceError(
            f"The pattern '{label.text}' has no field '{target}'.",
            suggest(target, label.fields, f"Its fields: {fields}."),
        )
    if target is None and "label" not in label.fields and len(label.fields) > 1:
        raise ChoiceError(
            f"Which field of the pattern '{label.text}' is the label is not said.",
            f"Name it: --target FIELD, one of {fields}; or call that field {{label}}.",
        )
    return target or ("label" if "label" in label.fields else label.fields[0])


def no_names(source: str) -> ChoiceError:
    """Return the word for a pattern where the examples are no files."""
    return ChoiceError(
        f"{source[0].upper()}{source[1:]} has no file names for a pattern to fit.",
        "Patterns are for folders, archives, tables and lists of paths: leave them out.",
    )


def apply(names: Names, draft: Draft) -> None:
    """Give `draft` the labels and groups that its file names tell; leave out names that do not fit.

    Raises `ChoiceError` if the source has no file names, or none fits.
    """
    if not draft.names:
        return
    if not any(draft.paths):
        raise no_names(draft.source)
    labels = _read(names.label, names.target, draft) if names.label else draft.labels
    groups = _read(names.group, "group", draft) if names.group else draft.groups
    kept = []
    for row, path in enumerate(draft.paths):
        lost = [
            used.text
            for used, texts in ((names.label, labels), (names.group, groups))
            if used and not texts[row]
        ]
        if not lost:
            kept.append(row)
            continue
        reason = f"its name does not fit '{lost[0]}'" if path else "it has no file name"
        draft.left_out.append(LeftOut(draft.names[row], reason))
    draft.labels, draft.groups = list(labels), list(groups)
    draft.keep(kept)


def _read(used: Pattern, field: str, draft: Draft) -> Sequence[str]:
    """The field's text for each path, '' where the path does not fit; none may not fit at all."""
    found = [word(met[field]) if (met := used.read(path)) else "" for path in draft.paths]
    if any(found):
        return found
    path = next(filter(None, draft.paths))
    ends = os.path.splitext(used.text)[1].lower()  # noqa: PTH122
    suffixed = any(ends in every for every in SUFFIXES.values())
    raise ChoiceError(
        f"No file name in {draft.source} fits the pattern '{used.text}'; "
        f"one of them is '{used.part(path)}'.",
        f"Leave out '{ends}': names are matched without their suffix." if suffixed else _HOW,
    )
