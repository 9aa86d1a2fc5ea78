"""Whatever is given as a stack: a network, or a `ChoiceError`; no crash, no hang, no code run."""

from __future__ import annotations

import json
import math
import os
import resource
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from random import Random
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
FULL = bool(os.environ.get("QUICKSTUDY_FUZZ"))  # all of 10,000 inputs, else a twelfth
SHAPES = [(3, 9, 9), (8, 4, 5), (1, 1, 1), (6,), (1,)]
calm = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]


@pytest.fixture(autouse=True, scope="module")
def little_memory() -> Iterator[None]:
    """The whole file may not take a gigabyte more than before."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000_000  # KiB


def fuzz(examples: int) -> Any:
    tried = examples if FULL else examples // 12
    return settings(max_examples=tried, deadline=HANG, suppress_health_check=calm)


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


@fuzz(3_700)
@given(TEXTS)
def test_any_text_is_read_or_refused(text: str) -> None:
    taken(text, (3, 9, 9))


GOOD = [
    path.read_text(encoding="utf-8")
    for path in sorted((Path(__file__).parents[1] / "examples" / "stacks").glob("*.yaml"))
    if path.stem in ("small", "mlp")
]


@fuzz(300)
@given(st.sampled_from(GOOD), st.lists(st.tuples(st.integers(0, 900), TOKENS), max_size=4))
def test_a_mistyped_example_is_read_or_refused(text: str, slips: list[tuple[int, str]]) -> None:
    for place, slip in slips:
        text = text[:place] + slip + text[place + len(slip) :]
    taken(text, (3, 9, 9))


# Data: grown from a seed, which is forty times quicker than hypothesis' recursive strategies

SEEDS = st.integers(0, 2**48)
NUMBERS = [0, 1, 2, 3, 8, -1, 65_536, 65_537, 2**63, 10**4_000, 0.5, 1e308, math.nan, math.inf]
SCALARS = [*NUMBERS, None, True, "relu", "x*sigmoid(x)", "max", "", "\ud800", b"x", date.min, {1}]


def junk(r: Random, depth: int = 0) -> Any:
    """Grow nested lists and mappings of anything."""
    form = r.random() if depth < 5 else 0.0
    if form < 0.35:
        return r.choice([*SCALARS, *NAMES])
    inner = [junk(r, depth + 1) for _ in range(r.randrange(4))]
    if form < 0.6:
        return inner if form < 0.55 else tuple(inner)
    keys = [r.choice(NAMES) if r.random() < 0.95 else r.choice(NUMBERS) for _ in inner]
    return dict(zip(keys[: r.choice([1, 1, 1, 3])], inner, strict=False))


@fuzz(4_500)
@given(SEEDS, st.sampled_from(SHAPES))
def test_any_data_is_taken_or_refused(seed: int, shape: tuple[int, ...]) -> None:
    r = Random(seed)
    taken([junk(r) for _ in range(r.randrange(4))] if r.random() < 0.8 else junk(r), shape)


SIDES = (1, 1, 2, 2, 3, 4, [1, 3], [2, 1])
OPTIONS: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(["kernel", "stride", "dilation", "size"], SIDES),
    "padding": (0, 0, 1, 2, [1, 0]),
    **dict.fromkeys(["channels", "units"], (1, 3, 4, 6, 8, 65_536)),
    "groups": (1, 2, 3, 4),
    **dict.fromkeys(["bias", "depthwise", "ceil"], (True, False)),
    "times": (1, 2, 3),
    **dict.fromkeys(["rate", "dropout"], (0, 0.5)),
    **dict.fromkeys(["eps", "momentum"], (0.01, 0.5)),
    "join": ("concat", "add", "multiply"),
    "function": ("relu", "silu", "gelu", "x * tanh(b * x), b=learn(1)"),
}
KINDS = {
    "norm": ("batch", "layer", "group", "instance"),
    "pool": ("average", "max"),
    "pad": ("zero", "reflect", "replicate"),
}
LEAVES = [name for name, layer in LAYERS.items() if layer.make is not None]
NEEDED = {"of", "times", "rate", "units", "channels", "function", "size"}


def grown(r: Random, depth: int = 0) -> list[Any]:
    """Grow a row of layers whose options mostly fit."""
    return [grown_layer(r, depth) for _ in range(r.choice([0, 1, 1, 2, 3]))]


def grown_layer(r: Random, depth: int) -> Any:
    name = r.choice(["relu", "norm", "conv", *(LEAVES if depth > 2 else LAYERS)])
    if name not in LAYERS:
        return name
    options: dict[str, Any] = {}
    for key, option in LAYERS[name].options.items():
        if (key in NEEDED and not (key == "size" and name == "pool")) or r.random() < 0.3:
            if option.holds == "lists":
                options[key] = [grown(r, depth + 1) for _ in range(r.choice([2, 2, 3]))]
            elif option.holds == "layers":
                options[key] = grown(r, depth + 1) or ["norm"]
            else:
                options[key] = r.choice(KINDS[name] if key == "kind" else OPTIONS[key])
    if "kind" in LAYERS[name].options:
        options.setdefault("kind", r.choice(KINDS[name]))
    if r.random() < 0.03:
        options[r.choice(NAMES)] = r.choice(SCALARS)
    return {name: options}


made = {"built": 0}


@fuzz(1_500)
@given(SEEDS, st.sampled_from(SHAPES))
def test_networks_of_the_vocabulary_compute_what_they_promise(
    seed: int, shape: tuple[int, ...]
) -> None:
    """What is built, if it is small, also runs, and learns: overwriting in place spoils nothing."""
    r = Random(seed)
    end = [r.choice(["flatten", {"pool": "max"}])] if len(shape) == 3 else []
    stack = [*grown(r), *end, {"dense": "classes"}]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building, "MOST_PARAMETERS", 30_000)
        patch.setattr(building, "MOST_NUMBERS", 5_000)
        if taken(stack, shape) is None:
            return
        network, _ = build_stack(stack, shape, 2)
    assert read_stack(yaml.safe_dump(stack)) == read_stack(stack)
    made["built"] += 1
    torch.manual_seed(seed)
    x = torch.randn(3, *shape).requires_grad_()
    out = network(x)
    assert out.shape == (3, 2)
    out.sum().backward()
    assert x.grad is not None and x.grad.shape == x.shape
    assert network.eval()(x[:1]).shape == (1, 2)


def test_many_of_those_were_networks() -> None:
    """Else the test above would have tested refusals only."""
    assert made["built"] > (300 if FULL else 25) or made["built"] == 0
