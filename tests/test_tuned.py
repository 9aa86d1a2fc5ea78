"""The quickest way to compute a step that gives the same answers: measured once, by a clock of its
own here; and nothing of it where epochs are given."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import quickstudy as qs
from quickstudy import hardware
from quickstudy.errors import ChoiceError
from quickstudy.hardware import Answers, Hardware, Way, cached, tuning
from quickstudy.network import Built
from quickstudy.recipe import settings
from quickstudy.training import checkpoints, optimizers, tuned
from quickstudy.training import step as stepping
from quickstudy.training import trial as trying
from quickstudy.training.step import forward_backward
from quickstudy.training.trial import LessonTrial, answers

PLAIN = Way(False, "contiguous", "float32", 2)
BEST = Way(True, "channels_last", "bfloat16", 2)
OPTIONS: dict[str, tuple[Any, ...]] = {
    "memory_kept": (False, True),
    "memory_format": ("contiguous", "channels_last"),
    "precision": ("float32", "bfloat16"),
    "threads": (2, 1),
}
TIMES = {"memory_kept": 0.7, "memory_format": 0.8, "precision": 0.5, "threads": 1.6}


class Clock:
    """Seconds that pass only where a step is done."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Trial:
    """A step of one second as installed; each other choice takes its share of that."""

    on_processor = True

    def __init__(self, clock: Clock, off: Mapping[str, float], gradient: float = 0.0) -> None:
        self.clock, self.off, self.gradient, self.waits = clock, off, gradient, 0.0
        self.way, self.steps, self.fails = PLAIN, 0, False

    def prepare(self, way: Way) -> None:
        self.way = way

    def step(self) -> None:
        self.steps += 1
        took = 1.0
        for axis, share in self.off.items():
            took *= share if getattr(self.way, axis) != getattr(PLAIN, axis) else 1.0
        self.clock.now += took

    def answers(self) -> Answers:
        self.step()
        half = self.way.precision != "float32"
        if half and self.fails:
            raise RuntimeError("no kernel\nmore")
        return Answers(torch.ones(2, 3), torch.ones(4) * (1 + self.gradient * half))

    def noise(self) -> float:
        self.step()
        return 0.5


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(tuning, "perf_counter", made)
    monkeypatch.setattr(tuning, "process_time", lambda: 2 * made.now)
    monkeypatch.setattr(tuning, "waited_so_far", lambda: 0.0)
    return made


def test_the_quickest_is_found_and_said(clock: Clock) -> None:
    trial = Trial(clock, TIMES)
    found = hardware.tune(trial, OPTIONS, PLAIN, 100.0)
    assert found.way == BEST == trial.way
    assert found.whole
    assert found.plain == pytest.approx(1.0)
    assert found.seconds == pytest.approx(0.7 * 0.8 * 0.5)
    assert found.why["memory_kept"] == (
        "measured here, ms a step: 700 with memory kept, 1000 with memory returned to the system"
    )
    assert found.why["precision"] == (
        "measured here, ms a step: 280 with bfloat16, 560 with float32; bfloat16 changes the "
        "gradient by 0.0 %, other examples would by 50 %"
    )
    assert found.why["threads"] == "measured here, ms a step: 280 with 2 threads, 448 with 1 thread"
    assert trial.steps < 26


def test_other_answers_are_refused_however_quick(clock: Clock) -> None:
    found = hardware.tune(Trial(clock, TIMES, gradient=0.3), OPTIONS, BEST, 100.0)
    assert found.way == replace(BEST, precision="float32")
    assert found.why["precision"].endswith(
        "bfloat16 is refused: its gradient differs by 30 %, where other examples would change it "
        "by 50 %"
    )
    assert hardware.tune(Trial(clock, TIMES, gradient=0.2), OPTIONS, BEST, 100.0).way == BEST
    failing = Trial(clock, TIMES)
    failing.fails = True
    found = hardware.tune(failing, OPTIONS, BEST, 100.0)
    assert found.way.precision == "float32"
    assert found.why["precision"].endswith("bfloat16 is refused: it fails (no kernel)")


def test_chance_is_no_reason(clock: Clock) -> None:
    found = hardware.tune(Trial(clock, dict.fromkeys(TIMES, 0.98)), OPTIONS, BEST, 100.0)
    assert found.way == PLAIN


def test_without_time_the_usual_but_no_other_answers(clock: Clock) -> None:
    found = hardware.tune(Trial(clock, TIMES), OPTIONS, BEST, 0.0)
    assert (found.way, found.whole) == (BEST, False)
    assert found.why["memory_format"] == "the usual choice: no time to measure it"
    found = hardware.tune(Trial(clock, TIMES, gradient=0.3), OPTIONS, BEST, 0.0)
    assert found.way == replace(BEST, precision="float32")
    assert "refused" in found.why["precision"]


def test_on_a_busy_computer_its_own_time_counts(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what was found is not for the next run."""
    monkeypatch.setattr(tuning, "waited_so_far", lambda: 0.2 * clock.now)
    monkeypatch.setattr(tuning, "process_time", lambda: -clock.now)  # the other way round
    found = hardware.tune(Trial(clock, TIMES), OPTIONS, BEST, 100.0)
    assert found.way == Way(False, "contiguous", "float32", 2)
    assert "of processor time a step, for the computer is busy" in found.why["precision"]
    assert not found.whole


def test_what_is_no_number_is_not_the_same() -> None:
    right = Answers(torch.ones(2, 3), torch.ones(4))
    wrong = Answers(torch.full((2, 3), torch.nan), torch.ones(4))
    assert tuning.refusal(tuning.difference(wrong, right), 0.5)
    assert not tuning.refusal(tuning.difference(right, right), 0.0)
    found = tuning.difference(Answers(torch.ones(2, 3), torch.tensor([1.0, 1, 1, 3])), right)
    assert (found.scores, found.gradient) == (0.0, pytest.approx(1.0))


def test_cores_that_are_second_threads_of_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for number in range(4):
        folder = tmp_path / f"cpu{number}" / "topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(f"{number % 2},{number % 2 + 2}\n")
    looks = sys.modules["quickstudy.hardware.survey"]  # the room's function has its name
    monkeypatch.setattr(looks, "_TOPOLOGY", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(looks, "usable_cores", lambda: 4)
    assert hardware.physical_cores() == 2


# Kept for the next run


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("QUICKSTUDY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "speed"


def test_kept_under_its_key_alone(cache: Path) -> None:
    hardware.remember({"a": 1, "b": [2]}, {"seconds": 0.5})
    assert hardware.recall({"b": [2], "a": 1}) == {"seconds": 0.5}
    assert hardware.recall({"a": 1, "b": [3]}) is None
    (file,) = cache.iterdir()
    for damaged in ("", "[]", '{"version": 1}', file.read_text()[:-9], "[" * 100_000):
        file.write_text(damaged)
        assert hardware.recall({"a": 1, "b": [2]}) is None
    file.write_text(json.dumps({"version": 0, "key": {"a": 1, "b": [2]}, "found": {}}))
    assert hardware.recall({"a": 1, "b": [2]}) is None


def test_a_cache_that_cannot_be_written_is_done_without(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("QUICKSTUDY_CACHE", str(tmp_path / "file"))
    hardware.remember({"a": 1}, {"seconds": 0.5})
    assert hardware.recall({"a": 1}) is None


def test_the_oldest_go(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cached, "_MOST", 3)
    for number in range(5):
        hardware.remember({"a": number}, {})
    assert len(list(cache.iterdir())) == 3
    assert hardware.recall({"a": 4}) == {}


class Batches:
    """The same batch for ever."""

    def __init__(self, x: Tensor, target: Tensor) -> None:
        self.x, self.target = x, target

    def __len__(self) -> int:
        return 100

    def reading(self, _: int) -> Any:
        return nullcontext()

    def take(self, *_: Any, plain: bool) -> tuple[Tensor, Tensor]:
        return self.x, self.target


def lesson(recipe: Any, machine: Hardware) -> Any:
    """A lesson on a small convolutional network."""
    torch.manual_seed(0)
    module = nn.Sequential(
        *(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.5)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2)),
    )
    made = SimpleNamespace(network=Built(module, "6"), recipe=recipe, hardware=machine)
    made.step_seconds, made.clock = 0.0, SimpleNamespace(left=lambda: 100.0)
    made.seconds_left = lambda: 100.0
    made.criterion = lambda **_: nn.CrossEntropyLoss()
    made.crew, made.fixed, made.learnable = SimpleNamespace(world=1), frozenset(), 10_000

    def decide(key: str, value: Any, why: str) -> None:
        made.recipe = made.recipe.decided(key, value, why)

    made.decide = decide
    return made


MACHINE = Hardware("a processor", 1, 2**34, None, "cpu", True, gigaflops=50.0)


@pytest.fixture
def recipe(shapes: Path) -> Any:
    from quickstudy.recipe import plan
    from test_recipe import PHOTOS

    own = {"picture.size": 24, "picture.start_size": 24, "batch": 16}
    return plan(PHOTOS, MACHINE, 600, (), own={k: (v, "") for k, v in own.items()})


@pytest.fixture
def batches() -> Any:
    torch.manual_seed(1)
    return Batches(torch.randn(16, 3, 24, 24), torch.eye(2)[torch.arange(16) % 2])


def test_measured_once_and_no_trace_left(
    cache: Path, recipe: Any, batches: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "waited_so_far", lambda: 0.0)
    monkeypatch.setattr(tuned, "_STALE", 1e9)
    first = lesson(recipe, MACHINE)
    before = {k: v.clone() for k, v in first.network.module.state_dict().items()}
    tuned.settle_way(first, batches)
    assert all(torch.equal(first.network.module.state_dict()[k], v) for k, v in before.items())
    assert all(p.grad is None for p in first.network.module.parameters())
    compute = first.recipe.compute
    assert compute.threads == 1
    assert "auto" not in (compute.precision, compute.memory_format, compute.allocator)
    assert first.step_seconds > 0
    assert "times those of PyTorch as installed" in first.recipe.why["epochs"]
    monkeypatch.setattr(tuned, "tune", None)  # not again
    second = lesson(recipe, MACHINE)
    tuned.settle_way(second, batches)
    assert second.recipe.compute == compute
    assert "; measured on 20" in second.recipe.why["compute.precision"]
    for other in (replace(MACHINE, processor="another"), replace(MACHINE, cores=2)):
        with pytest.raises(TypeError, match="not callable"):
            tuned.settle_way(lesson(recipe, other), batches)


def test_measured_again_where_it_has_become_slow_or_cannot_be(
    cache: Path, recipe: Any, batches: Any
) -> None:
    made = lesson(recipe, MACHINE)
    kept = {
        "way": {**dict.fromkeys(tuned.KEYS), "precision": "float32", "memory_kept": False},
        "why": dict.fromkeys(tuned.KEYS, "so"),
        **{"seconds": 1e-9, "plain": 1.0, "date": "2026-01-01"},
    }
    kept["way"] |= {"threads": 1, "memory_format": "contiguous"}
    possible = tuned.options(MACHINE, recipe)
    found = tuned._kept(kept, possible)
    assert found is not None
    assert found.way == Way(False, "contiguous", "float32", 1)
    assert found.why["threads"] == "so; measured on 2026-01-01"
    for wrong in ({"seconds": -1}, {"date": "x"}, {"way": {**kept["way"], "threads": 64}}):
        assert tuned._kept({**kept, **wrong}, possible) is None
    key = tuned.key_of(made)
    hardware.remember(key, kept)
    tuned.settle_way(made, batches)
    assert "so; measured" not in made.recipe.why["compute.precision"]


def test_what_somebody_chose_is_left(cache: Path, recipe: Any, batches: Any) -> None:
    own = {"precision": "bfloat16", "memory_format": "contiguous", "threads": 1}
    for key, value in own.items():
        recipe = recipe.decided(f"compute.{key}", value, "mine")
    recipe = recipe.decided("compute.allocator", "return", "mine")
    made = lesson(recipe, MACHINE)
    tuned.settle_way(made, batches)
    assert made.recipe == recipe
    assert made.recipe.why == recipe.why


def test_with_epochs_the_usual_unless_it_answers_otherwise(
    recipe: Any, batches: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuned, "tune", None)
    for least, precision in ((1.0, "bfloat16"), (-1.0, "float32")):
        monkeypatch.setattr(tuning, "_SCORES", least)
        for kept in (False, True):  # what a clock said before
            made = lesson(recipe.decided("epochs", 2, ""), replace(MACHINE, memory_kept=kept))
            before = {k: v.clone() for k, v in made.network.module.state_dict().items()}
            tuned.settle_way(made, batches)
            compute, after = made.recipe.compute, made.network.module.state_dict()
            assert (compute.precision, compute.memory_format) == (precision, "channels_last")
            assert compute.allocator == ("keep" if hardware.keeps_memory() else "return")
            assert compute.threads == MACHINE.cores
            assert all(torch.equal(after[k], v) for k, v in before.items())
            assert made.step_seconds == 0
    assert "bfloat16 is refused: its scores differ" in made.recipe.why["compute.precision"]


# How large a batch is, on a GPU


GPU = replace(MACHINE, gpu="a GPU", device="cuda")


def test_the_smallest_batch_that_is_about_as_quick(
    cache: Path, recipe: Any, batches: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step takes 10 ms and one for each example; memory is there for 256."""
    sizes: list[int] = []

    def computed(*given: Any) -> tuple[float, int]:
        sizes.append(len(given[3]))
        return 0.0, 1 if len(given[3]) <= 256 else 2

    def takes(step: Any, **_: Any) -> float:
        return 0.01 + len(step.__self__.x) / 1000

    monkeypatch.setattr(trying, "in_memory", computed)
    monkeypatch.setattr(tuned, "seconds_per_call", takes)
    found = hardware.Tuned(Way(False, "channels_last", "float32", 1), 0.026, 0.052, {})
    for learnable, batch, tried in ((100_000, 128, [64, 128, 256, 512]), (1_100, 64, [64])):
        for expected in (tried, []):  # the second time it is known
            made, sizes[:] = lesson(recipe, GPU), []
            made.learnable = learnable
            again = tuned._settle_batch(made, batches, found)
            assert (made.recipe.batch, sizes) == (batch, expected)
            assert again.seconds == pytest.approx(0.01 + batch / 1000)
            assert again.plain == pytest.approx(2 * again.seconds)
    assert made.recipe.why["batch"].startswith("measured here, examples/s: 865 with 64; the small")
    made.learnable = 100_000
    tuned._settle_batch(made, batches, found)
    assert "962 with 256, no memory for 512, no memory for 1024; the" in made.recipe.why["batch"]


def test_a_batch_is_only_chosen_on_a_gpu_by_nobody_else(
    cache: Path, recipe: Any, batches: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = hardware.Tuned(Way(False, "channels_last", "float32", 1), 0.026, 0.052, {})
    monkeypatch.setattr(tuned, "examples_a_second", lambda *_: pytest.fail("measured"))
    others = {"fixed": frozenset({"batch"}), "crew": SimpleNamespace(world=2), "learnable": 1000}
    for key, value in {**others, "hardware": MACHINE}.items():
        made = lesson(recipe, GPU)
        setattr(made, key, value)
        assert tuned._settle_batch(made, batches, found) is found
        assert made.recipe == recipe
    monkeypatch.setattr(tuned, "examples_a_second", lambda *_: [0.0] * 4)
    made = lesson(recipe, GPU)
    assert tuned._settle_batch(made, batches, found) is found  # in parts, as ever
    assert made.recipe == recipe


def test_more_examples_than_there_are(recipe: Any, batches: Any) -> None:
    trial = LessonTrial(None, recipe, nn.CrossEntropyLoss(), batches.x, batches.target)  # type: ignore[arg-type]
    for rows in (3, 16, 40):
        cut = trial.cut(rows)
        assert len(cut.x) == len(cut.target) == rows
        assert torch.equal(cut.x[-1], batches.x[(rows - 1) % 16])


# Answers


def test_answers_are_of_the_step_itself(recipe: Any, batches: Any) -> None:
    """Dropout and all that draws is off; a network is left training, with its gradient."""
    made = lesson(recipe.decided("compute.precision", "float32", ""), MACHINE)
    module, x, target = made.network.module.train(), batches.x, batches.target
    found = answers(made.network, made.recipe, nn.CrossEntropyLoss(), x, target)
    twin = lesson(recipe, MACHINE).network.module.train()
    twin[3].eval()
    loss = nn.functional.cross_entropy(twin(x), target)
    loss.backward()
    ours = torch.cat([p.grad.flatten() for p in twin.parameters()])
    torch.testing.assert_close(found.gradient, ours)
    assert all(layer.training for layer in module.modules())
    trial = LessonTrial(made.network, made.recipe, nn.CrossEntropyLoss(), x, target)
    halves = []
    for part in (slice(0, None, 2), slice(1, None, 2)):
        twin.zero_grad()
        nn.functional.cross_entropy(twin(x[part]), target[part]).backward()
        halves.append(torch.cat([p.grad.flatten() for p in twin.parameters()]))
    apart = (halves[0] - halves[1]).norm() / 2
    assert trial.noise() == pytest.approx(float(apart / (sum(halves) / 2).norm()), rel=1e-4)
    assert trial.cut(2).noise() == trying._NOISE


# float16


def half(recipe: Any) -> Any:
    return recipe.decided("compute.precision", "float16", "")


def test_float16_keeps_small_gradients(recipe: Any) -> None:
    """Of 1e-8 nothing would be left: float16 ends at 6e-8."""
    layer = nn.Linear(4, 1, bias=False)
    x, target = torch.full((2, 4), 1e-4), torch.zeros(2, 1)

    class Tiny(nn.Module):
        def forward(self, scores: Tensor, target: Tensor) -> Tensor:
            return (scores.float() * 1e-4).mean()

    network = Built(layer, "")
    loss = forward_backward(network, half(recipe), Tiny(), x, target)
    assert loss == pytest.approx(float(layer(x).detach().mean()) * 1e-4, rel=1e-2)
    torch.testing.assert_close(layer.weight.grad, torch.full((1, 4), 1e-8), rtol=1e-2, atol=0)


def test_float16_goes_down_where_it_overflows(recipe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = nn.Linear(4, 1, bias=False)
    scales = []
    real = stepping._multiplied

    def noted(*given: Any) -> float:
        scales.append(given[-1])
        return real(*given)

    monkeypatch.setattr(stepping, "_multiplied", noted)
    x, target = torch.full((2, 4), 30.0), torch.zeros(2, 1)
    forward_backward(Built(layer, ""), half(recipe), nn.MSELoss(), x, target)
    assert scales[0] == 2.0**16
    assert 1 < len(scales) <= 5
    ours = layer.weight.grad.clone()
    layer.zero_grad()
    nn.functional.mse_loss(layer(x), target).backward()
    torch.testing.assert_close(ours, layer.weight.grad, rtol=1e-2, atol=1e-2)


# One kernel for all parameters, on a GPU


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_a_fused_optimiser_goes_on_from_a_checkpoint(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By torch's fused kernels for the CPU: those of a GPU take the same arguments and state."""

    def begun(fused: bool | None) -> tuple[nn.Linear, torch.optim.Optimizer]:
        monkeypatch.setattr(optimizers, "_fused", lambda _: fused)
        torch.manual_seed(0)
        layer = nn.Linear(5, 3)
        return layer, optimizers._named(name, [{"params": [*layer.parameters()]}], 0.1, 0.9)

    def moved(layer: nn.Linear, by: torch.optim.Optimizer, steps: int) -> None:
        for _ in range(steps):
            by.zero_grad()
            layer(torch.arange(10.0).view(2, 5)).square().mean().backward()
            by.step()

    (whole, one), (again, other), (plain, usual) = begun(True), begun(True), begun(None)
    moved(whole, one, 5)
    moved(plain, usual, 5)
    torch.testing.assert_close(whole.weight, plain.weight)
    moved(again, other, 2)
    kept = {k: v.clone() for k, v in checkpoints.pack_optimizer(other).items()}
    _, third = begun(True)
    third.param_groups[0]["params"] = [*again.parameters()]
    checkpoints.unpack_optimizer(third, kept)
    moved(again, third, 3)
    assert torch.equal(again.weight, whole.weight)


@pytest.mark.parametrize("size", [1e-3, 1.0, 4.999999, 5.0, 700.0, torch.inf, torch.nan])
def test_the_gradient_is_clipped_as_torch_does(size: float) -> None:
    def made() -> torch.optim.Optimizer:
        torch.manual_seed(0)
        layers = nn.Sequential(nn.Linear(5, 3), nn.Linear(3, 2))
        for one in list(layers.parameters())[:3]:  # the last one has none
            one.grad = torch.randn_like(one)
        whole = torch.nn.utils.get_total_norm(
            [p.grad for p in layers.parameters() if p.grad is not None]
        )
        for one in list(layers.parameters())[:3]:
            one.grad *= size / whole
        return torch.optim.SGD(layers.parameters(), 0.1)

    ours, theirs = made(), made()
    norm = optimizers.clip(ours, 5.0)
    other = float(torch.nn.utils.clip_grad_norm_(theirs.param_groups[0]["params"], 5.0))
    assert norm == other or (norm != norm and other != other)
    for one, two in zip(*(o.param_groups[0]["params"] for o in (ours, theirs)), strict=True):
        assert (one.grad is None) == (two.grad is None)
        if one.grad is not None:
            assert torch.equal(one.grad.nan_to_num(7.0), two.grad.nan_to_num(7.0))


def test_a_cpu_takes_torchs_own_choice() -> None:
    assert optimizers._fused([{"params": [torch.zeros(2)]}]) is None
    there = SimpleNamespace(is_cuda=True, is_floating_point=lambda: True)
    assert optimizers._fused([{"params": [there]}]) is True
    assert optimizers._fused([{"params": [there]}, {"params": [torch.zeros(2)]}]) is None


# Words


def test_threads_are_a_number_or_auto() -> None:
    assert settings(["compute.threads=auto"]) == {"compute.threads": "auto"}
    assert settings(["compute.threads=2"]) == {"compute.threads": 2}
    for wrong in ("many", "1.5", "null", "[1]"):
        with pytest.raises(ChoiceError, match=r"threads is one of auto or a whole number"):
            settings([f"compute.threads={wrong}"])


# Nothing that is learnt depends on the clock where epochs are given


FEW = {
    **{"epochs": 2, "picture.size": 24, "picture.start_size": 16, "batch": 16},
    **{"optimizer.lr": 0.01, "optimizer.name": "sgd", "compute.threads": 1},
}


def test_with_epochs_no_clock_and_no_cache_decide(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    for module in (tuned, __import__("quickstudy.training.compiling", fromlist=["x"])):
        monkeypatch.setattr(module, "recall", lambda key: asked.append(key))
        monkeypatch.setattr(module, "remember", lambda *given: asked.append(given))
    monkeypatch.setattr(tuned, "tune", None)
    stack = [{"conv": 4}, "norm", "relu", {"pool": "average"}, {"dense": "classes"}]
    runs = [
        qs.learn(shapes, network=stack, budget=600, settings=FEW, out=tmp_path / str(n))
        for n in range(2)
    ]
    assert not asked
    first, second = (load_file(run.folder / "model" / "weights.safetensors") for run in runs)
    assert all(torch.equal(first[name], second[name]) for name in first)
    why = runs[0].recipe.why
    assert "the same epochs give the same result" in why["compute.precision"]
    assert runs[0].recipe == runs[1].recipe
