"""torch.compile in training: chosen by measuring, the same result, and never in the way."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor, nn

import quickstudy as qs
from quickstudy.errors import ChoiceError
from quickstudy.hardware import Hardware, speed
from quickstudy.network import Built
from quickstudy.recipe import settings
from quickstudy.training import compiling, loop
from quickstudy.training.compiling import GRAPHS, Compiled, Timed, chosen, settle_compiling

compiles = pytest.mark.skipif(
    not (shutil.which("g++") or shutil.which("clang++")), reason="needs a C++ compiler"
)
STACK = [{"conv": 4}, "norm", "relu", {"pool": "average"}, {"dense": "classes"}]
FEW = {
    **{"epochs": 2, "picture.size": 24, "picture.start_size": 16, "batch": 16},
    **{"optimizer.lr": 0.01, "optimizer.name": "sgd", "compute.precision": "float32"},
    "compute.threads": 1,
}


# The choice, by a clock of its own


class Clock:
    """Seconds that pass only where somebody says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def lesson(clock: Clock, left: float, asked: Any = "auto", epochs: float | None = None) -> Any:
    """A lesson on one linear layer: 0.1 s a step as it is."""
    module = nn.Linear(3, 2)
    module.register_forward_pre_hook(lambda *_: setattr(clock, "now", clock.now + 0.1))
    compute = SimpleNamespace(compile=asked, device="cpu", precision="float32", threads=1)
    compute.memory_format, compute.allocator = "contiguous", "keep"
    recipe = SimpleNamespace(compute=compute, epochs=epochs, size=3, start_size=3, batch=4)
    recipe.network = SimpleNamespace(name="one layer")
    made = SimpleNamespace(network=Built(module, ""), recipe=recipe, said=[], step_seconds=0.0)
    made.hardware = Hardware("a processor", 1, 2**34, None, "cpu", False)

    def decide(key: str, value: Any, why: str) -> None:
        assert key == "compute.compile"
        made.recipe.compute.compile, made.why = value, why

    made.decide, made.seconds_left = decide, lambda: left - clock.now
    made.criterion = lambda **_: nn.MSELoss()
    made.clock = SimpleNamespace(spent=clock)
    made.listen = lambda progress: made.said.append(progress.said)
    made.crew = SimpleNamespace(world=1)
    return made


class OneBatch:
    """The same batch for ever."""

    @contextmanager
    def reading(self, _: int) -> Iterator[None]:
        yield None

    def take(self, *_: Any, plain: bool) -> tuple[Tensor, Tensor]:
        return torch.ones(4, 3), torch.zeros(4, 2)


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing was measured here before."""
    monkeypatch.setenv("QUICKSTUDY_CACHE", str(tmp_path / "empty cache"))


def settled(
    monkeypatch: pytest.MonkeyPatch,
    left: float,
    step: float,
    off: float = 1.0,
    graphs: float | None = None,
    **more: Any,
) -> tuple[Any, list[float]]:
    """Settle it where compiling takes 40 s, a compiled step `step` and answers `off` times.

    With `graphs` a step with CUDA graphs takes that, which need a step more to be recorded.
    """
    clock, used = Clock(), []
    made = lesson(clock, left, **more)

    def form_of(module: nn.Module, takes: float = step, slow: int = 1) -> Any:
        calls: list[float] = []

        def form(x: Tensor) -> Tensor:
            clock.now += 40.0 if len(calls) < slow else takes
            calls.append(clock.now)
            used.append(clock.now)
            return off * nn.functional.linear(x, module.weight, module.bias)

        return form

    monkeypatch.setattr(compiling, "compiled_form", lambda module, *, grows: form_of(module))
    if graphs is not None:
        recorded = {"recorded_form": lambda module, *, rows: form_of(module, graphs, 2)}
        monkeypatch.setattr(compiling, *recorded.popitem())
        monkeypatch.setattr(compiling, "_candidates", lambda _: [True, GRAPHS])
    monkeypatch.setattr(compiling, "perf_counter", clock)
    monkeypatch.setattr(compiling, "waited_so_far", lambda: 0.0)
    monkeypatch.setattr(speed, "time", SimpleNamespace(perf_counter=clock))
    before = {k: v.clone() for k, v in made.network.module.state_dict().items()}
    settle_compiling(made, OneBatch())  # type: ignore[arg-type]
    assert all(torch.equal(made.network.module.state_dict()[k], v) for k, v in before.items())
    assert all(p.grad is None for p in made.network.module.parameters())
    return made, used


def test_it_is_used_where_it_is_quicker(monkeypatch: pytest.MonkeyPatch) -> None:
    made, used = settled(monkeypatch, left=3600, step=0.05)
    assert made.recipe.compute.compile is True and used
    assert made.network.compiled is not None and not made.said
    assert made.why.startswith(
        "measured here: 100 ms a step as it is, 50 compiled, which took 40 s"
    )
    assert made.step_seconds == pytest.approx(0.05)
    count = len(used)
    made.network.compiled(torch.ones(1, 3))
    assert len(used) == count + 1


def test_not_where_it_is_no_quicker(monkeypatch: pytest.MonkeyPatch) -> None:
    made, used = settled(monkeypatch, left=3600, step=0.099)
    assert made.recipe.compute.compile is False and used
    assert made.network.compiled is None and made.why.endswith("which took 40 s: not quicker")


def test_not_even_tried_in_a_short_run(monkeypatch: pytest.MonkeyPatch) -> None:
    made, used = settled(monkeypatch, left=300, step=0.01)
    assert made.recipe.compute.compile is False and not used
    assert "not tried: compiling 1 layers takes some 16 s" in made.why
    made, used = settled(monkeypatch, left=3600, step=0.01, epochs=3)
    assert made.recipe.compute.compile is False and not used and "the same epochs" in made.why


def test_what_was_settled_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a run that goes on: nothing is timed, whatever the clock would say now."""
    made, used = settled(monkeypatch, left=10, step=9.0, asked=True)
    assert made.recipe.compute.compile is True and len(used) == 1
    assert made.network.compiled is not None and not hasattr(made, "why")
    made, used = settled(monkeypatch, left=10_000, step=0.01, asked=False)
    assert made.network.compiled is None and not used


def test_other_answers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = settled(monkeypatch, left=3600, step=0.05, off=1.2)
    assert made.recipe.compute.compile is False and made.network.compiled is None
    assert made.why.endswith("which took 40 s: refused, for its scores differ by 20 %")


def test_what_was_timed_before_is_not_timed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    first, used = settled(monkeypatch, left=3600, step=0.05)
    assert len(used) > 4
    again, used = settled(monkeypatch, left=1200, step=0.05)
    assert again.recipe.compute.compile is True and len(used) == 1  # to compile it
    assert again.why.startswith(first.why.partition(";")[0])
    assert again.step_seconds == pytest.approx(0.05)
    short, used = settled(monkeypatch, left=60, step=0.05)
    assert short.recipe.compute.compile is False and not used
    assert short.why.endswith("which took 40 s: too much of the 60 s left")
    other, used = settled(monkeypatch, left=60, step=0.05, epochs=2)
    assert "the same epochs" in other.why and not used


def test_graphs_are_taken_where_they_are_quicker(monkeypatch: pytest.MonkeyPatch) -> None:
    made, used = settled(monkeypatch, left=7200, step=0.05, graphs=0.02)
    assert made.recipe.compute.compile == GRAPHS
    assert made.step_seconds == pytest.approx(0.02)
    assert made.why.startswith(
        "measured here: 100 ms a step as it is, 20 with CUDA graphs, which took 40 s; measured "
        "here: 100 ms a step as it is, 50 compiled, which took 40 s; the "
    )
    known, used = settled(monkeypatch, left=7200, step=0.05, graphs=0.02)
    assert known.recipe.compute.compile == GRAPHS and len(used) == 1  # to compile it
    slow, _ = settled(monkeypatch, left=7200, step=0.05, graphs=0.09, asked=GRAPHS)
    assert slow.network.compiled is not None  # as asked


def test_graphs_are_left_where_they_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = settled(monkeypatch, left=7200, step=0.05, graphs=0.06)
    assert made.recipe.compute.compile is True and made.step_seconds == pytest.approx(0.05)
    monkeypatch.setenv("QUICKSTUDY_CACHE", "/nowhere")
    made, _ = settled(monkeypatch, left=7200, step=0.05, graphs=0.02, off=1.2)
    assert made.recipe.compute.compile is False
    assert made.why.count("refused, for its scores differ by 20 %") == 2


def test_graphs_are_of_one_size_one_gpu_and_one_process() -> None:
    made = lesson(Clock(), 3600)
    for device, start, world, forms in (
        *(("cuda", 3, 1, [True, GRAPHS]), ("cuda:1", 3, 1, [True, GRAPHS])),
        *(("cpu", 3, 1, [True]), ("mps", 3, 1, [True])),
        *(("cuda", 2, 1, [True]), ("cuda", 3, 2, [True])),
    ):
        made.recipe.compute.device, made.recipe.start_size = device, start
        made.crew.world = world
        assert compiling._candidates(made) == forms
    made.recipe.compute.compile = GRAPHS
    assert compiling._candidates(made) == [GRAPHS]


def test_parts_of_a_batch_are_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their gradients are added up; each whole batch begins a step of its own."""
    steps: list[str] = []
    monkeypatch.setattr(torch, "compile", lambda module, **how: lambda x: steps.append("graph"))
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: steps.append("begin"))
    layer = nn.Linear(3, 2)
    run = compiling.recorded_form(layer, rows=4)
    run(torch.ones(4, 3))
    assert steps == ["begin", "graph"]
    assert torch.equal(run(torch.ones(2, 3)), layer(torch.ones(2, 3)))
    assert steps == ["begin", "graph"]


def test_the_words_of_the_choice() -> None:
    assert chosen({True: Timed(0.2, 0.1, 60)}, 1000) == (
        True,
        "measured here: 200 ms a step as it is, 100 compiled, which took 60 s; the 1000 s left do "
        "the work of 2000",
    )
    assert not chosen({True: Timed(0.1, 0.098, 60)}, 1e6)[0]
    failed = Timed(0.1, float("inf"), float("inf"), "no compiler")
    assert chosen({True: failed}, 1e6) == (False, "no compiler")


def test_how_it_is_written() -> None:
    assert settings(["compute.compile=true"]) == {"compute.compile": True}
    assert settings(["compute.compile=auto"]) == {"compute.compile": "auto"}
    assert settings([f"compute.compile={GRAPHS}"]) == {"compute.compile": GRAPHS}
    for wrong in ("1", "yes please", "null"):
        with pytest.raises(ChoiceError, match=r"compile is one of auto, true, false"):
            settings([f"compute.compile={wrong}"])


# Failures


def test_a_form_that_fails_later_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []

    def form(_: Tensor) -> Tensor:
        raise torch._dynamo.exc.InternalTorchDynamoError("no\nsecond line")

    run = Compiled(nn.Linear(3, 2), form, said.append)
    assert torch.equal(run(torch.ones(1, 3)), run.module(torch.ones(1, 3)))
    assert said == ["torch.compile cannot be used here (no): training goes on without it"]


def learn(shapes: Path, out: Path, compile: Any, **more: Any) -> qs.Run:
    how = {**FEW, "compute.compile": compile}
    return qs.learn(shapes, network=STACK, budget=60, settings=how, out=out, **more)


def weights(run: Path) -> dict[str, Tensor]:
    return load_file(run / "model" / "weights.safetensors")


@pytest.fixture(scope="module")
def eager(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return learn(shapes, tmp_path_factory.mktemp("eager") / "run", False).folder


def test_without_a_compiler_training_goes_on(shapes: Path, tmp_path: Path, eager: Path) -> None:
    """Its result is the eager one's, bit for bit, and one line says why."""
    (tmp_path / "net.yaml").write_text(yaml.safe_dump({"stack": STACK}))
    pairs = [f"{key}={value}" for key, value in FEW.items()]
    words = ["learn", str(shapes), "--network", str(tmp_path / "net.yaml"), "--budget", "60s"]
    words += ["--out", str(tmp_path / "run"), "--set", *pairs, "compute.compile=true"]
    environment = {**os.environ, "CXX": "no-such-compiler"}
    environment |= {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "quickstudy", *words]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    assert (done.stdout + done.stderr).count("torch.compile cannot be used here") == 1
    ours, theirs = weights(tmp_path / "run"), weights(eager)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


# The real thing


@compiles
def test_compiled_is_the_same_and_goes_on_after_a_cut(
    shapes: Path, tmp_path: Path, eager: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures grow on the way; cut at step 6, a run ends as the whole one, bit for bit."""
    calls = 0
    real = Compiled.__call__

    def counted(self: Compiled, x: Tensor) -> Any:
        nonlocal calls
        calls += 1
        assert self.form is not None
        return real(self, x)

    monkeypatch.setattr(Compiled, "__call__", counted)
    run = learn(shapes, tmp_path / "whole", True)
    steps = run.facts["training"]["steps"] if "training" in run.facts else calls
    assert calls == steps > 8
    ours, theirs = weights(run.folder), weights(eager)
    assert ours.keys() == theirs.keys()  # no "_orig_mod."
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, rtol=1e-4, atol=1e-4)
    picture = shapes / "disc" / "00.png"
    assert qs.load(run.folder / "model", device="cpu").predict(picture) == run.model.predict(
        picture
    )

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        step = loop.step_once

        def cut(state: Any, *more: Any) -> float:
            if state.step == 6:
                loop.checkpoints.write(tmp_path / "cut", state.state())
                raise KeyboardInterrupt
            return step(state, *more)

        patch.setattr(loop, "step_once", cut)
        learn(shapes, tmp_path / "cut", True)
    qs.learn(resume=tmp_path / "cut")
    again = weights(tmp_path / "cut")
    assert all(torch.equal(again[name], ours[name]) for name in ours)
