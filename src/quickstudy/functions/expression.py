"""A mathematical function as text -> an `nn.Module`, without any code being run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from functools import reduce
from typing import Literal

import torch
from torch import Tensor, nn

from quickstudy.errors import ChoiceError, did_you_mean
from quickstudy.functions.grammar import Call, Name, Tree, read
from quickstudy.functions.operations import FUNCTIONS
from quickstudy.functions.program import compile_tree, lower
from quickstudy.functions.tokens import fault

#: A name as networks, losses and activations have it: gelu, my_name2, resnet50.a1_in1k.
_WORD = re.compile(r"\s*(?:[^\W\d]\w*(?:\.\w+)*)?\s*")
#: A free name of four letters or more, so like an input's, is taken for a slip of the pen.
_ALIKE = 0.8


@dataclass(frozen=True)
class Expression:
    """A function as text: ``x * sigmoid(beta * x), beta=learn(1.0)``.

    `names` are the free names that are no parameters, in order of appearance; `fixed` and
    `learned` are the parameters with their (first) values.
    """

    text: str
    names: tuple[str, ...]
    fixed: Mapping[str, float] = field(hash=False, compare=False)
    learned: Mapping[str, float] = field(hash=False, compare=False)
    places: Mapping[str, int] = field(repr=False, hash=False, compare=False)
    tree: Tree = field(repr=False, hash=False, compare=False)

    def fault(self, name: str, message: str, hint: str = "") -> ChoiceError:
        """Return an error that points at where a name or parameter stands in the text."""
        return fault(self.text, self.places.get(name, 0), message, hint)


def parse(text: str) -> Expression:
    """Read an expression; raises `ChoiceError` that points at the character which is wrong.

    >>> parse("x * sigmoid(beta * x) ** gamma, beta=learn(1.0), gamma=2").names
    ('x',)
    """
    parsed = read(text)
    lower(text, parsed.tree, parsed.fixed, {})  # constants that come to nothing
    names: dict[str, int] = {}
    for node in parsed.tree:
        if isinstance(node, Name) and node.name not in parsed.places:
            names[node.name] = min(node.at, names.get(node.name, node.at))
    order = tuple(sorted(names, key=names.__getitem__))
    places = {**names, **parsed.places}
    return Expression(text, order, parsed.fixed, parsed.learned, places, parsed.tree)


def is_expression(text: str) -> bool:
    """Say whether a text is more than a name such as ``gelu``, ``my_name2`` or ``a.b``.

    >>> is_expression("gelu"), is_expression("x * sigmoid(x)"), is_expression("m*x + c")
    (False, True, True)
    """
    return _WORD.fullmatch(text) is None


class Function(nn.Module):
    """An expression as a module: takes one tensor per input name, and broadcasts as torch does.

    Learned parameters are scalars named as in the text; with ``free="learn"`` every name that is
    neither input nor parameter is one too, starting at 1 (``m*x + c`` with the input ``x``), else
    it is refused. Everything is torch's own: plain numbers keep the type of the inputs, and learned
    parameters are taken in it. What depends on no input is spread to the shape of the inputs.

    With ``elementwise=False`` the expression may take ``mean`` and ``sum``, over all elements, and
    ``softmax`` and ``log_softmax`` over the last axis.

    Logarithms stay finite where the form says how: log(sigmoid(x)), log(1 - sigmoid(x)),
    log(softmax(x)) and log(1 + exp(x)) are computed as logsigmoid, log_softmax and softplus (which
    is x beyond 20, off by 2e-9 at most). With `logs`, where the inputs have `p` and `log_p`,
    ``log(p)`` is the tensor `log_p`; where they have `p` and `log_not_p`, ``log(1 - p)`` is
    `log_not_p`: so a loss
    ``mean(-(1 - p)**gamma * log(p))`` stays finite where p rounds to 0.

    Gradients are torch's, traps included: sqrt(x) at 0 has an infinite one, x**y for a learned y
    has none (nan) for x < 0, ``where`` passes on a nan of the side it did not choose, and floor,
    ceil, round and sign have 0. max(x, 0) with a number passes the gradient on at a tie; with two
    tensors each gets half.

    Raises `ChoiceError` for names that are not there, and for reductions in what is elementwise.

    >>> line = Function(parse("m*x + c"), ["x"], free="learn")
    >>> line.values()
    {'m': 1.0, 'c': 1.0}
    >>> line(torch.tensor([1.0, 2.0])).tolist()
    [2.0, 3.0]
    """

    def __init__(
        self,
        expression: Expression,
        inputs: Sequence[str],
        *,
        elementwise: bool = True,
        free: Literal["refuse", "learn"] = "refuse",
        logs: bool = False,
    ) -> None:
        super().__init__()
        if not inputs:
            raise ValueError("a function needs at least one input")
        self.expression = expression
        self._inputs = tuple(inputs)
        if elementwise:
            _check_elementwise(expression)
        learned = _learned(expression, self._inputs, free)
        self._learned = tuple(learned)
        for name, value in learned.items():
            if hasattr(self, name):
                message = f"A learned parameter cannot be called '{name}'."
                raise expression.fault(name, message, "Choose another name.")
            self.register_parameter(name, nn.Parameter(torch.tensor(value)))
        known = _logs(self._inputs) if logs else {}
        tree = lower(expression.text, expression.tree, expression.fixed, known)
        self._program = compile_tree(tree, self._inputs, self._learned, elementwise)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the value for tensors in the order of the input names."""
        if len(inputs) != len(self._inputs):
            raise TypeError(f"takes {len(self._inputs)} tensors, not {len(inputs)}")
        if not self._learned:
            return self._program.run([*inputs])
        dtype = reduce(torch.promote_types, [i.dtype for i in inputs])
        learned = [getattr(self, name) for name in self._learned]
        if dtype.is_floating_point:
            learned = [parameter.to(dtype) for parameter in learned]
        return self._program.run([*inputs, *learned])

    def values(self) -> dict[str, float]:
        """Return the learned parameters by name with their values of now."""
        return {name: float(getattr(self, name).detach()) for name in self._learned}

    def extra_repr(self) -> str:
        """Return the expression, as printing a network shows it."""
        return self.expression.text


def _logs(inputs: Iterable[str]) -> dict[str, str]:
    """Return which input is the logarithm of which other, or of one minus it."""
    known = set(inputs)
    logs = {name: f"log_{name}" for name in known if f"log_{name}" in known}
    nots = {f"1 - {name}": f"log_not_{name}" for name in known if f"log_not_{name}" in known}
    return {**logs, **nots}


def _check_elementwise(expression: Expression) -> None:
    for node in expression.tree:
        if not isinstance(node, Call) or node.function not in FUNCTIONS:
            continue
        if not FUNCTIONS[node.function].elementwise:
            message = f"'{node.function}' mixes elements; here each is computed on its own."
            each = "sigmoid(x)" if "softmax" in node.function else "a function of each element"
            raise fault(expression.text, node.at, message, f"Use {each}.")


def _learned(
    expression: Expression, inputs: tuple[str, ...], free: Literal["refuse", "learn"]
) -> dict[str, float]:
    """Return the learned parameters with their first values, or refuse the names."""
    for name in {**expression.fixed, **expression.learned}:
        if name in inputs:
            message = f"'{name}' is an input: it cannot be a parameter too."
            raise expression.fault(name, message, "Choose another name for the parameter.")
    learned = dict(expression.learned)
    if free == "learn":
        refuse_slips(expression, inputs)
    for name in expression.names:
        if name in inputs:
            continue
        if free == "learn":
            learned[name] = 1.0
            continue
        near = did_you_mean(name, inputs)
        hint = f"Inputs: {', '.join(inputs)}. To learn it: {name}=learn(1.0) after a comma."
        raise expression.fault(
            name, f"'{name}' is neither an input nor a parameter.", f"{near} {hint}".strip()
        )
    return learned


def refuse_slips(expression: Expression, known: Sequence[str]) -> None:
    """Raise `ChoiceError` for a free name that is all but a known one: a misspelt column."""
    for name in expression.names:
        letters = re.sub(r"\d", "", name)
        for other in known if name not in known else ():
            same = name.casefold() == other.casefold()
            near = len(letters) > 3 and SequenceMatcher(None, name, other).ratio() >= _ALIKE
            if same or (near and letters != re.sub(r"\d", "", other)):  # beta2 is no slip of beta1
                hint = f"Did you mean '{other}'? To learn it: {name}=learn(1.0) after a comma."
                raise expression.fault(name, f"'{name}' is no input.", hint)
