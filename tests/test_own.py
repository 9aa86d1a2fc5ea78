"""Networks, losses and optimisers that are Python: learnt, kept, resumed, loaded as any other."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import signal
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss
from torch import Tensor, nn
from torch.nn import functional as F

import quickstudy as qs
from processes import Process
from quickstudy.errors import ChoiceError, ModelError, QuickstudyError, RunError
from quickstudy.learning import Run
from quickstudy.model import Model, untrained
from quickstudy.network import Spec, build
from quickstudy.network.own import check, last_linear, made
from quickstudy.tasks import Classification

SMALL: dict[str, Any] = {
    "epochs": 12,
    "batch": 16,
    "picture.size": 16,
    "picture.start_size": 16,
    "augment.mirror": False,
    "compute.threads": 1,
    "compute.precision": "float32",
    "optimizer.lr": 0.01,
}
ROWS = {"epochs": 12, "compute.threads": 1, "table.trees": False}


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The passes are given: how quick the machine is decides nothing, and is not measured."""
    monkeypatch.setattr("quickstudy.hardware.quicken", lambda machine: machine)


@pytest.fixture(scope="module")
def own_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One pass with a network and a loss that are code."""
    os.environ["QUICKSTUDY_CACHE"] = str(tmp_path_factory.getbasetemp() / "cache")
    out = tmp_path_factory.mktemp("own") / "run"
    return qs.learn(pictures(), network=Net, loss=soft, settings={**SMALL, "epochs": 1}, out=out)


class Net(nn.Module):
    """Small, with what a user's network may have: batch norm, dropout, a name of its own."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.seen = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU())
        self.answer = nn.Linear(8 * 4, classes)
        self.dropout = nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.adaptive_avg_pool2d(self.seen(x), 2).flatten(1)
        return self.answer(self.dropout(x))


class Tied(nn.Module):
    """One matrix under two names, twice in a state and once in memory."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.first = nn.LazyLinear(classes)
        self.one, self.two = nn.Linear(classes, classes), nn.Linear(classes, classes)
        self.two.weight = self.one.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.two(F.relu(self.one(self.first(x.flatten(1)))))


def net(classes: int) -> nn.Module:
    return Net(classes)


def soft(prediction: Tensor, target: Tensor) -> Tensor:
    return -(target * prediction.log_softmax(1)).sum(1).mean()


def pictures(n: int = 96) -> tuple[Any, Any]:
    """Pictures with a bright half, and which half it is."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 60, (n, 16, 16, 3)).astype(np.uint8)
    which = rng.integers(0, 3, n)
    for picture, label in zip(x, which, strict=True):
        part = {0: np.s_[:8], 1: np.s_[8:], 2: np.s_[:, :8]}[int(label)]
        picture[part] += np.uint8(rng.integers(90, 190))
    return x, np.array(["top", "bottom", "left"])[which]


def rows(n: int = 160) -> tuple[Any, Any]:
    x = np.random.default_rng(0).normal(size=(n, 4))
    return x, np.where(x[:, 0] + x[:, 1] > 0, "yes", "no")


def told(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return found


OWN: list[Any] = [functools.partial(Net), lambda: Net(3), Tied]


@pytest.mark.parametrize("own", OWN, ids=["partial", "bare", "tied"])
def test_a_module_or_what_makes_one_learns_and_is_loaded_again(own: Any, tmp_path: Path) -> None:
    x, y = pictures()
    run = qs.learn((x, y), network=own, settings=SMALL, out=tmp_path / "run")
    assert run.test.accuracy > 0.6
    assert run.recipe.network.name.startswith("python:") and run.recipe.network.weights == "none"
    fresh = Net(3) if isinstance(own, nn.Module) else own
    again = qs.load(tmp_path / "run" / "model", network=fresh)
    shares = [list(a.probabilities.values()) for a in again.predict(list(x[:9]))]
    assert shares == [list(a.probabilities.values()) for a in run.model.predict(list(x[:9]))]
    name = run.recipe.network.name.removeprefix("python:")
    assert f"network={name}" in told(tmp_path / "run")["command"]
    with pytest.raises(ChoiceError, match=r"is code(.|\n)*load\(folder, network="):
        qs.load(tmp_path / "run" / "model")


def test_what_was_given_is_what_was_taught(tmp_path: Path) -> None:
    """The module itself has the weights afterwards, ready to answer as the model does."""
    x, y = pictures()
    own = Net(3)
    before = own.answer.weight.detach().clone()
    run = qs.learn((x, y), network=own, loss=soft, settings=SMALL, out=tmp_path / "run")
    assert run.model.network is own and not own.training
    assert not torch.equal(before, own.answer.weight)
    assert float(own.seen[1].running_mean.abs().max()) > 0.01
    asked = run.model.preparation
    with torch.inference_mode():
        seen = asked.prepare(torch.from_numpy(np.stack([asked.decode(p).values[0] for p in x])))
        shares = (own(seen) / run.model.task.temperature).softmax(1).numpy()
    said = [[a.probabilities[c] for c in run.model.classes] for a in run.model.predict(list(x))]
    assert shares == pytest.approx(np.array(said), abs=1e-5)
    scores = run.model.evaluate((x, y))
    codes = np.array([run.model.classes.index(label) for label in y])
    assert scores.accuracy == pytest.approx(accuracy_score(codes, shares.argmax(1)))
    assert scores.log_loss.value == pytest.approx(log_loss(codes, shares), rel=1e-3)


def test_a_module_for_sounds(tones: Path, tmp_path: Path) -> None:
    class Hears(nn.Module):
        def __init__(self, classes: int) -> None:
            super().__init__()
            self.conv, self.last = nn.Conv2d(1, 8, 5, 2), nn.Linear(8, classes)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(F.relu(self.conv(x)).amax((2, 3)))

    few = {"epochs": 15, "compute.threads": 1, "rehearsal": 0, "optimizer.lr": 0.02}
    run = qs.learn(tones, network=Hears, settings=few, out=tmp_path / "run")
    assert run.test.accuracy > run.test.baseline_accuracy
    again = qs.load(tmp_path / "run" / "model", network=Hears)
    path = next(tones.rglob("*.wav"))
    assert again.predict(path).probabilities == run.model.predict(path).probabilities


def test_a_module_for_rows_and_for_numbers(tmp_path: Path) -> None:
    x, y = rows()
    more = {**ROWS, "optimizer.lr": 0.02, "epochs": 30}

    def layers(outputs: int) -> nn.Module:
        return nn.Sequential(nn.LazyLinear(16), nn.ReLU(), nn.Linear(16, outputs))

    run = qs.learn((x, y), kind="table", network=layers, settings=more, out=tmp_path / "a")
    assert run.recipe.optimizer.name == "adamw" and run.test.accuracy > 0.8
    own = nn.Sequential(nn.Linear(4, 1))
    number = 3 * x[:, 0] - x[:, 2]
    run = qs.learn(
        (x, number),
        kind="table",
        network=own,
        loss=nn.SmoothL1Loss(),
        optimizer=lambda p: torch.optim.NAdam(p, lr=0.05),
        settings={**ROWS, "epochs": 30},
        out=tmp_path / "b",
    )
    assert run.model.task.name == "regression" and run.test.main.value > 0.9
    assert run.recipe.optimizer.lr == 0.05
    again = qs.load(tmp_path / "b" / "model", network=lambda: nn.Sequential(nn.Linear(4, 1)))
    assert again.predict(x[0]).value == pytest.approx(run.model.predict(x[0]).value)


def test_optimisers_from_a_factory_learn_at_their_own_rate(tmp_path: Path) -> None:
    x, y = pictures()
    free = {k: v for k, v in SMALL.items() if k != "optimizer.lr"}
    seen: list[float] = []

    def mine(parameters: Any) -> torch.optim.Optimizer:
        return torch.optim.NAdam(parameters, lr=0.015)

    def asks(parameters: Any, lr: float) -> torch.optim.Optimizer:
        seen.append(lr)
        return torch.optim.SGD(parameters, lr=lr, momentum=0.9)

    run = qs.learn((x, y), network=Net, optimizer=mine, settings=free, out=tmp_path / "a")
    assert run.recipe.optimizer.lr == 0.015 and run.test.accuracy > 0.8
    run = qs.learn((x, y), network=Net, optimizer=asks, settings=free, out=tmp_path / "b")
    assert "range test" in run.recipe.choices()["optimizer.lr"].why
    assert seen[-1] == run.recipe.optimizer.lr and run.test.accuracy > 0.8


class Opaque:
    """Neither a module nor what can be called."""


def wide(classes: int) -> nn.Module:
    return Net(10)


class Pair(nn.Module):
    def __init__(self, ins: int, outs: int) -> None:
        super().__init__()


def fixed() -> nn.Module:
    frozen = Net(3)
    return frozen.requires_grad_(False)


NETWORKS: list[tuple[Any, str]] = [
    (Opaque(), "A Opaque is no network"),
    (wide, r"gives \[2, 10\] for 2 examples; \[2, 3\] is asked for"),
    (Net(5), r"gives \[2, 5\] for 2 examples"),
    (Pair, r"Pair\(3\) could not be made: TypeError.*outs"),
    (lambda: "net", "returned a str, not an nn.Module"),
    (lambda k: nn.Linear(7, k), r"cannot take \[2, 3, 16, 16\]: RuntimeError"),
    (lambda k: nn.Sequential(Net(k), nn.Softmax(1)), "gives probabilities"),
    (lambda k: nn.Sequential(nn.Flatten(), nn.Unflatten(1, (k, -1))), r"gives \[2, 3, 256\]"),
    (fixed, "nothing to learn"),
    ("python:Net", "how a recipe calls a network that is code"),
]


@pytest.mark.parametrize(("own", "words"), NETWORKS)
def test_networks_that_cannot_be(own: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(ChoiceError, match=words):
        qs.learn(pictures(), network=own, settings=SMALL, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


class Counts(nn.Module):
    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        return (prediction.argmax(1) != target.argmax(1)).float().mean()


LOSSES: list[tuple[Any, str]] = [
    (lambda p, t: (p - t) ** 2, "returned a tensor of 16 3, not one number"),
    (Counts(), "does not depend on the prediction"),
    (lambda p, t: 1.5, "returned float, not a tensor"),
    (lambda p, t: soft(p, t.argmax(1)), "failed: "),
    (lambda p: p.mean(), "does not take two arguments"),
    (nn.MSELoss, "MSELoss is a class, not a loss"),
    (lambda p, t: soft(p, t) * float("nan"), "loss is not a number"),
    ("python:soft", "how a recipe calls a loss"),
    (3, "A int is no loss"),
]


@pytest.mark.parametrize(("loss", "words"), LOSSES)
def test_losses_that_cannot_be(loss: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(QuickstudyError, match=words):
        qs.learn(pictures(), network=Net, loss=loss, settings=SMALL, out=tmp_path / "run")


@pytest.mark.parametrize(
    ("factory", "words"),
    [
        (lambda p: "adam", "returned str, not a torch.optim.Optimizer"),
        (torch.optim.LBFGS, "takes all examples at once"),
        (lambda p, lr, other: None, "Give a function of the parameters"),
        ("python:mine", "how a recipe calls a optimizer"),
    ],
)
def test_optimisers_that_cannot_be(factory: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(ChoiceError, match=words):
        qs.learn(pictures(), network=Net, optimizer=factory, settings=SMALL, out=tmp_path / "run")


def test_a_recipe_with_code_wants_the_code_beside_it(own_run: Run, tmp_path: Path) -> None:
    recipe = own_run.folder / "recipe.yaml"
    with pytest.raises(ChoiceError, match=r"network Net is code(.|\n)*network="):
        qs.learn(pictures(), recipe=recipe, out=tmp_path / "b")
    with pytest.raises(ChoiceError, match="loss soft is code"):
        qs.learn(pictures(), recipe=recipe, network=Net, out=tmp_path / "b")
    again = qs.learn(pictures(), recipe=recipe, network=Net, loss=soft, out=tmp_path / "b")
    assert again.recipe.network.name == "python:Net" and again.recipe.epochs == 1


def test_the_wrong_class_at_loading_is_refused(own_run: Run) -> None:
    with pytest.raises(ModelError, match=r"do not fit the network(.|\n)*learnt with"):
        qs.load(own_run.folder / "model", network=Tied)
    with pytest.raises(ChoiceError, match=r"gives \[2, 5\]"):
        qs.load(own_run.folder / "model", network=Net(5))


def factory(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=0.01)


def _learn_long(out: Path) -> int:
    settings = {**SMALL, "epochs": 400}
    qs.learn(pictures(), network=Net, loss=soft, optimizer=factory, settings=settings, out=out)
    return 0


def _begun(tmp_path: Path, how: signal.Signals) -> Path:
    """Begin a run of 400 passes elsewhere and end it early; return its folder."""
    run = tmp_path / "run"
    started = Process(tmp_path / "said", _learn_long, run)
    try:
        deadline = time.monotonic() + 60
        while not (run / "checkpoint.safetensors").exists() and time.monotonic() < deadline:
            assert started.process.is_alive(), started.said.read_text()
            time.sleep(0.01)
        os.kill(started.process.pid or 0, how)
        started.process.join(60)
    finally:
        started.kill()
    return run


@pytest.mark.skipif(os.name != "posix", reason="kill -9 is POSIX's")
def test_a_killed_run_goes_on_with_its_code_given_again(tmp_path: Path) -> None:
    run = _begun(tmp_path, signal.SIGKILL)
    data = pictures()
    given: dict[str, Any] = {"network": Net, "loss": soft, "optimizer": factory}
    for missing in given:
        with pytest.raises(RunError, match=rf"{missing} is code, which must(.|\n)*{missing}="):
            qs.learn(data, resume=run, **{k: v for k, v in given.items() if k != missing})
    with pytest.raises(RunError, match="network is Net, not Tied"):
        qs.learn(data, resume=run, **{**given, "network": Tied})
    other = type("Net", (Net,), {"__init__": lambda self, k: _wider(self, k)})
    with pytest.raises(RunError, match="does not fit what was given"):
        qs.learn(data, resume=run, **{**given, "network": other})
    kept = json.loads((run / "run.json").read_text())
    for place in (kept["own"], kept["recipe"]):
        place["epochs"][0] = 12  # not to wait for all
    (run / "run.json").write_text(json.dumps(kept))
    ended = qs.learn(data, resume=run, **given)
    events = [event["what"] for event in ended.facts["events"]]
    assert any("went on from the checkpoint" in event for event in events)
    assert ended.test.accuracy > 0.8


def _wider(self: Any, classes: int) -> None:
    Net.__init__(self, classes)
    self.answer = nn.Sequential(nn.Linear(8 * 4, 6), nn.Linear(6, classes))


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_ctrl_c_keeps_what_code_has_learnt(tmp_path: Path) -> None:
    run = _begun(tmp_path, signal.SIGINT)
    model = qs.load(run / "model", network=Net)
    assert model.predict(pictures()[0][0]).label in model.classes
    assert told(run)["outcome"]["status"] == "interrupted"


def test_arguments_that_mean_the_number_of_outputs() -> None:
    def late(width: int = 4, num_classes: int = 10) -> nn.Module:
        return nn.Linear(width, num_classes)

    assert made(late, 3).out_features == 3
    assert made(lambda outputs: nn.Linear(2, outputs), 5).out_features == 5
    assert last_linear(Net(3), 3) == "answer" and last_linear(Net(3), 4) == ""
    assert last_linear(nn.Linear(4, 3), 3) == ""


def test_lazy_layers_can_learn_after_the_check() -> None:
    own = Tied(3)
    check(own, torch.zeros(2, 3, 4, 4), 3)
    assert own.training
    own(torch.rand(2, 3, 4, 4)).sum().backward()
    assert own.first.weight.grad is not None


@pytest.fixture(scope="module")
def keras() -> Any:
    """Keras on torch; the test skips where it is absent or already computes with another."""
    if importlib.util.find_spec("keras") is None:
        pytest.skip("needs keras, which is not installed")
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = "torch"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of what keras itself imports
        import keras
    if keras.backend.backend() != "torch":
        pytest.skip(f"needs keras on torch; here it computes with {keras.backend.backend()}")
    return keras


def sequential(keras: Any, classes: int, ends: str | None = "softmax") -> Any:
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input((16, 16, 3)),
            layers.Conv2D(8, 3, strides=2, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Dropout(0.1),
            layers.AveragePooling2D(3),
            layers.Flatten(),
            layers.Dense(classes, activation=ends),
        ]
    )


def seen_by_keras(model: Any, x: Any) -> Tensor:
    """Return pictures as Keras has them, ``N H W C``, prepared as the model prepares them."""
    how = model.preparation
    views = np.stack([how.decode(picture).values[0] for picture in x])
    return how.prepare(torch.from_numpy(views)).permute(0, 2, 3, 1)


#: numpy() of Keras's own variables, with NumPy 2.
of_keras = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@of_keras
@pytest.mark.parametrize("ends", ["softmax", None])
def test_a_keras_model_is_a_network_and_has_its_weights_afterwards(
    keras: Any, ends: str | None, tmp_path: Path
) -> None:
    keras.utils.set_random_seed(0)
    x, y = pictures()
    given = sequential(keras, 3, ends)
    before = [np.array(w) for w in given.get_weights()]
    few = {**SMALL, "batch": 8, "epochs": 20}
    run = qs.learn((x, y), network=given, settings=few, out=tmp_path / "run")
    assert run.test.accuracy > 0.8
    after = given.get_weights()
    assert all((one != two).any() for one, two in zip(before, after, strict=True))
    seen = seen_by_keras(run.model, x[:20])
    answers = torch.from_numpy(given.predict(seen.numpy(), verbose=0))
    with torch.inference_mode():
        scores = run.model.network(seen.permute(0, 3, 1, 2))
        assert torch.allclose(given(seen, training=False), answers, atol=1e-5)
    assert torch.allclose(scores.softmax(1) if ends else scores, answers, atol=1e-5)
    tempered = (scores / run.model.task.temperature).softmax(1).numpy()
    said = [list(a.probabilities.values()) for a in run.model.predict(list(x[:20]))]
    assert tempered == pytest.approx(np.array(said), abs=1e-5)
    again = qs.load(tmp_path / "run" / "model", network=lambda k: sequential(keras, k, ends))
    assert [list(a.probabilities.values()) for a in again.predict(list(x[:20]))] == said
    given.save(tmp_path / "model.keras")
    kept = keras.saving.load_model(tmp_path / "model.keras")
    assert np.allclose(kept.predict(seen.numpy(), verbose=0), answers, atol=1e-6)


def test_keras_trains_as_keras_does(keras: Any) -> None:
    """In training batch norm and dropout act and the moving statistics move; else nothing does."""
    own = made(sequential(keras, 3), 3)
    x = torch.rand(8, 3, 16, 16)
    own.eval()
    before = {k: v.clone() for k, v in own.state_dict().items()}
    assert torch.equal(own(x), own(x))
    assert all(torch.equal(v, before[k]) for k, v in own.state_dict().items())
    own.train()
    torch.manual_seed(1)
    one = own(x)
    torch.manual_seed(1)
    assert torch.equal(own(x), one) and not torch.equal(own(x), one)
    moved = [k for k, v in own.state_dict().items() if not torch.equal(v, before[k])]
    assert [name.partition("_")[2] for name in moved] == ["moving_mean", "moving_variance"]
    batch = F.conv2d(x, dict(own.named_parameters())["000_kernel"].permute(3, 2, 0, 1), stride=2)
    mean = batch.mean((0, 2, 3))
    fresh = made(sequential(keras, 3), 3)
    fresh.load_state_dict(before)
    fresh.train()(x)
    assert torch.allclose(fresh.state_dict()["003_moving_mean"], 0.01 * mean, atol=1e-5)


@of_keras
def test_functional_keras_models_for_rows_in_several_ways(keras: Any, tmp_path: Path) -> None:
    layers = keras.layers
    ins = keras.Input((4,))
    wide = layers.Dense(16, activation="relu")(ins)
    both = layers.Concatenate()([wide, layers.Dense(4, activation="tanh")(ins)])
    given = keras.Model(ins, layers.Softmax()(layers.Dense(2)(both)))
    x, y = rows()
    more = {**ROWS, "optimizer.lr": 0.03, "epochs": 25}
    run = qs.learn((x, y), kind="table", network=given, settings=more, out=tmp_path / "a")
    assert run.test.accuracy > 0.8
    unbuilt = keras.Sequential([layers.Dense(8, activation="relu"), layers.Dense(1)])
    number = x[:, 0] - 2 * x[:, 3]
    more = {**ROWS, "optimizer.lr": 0.03, "epochs": 40}
    run = qs.learn((x, number), kind="table", network=unbuilt, settings=more, out=tmp_path / "b")
    assert run.test.main.value > 0.8
    said = run.model.predict(x[:5])
    scale = run.model.task
    seen = run.model.network.front(torch.tensor(x[:5], dtype=torch.float32))
    asked = unbuilt.predict(seen.numpy(), verbose=0)[:, 0] * scale.std[0] + scale.mean[0]
    assert [one.value for one in said] == pytest.approx(asked, abs=1e-4)


def test_channels_first_keras_models_are_not_turned(keras: Any) -> None:
    layers = keras.layers
    given = keras.Sequential(
        [
            layers.Input((3, 12, 10)),
            layers.Conv2D(4, 3, data_format="channels_first"),
            layers.GlobalAveragePooling2D(data_format="channels_first"),
            layers.Dense(2),
        ]
    )
    x = torch.rand(5, 3, 12, 10)
    assert torch.equal(made(given, 2).eval()(x), given(x))


def test_a_keras_model_on_another_backend_is_refused(
    keras: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Sequential:
        """As Keras's own is where it does not compute with torch: no nn.Module."""

        trainable_variables = ()

        def __call__(self, x: Any) -> Any:
            raise AssertionError("it must not be run")

    Sequential.__module__ = "keras.src.models.sequential"
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    for own in (Sequential(), lambda classes: Sequential()):
        with pytest.raises(ChoiceError, match=r"computes with jax, not with torch.\nSet KERAS_BA"):
            qs.learn(pictures(), network=own, settings=SMALL, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


STACK = [
    {"conv": {"channels": 8, "kernel": 3}},
    "norm",
    "x * tanh(softplus(x))",
    {"residual": [{"conv": {"channels": 8, "kernel": 3}}]},
    {"pool": "average"},
    {"dense": "classes"},
]


def _loaded(folder: Path, **spec: Any) -> Any:
    how = untrained(("a", "b"), size=64)
    made_of = Spec(classes=3, size=64, **spec)
    task = Classification(("a", "b", "c"))
    model = Model(build(made_of).module, made_of, task, how.preparation, {})
    return qs.load(model.save(folder))


@pytest.mark.parametrize("name", ["compact", "resnet18", "stack"])
def test_networks_for_pictures_leave_through_torch_export(name: str, tmp_path: Path) -> None:
    _exports(_loaded(tmp_path / "m", name=name, stack=STACK if name == "stack" else None))


@pytest.mark.parametrize(
    "network", [None, "m*x0 + beta*x1", [{"dense": 4}, "relu", {"dense": "classes"}]]
)
def test_networks_for_rows_leave_through_torch_export(network: Any, tmp_path: Path) -> None:
    x, _ = rows(60)
    few = {**ROWS, "epochs": 1, "optimizer.restarts": 1, "table.members": 3}
    number = 2 * x[:, 0] - x[:, 1]
    qs.learn((x, number), kind="table", network=network, settings=few, out=tmp_path / "run")
    _exports(qs.load(tmp_path / "run" / "model"))


def test_networks_of_code_leave_through_torch_export(tmp_path: Path, own_run: Run) -> None:
    _exports(qs.load(own_run.folder / "model", network=Net))


def _exports(model: Any) -> None:
    program = torch.export.export(
        model.network, (model.blank(),), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},)
    )
    for n in (1, 7):
        x = torch.rand(n, *model.blank().shape[1:])
        with torch.no_grad():
            assert torch.allclose(program.module()(x), model.network(x), atol=1e-6)
