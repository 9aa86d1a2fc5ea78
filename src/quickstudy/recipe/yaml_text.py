"""YAML text -> plain data, with the line of every list item; nothing is run, nothing explodes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from quickstudy.errors import ChoiceError

#: PyYAML reads some 150,000 characters a second; a stack of ResNet-152 takes 3,000.
MOST_CHARACTERS = 100_000
#: Each bracket that is open slows PyYAML down: it might begin a key.
_MOST_BRACKETS = 64
#: What PyYAML's constructors raise for values such as ``!!bool maybe`` or ``2020-13-45``.
_BAD_VALUE = (ValueError, LookupError, AttributeError, TypeError, OverflowError)

_BRACKET = re.compile(r"[\[\]{}]")

Lines = dict[int, list[int]]
"""id of a list -> the line of each of its items."""


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which notes lines and refuses merge keys and double keys.

    Merge keys (``<<``) double a mapping at every level: a kilobyte would fill the memory.
    """

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.lines: Lines = {}

    def construct_yaml_seq(self, node: Any) -> Any:
        """Make a list; its identity is the key that its lines are kept under."""
        data: list[Any] = []
        yield data
        data.extend(self.construct_sequence(node))
        self.lines[id(data)] = [item.start_mark.line + 1 for item in node.value]

    def flatten_mapping(self, node: Any) -> None:
        """Refuse what PyYAML would merge or overwrite in silence."""
        seen: set[str] = set()
        for key, _ in node.value:
            problem = ""
            if key.tag == "tag:yaml.org,2002:merge":
                problem = "merge keys (<<) are not taken here"
            elif isinstance(key.value, str):
                problem = f"'{key.value[:40]}' stands there twice" if key.value in seen else ""
                seen.add(key.value)
            if problem:
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)


_Loader.add_constructor("tag:yaml.org,2002:seq", _Loader.construct_yaml_seq)


def parse(
    text: str, where: str, form: str, *, most: int = MOST_CHARACTERS, shorter: str = ""
) -> tuple[Any, Lines]:
    """Return the data of YAML text, and the lines of list items.

    `form` and `shorter` are the hints to whoever wrote it wrongly, or wrote over `most` characters.
    Raises `ChoiceError` for text that is too long, no YAML, or more than plain data.
    """
    if len(text) > most:
        raise ChoiceError(f"{where} has more than {most:,} characters.", shorter or form)
    if _brackets(text) > _MOST_BRACKETS:
        raise ChoiceError(f"{where} is nested too deeply.", form)
    loader = None
    try:
        loader = _Loader(text)
        return loader.get_single_data(), loader.lines
    except yaml.YAMLError as problem:
        raise ChoiceError(f"{where} is not YAML: {_words(problem)}.", form) from problem
    except RecursionError as problem:
        raise ChoiceError(f"{where} is nested too deeply.", form) from problem
    except _BAD_VALUE as problem:
        raise ChoiceError(
            f"{where} holds a value that is not what its tag says.", form
        ) from problem
    finally:
        if loader is not None:
            loader.dispose()


def _brackets(text: str) -> int:
    """Return how many brackets are open at once, at most."""
    depth = most = 0
    for sign in _BRACKET.findall(text):
        depth = depth + 1 if sign in "[{" else max(0, depth - 1)
        most = max(most, depth)
    return most


def _words(problem: yaml.YAMLError) -> str:
    mark = getattr(problem, "problem_mark", None)
    what = str(getattr(problem, "problem", None) or problem).splitlines()[0][:120]
    return f"{what} (line {mark.line + 1}, column {mark.column + 1})" if mark else what


def read_file(path: Path, where: str, form: str, *, most: int = MOST_CHARACTERS) -> str:
    """Return a file's text, no more of it than `most` characters and one.

    `where` is what messages call it, `form` their hint. Raises `ChoiceError` where it cannot be
    read.
    """
    try:
        if path.exists() and not path.is_file():
            raise ChoiceError(f"{where} cannot be read: it is not a file.", form)
        with path.open(encoding="utf-8") as file:
            return file.read(most + 1)
    except OSError as problem:
        raise ChoiceError(f"{where} cannot be read: {problem.strerror}.", form) from problem
    except ValueError as problem:
        raise ChoiceError(f"{where} is not YAML: it is not UTF-8 text.", form) from problem
