"""The words and signs of an expression, and how a fault in it is shown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from quickstudy.errors import ChoiceError

LONGEST = 2000  # characters of a text
_WINDOW = 72  # characters of a line shown with a fault

_NUMBER = re.compile(r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_SIGNS = re.compile(r"\*\*|<=|>=|[-+*/()<>,=]")

#: What people write -> what is meant.
_MEANT = {
    "//": "Write floor(x / y).",
    "%": "There is no remainder: write x - y * floor(x / y).",
    "^": "Write ** for a power.",
    "==": "Compare with <= or >=.",
    "!=": "Compare with < or >.",
    "<>": "Compare with < or >.",
    "=<": "Write <=.",
    "=>": "Write >=.",
    "&": "Put one where(...) inside another.",
    "|": "Put one where(...) inside another.",
    "[": "Use round parentheses.",
    "]": "Use round parentheses.",
    "{": "Use round parentheses.",
    "}": "Use round parentheses.",
    "²": "Write **2.",
    "³": "Write **3.",
    "√": "Write sqrt(x).",
    "π": "Write pi.",
    "×": "Write * for a product.",
    "·": "Write * for a product.",
    "⋅": "Write * for a product.",
    "÷": "Write / for a quotient.",
    "−": "Write - for a minus.",
    "–": "Write - for a minus.",
    "≤": "Write <=.",
    "≥": "Write >=.",
    ".": "Names have no dots: write sin(x), not np.sin(x).",
    ";": "Separate parameters with commas.",
    ":": "Separate parameters with commas: beta * x, beta=learn(1.0).",
    "_": "A name begins with a letter.",
}


@dataclass(frozen=True, slots=True)
class Token:
    """A word or sign: `kind` is number, name, sign or end."""

    kind: str
    text: str
    at: int


def tokens(text: str) -> Iterator[Token]:
    """Cut a text into words and signs, an end after them; raises `ChoiceError`."""
    at = 0
    while at < len(text):
        token = None if text[at].isspace() else _token(text, at)
        if token:
            yield token
        at += len(token.text) if token else 1
    yield Token("end", "", len(text.rstrip()))


def _token(text: str, at: int) -> Token:
    for wrong in (text[at : at + 2], text[at]):
        if wrong in _MEANT and not (wrong == "." and _NUMBER.match(text, at)):
            raise fault(text, at, f"'{wrong}' cannot be used here.", _MEANT[wrong])
    if text[at].isidentifier():
        return Token("name", text[at : _end_of_name(text, at)], at)
    if number := _NUMBER.match(text, at):
        end = number.end()
        if end < len(text) and (_continues(text[end]) or text[end] == "."):
            message = f"This number runs into '{printable(text[end])}'."
            raise fault(text, end, message, "For a product write * between them.")
        return Token("number", number.group(), at)
    if sign := _SIGNS.match(text, at):
        return Token("sign", sign.group(), at)
    message = f"'{printable(text[at])}' means nothing in an expression."
    raise fault(text, at, message, "Its signs are + - * / ** ( ) and < <= > >= in where().")


def _continues(character: str) -> bool:
    """Whether a character may stand inside a name."""
    return f"a{character}".isidentifier()


def _end_of_name(text: str, at: int) -> int:
    while at < len(text) and _continues(text[at]):
        at += 1
    return at


def printable(text: str) -> str:
    """Return a text in which every character takes one place on a line."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "?" for c in text)


def fault(text: str, at: int, message: str, hint: str = "") -> ChoiceError:
    """Return an error that shows the line of the text, and a caret under the character at `at`."""
    start = text.rfind("\n", 0, at) + 1
    end = text.find("\n", at)
    line, column = text[start : end if end >= 0 else None], at - start
    cut = max(0, column - _WINDOW // 2)
    before = "…" if cut else ""
    after = "…" if len(line) > cut + _WINDOW else ""
    shown = f"{before}{printable(line[cut : cut + _WINDOW])}{after}"
    caret = " " * (column - cut + len(before)) + "^"
    return ChoiceError(f"{message}\n    {shown}\n    {caret}", hint)
