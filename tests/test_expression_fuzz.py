"""Any text at all: an answer or a `ChoiceError`, never a crash, a hang or code being run."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable
from datetime import timedelta

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, note, settings
from hypothesis import strategies as st

from quickstudy.errors import ChoiceError
from quickstudy.functions import Function, activation, is_expression, parse
from quickstudy.functions.operations import FUNCTIONS

#: The same inputs every time; a text that takes 5 s hangs, however busy the machine is.
FULL = bool(os.environ.get("QUICKSTUDY_FUZZ"))  # all of 11,500 inputs, else a sixth
STEADY = settings(
    derandomize=True,
    database=None,
    deadline=timedelta(seconds=5),
    suppress_health_check=list(HealthCheck),
)


def some(inputs: int) -> int:
    """Return how many of the inputs to try here."""
    return inputs if FULL else inputs // 6


VALID = [
    "x * sigmoid(1.702 * x)",
    "x * sigmoid(beta * x), beta=learn(1.0)",
    "mean(-(1 - p)**gamma * log(p)), gamma=2",
    "where(x > 0, x, alpha * (exp(x) - 1)), alpha=learn(-1e-2)",
    "x*tanh(softplus(x)) - max(x, min(1, pi)) / clamp(x, -1, 2)",
    "a * sin(b * x + c)",
    "exp(-x**2 / 2) / sqrt(2*pi) + log(1 + exp(x)) + log(softmax(x))",
]
PIECES = [
    *FUNCTIONS,
    *("+", "-", "*", "/", "**", "(", ")", ",", "=", "<", "<=", ">", ">=", "(", ")", "^", "²", ""),
    *("x", "p", "1", ".5", "1e30", "learn", "pi", "e", "_", ".", ";", "'", "\\", "\n", "#", "@"),
    *("__import__('os').system('true')", "lambda:0", "x if x else x", "[]", "{x}", "0x1f", "1j"),
]

#: What happens while a text is read: anything that could be code being run.
SEEN: list[str] = []
RISKY = ("compile", "exec", "import", "open", "os.", "subprocess.", "pickle.", "socket.", "ctypes.")
_watching = False


def watch(event: str, _: tuple[object, ...]) -> None:
    if _watching and event.startswith(RISKY):
        SEEN.append(event)


@pytest.fixture(scope="module", autouse=True)
def watched() -> None:
    activation("x + 1")  # whatever torch imports at its first use
    sys.addaudithook(watch)


def survives(text: str) -> bool:
    """Read a text, compute it if it is right; return whether it is."""
    global _watching
    SEEN.clear()
    try:
        _watching = True
        is_expression(text)
        expression = parse(text)
    except ChoiceError as error:
        assert error.hint or "argument" in error.message
        return False
    finally:
        _watching = False
        assert not SEEN
    try:
        inputs = [n for n in expression.names if n not in expression.fixed][:50] or ["x"]
        function = Function(expression, inputs, elementwise=False, free="learn")
    except ChoiceError:
        return False
    answer = function(*[torch.full((2,), 0.5) for _ in inputs])
    assert answer.dtype == torch.float32
    return True


@given(st.text(max_size=60))
@settings(STEADY, max_examples=some(1500))
def test_any_text(text: str) -> None:
    survives(text)


@given(st.lists(st.sampled_from(PIECES), max_size=40), st.sampled_from(["", " "]))
@settings(STEADY, max_examples=some(1500))
def test_any_row_of_pieces(pieces: list[str], between: str) -> None:
    survives(between.join(pieces))


@given(st.integers(0, 2**32))
@settings(STEADY, max_examples=some(200))
def test_any_change_of_a_valid_text(seed: int) -> None:
    chance = random.Random(seed)  # 40 texts from one: hypothesis is slower than the parser
    for _ in range(40):
        text = chance.choice(VALID)
        for _ in range(chance.randint(1, 6)):
            at, other = chance.randrange(len(text) + 1), chance.choice(VALID + PIECES)
            start, much = chance.randrange(len(other) + 1), chance.randrange(4)
            text = text[:at] + other[start : start + chance.randrange(9)] + text[at + much :]
        note(text)
        survives(text)


def test_valid_texts_survive() -> None:
    assert all(survives(text) for text in VALID)


@pytest.mark.parametrize(
    "text",
    [
        *("__import__('os')", "().__class__", "x.__class__", "exec('1')", "eval(x)", "open(x)"),
        *("x; import os", "lambda x: x", "[x for x in x]", "f'{x}'", "x := 1", "getattr(x, y)"),
        *("compile(x, y, z)", "globals()", "x if x else x", "print(x)", "exit()", "x\n\nimport os"),
    ],
)
def test_code_is_refused(text: str) -> None:
    assert not survives(text)
    with pytest.raises(ChoiceError):
        parse(text)


Array = np.ndarray
#: function -> NumPy's; none that jumps, so that rounding cannot decide.
NUMPY: dict[str, Callable[..., Array]] = {
    "abs": np.abs,
    "cos": np.cos,
    "sin": np.sin,
    "tanh": np.tanh,
    "atan": np.arctan,
    "exp": np.exp,
    "square": np.square,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "softplus": lambda x: np.logaddexp(x, 0),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "relu": lambda x: np.maximum(x, 0),
    "asinh": np.arcsinh,
    "max": np.maximum,
    "min": np.minimum,
}
GIVEN = {"x": np.linspace(-2, 2, 7), "y": np.linspace(1.5, -0.7, 7) ** 3}

#: (text, how tightly it binds, value, the largest number on the way)
Part = tuple[str, int, Array, float]


def enclosed(part: Part, least: int) -> str:
    return part[0] if part[1] >= least else f"({part[0]})"


def leaf(value: float | str) -> Part:
    if isinstance(value, str):
        return value, 6, GIVEN[value], 3.4
    return repr(value), 6, np.full(7, value), value


def made(inner: st.SearchStrategy[Part]) -> st.SearchStrategy[Part]:
    def largest(value: Array, *parts: Part) -> float:
        return max(float(np.abs(value).max()), *[part[3] for part in parts])

    def call(name: str, one: Part, other: Part) -> Part:
        parts = [one, other] if name in ("max", "min") else [one]
        value = NUMPY[name](*[part[2] for part in parts])
        text = f"{name}({', '.join(part[0] for part in parts)})"
        return text, 6, value, largest(value, *parts)

    def signed(sign: str, one: Part, other: Part) -> Part:
        binds = 2 if sign in "+-" else 3
        value = {"+": np.add, "-": np.subtract, "*": np.multiply}[sign](one[2], other[2])
        text = f"{enclosed(one, binds)} {sign} {enclosed(other, binds + 1)}"
        return text, binds, value, largest(value, one, other)

    def divided(one: Part, other: Part) -> Part:
        value = one[2] / (1 + other[2] ** 2)
        text = f"{enclosed(one, 3)}/(1 + {enclosed(other, 6)}**2)"
        return text, 3, value, largest(value, one, other, ("", 0, value, float(other[3] ** 2)))

    def power(one: Part, exponent: int) -> Part:
        value = one[2] ** exponent
        return f"{enclosed(one, 6)}**{exponent}", 5, value, largest(value, one)

    def minus(one: Part) -> Part:
        return f"-{enclosed(one, 4)}", 4, -one[2], one[3]

    def chosen(name: str, bound: float, one: Part, other: Part) -> Part:
        value = np.where(GIVEN[name] < bound, one[2], other[2])
        text = f"where({name} < {bound!r}, {one[0]}, {other[0]})"
        return text, 6, value, largest(value, one, other)

    return st.one_of(
        st.builds(call, st.sampled_from(sorted(NUMPY)), inner, inner),
        st.builds(signed, st.sampled_from("+-*"), inner, inner),
        st.builds(divided, inner, inner),
        st.builds(power, inner, st.integers(1, 3)),
        st.builds(minus, inner),
        st.builds(chosen, st.sampled_from("xy"), st.floats(0, 2), inner, inner),
    )


PARTS = st.recursive(
    st.builds(leaf, st.one_of(st.sampled_from(["x", "y", "x"]), st.floats(0, 3))),
    made,
    max_leaves=8,
)


@given(PARTS)
@settings(STEADY, max_examples=some(300))
def test_any_valid_expression_is_what_numpy_says(part: Part) -> None:
    text, _, value, largest = part
    assume(np.isfinite(largest) and largest < 1e4)
    function = Function(parse(text), ["x", "y"])
    answer = function(*[torch.from_numpy(GIVEN[name]) for name in ("x", "y")])
    np.testing.assert_allclose(answer.numpy(), value, rtol=1e-7, atol=1e-7 * max(1, largest))
