"""The grammar of expressions: text -> a small tree, or an error that points at the character.

    text        expression {"," NAME "=" (number | "learn" "(" number ")")}
    expression  + - * / ** as in Python, calls, parentheses, comparisons inside where()

A tree is a tuple of nodes, each after the nodes it is made of, the whole last: sums of a thousand
terms need no recursion. The only recursion is the parser's own, bounded by `DEEPEST`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from quickstudy.errors import ChoiceError, did_you_mean
from quickstudy.functions.operations import COMPARISONS, FUNCTIONS, LARGEST, SAME, SYNONYMS
from quickstudy.functions.tokens import LONGEST, Token, fault, tokens

DEEPEST = 50  # parentheses, calls, signs and powers within one another
CONSTANTS = {"pi": math.pi, "e": math.e}

COMPARE, SUM, PRODUCT, SIGN, POWER = 1, 2, 3, 4, 5
#: sign -> (how tightly it binds, what it is called in a tree)
BINDING = {
    **{sign: (COMPARE, sign) for sign in COMPARISONS},
    "+": (SUM, "add"),
    "-": (SUM, "sub"),
    "*": (PRODUCT, "mul"),
    "/": (PRODUCT, "div"),
    "**": (POWER, "pow"),
}


@dataclass(frozen=True, slots=True)
class Number:
    """A number, and where it stands."""

    value: float
    at: int


@dataclass(frozen=True, slots=True)
class Name:
    """An input or a parameter, and where it stands."""

    name: str
    at: int


@dataclass(frozen=True, slots=True)
class Call:
    """A function, a sign or a comparison applied to earlier nodes, and where it stands."""

    function: str
    arguments: tuple[int, ...]
    at: int


Node = Number | Name | Call
Tree = tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a text says: its tree, and its parameters with their values and places."""

    tree: Tree
    fixed: dict[str, float]
    learned: dict[str, float]
    places: dict[str, int]


def read(text: str) -> Parsed:
    """Parse an expression with its parameters; raises `ChoiceError` that points at the fault."""
    if not isinstance(text, str):
        raise ChoiceError(f"An expression is text, not {type(text).__name__}.")
    if len(text) > LONGEST:
        hint = "Break it up, or write the function in Python."
        raise ChoiceError(
            f"The expression has {len(text):,} characters; {LONGEST:,} are allowed.", hint
        )
    if not text.strip():
        raise ChoiceError("The expression is empty.", "Write one, such as x * sigmoid(x).")
    parser = _Parser(text, list(tokens(text)))
    parser.expression()
    parser.parameters()
    _check_comparisons(text, parser.nodes)
    _check_names(text, parser)
    return Parsed(tuple(parser.nodes), parser.fixed, parser.learned, parser.places)


@dataclass(slots=True)
class _Parser:
    text: str
    coming: list[Token]
    nodes: list[Node] = field(default_factory=list)
    fixed: dict[str, float] = field(default_factory=dict)
    learned: dict[str, float] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)
    next: int = 0
    depth: int = 0

    @property
    def token(self) -> Token:
        return self.coming[self.next]

    def take(self) -> Token:
        token = self.token
        self.next += token.kind != "end"
        return token

    def fault(self, at: Token | int, message: str, hint: str = "") -> ChoiceError:
        return fault(self.text, at if isinstance(at, int) else at.at, message, hint)

    def add(self, node: Node) -> int:
        self.nodes.append(node)
        return len(self.nodes) - 1

    def expression(self, least: int = COMPARE) -> int:
        """Parse what binds at least so tightly; return its place among the nodes."""
        left = self.operand()
        while self.token.text in BINDING and BINDING[self.token.text][0] >= least:
            sign = self.take()
            binds, name = BINDING[sign.text]
            right = self.inside(POWER) if binds == POWER else self.expression(binds + 1)
            left = self.add(Call(name, (left, right), sign.at))
            if binds == COMPARE and self.token.text in COMPARISONS:
                hint = "Compare two at a time, one where(...) inside another."
                raise self.fault(self.token, "Comparisons cannot be chained.", hint)
        return left

    def inside(self, least: int = COMPARE) -> int:
        """Parse what lies within something else, so deep at most."""
        self.depth += 1
        if self.depth > DEEPEST:
            message = f"More than {DEEPEST} parentheses, signs or powers lie within one another."
            raise self.fault(self.token, message, "Write it flatter.")
        place = self.expression(least)
        self.depth -= 1
        return place

    def operand(self) -> int:
        token = self.take()
        if token.kind == "number":
            return self.add(Number(self.finite(token), token.at))
        if token.kind == "name":
            return self.call(token) if self.token.text == "(" else self.named(token)
        if token.text in ("-", "+"):
            signed = self.inside(SIGN)
            return self.add(Call("neg", (signed,), token.at)) if token.text == "-" else signed
        if token.text == "(":
            enclosed = self.inside()
            self.close(token)
            return enclosed
        raise self.fault(token, *_unexpected(token, "a number, a name or '('"))

    def finite(self, token: Token) -> float:
        value = float(token.text)
        if value > LARGEST:
            message = f"{token.text} is too large a number."
            raise self.fault(token, message, f"The largest is about {LARGEST:.1e}.")
        return value

    def named(self, token: Token) -> int:
        if self.token.text == "=" and self.depth:
            message = "Arguments are not named; a parameter comes after the whole expression."
            raise self.fault(token, message, "Write clamp(x, low, high), not clamp(x, min=low).")
        if token.text in CONSTANTS:
            return self.add(Number(CONSTANTS[token.text], token.at))
        if token.text in FUNCTIONS:
            usage = FUNCTIONS[token.text].usage
            raise self.fault(token, f"'{token.text}' is a function.", f"Write {usage}.")
        if token.text == "learn":
            raise self.fault(token, "'learn' starts no value here.", _LEARN)
        return self.add(Name(token.text, token.at))

    def call(self, name: Token) -> int:
        if name.text == "learn":
            raise self.fault(name, "What is learned needs a name.", _LEARN)
        if name.text not in FUNCTIONS:
            raise self.fault(name, f"There is no function '{name.text}'.", _which(name.text))
        opening = self.take()
        arguments = [] if self.token.text == ")" else [self.inside()]
        while self.token.text == ",":
            self.take()
            arguments.append(self.inside())
        wanted = FUNCTIONS[name.text]
        self.close(opening)
        if len(arguments) != wanted.arity:
            plural = "argument" if wanted.arity == 1 else "arguments"
            message = f"'{name.text}' takes {wanted.arity} {plural}, not {len(arguments)}."
            raise self.fault(name, message, f"Write {wanted.usage}.")
        return self.add(Call(SAME.get(name.text, name.text), tuple(arguments), name.at))

    def close(self, opening: Token) -> None:
        if self.token.kind == "end":
            raise self.fault(opening, "This parenthesis is never closed.", "Add a ')'.")
        if self.token.text != ")":
            raise self.fault(self.token, *_unexpected(self.token, "')' or a sign such as *"))
        self.take()

    def parameters(self) -> None:
        while self.token.text == ",":
            self.take()
            name = self.take()
            if name.kind != "name" or self.token.text != "=":
                at = name if name.kind != "name" else self.token
                raise self.fault(at, "After a comma comes a parameter with its value.", _LEARN)
            self.take()
            self.check_parameter(name)
            learned = self.token.text == "learn"
            values = self.learned if learned else self.fixed
            values[name.text] = self.learn() if learned else self.signed()
            self.places[name.text] = name.at
        if self.token.kind != "end":
            wanted = "a comma or the end" if self.places else "a sign such as *, or the end"
            raise self.fault(self.token, *_unexpected(self.token, wanted))

    def check_parameter(self, name: Token) -> None:
        if name.text in self.places:
            raise self.fault(name, f"'{name.text}' is given twice.", "Keep one of them.")
        if name.text in FUNCTIONS or name.text in CONSTANTS or name.text == "learn":
            what = "a constant" if name.text in CONSTANTS else "a function"
            hint = "Choose another name for the parameter."
            raise self.fault(name, f"'{name.text}' is {what} already.", hint)

    def learn(self) -> float:
        self.take()
        opening = self.take()
        if opening.text != "(":
            raise self.fault(opening, "A learned parameter needs its first value.", _LEARN)
        value = self.signed()
        self.close(opening)
        return value

    def signed(self) -> float:
        factor = 1.0
        while self.token.text in ("-", "+"):
            factor *= -1 if self.take().text == "-" else 1
        token = self.take()
        if token.kind == "name" and token.text in CONSTANTS:
            return factor * CONSTANTS[token.text]
        if token.kind != "number":
            raise self.fault(token, "A parameter's value is a number.", _LEARN)
        return factor * self.finite(token)


_LEARN = "Name it after the expression: beta * x, beta=learn(1.0); or with a fixed value: beta=2."


def _unexpected(token: Token, wanted: str) -> tuple[str, str]:
    """Return message and hint for a token that cannot stand where it stands."""
    if token.kind == "end":
        return f"The expression ends where {wanted} should be.", "Add it, or remove the last sign."
    if token.kind in ("name", "number") or token.text == "(":
        return "Two things stand side by side.", "For a product write * between them."
    if token.text == ")":
        return "Nothing is open that this parenthesis could close.", "Remove it, or add a '('."
    if token.text == "=":
        return "An expression has no '='.", "Write the right-hand side alone: m*x + c."
    if token.text in COMPARISONS:
        return f"'{token.text}' cannot stand here.", "Compare as in where(x > 0, x, 0)."
    return f"Here should be {wanted}, not '{token.text}'.", "Remove it, or add what is missing."


def _which(name: str) -> str:
    """Return the hint for a function that is not there."""
    if name in SYNONYMS:
        return f"It is called '{SYNONYMS[name]}' here."
    near = did_you_mean(name, FUNCTIONS)
    return near or f"For a product write {name} * (...). Functions: " + ", ".join(FUNCTIONS) + "."


def _check_comparisons(text: str, nodes: Iterable[Node]) -> None:
    """Comparisons are the conditions of where(), and conditions are comparisons."""
    nodes = list(nodes)
    calls = [node for node in nodes if isinstance(node, Call)]
    conditions = {c.arguments[0] for c in calls if c.function == "where"}
    for place, node in enumerate(nodes):
        compares = isinstance(node, Call) and node.function in COMPARISONS
        if compares and place not in conditions:
            message = "A comparison is not a number: it can only be the condition of where()."
            raise fault(text, node.at, message, "Write where(x > 0, 1, 0) for one or zero.")
        if place in conditions and not compares:
            message = "The first argument of where() must be a comparison."
            raise fault(text, node.at, message, "Write where(x > 0, y, z).")


def _check_names(text: str, parser: _Parser) -> None:
    used = {node.name for node in parser.nodes if isinstance(node, Name)}
    for name, place in parser.places.items():
        if name not in used:
            near = did_you_mean(name, used - set(parser.places))
            hint = near or "Use it in the expression, or leave it out."
            raise fault(text, place, f"The parameter '{name}' is never used.", hint)
