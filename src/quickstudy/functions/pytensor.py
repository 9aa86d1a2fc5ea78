"""A PyTensor graph (Theano's heir) -> the text of an expression, stored as data like any other.

PyTensor is never imported here: whoever has a variable of it has imported it. Once written as text
the function needs PyTensor no more. Extra: `pytensor`.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from quickstudy.errors import ChoiceError
from quickstudy.functions.expression import parse
from quickstudy.functions.grammar import COMPARE, CONSTANTS, POWER, PRODUCT, SIGN, SUM
from quickstudy.functions.operations import FUNCTIONS
from quickstudy.functions.tokens import LONGEST

ATOM = POWER + 1


class Piece(NamedTuple):
    """A part of the text, and how tightly it binds."""

    text: str
    binds: int = ATOM


#: PyTensor's scalar operation -> our function of the same arguments.
CALLS = {
    **{name.capitalize(): name for name in ("abs", "ceil", "erf", "erfc", "exp", "exp2", "expm1")},
    **{name.capitalize(): name for name in ("floor", "log", "log10", "log1p", "log2", "maximum")},
    **{name.capitalize(): name for name in ("cos", "cosh", "sin", "sinh", "tan", "tanh")},
    **{name.capitalize(): name for name in ("minimum", "sigmoid", "sign", "softplus", "sqrt")},
    **{f"Arc{name}": f"a{name.lower()}" for name in ("Cos", "Cosh", "Sin", "Sinh", "Tan", "Tanh")},
    "ArcTan2": "atan2",
    "Clip": "clamp",
    "RoundHalfToEven": "round",
    "Sqr": "square",
}

#: PyTensor's comparison -> ours.
COMPARED = {"LT": "<", "LE": "<=", "GT": ">", "GE": ">="}

#: What may give whole numbers without computing with them.
_WHOLE = {*COMPARED, "Cast", "Identity", "Switch"}


def as_text(anything: object) -> str:
    """Return an expression as text, from text or from a PyTensor variable.

    Raises `ChoiceError` for anything else, and for what PyTensor has and expressions have not.
    """
    if isinstance(anything, str):
        return anything
    graph: Any = sys.modules.get("pytensor.graph.basic")
    if graph is not None and isinstance(anything, graph.Variable):
        return text_of(anything)
    raise ChoiceError(
        f"An expression is text or a PyTensor variable, not {type(anything).__name__}.",
        'Write it as text: "x * sigmoid(x)".',
    )


def text_of(variable: Any) -> str:
    """Write a PyTensor variable as the text of an expression: ``x * sigmoid(1.702 * x)``.

    Inputs need names; a shared scalar becomes a learned parameter, starting at its value. Whatever
    types the graph casts to, the expression computes in the type of its inputs. Raises
    `ChoiceError` that names an operation which expressions do not have.
    """
    writer = _Writer()
    waiting = [variable]
    while waiting:
        now = waiting[-1]
        what, made_of = _what(now)
        missing = [v for v in made_of if v not in writer.written]
        if missing:
            waiting += reversed(missing)
            continue
        waiting.pop()
        if now not in writer.written:
            writer.write(now, what, [writer.written[v] for v in made_of])
    if _what(variable)[0] == "DimShuffle":
        raise _refused("DimShuffle", "Give the function before its axes are moved.")
    whole = writer.written[variable]
    text = _number(whole).text
    for name, value in writer.learned.items():
        text += f", {name}=learn({value!r})"
    parse(text)
    return text


def _what(variable: Any) -> tuple[str, list[Any]]:
    """Return what a variable is, and what it is made of; mean(x) is seen as one operation."""
    node = variable.owner
    if node is None:
        known = "Constant" if hasattr(variable, "data") else "Input"
        return ("Shared" if hasattr(variable, "get_value") else known), []
    op = node.op
    inputs = list(node.inputs)
    if hasattr(op, "scalar_op") and type(op).__name__ == "Elemwise":
        name = type(op.scalar_op).__name__
        ours = type(op.scalar_op).__module__.startswith("pytensor.scalar.")
        if name == "TrueDiv" and (averaged := _averaged(inputs)) is not None:
            return "Mean", [averaged]
        return (name if ours else f"{name} (of {type(op.scalar_op).__module__})"), inputs
    if type(op).__module__.startswith("pytensor.scalar."):
        return type(op).__name__, inputs
    _check_axes(variable)
    return type(op).__name__, inputs


def _averaged(inputs: list[Any]) -> Any:
    """Return x where the inputs of a quotient are sum(x) and the number of elements of x."""
    total, number = inputs
    if total.owner is None or type(total.owner.op).__name__ != "Sum":
        return None
    x = total.owner.inputs[0]
    while number.owner is not None and type(number.owner.op).__name__ == "DimShuffle":
        number = number.owner.inputs[0]
    if number.owner is None:
        return None
    product = _what(number)[0] == "Mul"
    axes = {_axis_counted(size, x) for size in (number.owner.inputs if product else [number])}
    return x if axes == set(range(x.ndim)) and _over_all(total) else None


def _axis_counted(size: Any, x: Any) -> int | None:
    """Return i where a variable is x.shape[i]."""
    node = size.owner
    if node is None or type(node.op).__name__ != "Subtensor" or len(node.inputs) != 2:
        return None
    shape, index = node.inputs
    while shape.owner is not None and _what(shape)[0] == "Cast":
        shape = shape.owner.inputs[0]
    if shape.owner is None or type(shape.owner.op).__name__ != "Shape":
        return None
    return int(index.data) if shape.owner.inputs[0] is x and hasattr(index, "data") else None


def _over_all(reduced: Any) -> bool:
    axis = reduced.owner.op.axis
    return axis is None or sorted(axis) == list(range(reduced.owner.inputs[0].ndim))


def _check_axes(variable: Any) -> None:
    """Refuse what works along axes in a way that expressions have not."""
    op, of = variable.owner.op, variable.owner.inputs[0]
    name = type(op).__name__
    if name == "Sum" and not _over_all(variable):
        raise _refused("Sum over some axes", "Sum over all of them.")
    if name in ("Softmax", "LogSoftmax") and op.axis not in ((of.ndim - 1,), (-1,)):
        raise _refused(f"{name} over another axis than the last", "Give it axis=-1.")
    if name == "DimShuffle":
        added = len(op.new_order) - of.ndim
        if tuple(op.new_order) != (*["x"] * added, *range(of.ndim)):
            raise _refused("DimShuffle", "Axes cannot be moved in an expression.")


def _refused(what: str, hint: str = "") -> ChoiceError:
    usual = "Compose it of what expressions have: " + ", ".join(FUNCTIONS) + "."
    return ChoiceError(f"PyTensor's {what} has no counterpart in an expression.", hint or usual)


def _enclosed(piece: Piece, least: int) -> str:
    """Return the text of a piece, in parentheses where it binds less than `least`."""
    return piece.text if piece.binds >= least else f"({piece.text})"


def _number(piece: Piece) -> Piece:
    """Return a comparison as 1 or 0, anything else as it is."""
    return piece if piece.binds > COMPARE else Piece(f"where({piece.text}, 1, 0)")


def _joined(sign: str, binds: int, pieces: list[Piece]) -> Piece:
    first, *others = pieces
    rest = [_enclosed(piece, binds + 1) for piece in others]
    return Piece(f" {sign} ".join([_enclosed(first, binds), *rest]), binds)


#: Operations that are signs: the number of their arguments is PyTensor's business.
SIGNS: dict[str, Callable[[list[Piece]], Piece]] = {
    "Add": lambda of: _joined("+", SUM, of),
    "Sub": lambda of: _joined("-", SUM, of),
    "Mul": lambda of: _joined("*", PRODUCT, of),
    "TrueDiv": lambda of: _joined("/", PRODUCT, of),
    "Reciprocal": lambda of: _joined("/", PRODUCT, [Piece("1"), *of]),
    "Neg": lambda of: Piece(f"-{_enclosed(of[0], SIGN)}", SIGN),
    "Pow": lambda of: Piece(f"{_enclosed(of[0], ATOM)}**{_enclosed(of[1], SIGN)}", POWER),
    "Log1mexp": lambda of: Piece(f"log(-expm1({of[0].text}))"),
    "Mean": lambda of: Piece(f"mean({of[0].text})"),
    "Sum": lambda of: Piece(f"sum({of[0].text})"),
    "Softmax": lambda of: Piece(f"softmax({of[0].text})"),
    "LogSoftmax": lambda of: Piece(f"log_softmax({of[0].text})"),
}


@dataclass
class _Writer:
    """The text of every variable written so far."""

    written: dict[Any, Piece] = field(default_factory=dict)
    learned: dict[str, float] = field(default_factory=dict)
    names: dict[str, Any] = field(default_factory=dict)

    def write(self, variable: Any, what: str, of: list[Piece]) -> None:
        piece = self.piece(variable, what, of)
        if len(piece.text) > LONGEST:
            message = f"Written out, this PyTensor graph has more than {LONGEST:,} characters."
            raise ChoiceError(message, "Write the function in Python.")
        self.written[variable] = piece

    def piece(self, variable: Any, what: str, of: list[Piece]) -> Piece:
        if what == "Constant":
            return _constant(variable)
        if what in ("Input", "Shared"):
            return self.named(variable, what)
        if what in ("DimShuffle", "Identity"):
            return of[0]
        self.check_type(variable, what)
        if what in COMPARED:
            left, right = (_enclosed(_number(piece), SUM) for piece in of)
            return Piece(f"{left} {COMPARED[what]} {right}", COMPARE)
        if what == "Cast":
            return of[0]
        if what == "Switch":
            if of[0].binds != COMPARE:
                raise _refused("Switch on what is no comparison", "Compare: pt.switch(x > 0, y, z)")
            return Piece(f"where({of[0].text}, {_number(of[1]).text}, {_number(of[2]).text})")
        numbers = [_number(piece) for piece in of]
        if what in SIGNS:
            return SIGNS[what](numbers)
        if what not in CALLS:
            raise _refused(f"operation {what}")
        return Piece(f"{CALLS[what]}({', '.join(piece.text for piece in numbers)})")

    def check_type(self, variable: Any, what: str) -> None:
        """Refuse whole-number arithmetic: its rounding and overflow are not ours."""
        if variable.dtype.startswith("float"):
            return
        cut = what == "Cast" and variable.owner.inputs[0].dtype.startswith("float")
        if what in _WHOLE and not cut:
            return
        hint = "Use floating numbers: pt.cast(x > 0, x.dtype), 2.0 in place of 2."
        raise _refused(f"operation {what} in {variable.dtype}", hint)

    def named(self, variable: Any, what: str) -> Piece:
        name = variable.name
        if not name:
            hint = "Name it: pt.tensor4('x'), pytensor.shared(1.0, name='beta')."
            raise ChoiceError("An input of the PyTensor expression has no name.", hint)
        if not name.isidentifier() or name in FUNCTIONS or name in {*CONSTANTS, "learn"}:
            raise ChoiceError(f"'{name}' cannot be a name in an expression.", "Name it otherwise.")
        if self.names.setdefault(name, variable) is not variable:
            message = f"Two inputs of the PyTensor expression are called '{name}'."
            raise ChoiceError(message, "Name one of them otherwise.")
        if not getattr(variable, "dtype", "").startswith("float"):
            raise ChoiceError(f"The PyTensor input '{name}' is not of floating numbers.")
        if what == "Shared":
            self.learned[name] = self.start(variable)
        return Piece(name)

    def start(self, shared: Any) -> float:
        value = shared.get_value()
        if getattr(value, "size", 1) != 1 or not math.isfinite(value):
            message = f"The shared variable '{shared.name}' is not a single finite number."
            raise ChoiceError(message, "A learned parameter is one number.")
        return float(value)


def _constant(variable: Any) -> Piece:
    """Return a constant of one element, in the digits that tell it apart in its own type."""
    data = variable.data
    if getattr(data, "size", 1) != 1 or not math.isfinite(data):
        raise _refused(f"constant of shape {getattr(data, 'shape', '')}", "Use single numbers.")
    value = data.item()
    if isinstance(value, bool | int):
        value = int(value)
    text = str(value) if isinstance(value, int) else str(data.reshape(())[()])
    return Piece(text, SIGN if text.startswith("-") else ATOM)
