"""PyTensor graphs written as expressions, against what PyTensor's own linker to torch computes."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

import quickstudy as qs
from quickstudy.errors import ChoiceError
from quickstudy.functions import Function, activation, as_text, parse, text_of


def pytensor_imported() -> Any:
    """Import PyTensor without its C compiler, and with its files out of the way."""
    flags = f"base_compiledir={tempfile.mkdtemp()},cxx=,linker=py"
    before = os.environ.get("PYTENSOR_FLAGS")
    os.environ["PYTENSOR_FLAGS"] = flags
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTensor's own, at import
            return pytest.importorskip("pytensor", reason="needs the extra pytensor")
    finally:
        del os.environ["PYTENSOR_FLAGS"]
        if before is not None:
            os.environ["PYTENSOR_FLAGS"] = before


pytensor = pytensor_imported()
pt = pytensor.tensor
SHARED = pytensor.shared(0.75, name="beta")


def theirs(graph: Any, given: dict[Any, Tensor]) -> Tensor:
    """Compute a graph with PyTensor's own linker to Python and NumPy, without rewriting it."""
    mode = pytensor.compile.mode.Mode(linker="py", optimizer=None)
    run = pytensor.function(list(given), graph, mode=mode, on_unused_input="ignore")
    with np.errstate(all="ignore"):
        return torch.as_tensor(run(*[value.numpy() for value in given.values()]))


#: graph of a matrix x and a matrix y -> its text
GRAPHS: list[tuple[Callable[[Any, Any], Any], str]] = [
    (lambda x, y: x * pt.sigmoid(1.702 * x), "x * sigmoid(1.702 * x)"),
    (lambda x, y: x * (x > 0), "x * where(x > 0, 1, 0)"),
    (lambda x, y: pt.cast(x >= y, "float64") - 1.0, "where(x >= y, 1, 0) - 1.0"),
    (lambda x, y: pt.switch(x > 0, x, 0.1 * x), "where(x > 0, x, 0.1 * x)"),
    (lambda x, y: pt.where(x < y, 1, 0), "where(x < y, 1, 0)"),
    (lambda x, y: pt.where(x <= 0, x > -1, y), "where(x <= 0, where(x > -1, 1, 0), y)"),
    (lambda x, y: pt.maximum(x, 0), "maximum(x, 0)"),
    (lambda x, y: pt.minimum(x, y), "minimum(x, y)"),
    (lambda x, y: pt.clip(x, -0.5, 0.5), "clamp(x, -0.5, 0.5)"),
    (lambda x, y: -(x**2), "-x**2"),
    (lambda x, y: (-x) ** 2, "(-x)**2"),
    (lambda x, y: (2.0**x) ** y, "(2.0**x)**y"),
    (lambda x, y: 2.0 ** (x**2), "2.0**x**2"),
    (lambda x, y: abs(x) ** -1.5, "abs(x)**-1.5"),
    (lambda x, y: x - (y - x), "x - (y - x)"),
    (lambda x, y: (x - y) - x, "x - y - x"),
    (lambda x, y: x / (y * x), "x / (y * x)"),
    (lambda x, y: x * (y + 1) / 2, "x * (y + 1) / 2"),
    (lambda x, y: pt.add(x, y, x), "x + y + x"),
    (lambda x, y: pt.mul(x, y + x, 3), "x * (y + x) * 3"),
    (lambda x, y: -(x + y), "-(x + y)"),
    (lambda x, y: x * -y, "x * -y"),
    (lambda x, y: pt.reciprocal(x), "1 / x"),
    (lambda x, y: pt.sqr(x) + pt.sqrt(abs(y)), "square(x) + sqrt(abs(y))"),
    (lambda x, y: pt.log1p(pt.exp(x)), "log1p(exp(x))"),
    (lambda x, y: pt.softplus(x) - pt.erf(y), "softplus(x) - erf(y)"),
    (lambda x, y: pt.log1mexp(-abs(x)), "log(-expm1(-abs(x)))"),
    (lambda x, y: pt.arctan2(x, y), "atan2(x, y)"),
    (lambda x, y: pt.round(x * 3, "half_to_even"), "round(x * 3)"),
    (lambda x, y: pt.sign(x) * pt.floor(y) + pt.ceil(x), "sign(x) * floor(y) + ceil(x)"),
    (lambda x, y: x * pt.sigmoid(SHARED * x), "x * sigmoid(beta * x), beta=learn(0.75)"),
    (lambda x, y: pt.cast(pt.cast(x, "float32"), "float64"), "x"),
    (lambda x, y: pt.mean(x**2), "mean(x**2)"),
    (lambda x, y: pt.mean(x, axis=(0, 1)) + x, "mean(x) + x"),
    (lambda x, y: pt.sum(x * y) / 3, "sum(x * y) / 3"),
    (lambda x, y: pt.special.softmax(x, axis=-1), "softmax(x)"),
    (lambda x, y: pt.special.log_softmax(x, axis=1), "log_softmax(x)"),
    (lambda x, y: x * 1e-7 + 2.5e10 * y, "x * 1e-07 + 25000000000.0 * y"),
]
UNARY = ["exp", "log", "log10", "log2", "log1p", "expm1", "exp2", "sin", "cos", "tan", "sinh"]
UNARY += ["cosh", "tanh", "sqrt", "abs", "erf", "erfc", "sigmoid", "softplus"]
INVERSE = {"arcsin": "asin", "arccos": "acos", "arctan": "atan", "arcsinh": "asinh"}
INVERSE |= {"arctanh": "atanh", "arccosh": "acosh"}


def matrices(low: float = -1.0) -> dict[Any, Tensor]:
    random = torch.Generator().manual_seed(0)
    values = [low + 2 * torch.rand(3, 4, generator=random, dtype=torch.float64) for _ in "xy"]
    return dict(zip([pt.matrix(name, dtype="float64") for name in "xy"], values, strict=True))


def ours(text: str, given: dict[Any, Tensor]) -> Tensor:
    function = Function(parse(text), [x.name for x in given], elementwise=False).double()
    answer: Tensor = function(*given.values()).detach()
    return answer


@pytest.mark.parametrize("number", range(len(GRAPHS)))
def test_a_graph_is_written_as_it_computes(number: int) -> None:
    make, text = GRAPHS[number]
    given = matrices()
    graph = make(*given)
    assert text_of(graph) == text
    exact = {} if text != "x" else {"rtol": 1e-6, "atol": 1e-6}  # cast to float32 and back
    wanted = theirs(graph, given).double()
    torch.testing.assert_close(ours(text, given), wanted, equal_nan=True, **exact)


@pytest.mark.parametrize("name", [*UNARY, *INVERSE])
def test_a_function_of_pytensors_is_ours(name: str) -> None:
    given = matrices(low=1.0 if name == "arccosh" else -1.0)
    graph, text = getattr(pt, name)(next(iter(given))), f"{INVERSE.get(name, name)}(x)"
    assert text_of(graph) == text
    torch.testing.assert_close(ours(text, given), theirs(graph, given), equal_nan=True)


#: What PyTensor 3.0.7's linker to torch does not know, by our text.
NOT_IN_THEIR_TORCH = {"(2.0**x)**y", "2.0**x**2", "abs(x)**-1.5", "round(x * 3)"}
NOT_IN_THEIR_TORCH |= {"log(-expm1(-abs(x)))"}


def test_it_is_what_pytensors_linker_to_torch_computes() -> None:
    """All graphs in one function, mode="PYTORCH"; torch.compile itself is left out: minutes."""
    given = matrices()
    chosen = [(make(*given), text) for make, text in GRAPHS if text not in NOT_IN_THEIR_TORCH]
    with warnings.catch_warnings(), torch.compiler.set_stance("force_eager"):
        warnings.simplefilter("ignore")  # torch's and PyTensor's own
        run = pytensor.function(list(given), [graph for graph, _ in chosen], mode="PYTORCH")
        wanted = run(*[value.numpy() for value in given.values()])
    for value, (_, text) in zip(wanted, chosen, strict=True):
        torch.testing.assert_close(
            ours(text, given), torch.as_tensor(value).double(), rtol=1e-5, atol=1e-6, equal_nan=True
        )


def test_constants_keep_the_digits_of_their_type() -> None:
    x = pt.vector("x", dtype="float32")
    assert text_of(x * pt.constant(1.702, dtype="float32")) == "x * 1.702"
    assert text_of(x + pt.constant(1e20, dtype="float32")) == "x + 1e+20"
    assert text_of(pt.true_div(x, -2)) == "x / -2"


def test_a_long_sum_and_what_is_shared_are_written_without_recursion() -> None:
    x = pt.vector("x")
    total = x
    for _ in range(300):
        total = total + x
    assert text_of(total) == "x" + " + x" * 300
    for _ in range(40):
        x = x * x
    with pytest.raises(ChoiceError, match="more than 2,000 characters"):
        text_of(x)


X, Y = pt.matrix("x"), pt.matrix("y")
REFUSED = {
    "operation Mod": X % 2,
    "operation IntDiv": X // 2,
    "operation EQ in bool": pt.cast(pt.eq(X, 1), "float64"),
    "operation Cast in int64": pt.cast(X, "int64") * X,
    "Switch on what is no comparison": pt.switch(X, X, 0),
    "Add in bool": pt.cast((X > 0) + (X > 1), "float64"),
    "Mul in int8": 2 * (X > 0),
    "operation Gamma": pt.gamma(X),
    "operation Dot": pt.dot(X, X),
    "operation Max": X.max(),
    "operation Subtensor": X[0],
    "operation Second": pt.zeros_like(X) + X,
    "Sum over some axes": X.sum(axis=0) + X,
    "Sum over some axes ": X.mean(axis=1),
    "Softmax over another axis": pt.special.softmax(X, axis=0),
    "LogSoftmax over another axis": pt.special.log_softmax(X),
    "DimShuffle": X.T * X,
    "DimShuffle ": X.dimshuffle("x", 0, 1),
    "constant of shape (3,)": X * [1.0, 2.0, 3.0],
    "constant of shape ()": X * float("inf"),
    "operation Shape": X.sum() / X.shape[0],
    "operation Shape ": X.sum() / (Y.shape[0] * Y.shape[1]),
    "operation And": pt.switch((X > 0) & (X < 1), X, 0),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_expressions_have_not_is_named(what: str) -> None:
    with pytest.raises(ChoiceError) as caught:
        text_of(REFUSED[what])
    assert what.strip().lower() in caught.value.message.lower()
    assert caught.value.hint


def test_names_must_be_names() -> None:
    x = pt.vector("x")
    for graph, message in [
        (pt.vector() * 2, "has no name"),
        (pt.vector("my x") * 2, "'my x' cannot be a name"),
        (pt.vector("exp") * 2, "'exp' cannot be a name"),
        (x * pt.vector("x"), "Two inputs"),
        (pt.lvector("x") * 2.5, "not of floating numbers"),
        (x * pytensor.shared(np.array([1.0, 2.0]), name="w"), "not a single finite number"),
    ]:
        with pytest.raises(ChoiceError, match=message):
            text_of(graph)


def test_text_or_graph() -> None:
    x = pt.vector("x")
    assert as_text(x * 2) == "x * 2"
    assert as_text("x*2") == "x*2"
    with pytest.raises(ChoiceError, match="not list"):
        as_text([x])


def test_the_text_needs_no_pytensor(monkeypatch: pytest.MonkeyPatch) -> None:
    text = text_of(X * pt.sigmoid(1.702 * X))
    for name in [name for name in sys.modules if name.partition(".")[0] == "pytensor"]:
        monkeypatch.setitem(sys.modules, name, None)  # an import raises
    with pytest.raises(ImportError):
        importlib.import_module("pytensor.graph.basic")
    x = torch.randn(5)
    torch.testing.assert_close(activation(as_text(text))(x), x * torch.sigmoid(1.702 * x))
    with pytest.raises(ChoiceError):
        as_text(X)


def test_a_run_takes_graphs_and_keeps_text(tmp_path: Path) -> None:
    """As a network, as a loss and as an activation; what is kept needs no PyTensor."""
    m, c, a = pt.scalar("m"), pt.scalar("c"), pt.vector("a")
    rng = np.random.default_rng(0)
    x = rng.normal(size=200)
    table = {"a": x, "y": 2 * x - 1 + rng.normal(0, 0.1, 200)}
    prediction, target = pt.vector("prediction"), pt.vector("target")
    run = qs.learn(
        pd.DataFrame(table),
        target="y",
        network=m * a + c,
        loss=((prediction - target) ** 2).mean(),
        budget=60,
        out=tmp_path / "line",
        settings={"table.trees": False},
    )
    found = {one["name"]: one["value"] for one in run.facts["learned"]}
    assert (found["m"], found["c"]) == pytest.approx((2, -1), abs=0.05)
    assert run.recipe.network.name == text_of(m * a + c)
    few = {"epochs": 1, "network.width": 0.25, "table.trees": False}
    few["network.activation"] = X * pt.sigmoid(1.702 * X)
    wide = qs.learn(pd.DataFrame(table), target="y", out=tmp_path / "wide", settings=few)
    assert wide.recipe.network.activation == text_of(few["network.activation"])
