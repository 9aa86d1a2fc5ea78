"""Whatever is given as a stack: a network, or a `ChoiceError`; no crash, no hang, no code run."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quickstudy.errors import ChoiceError
from quickstudy.network.stack import build_stack, building, read_stack
from quickstudy.network.stack.layers import LAYERS

#: A single input that takes this long hangs, however busy the machine is.
HANG = timedelta(seconds=30)
SHAPES = [(3, 9, 9), (8, 4, 5), (1, 1, 1), (6,), (1,)]
calm = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]


@pytest.fixture(autouse=True, scope="module")
def little_memory() -> Iterator[None]:
    """The whole file may not take a gigabyte more than before."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000_000  # KiB


def fuzz(examples: int) -> Any:
    return settings(max_examples=examples, deadline=HANG, suppress_health_check=calm)


def taken(source: Any, shape: tuple[int, ...]) -> torch.nn.Module | None:
    """Read and build without memory; None where the stack is refused in words."""
    try:
        plain = read_stack(source)
        assert read_stack(json.loads(json.dumps(plain))) == plain
        with torch.device("meta"):
            module, last = build_stack(plain, shape, 2)
    except ChoiceError as problem:
        assert problem.message and len(str(problem)) < 4_000
        return None
    assert isinstance(module.get_submodule(last), torch.nn.Linear)
    return module


# Text

NAMES = [*LAYERS, *{option for layer in LAYERS.values() for option in layer.options}]
SIGNS = ["\n", "\n- ", "\n  - ", "\n    ", ": ", ", ", "[", "]", "{", "}", "&a ", "*a", "<<: *a"]
TAGS = ["!!python/object/apply:os._exit [3]", "!!python/name:os.system", "!!set", "!!bool", "!x "]
MORE = ["!!timestamp", "2020-13-45", "0x_", "1e999", ".nan", "~", "'", '"', "|", ">", "#", "%", "?"]
WORDS = [
    "stack",
    "relu",
    "x * tanh(x)",
    "classes",
    "max",
    "batch",
    "0",
    "3",
    "-1",
    "true",
    "9" * 30,
]
TOKENS = st.sampled_from([*NAMES, *SIGNS, *SIGNS, *TAGS, *MORE, *WORDS])
TEXTS = st.one_of(st.text(max_size=30), st.lists(TOKENS, max_size=16).map("".join))


@fuzz(3_500)
@given(TEXTS)
def test_any_text_is_read_or_refused(text: str) -> None:
    taken(text, (3, 9, 9))


GOOD = [
    path.read_text(encoding="utf-8")
    for path in sorted((Path(__file__).parents[1] / "examples" / "stacks").glob("*.yaml"))
    if path.stem in ("small", "mlp")
]


@fuzz(500)
@given(st.sampled_from(GOOD), st.lists(st.tuples(st.integers(0, 900), TOKENS), max_size=4))
def test_a_mistyped_example_is_read_or_refused(text: str, slips: list[tuple[int, str]]) -> None:
    for place, slip in slips:
        text = text[:place] + slip + text[place + len(slip) :]
    taken(text, (3, 9, 9))


# Data

NUMBERS = st.one_of(
    st.integers(-2, 9),
    st.sampled_from([65_536, 65_537, 2**63, 10**4_000, 0.5, 1e308, float("nan"), float("inf")]),
)
SCALARS = st.one_of(
    NUMBERS, st.none(), st.booleans(), st.sampled_from([*NAMES, "relu", "x*sigmoid(x)", "max"])
)
JUNK = st.recursive(
    st.one_of(SCALARS, st.text(max_size=8), st.binary(max_size=3), st.dates()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.sampled_from(NAMES), SCALARS), inner, max_size=3),
        st.tuples(inner, inner),
    ),
    max_leaves=12,
)


@fuzz(4_000)
@given(JUNK, st.sampled_from(SHAPES))
def test_any_data_is_taken_or_refused(data: Any, shape: tuple[int, ...]) -> None:
    taken(data, shape)


SIDES = st.one_of(st.integers(1, 4), st.lists(st.integers(0, 5), min_size=2, max_size=2))
OPTIONS: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(["kernel", "stride", "padding", "dilation", "size"], SIDES),
    **dict.fromkeys(["channels", "groups", "units"], st.sampled_from([1, 2, 3, 4, 6, 8, 65_536])),
    **dict.fromkeys(["bias", "depthwise", "ceil"], st.booleans()),
    "times": st.integers(1, 4),
    "rate": st.sampled_from([0, 0.5]),
    "dropout": st.sampled_from([0, 0.5]),
    "eps": st.just(0.001),
    "momentum": st.just(0.5),
    "join": st.sampled_from(["concat", "add", "multiply"]),
    "function": st.sampled_from(["relu", "silu", "gelu", "x * tanh(b * x), b=learn(1)"]),
}
KINDS = {
    "norm": ["batch", "layer", "group", "instance"],
    "pool": ["average", "max"],
    "pad": ["zero", "reflect", "replicate"],
}


def item(name: str, inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Draw one layer with options that mostly fit, at times with one that does not."""
    optional, needed = {}, {}
    for key, option in LAYERS[name].options.items():
        values = st.sampled_from(KINDS[name]) if key == "kind" else OPTIONS.get(key, inner)
        if option.holds == "lists":
            values = st.lists(inner, min_size=2, max_size=3)
        must = option.default is not None and key in ("of", "times", "kind", "units", "rate")
        (needed if must or key in ("channels", "function") else optional)[key] = values
    good = st.fixed_dictionaries(needed, optional=optional).map(lambda o: {name: o})
    slip = st.tuples(good, st.sampled_from(NAMES), SCALARS).map(
        lambda t: {name: {**t[0][name], t[1]: t[2]}}
    )
    return st.one_of(good, good, good, good, good, good, slip)


def row(inner: st.SearchStrategy[Any], names: list[str]) -> st.SearchStrategy[Any]:
    return st.lists(st.one_of([st.just("relu"), *(item(n, inner) for n in names)]), max_size=4)


LEAVES = [name for name, layer in LAYERS.items() if layer.make is not None]
ROWS = st.recursive(row(st.nothing(), LEAVES), lambda inner: row(inner, list(LAYERS)), max_leaves=6)
ENDS = st.sampled_from([["flatten", {"dense": "classes"}], [{"pool": "max"}, {"dense": "classes"}]])
made = {"built": 0}


@fuzz(2_000)
@given(ROWS, ENDS, st.sampled_from(SHAPES), st.integers(0, 9))
def test_networks_of_the_vocabulary_compute_what_they_promise(
    layers: list[Any], end: list[Any], shape: tuple[int, ...], seed: int
) -> None:
    """What is built, if it is small, also runs, and learns: overwriting in place spoils nothing."""
    stack = [*layers, *(end[:1] if len(shape) == 3 else []), end[1]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building, "MOST_PARAMETERS", 30_000)
        patch.setattr(building, "MOST_NUMBERS", 5_000)
        if taken(stack, shape) is None:
            return
        network, _ = build_stack(stack, shape, 2)
    assert read_stack(yaml.safe_dump(stack)) == read_stack(stack)
    made["built"] += 1
    x = torch.randn(3, *shape, generator=torch.Generator().manual_seed(seed)).requires_grad_()
    out = network(x)
    assert out.shape == (3, 2)
    out.sum().backward()
    assert x.grad is not None and x.grad.shape == x.shape
    assert network.eval()(x[:1]).shape == (1, 2)


def test_many_of_those_were_networks() -> None:
    """Else the test above would have tested refusals only."""
    assert made["built"] > 300 or made["built"] == 0
