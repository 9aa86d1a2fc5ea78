"""A mathematical function -> the same as plain torch code."""

from __future__ import annotations

import keyword
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from quickstudy.errors import ChoiceError
from quickstudy.functions import Expression
from quickstudy.functions.grammar import BINDING, POWER, SIGN, SUM, Call, Name, Number, Tree
from quickstudy.functions.program import lower

_ATOM = POWER + 1
_SIGNS = {called: (sign, level) for sign, (level, called) in BINDING.items()}
_FUNCTIONAL = frozenset(
    {
        *("elu", "gelu", "hardsigmoid", "hardswish", "leaky_relu", "logsigmoid", "mish", "silu"),
        "softplus",
    }
)
_LAST = frozenset({"softmax", "log_softmax"})  # over the last axis
#: What the code itself calls by these names.
_TAKEN = frozenset({"torch", "F", "nn", "x_", "self"})
_LONG = 60  # characters: more is computed in steps


def safe(name: str) -> str:
    """Return a name as Python may have it.

    >>> safe("m"), safe("lambda")
    ('m', 'lambda_')
    """
    return name + "_" if keyword.iskeyword(name) or name in _TAKEN else name


@dataclass(frozen=True)
class Written:
    """A function as code: lines that come first, and what is returned."""

    lines: tuple[str, ...]
    result: str


def written(
    expression: Expression,
    inputs: Sequence[str],
    *,
    tree: Tree | None = None,
    names: Mapping[str, str] | None = None,
) -> Written:
    """Return an expression in `inputs` as torch code, logarithms kept finite as the run keeps them.

    `names` says what to write for a name. Raises `ChoiceError` where nothing in it depends on an
    input.

    >>> from quickstudy.functions import parse
    >>> written(parse("x * sigmoid(1.702 * x) ** 2"), ["x"]).result
    'x * torch.sigmoid(1.702 * x) ** 2'
    """
    logs = {name: f"log_{name}" for name in inputs if f"log_{name}" in inputs}
    logs |= {f"1 - {name}": f"log_not_{name}" for name in inputs if f"log_not_{name}" in inputs}
    lowered = lower(expression.text, tree or expression.tree, expression.fixed, logs)
    if not {node.name for node in lowered if isinstance(node, Name)} & set(inputs):
        raise ChoiceError(
            f"A script cannot write '{expression.text}': it does not depend on {inputs[0]}.",
            "Learn with another function for a script.",
        )
    return _Writer(
        lowered, {name: safe(name) for name in _names(lowered)} | dict(names or {})
    ).all()


def _names(tree: Tree) -> list[str]:
    return [node.name for node in tree if isinstance(node, Name)]


class _Writer:
    """Writes node by node; what is long and used twice, or too long for a line, gets a name."""

    def __init__(self, tree: Tree, names: Mapping[str, str]) -> None:
        self.tree, self.names = tree, names
        self.uses = [0] * len(tree)
        for node in tree:
            for place in node.arguments if isinstance(node, Call) else ():
                self.uses[place] += 1
        self.texts: list[tuple[str, int]] = []
        self.lines: list[str] = []

    def all(self) -> Written:
        """Write everything."""
        for place, node in enumerate(self.tree):
            if isinstance(node, Number):
                self.texts.append(_number(node.value))
            elif isinstance(node, Name):
                self.texts.append((self.names[node.name], _ATOM))
            else:
                self.texts.append(self.named(place, *self.call(node)))
        return Written(tuple(self.lines), self.texts[-1][0])

    def named(self, place: int, text: str, level: int) -> tuple[str, int]:
        """Return a value as it is, or give it a name of its own."""
        again = self.uses[place] > 1 and len(text) > _LONG // 3
        if place == len(self.tree) - 1 or level < SUM or not (again or len(text) > _LONG):
            return text, level
        name = f"part{len(self.lines) + 1}"
        while name in self.names.values():
            name += "_"
        self.lines.append(f"{name} = {text}")
        return name, _ATOM

    def call(self, node: Call) -> tuple[str, int]:
        """Return an operation as code, and how tightly it binds."""
        given, function = list(node.arguments), node.function
        if function == "neg":
            return f"-{self.bound(given[0], POWER)}", SIGN
        if function in _SIGNS:
            sign, level = _SIGNS[function]
            tight = {POWER: (_ATOM, SIGN)}.get(level, (level, level + 1))
            left, right = (self.bound(a, b) for a, b in zip(given, tight, strict=True))
            return f"{left} {sign} {right}", level
        numbers = [isinstance(self.tree[a], Number) for a in given]
        texts = [self.texts[a][0] for a in given]
        if function in ("maximum", "minimum") and any(numbers):
            x, bound = texts if numbers[1] else texts[::-1]
            return f"torch.clamp({x}, {'min' if function == 'maximum' else 'max'}={bound})", _ATOM
        if function == "atan2":
            texts = [f"torch.tensor({t})" if n else t for t, n in zip(texts, numbers, strict=True)]
        if function == "where":  # whole numbers would make a tensor of whole numbers
            texts = [f"{t}.0" if n and t.lstrip("-").isdigit() else t
                     for t, n in zip(texts, numbers, strict=True)]  # fmt: skip
        room = "F" if function in _FUNCTIONAL else "torch"
        last = ", -1" if function in _LAST else ""
        return f"{room}.{function}({', '.join(texts)}{last})", _ATOM

    def bound(self, place: int, level: int) -> str:
        """Return a part of an operation, in parentheses where it binds less tightly."""
        text, own = self.texts[place]
        return text if own >= level else f"({text})"


def _number(value: float) -> tuple[str, int]:
    text = str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)
    return text, SIGN if text.startswith("-") else _ATOM
