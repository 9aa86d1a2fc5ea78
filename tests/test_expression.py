"""Expressions against torch: values, types, gradients, errors, stable logarithms, export."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quickstudy.errors import ChoiceError
from quickstudy.functions import (
    ACTIVATIONS,
    Function,
    activation,
    as_text,
    is_expression,
    parse,
    refuse_slips,
)
from quickstudy.functions.grammar import DEEPEST
from quickstudy.functions.operations import FUNCTIONS
from quickstudy.functions.program import compile_tree, lower

#: In the domain of every function of one number but acosh.
INSIDE = torch.linspace(0.05, 0.93, 19, dtype=torch.float64)
OF_ONE = [n for n, f in FUNCTIONS.items() if f.arity == 1 and f.elementwise]


def of_x(text: str, x: Tensor, **other: bool) -> Tensor:
    answer = Function(parse(text), ["x"], **other)(x)  # type: ignore[arg-type]
    assert isinstance(answer, Tensor)
    return answer


def theirs(name: str) -> Callable[[Tensor], Tensor]:
    """Return torch's function of this name."""
    found: Callable[[Tensor], Tensor] = getattr(torch, name, None) or getattr(F, name)
    return found


def domain(name: str) -> Tensor:
    return INSIDE + 1 if name == "acosh" else INSIDE


@pytest.mark.parametrize("name", OF_ONE)
def test_a_function_is_torchs_of_its_name(name: str) -> None:
    x = torch.cat([domain(name), -INSIDE, 30 * INSIDE, torch.tensor([0.0, 25.0, -25.0])])
    torch.testing.assert_close(
        of_x(f"{name}(x)", x), theirs(name)(x), rtol=0, atol=0, equal_nan=True
    )


@pytest.mark.parametrize("name", OF_ONE)
def test_the_gradient_of_a_function_is_right(name: str) -> None:
    x = domain(name).clone().requires_grad_()
    assert torch.autograd.gradcheck(Function(parse(f"{name}(x)"), ["x"]), (x,))


X, Y = INSIDE - 0.4, (INSIDE - 0.6).flip(0)
TEXTS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "-x**2": lambda x, y: -(x**2),
    "(-x)**2": lambda x, y: (-x) ** 2,
    "2**-x**2": lambda x, y: 2 ** -(x**2),
    "2**3**x": lambda x, y: 2 ** (3**x),
    "-x*y": lambda x, y: -x * y,
    "x - y - 1": lambda x, y: (x - y) - 1,
    "x - (y - 1)": lambda x, y: x - (y - 1),
    "1 / x / y": lambda x, y: (1 / x) / y,
    "x / y * 2": lambda x, y: (x / y) * 2,
    "1 - x*y + 3": lambda x, y: 1 - (x * y) + 3,
    "x*-y": lambda x, y: x * -y,
    "--x + +y": lambda x, y: x + y,
    "x**-2": lambda x, y: x**-2,
    "x*x*x - x**3 + pow(x, 3)": lambda x, y: x**3,
    "exp(-x**2/2) / sqrt(2*pi)": lambda x, y: torch.exp(-(x**2) / 2) / math.sqrt(2 * math.pi),
    "e**x": lambda x, y: torch.exp(x),
    "1.5e1 * .5 + 2. + x - 1E-3": lambda x, y: 7.5 + 2 + x - 0.001,
    "max(x, y)": torch.maximum,
    "minimum(x, y)": torch.minimum,
    "max(0, x)": lambda x, y: F.relu(x),
    "min(x, 0.2)": lambda x, y: x.clamp(max=0.2),
    "max(x, 0.1*y)": lambda x, y: torch.maximum(x, 0.1 * y),
    "clamp(x, -0.2, 0.2)": lambda x, y: x.clamp(-0.2, 0.2),
    "clamp(x, y, 0.2)": lambda x, y: torch.maximum(x, y).clamp(max=0.2),
    "clamp(0.1, x, y)": lambda x, y: torch.minimum(x.clamp(min=0.1), y),
    "clamp(1, 2, x)": lambda x, y: x.clamp(max=2),
    "where(x > 0, x, 0.1*x)": lambda x, y: F.leaky_relu(x, 0.1),
    "where(x < y, 1, 0)": lambda x, y: (x < y).double(),
    "where(0 <= x, y, 2)": lambda x, y: torch.where(x >= 0, y, 2.0),
    "where(x >= y, 3, y)": lambda x, y: torch.where(x < y, y, 3.0),
    "where(1 < 2, x, y)": lambda x, y: x,
    "where(1 > 2, x, y)": lambda x, y: y,
    "where((x > 0), where(y > 0, 1, 2), 3)": lambda x, y: torch.where(
        x > 0, torch.where(y > 0, 1.0, 2.0), 3.0
    ).double(),
    "atan2(x, y)": torch.atan2,
    "atan2(1, x)": lambda x, y: torch.atan2(torch.ones_like(x), x),
    "atan2(x, 2)": lambda x, y: torch.atan(x / 2),
    "(x + y) * (x + y)": lambda x, y: (x + y) ** 2,
    "x * sigmoid(1.702 * x)\n  + y": lambda x, y: x * torch.sigmoid(1.702 * x) + y,
    "a*x + b*y, a=2, b=-3": lambda x, y: 2 * x - 3 * y,
    "a*x + b*y, a=learn(-pi), b=learn(.5)": lambda x, y: -math.pi * x + 0.5 * y,
}


@pytest.mark.parametrize("text", TEXTS)
def test_signs_and_functions_mean_what_they_mean_in_python(text: str) -> None:
    ours = Function(parse(text), ["x", "y"]).double()(X, Y)
    torch.testing.assert_close(ours, TEXTS[text](X, Y), rtol=1e-7, atol=1e-12, equal_nan=True)
    assert ours.dtype == torch.float64


@pytest.mark.parametrize("text", [t for t in TEXTS if "x" in t])
def test_gradients_are_right(text: str) -> None:
    function = Function(parse(text), ["x", "y"]).double()
    x, y = (X + 0.012345).requires_grad_(), (Y + 0.0234).requires_grad_()
    learned = tuple(function.parameters())
    assert torch.autograd.gradcheck(lambda *_: function(x, y), (x, y, *learned))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_the_type_of_the_inputs_is_kept(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    x = torch.ones(shape, dtype=dtype)
    texts = ["x * 1.5 + pi", "b * x, b=learn(2)", "exp(b), b=learn(2)", "c, c=learn(1)", "2"]
    texts += ["where(x > 0, 1, 0)", "where(x > b, b, 1), b=learn(0)", "max(x, 0.5)", "2**x"]
    texts += ["atan2(1, x)", "clamp(b, x, 2), b=learn(1)", "1/x"]
    for text in texts:
        answer = of_x(text, x)
        assert (answer.dtype, answer.shape) == (dtype, x.shape), text


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_numbers_beyond_the_type_are_infinite(dtype: torch.dtype) -> None:
    x = torch.tensor([-2.0, 0.5, 3.0], dtype=dtype)
    for text, wanted in {
        "clamp(x, -3e38, 3e38)": x,
        "min(3e38, x)": x,
        "max(x, -1e5)": x,
        "0 * x**1e5": torch.tensor([math.nan, 0, math.nan], dtype=dtype),
        "where(x > -1e38, x, 1e38)": x,
        "atan2(x, 1e38)": x * 0,
        "x + where(x < 1, 1e38, 1e38)": (x * 0 + 1e38),
    }.items():
        torch.testing.assert_close(of_x(text, x), wanted, equal_nan=True)


def test_inputs_broadcast() -> None:
    function = Function(parse("x + 2*y"), ["x", "y"])
    x, y = torch.rand(4, 1), torch.rand(3)
    torch.testing.assert_close(function(x, y), x + 2 * y)
    assert Function(parse("c, c=learn(1)"), ["x", "y"])(x, y).shape == (4, 3)
    with pytest.raises(TypeError, match="takes 2 tensors, not 1"):
        function(x)


def test_reductions_are_torchs() -> None:
    x = torch.randn(4, 5, dtype=torch.float64)
    for text, wanted in {
        "mean(x**2)": (x**2).mean(),
        "sum(x) / 2": x.sum() / 2,
        "softmax(x)": x.softmax(-1),
        "log_softmax(x) + 1": x.log_softmax(-1) + 1,
        "x - mean(x)": x - x.mean(),
        "3": torch.tensor(3.0, dtype=torch.float64),
    }.items():
        torch.testing.assert_close(of_x(text, x, elementwise=False), wanted)


def test_what_is_learned_learns() -> None:
    function = Function(parse("x * sigmoid(beta * x) + b, beta=learn(1.5), b=learn(-2)"), ["x"])
    assert function.values() == {"beta": 1.5, "b": -2.0}
    assert [name for name, _ in function.named_parameters()] == ["beta", "b"]
    x = torch.randn(9)
    function(x).sum().backward()
    beta = torch.tensor(1.5, requires_grad=True)
    (x * torch.sigmoid(beta * x)).sum().backward()
    torch.testing.assert_close(function.beta.grad, beta.grad)
    torch.testing.assert_close(function.b.grad, torch.tensor(9.0))
    again = Function(function.expression, ["x"])
    again.load_state_dict(function.state_dict())
    with torch.no_grad():
        function.beta.fill_(3)
    assert (function.values()["beta"], again.values()["beta"]) == (3, 1.5)
    assert copy.deepcopy(function).values() == function.values()


def test_free_names_are_learned_where_asked() -> None:
    line = Function(parse("m*x + c, c=learn(0.5)"), ["x"], free="learn")
    assert line.values() == {"c": 0.5, "m": 1.0}
    x = torch.linspace(-1, 1, 11)
    optimiser = torch.optim.LBFGS(line.parameters(), max_iter=50)

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss: Tensor = ((line(x) - (3 * x - 2)) ** 2).mean()
        loss.backward()
        return loss

    optimiser.step(closure)
    assert line.values() == pytest.approx({"m": 3, "c": -2}, abs=1e-5)


def test_what_an_expression_says_of_itself() -> None:
    text = "b*z + a*exp(x) - g, g=2, b=learn(1)"
    expression = parse(text)
    assert (expression.text, expression.names) == (text, ("z", "a", "x"))
    assert (expression.fixed, expression.learned) == ({"g": 2.0}, {"b": 1.0})
    assert expression == parse(text)
    assert hash(expression) == hash(parse(text))
    assert repr(Function(parse("x + 1"), ["x"])) == "Function(x + 1)"


@pytest.mark.parametrize("text", ["gelu", "my_name2", " relu ", "resnet50.a1_in1k", "größe", ""])
def test_a_name_is_no_expression(text: str) -> None:
    assert not is_expression(text)


@pytest.mark.parametrize("text", ["x*x", "f(x)", "-x", "3", "x, b=2", "2x", "x y", "cross-entropy"])
def test_more_than_a_name_is_one(text: str) -> None:
    assert is_expression(text)


#: text -> (the character pointed at, what the message says, what the hint says)
FAULTS = {
    "x * sigmod(x)": (4, "no function 'sigmod'", "Did you mean 'sigmoid'?"),
    "swish(x)": (0, "no function 'swish'", "It is called 'silu' here."),
    "m(x)": (0, "no function 'm'", "For a product write m * (...)"),
    "x ^ 2": (2, "'^' cannot be used", "Write ** for a power."),
    "x + (y * (x)": (4, "never closed", "Add a ')'."),
    "max(x, y": (3, "never closed", "Add a ')'."),
    "x + y)": (5, "Nothing is open", "Remove it"),
    "()": (1, "Nothing is open", ""),
    "x, b=1, b=2": (8, "'b' is given twice", "Keep one"),
    "x, beta=learn(1)": (3, "'beta' is never used", "Use it"),
    "x * bta, beta=1": (9, "'beta' is never used", "Did you mean 'bta'?"),
    "x * exp(x), exp=2": (12, "'exp' is a function already", "another name"),
    "x * e, e=2": (7, "'e' is a constant already", "another name"),
    "x * exp": (4, "'exp' is a function", "Write exp(x)."),
    "2x": (1, "runs into 'x'", "write *"),
    "1.2.3": (3, "runs into '.'", ""),
    "1_000": (1, "runs into '_'", ""),
    "x y": (2, "side by side", "write *"),
    "(x)(y)": (3, "side by side", "write *"),
    "(x y)": (3, "side by side", "write *"),
    "y = m*x + c": (2, "no '='", "m*x + c"),
    "x > 0": (2, "comparison is not a number", "where(x > 0, 1, 0)"),
    "(x > 0) * x": (3, "comparison is not a number", ""),
    "where(x > 0, x < 1, 2)": (15, "comparison is not a number", ""),
    "where(x, 1, 2)": (6, "must be a comparison", "where(x > 0"),
    "where(0 < x < 1, x, 0)": (12, "cannot be chained", ""),
    "x == 1": (2, "'=='", "<="),
    "x // 2": (2, "'//'", "floor(x / y)"),
    "x²": (1, "'²'", "**2"),
    "np.sin(x)": (2, "'.'", "sin(x), not np.sin(x)"),
    "x.real": (1, "'.'", ""),
    "x[0]": (1, "'['", "round"),
    "__import__('os')": (0, "'_'", "begins with a letter"),
    "x + $": (4, "'$' means nothing", "signs"),
    "x + 'a'": (4, "means nothing", ""),
    "x +": (3, "ends where", ""),
    "x +   ": (3, "ends where", ""),
    "x * / y": (4, "not '/'", ""),
    "max(x)": (0, "takes 2 arguments, not 1", "max(x, y)"),
    "sin(x, y)": (0, "takes 1 argument, not 2", "sin(x)"),
    "sin()": (0, "takes 1 argument, not 0", ""),
    "clamp(x, min=0)": (9, "not named", "clamp(x, low, high)"),
    "clamp(x, 1, 0)": (0, "above the upper", ""),
    "x * learn(1)": (4, "needs a name", "beta=learn(1.0)"),
    "x * learn": (4, "starts no value", "beta=learn(1.0)"),
    "x * b, b=learn": (14, "first value", "beta=learn(1.0)"),
    "x * b, b=learn(y)": (15, "is a number", ""),
    "x * b, b=2*x": (10, "a comma or the end", ""),
    "x * b, b": (8, "parameter with its value", "beta=2"),
    "x,": (2, "parameter with its value", ""),
    "x * b, 3=2": (7, "parameter with its value", ""),
    "1e999 * x": (0, "too large", ""),
    "x * b, b=-1e39": (10, "too large", ""),
    "x + 1/0": (5, "comes to inf", ""),
    "x * 1e30 ** 2": (9, "comes to 1e+60", "3.4e+38"),
    "x * log(-1)": (4, "comes to nan", ""),
    "x * log(b), b=0": (4, "comes to -inf", ""),
    "x - mean(2)": (4, "taken over nothing", ""),
    "x\n + 3 $ 4": (7, "means nothing", ""),
    "x + " * 300 + "? + x": (1200, "means nothing", ""),
    "(" * DEEPEST + "(x" + ")" * (DEEPEST + 1): (DEEPEST + 1, "More than 50", "flatter"),
}


@pytest.mark.parametrize("text", FAULTS)
def test_an_error_points_at_the_character(text: str) -> None:
    place, message, hint = FAULTS[text]
    with pytest.raises(ChoiceError) as caught:
        parse(text)
    said, line, caret = caught.value.message.split("\n")
    assert message in said
    assert hint in caught.value.hint
    assert caret.strip() == "^"
    start = text.rfind("\n", 0, place) + 1
    if len(text) < 73:
        assert line == "    " + text[start:].partition("\n")[0]
        assert caret.index("^") == 4 + place - start
    elif place < len(text):
        assert line[caret.index("^")] == text[place]
        assert len(line) < 80


def test_too_long_too_empty_or_no_text_is_refused() -> None:
    parse("x" + " + x" * 499)
    with pytest.raises(ChoiceError, match="2,001 characters"):
        parse("x" * 2001)
    with pytest.raises(ChoiceError, match="empty"):
        parse(" \n ")
    with pytest.raises(ChoiceError, match="is text, not int"):
        parse(3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        *("(" * DEEPEST + "x" + ")" * DEEPEST, "-" * DEEPEST + "x", "x" + "**x" * DEEPEST),
        *("sin(" * DEEPEST + "x" + ")" * DEEPEST, "x" + " + x" * 499, "x" + "-x/x" * 499),
    ],
)
def test_as_deep_and_long_as_allowed_is_computed(text: str) -> None:
    function = copy.deepcopy(activation(text))
    assert function(torch.full((2,), 0.9)).isfinite().all()


def test_names_that_are_not_there_are_refused() -> None:
    def hint(at: str, text: str, inputs: list[str], **other: str) -> str:
        with pytest.raises(ChoiceError) as caught:
            Function(parse(text), inputs, **other)  # type: ignore[arg-type]
        _, line, caret = caught.value.message.splitlines()
        assert line[caret.index("^") :].startswith(at)
        return caught.value.hint

    assert "Did you mean 'width'? Inputs: width." in hint("widht", "2 * widht", ["width"])
    assert "y=learn(1.0)" in hint("y", "x * y", ["x"])
    assert "Did you mean 'width'?" in hint("widht", "m * widht + c", ["width"], free="learn")
    assert "Did you mean 'x'?" in hint("X", "m * X + c", ["x"], free="learn")
    assert "another name" in hint("y=", "x * y, y=learn(1)", ["x", "y"])
    assert "another name" in hint("train=", "x * train, train=learn(1)", ["x"])
    assert "each element" in hint("mean", "x - mean(x)", ["x"])
    with pytest.raises(ChoiceError, match="'heigth' is no input"):
        refuse_slips(parse("width + c * heigth"), ["width", "height"])
    function = Function(parse("widht * width, widht=learn(2)"), ["width"], free="learn")
    assert function.values() == {"widht": 2}
    numbered = Function(parse("weight1 * weight + c2*x1"), ["weight", "x1", "c1"], free="learn")
    assert list(numbered.values()) == ["weight1", "c2"]


def run_of(text: str, *inputs: str) -> list[str]:
    """Return the names of the torch functions that a text runs through."""
    expression = parse(text)
    tree = lower(text, expression.tree, expression.fixed, {})
    steps = compile_tree(tree, inputs, [*expression.learned], True).steps
    return [step[0].__name__ for step in steps]


def test_each_thing_is_computed_once_and_constants_never() -> None:
    assert run_of("x * sigmoid(1.702 * x)", "x") == ["mul", "sigmoid", "mul"]
    assert run_of("exp(x*y) + exp(x*y)", "x", "y") == ["mul", "exp", "add"]
    assert run_of("x * (2*pi/3 - sqrt(2)) * -g, g=2", "x") == ["mul", "mul"]
    assert run_of("0 / x - -0 / x", "x") == ["truediv", "truediv", "sub"]  # 0 is not -0
    assert run_of("x**2", "x") == ["pow"]


def test_places_are_used_again() -> None:
    text = "sin(cos(sin(cos(x)))) * y"
    program = compile_tree(parse(text).tree, ["x", "y"], [], True)
    assert program.spare == 1


#: text -> (the stable form, the form as it is written)
LOGARITHMS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "log(sigmoid(x))": (F.logsigmoid, lambda x: x.sigmoid().log()),
    "log(1 - sigmoid(x))": (lambda x: F.logsigmoid(-x), lambda x: (1 - x.sigmoid()).log()),
    "log1p(-sigmoid(x))": (lambda x: F.logsigmoid(-x), lambda x: (-x.sigmoid()).log1p()),
    "log(1 + exp(x))": (F.softplus, lambda x: (1 + x.exp()).log()),
    "log(exp(x) + 1)": (F.softplus, lambda x: (x.exp() + 1).log()),
    "log1p(exp(x))": (F.softplus, lambda x: x.exp().log1p()),
    "log(softmax(x))": (lambda x: x.log_softmax(-1), lambda x: x.softmax(-1).log()),
}


@pytest.mark.parametrize("text", LOGARITHMS)
def test_logarithms_stay_finite(text: str) -> None:
    stable, plain = LOGARITHMS[text]
    x = torch.tensor([-200.0, -90.0, -1.0, 0.0, 1.0, 90.0, 200.0])
    torch.testing.assert_close(of_x(text, x, elementwise=False), stable(x))
    near = x.double() / 20
    torch.testing.assert_close(of_x(text, near, elementwise=False), plain(near))


@pytest.mark.parametrize("text", ["log(2 + exp(x))", "log(1 - x)", "log1p(x)", "log(1 + x)"])
def test_other_logarithms_are_as_they_are_written(text: str) -> None:
    assert run_of(text, "x")[-1] == text[: text.index("(")]


def test_a_focal_loss_with_the_logarithm_given_is_finite() -> None:
    scores = torch.tensor([-300.0, -50.0, 0.0, 3.0], requires_grad=True)
    log_p = F.logsigmoid(scores)
    text = "mean(-(1 - p)**gamma * log(p)), gamma=2"
    loss = Function(parse(text), ["p", "log_p"], elementwise=False, logs=True)(log_p.exp(), log_p)
    torch.testing.assert_close(loss, (-((1 - scores.sigmoid()) ** 2) * log_p).mean())
    loss.backward()
    assert scores.grad is not None
    assert scores.grad.isfinite().all()
    plain = Function(parse(text), ["p"], elementwise=False)(log_p.exp())
    assert plain.isinf()
    for form in ("log(1 - p)", "log1p(-p)"):
        given = Function(parse(form), ["p", "log_not_p"], logs=True)
        torch.testing.assert_close(given(scores.sigmoid(), log_p), log_p)
    columns = Function(parse("log(price) + 0 * log_price"), ["price", "log_price"])
    assert float(columns(torch.tensor(100.0), torch.tensor(7.0))) == pytest.approx(math.log(100))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_by_name_is_torchs(name: str) -> None:
    x = torch.randn(3, 4, 5)
    if name not in ("identity", "prelu"):
        torch.testing.assert_close(activation(name)(x), getattr(F, name)(x))
    assert activation(name)(x).shape == x.shape
    assert activation(name) is not activation(name)


def test_activations_are_told_apart() -> None:
    x = torch.randn(7)
    torch.testing.assert_close(activation("sin")(x), x.sin())
    torch.testing.assert_close(activation("x * tanh(softplus(x))")(x), F.mish(x))
    assert isinstance(activation("prelu"), nn.PReLU)
    torch.testing.assert_close(activation("identity")(x), x)
    for wrong, hint in {
        "rellu": "Did you mean 'relu'?",
        "swish": "Did you mean 'silu'?",
        "xyzzy": "Activations: celu",
        "3": "function of x",
        "x * y": "Inputs: x",
        "softmax(x)": "Use sigmoid(x).",
        "": "Activations",
        "mean": "Activations",
        "maximum": "Activations",
    }.items():
        with pytest.raises(ChoiceError) as caught:
            activation(wrong)
        assert hint in caught.value.hint
    with pytest.raises(ChoiceError, match="not NoneType"):
        activation(None)  # type: ignore[arg-type]


def test_text_is_text() -> None:
    assert as_text("x + 1") == "x + 1"
    with pytest.raises(ChoiceError, match="text or a PyTensor variable, not int"):
        as_text(3)


#: Everything in one function: what must be compiled and exported.
EVERYTHING = " + ".join(
    [
        *(f"{name}({'1 + ' if name == 'acosh' else ''}x)" for name in OF_ONE),
        *("max(x, 0.3)", "min(x, a)", "clamp(x, 0.2, 0.4)", "clamp(a, x, 1)", "atan2(x, 2)"),
        *("where(x > a, x**2, 1)", "where(x <= 0.5, 1, 0)", "2**x", "1/x", "x**a", "b"),
    ]
)
EVERYTHING += ", a=learn(0.4), b=learn(2)"


def test_everything_is_traced_by_compile_and_export() -> None:
    function = Function(parse(EVERYTHING), ["x"])
    x = torch.rand(4, 3) * 0.9 + 0.05
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own
        traced = torch.compile(function, fullgraph=True, backend="eager")
        torch.testing.assert_close(traced(x), function(x))
        other = Function(parse("x * 2.5 + 0.25"), ["x"])
        torch.testing.assert_close(
            torch.compile(other, fullgraph=True, backend="eager")(x), other(x)
        )
        dynamic = {"inputs": ({0: torch.export.Dim("n")},)}
        exported = torch.export.export(function, (x,), dynamic_shapes=dynamic)
    again = torch.rand(7, 3) * 0.9 + 0.05
    torch.testing.assert_close(exported.module()(again), function(again))
    assert {name for name, _ in exported.named_parameters()} == {"a", "b"}


def test_everything_is_exported_to_onnx_as_plain_operators(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "1")
    pytest.importorskip("onnxscript", reason="export needs onnxscript")
    ort = pytest.importorskip("onnxruntime", reason="export is checked with onnxruntime")
    function = Function(parse(EVERYTHING), ["x"]).eval()
    x = torch.rand(4, 3) * 0.9 + 0.05
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own
        program = torch.onnx.export(function, (x,), dynamo=True, verbose=False)
    path = f"{tmp_path}/function.onnx"
    program.save(path)
    assert {node.domain for node in program.model.graph} == {""}
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    (answer,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    torch.testing.assert_close(torch.from_numpy(answer), function(x).detach(), rtol=1e-4, atol=1e-4)
